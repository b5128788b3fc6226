//! What is wrong with a source text, where, and one concrete way to mend it. Rendered as text or JSON.
use crate::span::{Lines, Span};
use std::fmt::{self, Write};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// A text and the name under which people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    pub name: String,
    pub text: String,
}

/// One finding. `message` names what was expected and what was found; `help` is one edit that would mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// `E0207`, `W0511`; listed in `codes`.
    pub code: &'static str,
    pub span: Span,
    pub message: String,
    /// Stands under the marked text.
    pub label: String,
    pub help: String,
    /// Other places that belong to it, in the same file.
    pub related: Vec<(Span, String)>,
    /// The file of its places; `None`: the strategy's.
    pub file: Option<Arc<SourceFile>>,
}

impl Diagnostic {
    pub fn new(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        let (label, help, related) = (String::new(), String::new(), Vec::new());
        Self { code, span, message: message.into(), label, help, related, file: None }
    }

    pub fn in_file(mut self, file: &Arc<SourceFile>) -> Self {
        self.file = Some(file.clone());
        self
    }

    /// A construct of the edition that this version does not run.
    pub(crate) fn refused(what: &str, span: Span) -> Self {
        let instead = match what {
            "`bars`" => {
                "sample a value: `x.mid @ every 1min`; an operator counts such samples: `ema(x.mid @ every 1min, 20)`; "
            }
            _ => "",
        };
        Self::new("E0900", span, format!("not in this version: {what}"))
            .label("refused")
            .help(format!("{instead}docs/reference/strat.md lists what this version runs"))
    }

    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    pub fn related(mut self, span: Span, note: impl Into<String>) -> Self {
        self.related.push((span, note.into()));
        self
    }

    pub fn severity(&self) -> Severity {
        if self.code.starts_with('W') { Severity::Warning } else { Severity::Error }
    }
}

/// More findings than this are counted, not kept.
const KEPT: usize = 50;

/// All findings of one file, in order of place.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    pub file_name: String,
    pub source: String,
    pub items: Vec<Diagnostic>,
    /// Findings beyond the kept ones.
    pub more: usize,
}

impl Diagnostics {
    /// Sorts by place and drops exact repetitions.
    pub fn new(file_name: &str, source: &str, mut items: Vec<Diagnostic>) -> Self {
        // The strategy's own file first, then its modules by name.
        let place = |d: &Diagnostic| (d.file.as_ref().map(|f| f.name.clone()), d.span, d.code);
        items.sort_by_cached_key(place);
        items.dedup_by(|a, b| a.code == b.code && a.span == b.span && a.file == b.file);
        // Errors first to be kept, so that a crowd of warnings cannot hide one.
        let mut kept = items.clone();
        if kept.len() > KEPT {
            kept.sort_by_key(|d| d.severity() == Severity::Warning);
            kept.truncate(KEPT);
            kept.sort_by_cached_key(place);
        }
        let more = items.len() - kept.len();
        Self { file_name: file_name.into(), source: source.into(), items: kept, more }
    }

    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|d| d.severity() == Severity::Error)
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Text for a terminal, without colour.
    pub fn render(&self) -> String {
        let lines = Lines::new(&self.source);
        let mut out = String::new();
        for item in &self.items {
            match &item.file {
                None => render_one(&self.file_name, &self.source, &lines, item, &mut out),
                Some(file) => render_one(&file.name, &file.text, &Lines::new(&file.text), item, &mut out),
            }
            out.push('\n');
        }
        if self.more > 0 {
            let _ = writeln!(out, "and {} more", self.more);
        }
        out
    }

    /// `[{"code","severity","file","line","column","end_line","end_column","message","label","help"}]`.
    pub fn to_json(&self) -> String {
        let own_lines = Lines::new(&self.source);
        let mut out = String::from("[");
        for (idx, item) in self.items.iter().enumerate() {
            let (name, source, lines) = match &item.file {
                None => (&self.file_name, &self.source, own_lines.clone()),
                Some(file) => (&file.name, &file.text, Lines::new(&file.text)),
            };
            let (line, column) = lines.position(source, item.span.start);
            let (end_line, end_column) = lines.position(source, item.span.end);
            let severity = if item.severity() == Severity::Error { "error" } else { "warning" };
            let _ = write!(
                out,
                "{}{{\"code\":\"{}\",\"severity\":\"{severity}\",\"file\":{},\"line\":{line},\"column\":{column},\
                 \"end_line\":{end_line},\"end_column\":{end_column},\"message\":{},\"label\":{},\"help\":{}}}",
                if idx == 0 { "" } else { "," },
                item.code,
                json_string(name),
                json_string(&item.message),
                json_string(&item.label),
                json_string(&item.help),
            );
        }
        out.push(']');
        out
    }
}

fn render_one(file_name: &str, source: &str, lines: &Lines, item: &Diagnostic, out: &mut String) {
    let word = match item.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let (line, column) = lines.position(source, item.span.start);
    let last_related = item.related.iter().map(|(span, _)| lines.position(source, span.start).0).max();
    let width = line.max(last_related.unwrap_or(0)).to_string().len();
    let _ = writeln!(out, "{word}[{}]: {}", item.code, item.message);
    let _ = writeln!(out, "{:width$}--> {}:{line}:{column}", "", file_name);
    let _ = writeln!(out, "{:width$} |", "");
    excerpt(source, lines, item.span, &item.label, '^', width, out);
    for (span, note) in &item.related {
        excerpt(source, lines, *span, note, '-', width, out);
    }
    if !item.help.is_empty() {
        let _ = writeln!(out, "{:width$} = help: {}", "", item.help);
    }
}

/// The first line of `span`, marked. Lines longer than a screen are cut around the mark.
fn excerpt(source: &str, lines: &Lines, span: Span, label: &str, mark: char, width: usize, out: &mut String) {
    const SHOWN: usize = 140;
    let (line, column) = lines.position(source, span.start);
    let whole: Vec<char> = lines.text(source, line).chars().collect();
    let skipped = if whole.len() > SHOWN { (column - 1).saturating_sub(40).min(whole.len()) } else { 0 };
    let text: String = whole[skipped..].iter().take(SHOWN).map(|&c| if c == '\t' { ' ' } else { c }).collect();
    let marked = span.text(source).lines().next().map_or(0, |l| l.trim_end().chars().count());
    let room = text.chars().count().saturating_sub(column - 1 - skipped);
    let marks: String = std::iter::repeat_n(mark, marked.min(room).max(1)).collect();
    let _ = writeln!(out, "{line:width$} | {}", text.trim_end());
    let _ = writeln!(out, "{:width$} | {:2$}{marks} {label}", "", "", column - 1 - skipped);
    while out.ends_with(" \n") {
        out.truncate(out.len() - 2);
        out.push('\n');
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render())
    }
}

impl std::error::Error for Diagnostics {}

pub(crate) fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The word of `candidates` that is nearest to `word`, when it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = word.len().div_ceil(3).saturating_sub(usize::from(word.len() < 3));
    candidates
        .into_iter()
        .map(|c| (distance(word, c), c))
        .filter(|&(d, _)| d <= allowed)
        .min_by_key(|&(d, _)| d)
        .map(|(_, c)| c)
}

/// Levenshtein distance over bytes; words are short here (identifiers are at most 256 bytes).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
