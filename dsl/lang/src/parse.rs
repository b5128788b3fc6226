//! Source text to tree. The scan splits the text into members, the grammar reads each by itself: several errors per file,
//! and each stays in its member.
mod expr;
mod function;
mod member;
mod message;

use crate::ast::{File, Function, Member, Mode, ModeItem, Name, Strategy, Unsupported};
use crate::diagnostic::Diagnostic;
use crate::scan::{Chunk, Level, Scan, TokenKind};
use crate::span::Span;
use pest::Parser;
use pest::iterators::Pair;
use std::num::NonZeroUsize;

/// The grammar. `Rule::file` accepts a whole file; the parser uses the `only_*` rules member by member.
#[derive(pest_derive::Parser)]
#[grammar = "strat.pest"]
pub struct Grammar;

/// Grammar rules entered while one member is read. A member of 4,000 words needs about a tenth.
const CALL_LIMIT: usize = 10_000_000;
/// Members of one file, modes' included.
const MAX_MEMBERS: usize = 4_096;
/// `if` words in one member; each may nest.
const MAX_IFS: usize = 64;
/// Height of one expression tree, so that every later walk may recurse.
pub(crate) const MAX_EXPR_DEPTH: u32 = 128;

/// Reads a whole file. The tree holds what could be read; the findings say what could not.
pub fn parse(source: &str) -> (File, Vec<Diagnostic>) {
    let mut parser = FileParser { scan: Scan::new(source), findings: Vec::new(), members_count: 0, broken: Vec::new() };
    let mut file = File::default();
    if !parser.scan.hopeless {
        pest::set_call_limit(NonZeroUsize::new(CALL_LIMIT));
        parser.file(&mut file);
    }
    file.broken = parser.broken;
    let mut findings = parser.findings;
    findings.append(&mut parser.scan.findings);
    (file, findings)
}

struct FileParser<'a> {
    scan: Scan<'a>,
    findings: Vec<Diagnostic>,
    members_count: usize,
    broken: Vec<Name>,
}

/// What the tree builders share: where the chunk begins in the file, and what they find wrong.
pub(crate) struct Builder<'f> {
    pub base: usize,
    pub findings: &'f mut Vec<Diagnostic>,
    /// Expressions being built around the current one.
    pub nesting: u32,
}

impl Builder<'_> {
    pub fn span(&self, pair: &Pair<'_, Rule>) -> Span {
        // pest's span includes blanks that a repetition skipped before it gave up.
        let text = pair.as_str();
        let start = self.base + pair.as_span().start();
        Span::new(start, start + text.trim_end().len())
    }

    pub fn name(&self, pair: &Pair<'_, Rule>) -> Name {
        Name { text: pair.as_str().to_string(), span: self.span(pair) }
    }

    /// A whole number as the grammar reads it; larger than 64 bits is reported once and counts as 0.
    pub fn int(&mut self, pair: &Pair<'_, Rule>) -> u64 {
        pair.as_str().parse().unwrap_or_else(|_| {
            let message = format!("expected a whole number below 2^64, found `{}`", pair.as_str());
            let span = self.span(pair);
            self.findings.push(Diagnostic::new("E0208", span, message).help("write a smaller number"));
            0
        })
    }
}

