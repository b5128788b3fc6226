//! Expressions: the grammar gives a flat chain of operands and operators, the tree is built by precedence.
use super::{Builder, MAX_EXPR_DEPTH, Rule};
use crate::ast::{Arg, BinaryOp, Clock, Expr, ExprKind, Name, UnaryOp};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use pest::iterators::{Pair, Pairs};
use std::iter::Peekable;

/// One word of the flat chain.
enum Word<'i> {
    Prefix(UnaryOp, Span),
    Operand(Box<Pair<'i, Rule>>, Vec<Pair<'i, Rule>>),
    Infix(BinaryOp, Span),
}

impl Builder<'_> {
    pub fn path(&self, pair: Pair<'_, Rule>) -> Vec<Name> {
        pair.into_inner().map(|p| self.name(&p)).collect()
    }

    /// `expr ("@" clock)?`.
    pub fn sampled(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span(&pair);
        let mut parts = pair.into_inner();
        let Some(value) = parts.next().map(|p| self.expr(p)) else { return error(span) };
        match parts.next().and_then(|clock| clock.into_inner().find(|p| p.as_rule() != Rule::k_every)) {
            None => value,
            Some(clock) => {
                let clock = match clock.as_rule() {
                    Rule::quantity => Clock::Every(Box::new(self.quantity(clock))),
                    _ => Clock::Path(self.path(clock)),
                };
                let depth = value.depth + 1;
                self.node(ExprKind::Sample { value: Box::new(value), clock }, span, depth)
            }
        }
    }

    pub fn expr(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let mut words = Vec::new();
        for part in pair.into_inner() {
            let span = self.span(&part);
            match part.as_rule() {
                Rule::operand => self.operand_words(part.into_inner(), &mut words),
                _ => words.push(Word::Infix(infix(part.as_str()), span)),
            }
        }
        let mut words = words.into_iter().peekable();
        self.climb(&mut words, 0)
    }

    fn operand_words<'i>(&mut self, parts: Pairs<'i, Rule>, words: &mut Vec<Word<'i>>) {
        let mut operand: Option<(Pair<'i, Rule>, Vec<Pair<'i, Rule>>)> = None;
        for part in parts {
            match part.as_rule() {
                Rule::prefix => {
                    let op = if part.as_str() == "-" { UnaryOp::Neg } else { UnaryOp::Not };
                    words.push(Word::Prefix(op, self.span(&part)));
                }
                Rule::primary => operand = Some((part, Vec::new())),
                _ => {
                    if let Some((_, postfixes)) = &mut operand {
                        postfixes.push(part);
                    }
                }
            }
        }
        if let Some((primary, postfixes)) = operand {
            words.push(Word::Operand(Box::new(primary), postfixes));
        }
    }

    /// Precedence climbing: reads operators that bind at least as tightly as `least`.
    fn climb<'i>(&mut self, words: &mut Peekable<std::vec::IntoIter<Word<'i>>>, least: u8) -> Expr {
        self.nesting += 1;
        let expr = if self.nesting <= MAX_EXPR_DEPTH { self.climb_on(words, least) } else { self.too_deep(words) };
        self.nesting -= 1;
        expr
    }

    fn climb_on<'i>(&mut self, words: &mut Peekable<std::vec::IntoIter<Word<'i>>>, least: u8) -> Expr {
        let mut left = match words.next() {
            Some(Word::Operand(primary, postfixes)) => self.operand(*primary, postfixes),
            Some(Word::Prefix(op, op_span)) => {
                // A minus covers powers only, `not` a whole comparison.
                let arg = self.climb(words, if op == UnaryOp::Neg { 9 } else { 4 });
                let (span, depth) = (op_span.to(arg.span), arg.depth + 1);
                self.node(ExprKind::Unary { op, arg: Box::new(arg) }, span, depth)
            }
            _ => return error(Span::default()),
        };
        let mut compared: Option<Span> = None;
        while let Some(&Word::Infix(op, op_span)) = words.peek() {
            if op.precedence() < least {
                break;
            }
            words.next();
            let chained = op.is_comparison() && compared.is_some();
            if op.is_comparison()
                && let Some(first) = compared.replace(op_span)
            {
                self.findings.push(
                    Diagnostic::new("E0214", op_span, "comparisons do not chain")
                        .label(format!("a second `{}` on the result of a comparison", op.word()))
                        .related(first, "the first comparison")
                        .help("write both comparisons and join them with `and`"),
                );
            }
            // `??` and `^` group to the right, the others to the left.
            let groups_right = matches!(op, BinaryOp::Coalesce | BinaryOp::Pow);
            let right = self.climb(words, op.precedence() + u8::from(!groups_right));
            let (span, depth) = (left.span.to(right.span), left.depth.max(right.depth) + 1);
            let kind = ExprKind::Binary { op, op_span, left: Box::new(left), right: Box::new(right) };
            left = if chained { error(span) } else { self.node(kind, span, depth) };
        }
        left
    }

    fn too_deep<'i>(&mut self, words: &mut Peekable<std::vec::IntoIter<Word<'i>>>) -> Expr {
        let span = match words.peek() {
            Some(Word::Prefix(_, span) | Word::Infix(_, span)) => *span,
            Some(Word::Operand(primary, _)) => self.span(primary),
            None => Span::default(),
        };
        words.for_each(drop);
        self.refuse_depth(span);
        error(span)
    }

    fn operand(&mut self, primary: Pair<'_, Rule>, postfixes: Vec<Pair<'_, Rule>>) -> Expr {
        let span = self.span(&primary);
        let mut value = match primary.into_inner().next() {
            Some(part) => self.primary(part, span),
            None => error(span),
        };
        for postfix in postfixes {
            let whole = value.span.to(self.span(&postfix));
            let depth = value.depth + 1;
            let mut parts = postfix.into_inner();
            let Some(first) = parts.next() else { continue };
            if first.as_rule() == Rule::field {
                let name = self.name(&first);
                let args = parts.next().map(|p| self.args(p));
                let kind = ExprKind::Field { base: Box::new(value), name, args };
                value = self.node(kind, whole, depth);
            } else {
                let index = self.expr(first);
                let depth = depth.max(index.depth + 1);
                let kind = ExprKind::Index { base: Box::new(value), index: Box::new(index) };
                value = self.node(kind, whole, depth);
            }
        }
        value
    }

    fn primary(&mut self, part: Pair<'_, Rule>, span: Span) -> Expr {
        match part.as_rule() {
            Rule::quantity => self.quantity(part),
            Rule::string => {
                let text = part.as_str().trim_matches('"').to_string();
                self.node(ExprKind::Str(text), span, 1)
            }
            Rule::cond => {
                let mut parts = part.into_inner().filter(|p| p.as_rule() == Rule::expr);
                match (parts.next(), parts.next(), parts.next()) {
                    (Some(c), Some(t), Some(e)) => {
                        let (condition, then, otherwise) = (self.expr(c), self.expr(t), self.expr(e));
                        let depth = condition.depth.max(then.depth).max(otherwise.depth) + 1;
                        let kind = ExprKind::If {
                            condition: Box::new(condition),
                            then: Box::new(then),
                            otherwise: Box::new(otherwise),
                        };
                        self.node(kind, span, depth)
                    }
                    _ => error(span),
                }
            }
            Rule::sampled => {
                // The parentheses belong to the place, not to the tree.
                let mut value = self.sampled(part);
                value.span = span;
                value
            }
            _ => {
                let mut parts = part.into_inner();
                let path = parts.next().map(|p| self.path(p)).unwrap_or_default();
                match parts.next() {
                    None => self.node(ExprKind::Path(path), span, 1),
                    Some(args) => {
                        let args = self.args(args);
                        let depth = 1 + args.iter().map(|a| a.value.depth).max().unwrap_or(0);
                        self.node(ExprKind::Call { path, args }, span, depth)
                    }
                }
            }
        }
    }

    pub fn quantity(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span(&pair);
        let text = pair.as_str();
        let mut digits = String::new();
        let mut unit = text
            .strip_suffix('%')
            .map(|_| Name { text: "%".into(), span: Span { start: span.end - 1, end: span.end } });
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::number => digits = part.as_str().replace('_', ""),
                _ => unit = Some(self.name(&part)),
            }
        }
        self.node(ExprKind::Quantity { digits, unit }, span, 1)
    }

    pub fn args(&mut self, pair: Pair<'_, Rule>) -> Vec<Arg> {
        pair.into_inner()
            .map(|arg| {
                let (mut name, mut value, mut family) = (None, None, None);
                let whole = self.span(&arg);
                for part in arg.into_inner() {
                    match part.as_rule() {
                        Rule::sampled => value = Some(self.sampled(part)),
                        Rule::ident if value.is_none() => name = Some(self.name(&part)),
                        Rule::k_for => family = Some(self.span(&part).to(whole)),
                        _ => {}
                    }
                }
                Arg { name, value: value.unwrap_or_else(|| error(whole)), family }
            })
            .collect()
    }

    /// Makes a node; one that is too high becomes an error node, so that no later walk can run out of stack.
    fn node(&mut self, kind: ExprKind, span: Span, depth: u32) -> Expr {
        if depth <= MAX_EXPR_DEPTH {
            return Expr { kind, span, depth };
        }
        self.refuse_depth(span);
        error(span)
    }

    fn refuse_depth(&mut self, span: Span) {
        self.findings.push(
            Diagnostic::new("E0106", span, format!("the expression is nested deeper than {MAX_EXPR_DEPTH}"))
                .help("name the inner parts with `let` and use the names"),
        );
    }
}

pub(super) fn error(span: Span) -> Expr {
    Expr { kind: ExprKind::Error, span, depth: 1 }
}

fn infix(text: &str) -> BinaryOp {
    match text {
        "or" => BinaryOp::Or,
        "and" => BinaryOp::And,
        "<" => BinaryOp::Lt,
        "<=" => BinaryOp::Le,
        ">" => BinaryOp::Gt,
        ">=" => BinaryOp::Ge,
        "==" => BinaryOp::Eq,
        "!=" => BinaryOp::Ne,
        "crosses_above" => BinaryOp::CrossesAbove,
        "crosses_below" => BinaryOp::CrossesBelow,
        "??" => BinaryOp::Coalesce,
        "+" => BinaryOp::Add,
        "-" => BinaryOp::Sub,
        "*" => BinaryOp::Mul,
        "/" => BinaryOp::Div,
        _ => BinaryOp::Pow,
    }
}
