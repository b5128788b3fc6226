//! Modules: the standard library, embedded as text, and modules of one's own, whose text a [`Modules`] gives.
//!
//!   use std.ta.{rsi}   ──▶ std/ta.strat, and the operators that the compiler knows itself
//!   use lib.own.{f}    ──▶ Modules::text("own")
//!
//! The text of every module that is used, directly or by another module, belongs to the hash of the strategy.
mod bundle;
mod calls;
mod standard;
#[cfg(test)]
mod tests;

use crate::ast::{self, Name};
use crate::diagnostic::{Diagnostic, SourceFile, nearest};
use crate::parse::parse;
use crate::span::Span;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use bundle::bundle;
pub(crate) use bundle::unbundle;
pub(crate) use standard::{CORE, LATER, STANDARD, standard_of};

/// Where the text of a user's modules comes from. This crate reads no file.
pub trait Modules {
    /// The text of `lib.NAME`; `name` is a word of letters, digits and `_`. The error says why there is none.
    fn text(&self, name: &str) -> Result<String, String>;
}

/// No modules but the standard ones.
pub struct StandardOnly;

impl Modules for StandardOnly {
    fn text(&self, _: &str) -> Result<String, String> {
        Err("it was not given with the strategy".into())
    }
}

/// Modules of one strategy, the standard ones included.
const MODULES_MAX: usize = 64;
/// Functions of one strategy and its modules.
const FUNCTIONS_MAX: usize = 4_096;

/// What a name calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callee {
    /// An operator of the compiler.
    Builtin,
    /// Index into `Library::functions`.
    Function(usize),
}

#[derive(Debug)]
pub(crate) struct Module {
    /// `std.ta`, `lib.own`; empty: the file of the strategy.
    pub name: String,
    pub file: Arc<SourceFile>,
    pub names: BTreeMap<String, (Callee, Span)>,
    /// Names whose definition or `use` failed: their calls stay silent.
    pub broken: Vec<String>,
    pub is_standard: bool,
}

#[derive(Debug)]
pub(crate) struct Function {
    pub tree: ast::Function,
    pub module: usize,
    /// Calls itself, or too deep: reported, and its calls stay silent.
    pub broken: bool,
}

/// Every function that the strategy can reach. Module 0 is its own file.
#[derive(Debug, Default)]
pub(crate) struct Library {
    pub modules: Vec<Module>,
    pub functions: Vec<Function>,
}

impl Library {
    /// Binds the names of the strategy's file and of all modules behind it.
    pub fn load(file: &ast::File, text: Arc<SourceFile>, modules: &dyn Modules) -> (Self, Vec<Diagnostic>) {
        let mut loading = Loading { modules, library: Self::default(), open: Vec::new(), findings: Vec::new() };
        loading.module(String::new(), file, text, false);
        let Loading { mut library, mut findings, .. } = loading;
        library.refuse_recursion(&mut findings);
        (library, findings)
    }

    /// Name and text of the used modules, by name.
    pub fn texts(&self) -> Vec<(&str, &str)> {
        let mut texts: Vec<(&str, &str)> =
            self.modules.iter().skip(1).map(|m| (m.name.as_str(), m.file.text.as_str())).collect();
        texts.sort_unstable();
        texts
    }
}

struct Loading<'a> {
    modules: &'a dyn Modules,
    library: Library,
    /// Modules whose `use` lines are being followed, outermost first.
    open: Vec<usize>,
    findings: Vec<Diagnostic>,
}