impl FileParser<'_> {
    fn file(&mut self, file: &mut File) {
        let end = self.scan.tokens.len();
        // `edition`, then `use`, then the rest.
        let mut stage = 0;
        for chunk in self.scan.split(0, end, Level::File) {
            let first = self.scan.first_word(chunk);
            let word = self.scan.text(first);
            let (is_late, next_stage) = match word {
                "edition" => (stage > 0, 1),
                "use" => (stage > 1, 1),
                _ => (false, 2),
            };
            stage = next_stage.max(stage);
            if is_late {
                let span = self.scan.tokens[first].span;
                let place = if word == "edition" { "the first line" } else { "above the strategy" };
                self.findings.push(
                    Diagnostic::new("E0101", span, format!("expected `{word}` earlier in the file"))
                        .label("too late here")
                        .help(format!("move it to {place}, once")),
                );
                continue;
            }
            match word {
                "edition" => {
                    self.leaf(chunk, Rule::only_edition, |b, pair| {
                        let int = inner(pair, Rule::int);
                        file.edition = int.map(|p| (b.int(&p), b.span(&p)));
                    });
                }
                "use" => {
                    self.leaf(chunk, Rule::only_use, |b, pair| file.uses.extend(member::use_decl(b, pair)));
                }
                "strategy" => {
                    if let Some(strategy) = self.strategy(chunk) {
                        file.strategies.push(strategy);
                    }
                }
                "indicator" => file.functions.extend(self.indicator(chunk)),
                "fn" => {
                    let doc = self.doc(chunk);
                    self.leaf(chunk, Rule::only_item, |b, pair| file.functions.extend(function::func(b, pair, doc)));
                }
                "test" => file.unsupported.extend(self.refused(chunk, Rule::only_item)),
                _ => {
                    let span = self.scan.tokens.get(first).map_or(self.scan.span_of(chunk), |t| t.span);
                    let found = self.scan.text(first);
                    if !self.scan.reported_in(self.scan.span_of(chunk)) {
                        self.findings.push(
                            Diagnostic::new(
                                "E0101",
                                span,
                                format!("expected `edition`, `use`, `fn`, `indicator` or `strategy`, found `{found}`"),
                            )
                            .help("a file holds `strategy NAME version 1 { … }`"),
                        );
                    }
                }
            }
        }
    }

    fn strategy(&mut self, chunk: Chunk) -> Option<Strategy> {
        let (body_from, body_to) = self.head_and_body(chunk, "strategy")?;
        let mut head = None;
        let head_chunk = Chunk { from: chunk.from, to: body_from };
        self.leaf(head_chunk, Rule::only_strategy, |b, pair| head = member::strategy_head(b, pair));
        let (name, version, version_span) = head?;
        let mut members = Vec::new();
        for chunk in self.scan.split(body_from + 1, body_to, Level::Strategy) {
            if self.too_many(chunk) {
                break;
            }
            members.extend(self.member(chunk));
        }
        Some(Strategy { name, version, version_span, members, span: self.scan.span_of(chunk) })
    }

    /// The `///` lines in front of an item.
    fn doc(&self, chunk: Chunk) -> String {
        let lines: Vec<&str> = (chunk.from..self.scan.first_word(chunk))
            .map(|at| self.scan.text(at).trim_start_matches('/').trim())
            .collect();
        lines.join("\n")
    }

    fn indicator(&mut self, chunk: Chunk) -> Option<Function> {
        let doc = self.doc(chunk);
        let Some((body_from, body_to)) = self.head_and_body(chunk, "indicator") else {
            self.note_broken(chunk);
            return None;
        };
        let mut function = None;
        let head_chunk = Chunk { from: chunk.from, to: body_from };
        self.leaf(head_chunk, Rule::only_indicator, |b, pair| function = function::head(b, pair, doc));
        let mut function = function?;
        let findings_before = self.findings.len();
        for chunk in self.scan.split(body_from + 1, body_to, Level::Body) {
            if self.too_many(chunk) {
                break;
            }
            let first = self.scan.first_word(chunk);
            if !function.returned.is_empty() && chunk.from < chunk.to {
                let span = self.scan.tokens[chunk.from].span;
                let found = self.scan.text(first);
                self.findings.push(
                    Diagnostic::new("E0101", span, format!("expected `}}` after `return`, found `{found}`"))
                        .help("put `return` last, once"),
                );
                break;
            }
            if self.scan.text(first) == "return" {
                self.leaf(chunk, Rule::only_return, |b, pair| function.returned = function::returned(b, pair));
            } else {
                let mut item = None;
                self.leaf(chunk, Rule::only_in_body, |b, pair| item = function::body_item(b, pair));
                function.body.extend(item);
            }
        }
        let is_silent = self.findings.len() > findings_before || self.scan.reported_in(self.scan.span_of(chunk));
        if function.returned.is_empty() {
            if is_silent {
                self.broken.push(function.name);
            } else {
                let message = format!("expected `return` at the end of indicator `{}`", function.name.text);
                self.findings.push(
                    Diagnostic::new("E0101", function.name.span, message).help("end the body with `return VALUE`"),
                );
                self.broken.push(function.name);
            }
            return None;
        }
        Some(function)
    }

    fn member(&mut self, chunk: Chunk) -> Option<Member> {
        let mut member = None;
        match self.scan.text(self.scan.first_word(chunk)) {
            "mode" => member = self.mode(chunk).map(Member::Mode),
            "risk" => {
                let (body_from, body_to) = self.head_and_body(chunk, "risk")?;
                if body_from != self.scan.first_word(chunk) + 1 {
                    let span = self.scan.tokens[self.scan.first_word(chunk) + 1].span;
                    self.findings.push(
                        Diagnostic::new("E0101", span, "expected `{` after `risk`").help("write `risk { limit … }`"),
                    );
                }
                let mut limits = Vec::new();
                for chunk in self.scan.split(body_from + 1, body_to, Level::Risk) {
                    if self.too_many(chunk) {
                        break;
                    }
                    self.leaf(chunk, Rule::only_limit, |b, pair| limits.extend(member::limit(b, pair)));
                }
                member = Some(Member::Risk(limits));
            }
            "test" | "bars" => member = self.refused(chunk, Rule::only_member).map(Member::Unsupported),
            word @ ("fn" | "indicator") => {
                let span = self.scan.tokens[self.scan.first_word(chunk)].span;
                self.findings.push(
                    Diagnostic::new("E0101", span, format!("expected a member of the strategy, found `{word}`"))
                        .label("stands outside a strategy")
                        .help(format!("move the `{word}` above `strategy NAME …`; it sees its arguments only")),
                );
                self.note_broken(chunk);
            }
            _ => {
                self.leaf(chunk, Rule::only_member, |b, pair| member = member::member(b, pair));
            }
        }
        member
    }

    /// A construct of the edition that this version does not run, with the name that it would define. One that cannot be
    /// read is refused all the same, without a word about its form: there is nothing to mend.
    fn refused(&mut self, chunk: Chunk, entry: Rule) -> Option<Unsupported> {
        let first = self.scan.first_word(chunk);
        let (what, is_named) = match self.scan.text(first) {
            "bars" => ("`bars`", true),
            _ => ("`test` in a strategy file", false),
        };
        let word =
            self.scan.tokens.get(first + 1).filter(|token| token.kind == TokenKind::Word && first + 1 < chunk.to);
        let name = word
            .filter(|_| is_named)
            .map(|token| Name { text: token.span.text(self.scan.source).to_string(), span: token.span });
        let span = self.scan.tokens[first].span;
        if Grammar::parse(entry, self.scan.span_of(chunk).text(self.scan.source)).is_err() {
            self.findings.push(Diagnostic::refused(what, span));
            self.broken.extend(name);
            return None;
        }
        Some(Unsupported { what, name, span })
    }

    fn mode(&mut self, chunk: Chunk) -> Option<Mode> {
        let (body_from, body_to) = self.head_and_body(chunk, "mode")?;
        let mut mode = None;
        let head_chunk = Chunk { from: chunk.from, to: body_from };
        self.leaf(head_chunk, Rule::only_mode, |b, pair| mode = member::mode_head(b, pair));
        let mut mode = mode?;
        mode.span = self.scan.span_of(head_chunk);
        for chunk in self.scan.split(body_from + 1, body_to, Level::Mode) {
            if self.too_many(chunk) {
                break;
            }
            let mut item: Option<ModeItem> = None;
            self.leaf(chunk, Rule::only_in_mode, |b, pair| item = member::mode_item(b, pair));
            mode.body.extend(item);
        }
        Some(mode)
    }

    /// Indices of the `{` of a member and of what ends its body; reports a missing `{` and words behind the `}`.
    fn head_and_body(&mut self, chunk: Chunk, what: &str) -> Option<(usize, usize)> {
        let Some((open, close)) = self.scan.braces(chunk) else {
            let span = self.scan.span_of(chunk);
            if !self.scan.reported_in(span) {
                let end = Span { start: span.end, end: span.end };
                self.findings.push(
                    Diagnostic::new("E0101", end, format!("expected `{{`, found the end of the {what}"))
                        .help(format!("write the body of the {what} between `{{` and `}}`")),
                );
            }
            return None;
        };
        let behind = (close + 1..chunk.to).find(|&at| self.scan.text(at) != ";" || what == "strategy");
        if let Some(at) = behind
            && !self.scan.reported_in(self.scan.span_of(Chunk { from: at, to: chunk.to }))
        {
            let (found, span) = (self.scan.text(at), self.scan.tokens[at].span);
            self.findings.push(
                Diagnostic::new("E0101", span, format!("expected a member, found `{found}`"))
                    .label(format!("the {what} before it has ended"))
                    .help(member::starters_help()),
            );
        }
        Some((open, close))
    }

    fn too_many(&mut self, chunk: Chunk) -> bool {
        self.members_count += 1;
        if self.members_count == MAX_MEMBERS + 1 {
            let span = self.scan.tokens[chunk.from].span;
            self.findings.push(
                Diagnostic::new("E0109", span, format!("more than {MAX_MEMBERS} members in one file"))
                    .help("split the strategy"),
            );
        }
        self.members_count > MAX_MEMBERS
    }

    /// Runs the grammar over one chunk and hands the tree to `build`; a syntax error is reported instead.
    fn leaf(&mut self, chunk: Chunk, entry: Rule, build: impl FnOnce(&mut Builder<'_>, Pair<'_, Rule>)) {
        let span = self.scan.span_of(chunk);
        if self.scan.reported_in(span) || chunk.from >= chunk.to {
            self.note_broken(chunk);
            return;
        }
        let ifs = (chunk.from..chunk.to).filter(|&at| self.scan.text(at) == "if").nth(MAX_IFS);
        if let Some(at) = ifs {
            let span = self.scan.tokens[at].span;
            self.findings.push(
                Diagnostic::new("E0106", span, format!("more than {MAX_IFS} `if` in one member"))
                    .help("name the inner parts with `let`"),
            );
            return;
        }
        match Grammar::parse(entry, span.text(self.scan.source)) {
            Ok(mut pairs) => {
                let mut builder = Builder { base: span.start as usize, findings: &mut self.findings, nesting: 0 };
                if let Some(pair) = pairs.next() {
                    build(&mut builder, pair);
                }
            }
            Err(error) => {
                self.findings.push(message::syntax_error(&self.scan, chunk, &error));
                self.note_broken(chunk);
            }
        }
    }

    /// Remembers the name that an unreadable member would have defined: `let half = max(`.
    fn note_broken(&mut self, chunk: Chunk) {
        let first = self.scan.first_word(chunk);
        let at = first + 1 + usize::from(self.scan.text(first) == "persist");
        // A misspelt `parm clip: …` would have defined a name too.
        let defines_none = [
            "quote", "target", "when", "on", "risk", "mode", "limit", "budget", "use", "edition", "plot", "for",
            "next", "return", "test",
        ];
        let is_word = at < chunk.to && self.scan.tokens[at].kind == TokenKind::Word;
        if !defines_none.contains(&self.scan.text(first)) && is_word {
            self.broken.push(Name { text: self.scan.text(at).to_string(), span: self.scan.tokens[at].span });
        }
    }
}

/// The first pair of `wanted` directly inside `pair`.
pub(crate) fn inner<'i>(pair: Pair<'i, Rule>, wanted: Rule) -> Option<Pair<'i, Rule>> {
    pair.into_inner().find(|p| p.as_rule() == wanted)
}
