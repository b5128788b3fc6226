//! The strategy language: source text to typed graph, with every finding at its place.
//!
//!   text ──▶ scan ──▶ parse (pest) ──▶ tree ──▶ check: names, units, clocks, ownership ──▶ Program + Manifest + report
//!              │          │                ▲         │
//!              │          │   library: modules, calls│
//!              └──────────┴──────────────────────────┴──▶ Diagnostics: code, place, expected and found, one fix
//!
//! Thread      any; nothing here runs while a strategy trades.
//! Never       panics, whatever the text is; reads no clock, no file.
//! Bounds      texts to 1 MiB, brackets and expressions nest to fixed depths, grammar calls are limited.
//!
//! `docs/reference/strat.md` is the language as this crate accepts it.
#![forbid(unsafe_code)]

pub mod ast;
mod check;
mod codes;
mod diagnostic;
mod library;
mod parse;
mod report;
mod scan;
mod span;
mod unit;

pub use codes::{CODES, Code, explain};
pub use diagnostic::{Diagnostic, Diagnostics, Severity, SourceFile};
pub use library::{Modules, StandardOnly, bundle};
pub use parse::{Grammar, Rule, parse};
pub use report::{StaticReport, WarmUp};
pub use span::{Lines, Span};
pub use unit::{Atom, Exponent, Unit, UnitNames};

pub use check::Named;

use check::Checker;
use library::Library;
use std::sync::Arc;
use tercel_event::{Chain, Manifest};
use tercel_graph::Program;

/// A strategy that passed every check.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub program: Program,
    /// `hash` is the hash of the source; who builds the artefact mixes in engine version and instruction set.
    pub manifest: Manifest,
    pub report: StaticReport,
    /// Over the edition, the bytes of the source, and the name and text of every module that it uses.
    pub source_hash: u64,
    /// Every `let` of the strategy and its node, in the order of the text.
    pub names: Vec<Named>,
    /// Findings that do not stop the strategy.
    pub warnings: Diagnostics,
}

fn has_errors(items: &[Diagnostic]) -> bool {
    items.iter().any(|d| d.severity() == Severity::Error)
}

/// Names that a `use` brings in and nothing outside the `use` lines says again.
fn unused_imports(source: &str, uses: &[ast::Use]) -> Vec<Diagnostic> {
    let scan = scan::Scan::new(source);
    let is_said = |name: &str| {
        scan.tokens.iter().any(|token| {
            let in_use = uses.iter().any(|item| item.span.start <= token.span.start && token.span.end <= item.span.end);
            token.kind == scan::TokenKind::Word && !in_use && token.span.text(source) == name
        })
    };
    let brought = |item: &ast::Use| -> Vec<ast::Name> {
        match (&item.alias, &item.names) {
            (Some(alias), _) => vec![alias.clone()],
            (None, Some(names)) => names.clone(),
            (None, None) => item.path.last().cloned().into_iter().collect(),
        }
    };
    let unused = uses.iter().flat_map(brought).filter(|name| !is_said(&name.text));
    let finding = |name: ast::Name| {
        Diagnostic::new("W0603", name.span, format!("`{}` is brought in and never used", name.text))
            .label("nothing calls it")
            .help("delete it from the `use`")
    };
    unused.map(finding).collect()
}

/// The one edition that exists.
const EDITION: u64 = 1;

/// Reads, checks and lowers the one strategy of a file that uses the standard modules alone.
/// `file_name` is only used in messages. Errors: everything that is wrong, in order of place, warnings included.
pub fn compile(source: &str, file_name: &str) -> Result<Compiled, Diagnostics> {
    compile_with(source, file_name, &StandardOnly)
}

/// The same with modules of one's own: `use lib.name.{f}` takes the text of `name` from the [`bundle`], else from `modules`.
pub fn compile_with(source: &str, file_name: &str, modules: &dyn Modules) -> Result<Compiled, Diagnostics> {
    read(source, file_name, modules, false)
}

/// The same for looking at values alone: a strategy without any `quote` or `target` is as good as another.
pub fn compile_to_watch(source: &str, file_name: &str, modules: &dyn Modules) -> Result<Compiled, Diagnostics> {
    read(source, file_name, modules, true)
}

fn read(source: &str, file_name: &str, modules: &dyn Modules, to_watch: bool) -> Result<Compiled, Diagnostics> {
    let (source, modules) = library::unbundle(source, modules);
    let (file, mut findings) = parse(source);
    let is_partial = has_errors(&findings);
    let text = Arc::new(SourceFile { name: file_name.into(), text: source.into() });
    let (mut library, mut found) = Library::load(&file, text, &modules);
    findings.append(&mut found);
    findings.append(&mut check::definitions(&mut library));
    let mut checker = Checker::new(&library, 0);
    checker.is_partial = is_partial;
    checker.may_only_watch = to_watch;
    findings.extend(check_edition(&file));
    for item in &file.unsupported {
        checker.refused(item);
    }
    match file.strategies.as_slice() {
        [] => {
            if findings.is_empty() {
                let end = Span::new(source.len(), source.len());
                checker.report(
                    Diagnostic::new("E0101", end, "expected a strategy, found none")
                        .help("write `strategy NAME version 1 { … }`"),
                );
            }
        }
        [strategy, more @ ..] => {
            for name in &file.broken {
                checker.poison_name(name);
            }
            checker.strategy(strategy);
            for other in more {
                checker.unsupported("a second strategy in one file", other.name.span);
            }
        }
    }
    if checker.is_partial {
        // What could not be read may be just what a warning misses.
        checker.findings.retain(|d| d.severity() == Severity::Error);
    }
    findings.append(&mut checker.findings);
    if has_errors(&findings) {
        return Err(Diagnostics::new(file_name, source, findings));
    }
    checker.unused();
    findings.append(&mut checker.findings);
    findings.extend(unused_imports(source, &file.uses));
    if let Err(error) = checker.program.validate(&checker.manifest) {
        let span = file.strategies.first().map_or(Span::default(), |s| s.name.span);
        findings.push(
            Diagnostic::new("E0501", span, format!("the strategy is outside the engine's bounds: {error}"))
                .help("make it smaller"),
        );
        return Err(Diagnostics::new(file_name, source, findings));
    }
    let report = StaticReport::new(&checker);
    for strategy in &file.strategies {
        for member in &strategy.members {
            if let ast::Member::Budget(budget) = member {
                checker.budget(budget, &report.entries);
            }
        }
    }
    findings.append(&mut checker.findings);
    if has_errors(&findings) {
        return Err(Diagnostics::new(file_name, source, findings));
    }
    let mut chain = Chain::default();
    chain.word(EDITION);
    chain.bytes(source.as_bytes());
    for (name, text) in library.texts() {
        chain.bytes(name.as_bytes());
        chain.bytes(text.as_bytes());
    }
    let source_hash = chain.0;
    let mut manifest = checker.manifest;
    manifest.hash = source_hash;
    let warnings = Diagnostics::new(file_name, source, findings);
    Ok(Compiled { program: checker.program, manifest, report, source_hash, names: checker.named, warnings })
}

/// A file of an edition that does not exist.
fn check_edition(file: &ast::File) -> Option<Diagnostic> {
    let (edition, span) = file.edition.filter(|(edition, _)| *edition != EDITION)?;
    let message = format!("expected edition {EDITION}, found {edition}");
    Some(Diagnostic::new("E0900", span, message).help(format!("write `edition {EDITION}`")))
}