impl Loading<'_> {
    fn module(&mut self, name: String, file: &ast::File, text: Arc<SourceFile>, is_standard: bool) -> usize {
        let idx = self.library.modules.len();
        let builtins = standard_of(&name).map_or(&[] as &[&str], |s| s.builtins);
        let names = builtins.iter().map(|n| (n.to_string(), (Callee::Builtin, Span::default()))).collect();
        let broken = file.broken.iter().map(|n| n.text.clone()).collect();
        self.library.modules.push(Module { name, file: text, names, broken, is_standard });
        self.open.push(idx);
        for function in &file.functions {
            if self.library.functions.len() == FUNCTIONS_MAX {
                let message = format!("more than {FUNCTIONS_MAX} functions");
                let finding = Diagnostic::new("E0109", function.name.span, message).help("delete the unused ones");
                self.report(idx, finding);
                break;
            }
            if self.bind(idx, &function.name, Callee::Function(self.library.functions.len())) {
                self.library.functions.push(Function { tree: function.clone(), module: idx, broken: false });
            }
        }
        for item in &file.uses {
            self.bring_in(idx, item);
        }
        self.open.pop();
        idx
    }

    fn report(&mut self, module: usize, finding: Diagnostic) {
        self.findings.push(match module {
            0 => finding,
            _ => finding.in_file(&self.library.modules[module].file),
        });
    }

    /// Gives a name its meaning in a module; a second meaning is refused.
    fn bind(&mut self, module: usize, name: &Name, callee: Callee) -> bool {
        let known = self.library.modules[module].names.get(&name.text).copied();
        if known.is_some_and(|(first, _)| first == callee) {
            return true;
        }
        if known.is_none() && !CORE.contains(&name.text.as_str()) {
            self.library.modules[module].names.insert(name.text.clone(), (callee, name.span));
            return true;
        }
        let mut finding = Diagnostic::new("E0202", name.span, format!("function `{}` is already defined", name.text))
            .label("second definition")
            .help("give one of them another name");
        finding = match known {
            Some((_, first)) => finding.related(first, "first definition"),
            None => finding.help("it is a function of the language; choose another name"),
        };
        self.report(module, finding);
        false
    }

    fn bring_in(&mut self, into: usize, item: &ast::Use) {
        let mut path: Vec<&str> = item.path.iter().map(|n| n.text.as_str()).collect();
        let names: Vec<Name> = match &item.names {
            Some(names) => names.clone(),
            None => {
                path.pop();
                item.path.last().cloned().into_iter().collect()
            }
        };
        let wanted = path.join(".");
        let Some(from) = self.find(into, &wanted, item.span) else {
            self.library.modules[into].broken.extend(names.into_iter().map(|n| n.text));
            return;
        };
        if let (Some(alias), [_, second, ..]) = (&item.alias, names.as_slice()) {
            let finding = Diagnostic::new("E0204", second.span, "`as` renames one function, found several")
                .related(alias.span, "the new name")
                .help("write one `use` for each name");
            self.report(into, finding);
        }
        for name in names {
            let here = item.alias.as_ref().unwrap_or(&name);
            match self.library.modules[from].names.get(&name.text).copied() {
                Some((callee, _)) if self.is_public(from, callee) => {
                    self.bind(into, here, callee);
                }
                _ => {
                    if !self.library.modules[from].broken.contains(&name.text) {
                        self.unknown(into, from, &name);
                    }
                    self.library.modules[into].broken.push(here.text.clone());
                }
            }
        }
    }

    /// What a module defines itself; what it uses stays its own affair.
    fn is_public(&self, module: usize, callee: Callee) -> bool {
        match callee {
            Callee::Builtin => self.library.modules[module].is_standard,
            Callee::Function(idx) => self.library.functions[idx].module == module,
        }
    }

    fn unknown(&mut self, into: usize, from: usize, name: &Name) {
        let module = &self.library.modules[from];
        let known: Vec<&str> =
            module.names.iter().filter(|(_, (c, _))| self.is_public(from, *c)).map(|(n, _)| n.as_str()).collect();
        let finding = if module.is_standard && LATER.contains(&name.text.as_str()) {
            Diagnostic::new("E0900", name.span, format!("not in this version: `{}` of `{}`", name.text, module.name))
                .label("parsed, but refused")
                .help("docs/reference/strat.md lists what this version runs")
        } else {
            let help = match nearest(&name.text, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("`{}` holds {} in this version", module.name, known.join(", ")),
            };
            Diagnostic::new("E0204", name.span, format!("`{}` has no `{}`", module.name, name.text)).help(help)
        };
        self.report(into, finding);
    }

    /// The module of this name, loaded at its first use.
    fn find(&mut self, into: usize, wanted: &str, span: Span) -> Option<usize> {
        if let Some(idx) = self.library.modules.iter().position(|m| m.name == wanted && !wanted.is_empty()) {
            if let Some(from) = self.open.iter().position(|open| *open == idx) {
                let mut way: Vec<&str> =
                    self.open[from..].iter().map(|m| self.library.modules[*m].name.as_str()).collect();
                way.push(wanted);
                let message = format!("module `{wanted}` uses itself: {}", way.join(" → "));
                let finding = Diagnostic::new("E0218", span, message)
                    .label("this closes the circle")
                    .help("move what both need into a third module");
                self.report(into, finding);
                return None;
            }
            return Some(idx);
        }
        if let Some(standard) = standard_of(wanted) {
            let (tree, text) = standard.read();
            return Some(self.module(wanted.into(), tree, text.clone(), true));
        }
        match wanted.split_once('.') {
            Some(("lib", name)) if !name.contains('.') => self.own(into, wanted, name, span),
            _ => {
                let modules: Vec<&str> = STANDARD.iter().map(|s| s.name).collect();
                let help = match nearest(wanted, modules.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("modules are {}, and `lib.NAME` of your own", modules.join(", ")),
                };
                self.report(into, Diagnostic::new("E0204", span, format!("unknown module `{wanted}`")).help(help));
                None
            }
        }
    }

    /// A module of the user's own.
    fn own(&mut self, into: usize, wanted: &str, name: &str, span: Span) -> Option<usize> {
        if self.library.modules.len() == MODULES_MAX {
            let message = format!("more than {MODULES_MAX} modules");
            self.report(into, Diagnostic::new("E0218", span, message).help("put several functions into one module"));
            return None;
        }
        let text = match self.modules.text(name) {
            Ok(text) => text,
            Err(why) => {
                let message = format!("module `{wanted}` cannot be read: {why}");
                let help = format!("`{wanted}` is the file `{name}.strat` beside the strategy");
                self.report(into, Diagnostic::new("E0218", span, message).help(help));
                return None;
            }
        };
        let text = Arc::new(SourceFile { name: format!("{name}.strat"), text });
        let (tree, findings) = parse(&text.text);
        self.findings.extend(findings.into_iter().map(|f| f.in_file(&text)));
        let edition = crate::check_edition(&tree).map(|f| f.in_file(&text));
        self.findings.extend(edition);
        let idx = self.module(wanted.into(), &tree, text, false);
        let strategies = tree.strategies.iter().map(|s| (s.name.span, "a strategy"));
        let foreign: Vec<_> = strategies.chain(tree.unsupported.iter().map(|u| (u.span, u.what))).collect();
        for (span, what) in foreign {
            let message = format!("a module holds `fn` and `indicator` only, found {what}");
            self.report(idx, Diagnostic::new("E0218", span, message).help("move it to a file of its own"));
        }
        Some(idx)
    }
}
