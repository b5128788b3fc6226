//! Who calls whom: recursion is refused before anything is inlined, and the depth of calls is bounded.
use super::{Callee, Function, Library};
use crate::ast::{Action, BinaryOp, BodyItem, Expr, ExprKind, Trigger};
use crate::diagnostic::Diagnostic;

/// Calls inside calls.
const DEPTH_MAX: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    /// Height of its calls, itself included.
    Done(usize),
}

impl Library {
    /// Marks every function that calls itself, perhaps through others, or whose calls nest too deep.
    pub(super) fn refuse_recursion(&mut self, findings: &mut Vec<Diagnostic>) {
        let calls: Vec<Vec<usize>> = self.functions.iter().map(|f| self.called_by(f)).collect();
        let mut marks = vec![Mark::New; calls.len()];
        for idx in 0..calls.len() {
            self.visit(idx, &calls, &mut marks, &mut Vec::new(), findings);
        }
    }

    fn visit(
        &mut self,
        idx: usize,
        calls: &[Vec<usize>],
        marks: &mut [Mark],
        way: &mut Vec<usize>,
        findings: &mut Vec<Diagnostic>,
    ) -> usize {
        match marks[idx] {
            Mark::Done(height) => return height,
            Mark::Open => {
                let from = way.iter().position(|f| *f == idx).unwrap_or(0);
                let mut names: Vec<String> =
                    way[from..].iter().map(|f| self.functions[*f].tree.name.text.clone()).collect();
                names.extend(names.first().cloned());
                let message = format!("`{}` calls itself: {}", names[0], names.join(" → "));
                let finding = Diagnostic::new("E0215", self.functions[idx].tree.name.span, message)
                    .label("every call is a copy, so this would never end")
                    .help("keep what was in a `state`, or write the steps out");
                findings.push(self.placed(idx, finding));
                for function in &way[from..] {
                    self.functions[*function].broken = true;
                }
                return 1;
            }
            Mark::New => {}
        }
        // Deeper than the bound nothing is followed, so that this walk is bounded too.
        let mut height = 1;
        if way.len() <= DEPTH_MAX {
            marks[idx] = Mark::Open;
            way.push(idx);
            for callee in &calls[idx] {
                height = height.max(1 + self.visit(*callee, calls, marks, way, findings));
            }
            way.pop();
        }
        if height > DEPTH_MAX && !self.functions[idx].broken {
            let name = self.functions[idx].tree.name.clone();
            let message = format!("the calls of `{}` nest deeper than {DEPTH_MAX}", name.text);
            let finding = Diagnostic::new("E0217", name.span, message).help("call fewer functions inside functions");
            findings.push(self.placed(idx, finding));
            self.functions[idx].broken = true;
            height = 1;
        }
        marks[idx] = Mark::Done(height);
        height
    }

    /// Every function behind those that it calls; functions in a circle in any order.
    pub fn callees_first(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.functions.len());
        let mut seen = vec![false; self.functions.len()];
        for first in 0..self.functions.len() {
            let mut open = vec![(first, false)];
            while let Some((idx, callees_done)) = open.pop() {
                if callees_done {
                    order.push(idx);
                } else if !seen[idx] {
                    seen[idx] = true;
                    open.push((idx, true));
                    open.extend(self.called_by(&self.functions[idx]).into_iter().map(|c| (c, false)));
                }
            }
        }
        order
    }

    fn placed(&self, function: usize, finding: Diagnostic) -> Diagnostic {
        match self.functions[function].module {
            0 => finding,
            module => finding.in_file(&self.modules[module].file),
        }
    }

    fn called_by(&self, function: &Function) -> Vec<usize> {
        let names = &self.modules[function.module].names;
        let mut called = Vec::new();
        for expr in expressions(function) {
            expr.walk(&mut |e| {
                if let ExprKind::Call { path, .. } = &e.kind
                    && let [name] = path.as_slice()
                    && let Some((Callee::Function(idx), _)) = names.get(&name.text)
                    && !called.contains(idx)
                {
                    called.push(*idx);
                }
            });
        }
        called
    }
}

impl Library {
    /// The words that an argument of type `word` may be: its default, those that the body compares it with, and those of
    /// functions that it is handed on to.
    pub fn words_of(&self, function: &Function, formal: &str) -> Vec<String> {
        let mut words = Vec::new();
        // Each argument of each function once, in a circle too.
        let mut seen: Vec<(usize, String)> = Vec::new();
        self.collect_words(function, formal, &mut seen, &mut words);
        let mut next = 0;
        while let Some((callee, name)) = seen.get(next).cloned() {
            self.collect_words(&self.functions[callee], &name, &mut seen, &mut words);
            next += 1;
        }
        words
    }

    fn collect_words(
        &self,
        function: &Function,
        formal: &str,
        seen: &mut Vec<(usize, String)>,
        words: &mut Vec<String>,
    ) {
        let stands = |e: &Expr| matches!(&e.kind, ExprKind::Path(path) if path.len() == 1 && path[0].text == formal);
        let default = function.tree.formals.iter().find(|f| f.name.text == formal).and_then(|f| f.default.as_ref());
        let mut add = |text: &String| {
            if !words.contains(text) {
                words.push(text.clone());
            }
        };
        if let Some(ExprKind::Str(text)) = default.map(|d| &d.kind) {
            add(text);
        }
        for expr in expressions(function) {
            expr.walk(&mut |e| match &e.kind {
                ExprKind::Binary { op: BinaryOp::Eq | BinaryOp::Ne, left, right, .. } => {
                    if let ExprKind::Str(text) = &right.kind
                        && stands(left)
                    {
                        add(text);
                    }
                }
                ExprKind::Call { path, args } => {
                    let names = &self.modules[function.module].names;
                    let callee = path.first().and_then(|name| names.get(&name.text));
                    let Some((Callee::Function(callee), _)) = callee else { return };
                    for (at, arg) in args.iter().enumerate().filter(|(_, arg)| stands(&arg.value)) {
                        let formals = &self.functions[*callee].tree.formals;
                        let name = arg.name.as_ref().or(formals.get(at).map(|f| &f.name));
                        let handed_on = name.map(|name| (*callee, name.text.clone()));
                        seen.extend(handed_on.filter(|next| !seen.contains(next)));
                    }
                }
                _ => {}
            });
        }
    }
}

/// Every expression of a function, in the order of the text.
fn expressions(function: &Function) -> Vec<&Expr> {
    let tree = &function.tree;
    let mut all: Vec<&Expr> = tree.formals.iter().filter_map(|f| f.default.as_ref()).collect();
    for item in &tree.body {
        match item {
            BodyItem::Let(item) => all.push(&item.value),
            BodyItem::State(item) => all.push(&item.value),
            BodyItem::Next { value, .. } => all.push(value),
            BodyItem::Rule(rule) => {
                match &rule.trigger {
                    Trigger::When(condition) => all.push(condition),
                    Trigger::On { guard, .. } => all.extend(guard),
                }
                for action in &rule.actions {
                    match action {
                        Action::Next { value, .. } => all.push(value),
                        Action::Go { args, .. } => all.extend(args.iter().map(|a| &a.value)),
                        Action::Halt { .. } | Action::Finish { .. } | Action::Note { .. } => {}
                    }
                }
            }
            BodyItem::Unsupported(_) => {}
        }
    }
    all.extend(tree.returned.iter().map(|(_, e)| e));
    all
}
