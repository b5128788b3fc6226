//! `fn` and `indicator`, from the grammar's pairs.
use super::member::{formal, let_, rule, state, ty};
use super::{Builder, Rule, inner};
use crate::ast::{BodyItem, Expr, Function, FunctionResult, Name};
use pest::iterators::Pair;

/// `fn f(a: num): num = e`.
pub(super) fn func(b: &mut Builder<'_>, pair: Pair<'_, Rule>, doc: String) -> Option<Function> {
    let pair = inner(inner(pair, Rule::item)?, Rule::func)?;
    let whole = b.span(&pair);
    let (mut name, mut formals, mut result, mut value) = (None, Vec::new(), None, None);
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::ident => name = Some(b.name(&part)),
            Rule::formals => formals = part.into_inner().filter_map(|p| formal(b, p)).collect(),
            Rule::ty => result = ty(b, part),
            Rule::expr => value = Some(b.expr(part)),
            _ => {}
        }
    }
    let result = result?;
    let mut head = whole;
    head.end = result.span.end;
    Some(Function {
        name: name?,
        formals,
        results: vec![FunctionResult { name: None, ty: result }],
        body: Vec::new(),
        returned: vec![(None, value?)],
        is_indicator: false,
        head,
        doc,
    })
}

/// `indicator f(a: num): (line: num, hist: num)`.
pub(super) fn head(b: &mut Builder<'_>, pair: Pair<'_, Rule>, doc: String) -> Option<Function> {
    let pair = inner(pair, Rule::indicator_head)?;
    let head = b.span(&pair);
    let (mut name, mut formals, mut results) = (None, Vec::new(), Vec::new());
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::ident => name = Some(b.name(&part)),
            Rule::formals => formals = part.into_inner().filter_map(|p| formal(b, p)).collect(),
            Rule::result => results = part.into_inner().filter_map(|p| result(b, p)).collect(),
            _ => {}
        }
    }
    let returned = Vec::new();
    Some(Function { name: name?, formals, results, body: Vec::new(), returned, is_indicator: true, head, doc })
}

fn result(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Option<FunctionResult> {
    if pair.as_rule() == Rule::ty {
        return Some(FunctionResult { name: None, ty: ty(b, pair)? });
    }
    let mut parts = pair.into_inner();
    let name = b.name(&parts.next()?);
    Some(FunctionResult { name: Some(name), ty: ty(b, parts.next()?)? })
}

pub(super) fn body_item(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Option<BodyItem> {
    let part = inner(pair, Rule::in_body)?.into_inner().find(|p| p.as_rule() != Rule::doc)?;
    let span = b.span(&part);
    Some(match part.as_rule() {
        Rule::let_ => let_(b, part).map_or_else(BodyItem::Unsupported, BodyItem::Let),
        Rule::state => match state(b, part) {
            Ok(state) => BodyItem::State(state?),
            Err(unsupported) => BodyItem::Unsupported(unsupported),
        },
        Rule::rule => BodyItem::Rule(rule(b, part)?),
        _ => {
            let mut parts = part.into_inner().filter(|p| p.as_rule() != Rule::k_next);
            let name = b.name(&parts.next()?);
            BodyItem::Next { name, value: b.expr(parts.next()?), span }
        }
    })
}

/// `return e` or `return (line: a, hist: b)`.
pub(super) fn returned(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Vec<(Option<Name>, Expr)> {
    let fields = inner(pair, Rule::return_).and_then(|p| inner(p, Rule::fields));
    let mut values = Vec::new();
    for part in fields.into_iter().flat_map(Pair::into_inner) {
        if part.as_rule() == Rule::expr {
            values.push((None, b.expr(part)));
            continue;
        }
        let mut parts = part.into_inner();
        if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            values.push((Some(b.name(&name)), b.expr(value)));
        }
    }
    values
}
