//! First pass over a source text, before the grammar: words and brackets, bounds against hostile input, habits of other
//! languages, and the places where members begin. Linear in the size of the text; never recurses.
//!
//! A member begins at a reserved word, so an error inside one member never reaches the next one.
use crate::diagnostic::{Diagnostic, nearest};
use crate::span::Span;

pub const MAX_SOURCE_LEN: usize = 1 << 20;
pub const MAX_IDENT_LEN: usize = 256;
pub const MAX_BRACKET_DEPTH: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    Word,
    Number,
    Text,
    Doc,
    Open,
    Close,
    Sign,
}

#[derive(Clone, Copy, Debug)]
pub struct Token {
    pub kind: TokenKind,
    pub span: Span,
    pub first_on_line: bool,
    /// Of an opening bracket: index of the token that closes it, or of the first token that cannot be inside.
    pub partner: u32,
}

#[derive(Debug)]
pub struct Scan<'a> {
    pub source: &'a str,
    pub tokens: Vec<Token>,
    pub findings: Vec<Diagnostic>,
    /// The text is not worth parsing: too large, too deep.
    pub hopeless: bool,
}

/// Words that begin a member of a strategy wherever they stand outside brackets.
const MEMBER_WORDS: &[&str] = &[
    "instrument",
    "basket",
    "param",
    "signal",
    "bars",
    "let",
    "persist",
    "state",
    "invariant",
    "mode",
    "risk",
    "when",
    "on",
    "fn",
    "indicator",
    "test",
];
/// Words that begin a member only as the first word of a line or after `;`; elsewhere they are names.
const SOFT_MEMBER_WORDS: &[&str] = &["budget", "for", "plot", "quote", "target"];
/// Words that begin a part of an `indicator`; `next` does so as the first word of a line or after `;`.
const BODY_WORDS: &[&str] = &["let", "persist", "state", "when", "on", "return"];
/// Words that only stand directly inside a strategy.
const STRATEGY_ONLY: &[&str] = &["instrument", "basket", "param", "signal", "bars", "mode", "risk", "invariant"];
/// Words that go on with the member before them, at the start of a line too.
const CONTINUING: &[&str] = &[
    "and",
    "or",
    "crosses_above",
    "crosses_below",
    "then",
    "else",
    "with",
    "via",
    "while",
    "at",
    "per",
    "in",
    "scale",
    "schema",
    "max_age",
    "from",
    "by",
    "max",
    "every",
    "as",
    "was",
    "if",
    "for",
    "version",
    "initial",
    "ops",
    "venue",
    "delay",
];
const FILE_WORDS: &[&str] = &["edition", "use", "strategy", "indicator", "fn", "test"];
const UNITS: &[&str] = &["ns", "us", "ms", "min", "s", "h", "d", "bps", "ticks", "tick", "lots", "lot"];

/// What a body is split into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    File,
    Strategy,
    Mode,
    /// Of an `indicator`.
    Body,
    Risk,
}

impl Level {
    fn members(self) -> &'static str {
        match self {
            Self::File => "parts of a file",
            Self::Strategy => "members",
            Self::Mode => "members of a mode",
            Self::Body => "members of an indicator",
            Self::Risk => "limits",
        }
    }

    /// Words that this version runs at this place.
    fn starters(self) -> &'static [&'static str] {
        match self {
            Self::File => &["edition", "use", "fn", "indicator", "strategy"],
            Self::Body => &["let", "state", "persist state", "when", "on", "next", "return"],
            Self::Strategy => &[
                "instrument",
                "param",
                "signal",
                "let",
                "state",
                "persist state",
                "mode",
                "when",
                "on",
                "quote",
                "target",
                "risk",
                "budget",
            ],
            Self::Mode => &["let", "when", "on", "quote", "target"],
            Self::Risk => &["limit"],
        }
    }
}

/// What a word of another language, or one in the wrong place, is written as here.
fn habit_of(word: &str, level: Level) -> Option<&'static str> {
    Some(match word {
        "import" | "include" | "from" | "require" if level == Level::File => {
            "library functions are brought in with `use std.micro.{ofi}`"
        }
        "var" | "const" | "val" | "auto" | "float" | "double" | "int" | "real" => {
            "name a value with `let NAME = EXPRESSION`; it never changes in place"
        }
        "def" | "func" | "function" | "lambda" => {
            "a function reads `fn NAME(a: UNIT): UNIT = EXPRESSION` and stands above the strategy"
        }
        "input" | "parameter" => {
            "a number that an operator may change reads `param NAME: UNIT = DEFAULT in LOW .. HIGH`"
        }
        "limit" => "a limit stands inside `risk { … }`",
        "bid" | "ask" => "a leg stands inside `quote x { … }`",
        "if" | "while" | "else" => "a rule reads `when CONDITION => ACTION`; a value reads `if C then A else B`",
        "go" | "halt" | "finish" | "next" => "an action stands behind the `=>` of a rule: `when CONDITION => ACTION`",
        "flatten" | "pull" => "a verdict stands behind the `else` of a limit: `limit METRIC <= BOUND else pull x`",
        "buy" | "sell" | "order" | "cancel" | "close" => {
            "there are no order commands; a mode says which position it wants: `target x = QTY via …`"
        }
        "return" => "only an indicator returns; a value is named with `let`",
        _ => return None,
    })
}

/// Tokens `from..to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub from: usize,
    pub to: usize,
}

impl<'a> Scan<'a> {
    pub fn new(source: &'a str) -> Self {
        let mut scan = Self { source, tokens: Vec::new(), findings: Vec::new(), hopeless: false };
        if source.len() > MAX_SOURCE_LEN {
            scan.hopeless = true;
            let message = format!("the file has {} bytes, at most {MAX_SOURCE_LEN} are read", source.len());
            scan.findings
                .push(Diagnostic::new("E0100", Span::new(0, 0), message).help("split the strategy into several files"));
            return scan;
        }
        scan.read_tokens();
        scan.match_brackets();
        scan
    }

    pub fn text(&self, token: usize) -> &'a str {
        self.tokens.get(token).map_or("", |t| t.span.text(self.source))
    }

    pub fn span_of(&self, chunk: Chunk) -> Span {
        match (self.tokens.get(chunk.from), chunk.to.checked_sub(1).and_then(|last| self.tokens.get(last))) {
            (Some(first), Some(last)) if chunk.from < chunk.to => first.span.to(last.span),
            _ => Span::default(),
        }
    }

    /// Index of the first word of a chunk behind its `///` lines.
    pub fn first_word(&self, chunk: Chunk) -> usize {
        (chunk.from..chunk.to).find(|&at| self.tokens[at].kind != TokenKind::Doc).unwrap_or(chunk.to)
    }

    /// The first `{` of a chunk and the token that closes it.
    pub fn braces(&self, chunk: Chunk) -> Option<(usize, usize)> {
        let mut at = chunk.from;
        while at < chunk.to {
            if self.tokens[at].kind == TokenKind::Open {
                let partner = (self.tokens[at].partner as usize).min(chunk.to);
                if self.text(at) == "{" {
                    return Some((at, partner));
                }
                at = partner.max(at);
            }
            at += 1;
        }
        None
    }

    /// True when this pass already reported something inside `span`, so that the grammar stays silent about it.
    pub fn reported_in(&self, span: Span) -> bool {
        self.findings.iter().any(|d| d.code != "E0103" && d.span.start >= span.start && d.span.start <= span.end)
    }

    /// Splits tokens `from..to` where members begin. Two members on one line are reported (E0103) and split all the same.
    pub fn split(&mut self, from: usize, to: usize, level: Level) -> Vec<Chunk> {
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut only_docs = false;
        let mut at = from;
        while at < to {
            let token = self.tokens[at];
            let is_doc = token.kind == TokenKind::Doc;
            let misspelt = if chunks.is_empty() || only_docs {
                !is_doc && self.is_no_member(at, from, level)
            } else {
                self.is_misspelt_member(at, level)
            };
            if misspelt {
                self.report_misspelt(at, level);
            }
            let begins = chunks.is_empty() || !only_docs && (misspelt || self.begins_member(at, from, level, is_doc));
            if begins {
                chunks.push(Chunk { from: at, to });
                if let [.., before, _] = chunks.as_mut_slice() {
                    before.to = at;
                }
                only_docs = is_doc;
            } else if !is_doc {
                only_docs = false;
            }
            if begins && at > from && !token.first_on_line && self.text(at - 1) != ";" {
                let shown = if is_doc { "///" } else { self.text(at) };
                let message = format!("expected a new line or `;` before `{shown}`");
                self.find(
                    Diagnostic::new("E0103", token.span, message)
                        .label(if is_doc {
                            "documents the next member"
                        } else {
                            "this begins another member on the same line"
                        })
                        .help(format!("put `{shown}` on a line of its own")),
                );
            }
            if token.kind == TokenKind::Open {
                // Behind the bracket; one that was never closed ends where the next member begins.
                let partner = token.partner as usize;
                let closed = partner < to && self.tokens[partner].kind == TokenKind::Close;
                at = if closed { partner + 1 } else { partner.max(at + 1) };
                continue;
            }
            at += 1;
        }
        chunks
    }

    fn begins_member(&self, at: usize, from: usize, level: Level, is_doc: bool) -> bool {
        let token = self.tokens[at];
        if is_doc {
            return true;
        }
        // Behind a dot any word is a field.
        if token.kind != TokenKind::Word || (at > 0 && self.text(at - 1) == ".") {
            return false;
        }
        let word = self.text(at);
        // `on param`, `on signal(s)`.
        if matches!(word, "param" | "signal") && at > from && self.text(at - 1) == "on" {
            return false;
        }
        let fresh = token.first_on_line || (at > 0 && self.text(at - 1) == ";");
        // Behind an operator a word that is not reserved is a name.
        let wanted =
            at > from && self.tokens[at - 1].kind == TokenKind::Sign && !matches!(self.text(at - 1), ";" | "%");
        match level {
            Level::File => FILE_WORDS.contains(&word),
            Level::Risk => word == "limit" && !wanted,
            Level::Body => {
                let second_word = word == "state" && at > from && self.text(at - 1) == "persist";
                (BODY_WORDS.contains(&word) && !second_word) || (word == "next" && fresh && !wanted)
            }
            Level::Strategy | Level::Mode => {
                let second_word = word == "state" && at > from && self.text(at - 1) == "persist";
                (MEMBER_WORDS.contains(&word) && !second_word)
                    || (SOFT_MEMBER_WORDS.contains(&word) && fresh && !wanted)
            }
        }
    }

    /// The first word of a body, or behind `///`, that begins no member: `tarqet x = …`.
    fn is_no_member(&self, at: usize, from: usize, level: Level) -> bool {
        level != Level::File
            && self.tokens[at].kind == TokenKind::Word
            && !self.begins_member(at, from, level, false)
            // A soft word begins a member wherever one may begin.
            && !(matches!(level, Level::Strategy | Level::Mode) && SOFT_MEMBER_WORDS.contains(&self.text(at)))
    }

    /// The first word of a line that begins no member, behind a member that is complete: `parm clip: …`.
    fn is_misspelt_member(&self, at: usize, level: Level) -> bool {
        let (token, before) = (self.tokens[at], self.tokens[at - 1]);
        let word = self.text(at);
        let complete = match before.kind {
            TokenKind::Number | TokenKind::Text | TokenKind::Close => true,
            TokenKind::Word => {
                let wants_more = ["not", "bid", "ask", "go", "next", "limit", "edition", "pull", "flatten", "return"];
                let lists = [CONTINUING, MEMBER_WORDS, SOFT_MEMBER_WORDS, FILE_WORDS, &wants_more];
                !lists.iter().any(|words| words.contains(&self.text(at - 1)))
            }
            _ => self.text(at - 1) == "%",
        };
        token.kind == TokenKind::Word
            && token.first_on_line
            && complete
            && self.text(at - 1) != "."
            && !CONTINUING.contains(&word)
            && !self.begins_member(at, 0, level, false)
    }

    fn report_misspelt(&mut self, at: usize, level: Level) {
        let (word, span) = (self.text(at), self.tokens[at].span);
        let words: Vec<&str> = match level {
            Level::File => FILE_WORDS.to_vec(),
            Level::Risk => vec!["limit"],
            Level::Body => BODY_WORDS.iter().chain(&["next"]).copied().collect(),
            _ => MEMBER_WORDS.iter().chain(SOFT_MEMBER_WORDS).copied().collect(),
        };
        let help = match (habit_of(word, level), nearest(word, words.iter().copied())) {
            (Some(habit), _) => habit.to_string(),
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) => format!("{} begin with {}", level.members(), level.starters().join(", ")),
        };
        self.find(
            Diagnostic::new("E0101", span, format!("expected the beginning of a member, found `{word}`"))
                .label("begins no member")
                .help(help),
        );
    }

    /// Keeps a finding; past a thousand the text is no strategy, and every later pass asks this list.
    fn find(&mut self, finding: Diagnostic) {
        const KEPT: usize = 1_000;
        if self.findings.len() < KEPT {
            self.findings.push(finding);
        }
    }

    fn read_tokens(&mut self) {
        let bytes = self.source.as_bytes();
        let (mut at, mut first_on_line) = (0, true);
        while at < bytes.len() {
            let byte = bytes[at];
            let start = at;
            let kind = match byte {
                b'\n' => {
                    first_on_line = true;
                    at += 1;
                    continue;
                }
                b' ' | b'\t' | b'\r' => {
                    at += 1;
                    continue;
                }
                b'/' if bytes[at..].starts_with(b"//") => {
                    let is_doc = bytes[at..].starts_with(b"///");
                    at += bytes[at..].iter().position(|&b| b == b'\n').unwrap_or(bytes.len() - at);
                    if !is_doc {
                        continue;
                    }
                    TokenKind::Doc
                }
                b'"' => {
                    let line = bytes[at + 1..].iter().position(|&b| b == b'"' || b == b'\n');
                    match line {
                        Some(len) if bytes[at + 1 + len] == b'"' => at += len + 2,
                        other => {
                            at += 1 + other.unwrap_or(bytes.len() - at - 1);
                            self.find(
                                Diagnostic::new(
                                    "E0104",
                                    Span::new(start, at),
                                    "expected `\"` before the end of the line",
                                )
                                .label("this text does not end")
                                .help("close the text with `\"` on the same line"),
                            );
                        }
                    }
                    TokenKind::Text
                }
                b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                    at = word_end(bytes, at);
                    self.check_word(Span::new(start, at));
                    TokenKind::Word
                }
                b'0'..=b'9' => {
                    at = number_end(bytes, at);
                    let after_dot = start > 0 && bytes[start - 1] == b'.';
                    if !after_dot {
                        self.check_number(Span::new(start, at));
                    }
                    TokenKind::Number
                }
                b'(' | b'[' | b'{' => {
                    at += 1;
                    TokenKind::Open
                }
                b')' | b']' | b'}' => {
                    at += 1;
                    TokenKind::Close
                }
                _ => {
                    at += sign_len(self.source, at);
                    self.check_sign(Span::new(start, at));
                    TokenKind::Sign
                }
            };
            self.tokens.push(Token { kind, span: Span::new(start, at), first_on_line, partner: 0 });
            first_on_line = false;
        }
    }

    fn check_word(&mut self, span: Span) {
        let word = span.text(self.source);
        if word.len() > MAX_IDENT_LEN {
            let message = format!("a name has at most {MAX_IDENT_LEN} characters, this one has {}", word.len());
            let cut = Span { start: span.start, end: span.start + 16 };
            self.find(Diagnostic::new("E0107", cut, message).help("give it a shorter name"));
        }
        if matches!(word, "elif" | "elsif" | "elseif") {
            self.habit(span, format!("`{word}` is not a word of the language"), "write `else if`".into());
        }
    }

    /// `5m`, `1k`: digits with letters behind them that are no unit.
    fn check_number(&mut self, span: Span) {
        let text = span.text(self.source);
        let digits = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits);
        let is_exponent = suffix.strip_prefix(['e', 'E']).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
        let is_currency = suffix.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if suffix.is_empty() || UNITS.contains(&suffix) || is_exponent || is_currency {
            return;
        }
        let number = number.trim_end_matches('_');
        let fix = match suffix {
            "m" => format!("write `{number}min` for minutes; months do not exist here"),
            "k" | "K" => format!("write `{number}_000`"),
            "sec" | "secs" | "seconds" => format!("write `{number}s`"),
            "mins" | "minutes" => format!("write `{number}min`"),
            "hr" | "hrs" | "hours" => format!("write `{number}h`"),
            "bp" => format!("write `{number} bps`"),
            "pct" => format!("write `{number}%`"),
            _ => format!("write `{number}` with one of: {}, %, or a currency such as `{number} BTC`", UNITS.join(", ")),
        };
        let unit = Span { start: span.start + digits as u32, end: span.end };
        self.find(
            Diagnostic::new("E0108", unit, format!("`{suffix}` is not a unit")).label("expected a unit here").help(fix),
        );
    }

    fn check_sign(&mut self, span: Span) {
        let sign = span.text(self.source);
        let fix = match sign {
            "&&" => "write `and`",
            "||" => "write `or`",
            "!" => "write `not`",
            ":=" => "write `=`; a value is named once, with `let`",
            "**" => "write `^`",
            "+=" | "-=" | "*=" | "++" => "a value never changes in place; name the new one with `let`",
            "'" => "texts stand between double quotes: `\"…\"`",
            "#" => "a comment begins with `//`",
            _ if !sign.is_ascii() => "outside texts and comments only ASCII characters are allowed; delete it",
            _ => return,
        };
        self.habit(span, format!("`{sign}` is not an operator of the language"), fix.into());
    }

    fn habit(&mut self, span: Span, message: String, help: String) {
        self.find(Diagnostic::new("E0102", span, message).help(help));
    }

    fn match_brackets(&mut self) {
        let mut open: Vec<usize> = Vec::new();
        for at in 0..self.tokens.len() {
            let token = self.tokens[at];
            match token.kind {
                TokenKind::Open => {
                    open.push(at);
                    if open.len() > MAX_BRACKET_DEPTH {
                        let message = format!("brackets are nested deeper than {MAX_BRACKET_DEPTH}");
                        self.findings = vec![
                            Diagnostic::new("E0106", token.span, message)
                                .help("name the inner parts with `let` and use the names"),
                        ];
                        self.hopeless = true;
                        return;
                    }
                }
                TokenKind::Close => self.close(&mut open, at),
                TokenKind::Word if token.first_on_line => {
                    let word = self.text(at);
                    // Indented it is a function in the wrong place, not the end of what stands open.
                    let indented =
                        token.span.start > 0 && self.source.as_bytes()[token.span.start as usize - 1] != b'\n';
                    let is_item = matches!(word, "fn" | "indicator" | "test") && !indented;
                    let depth = if matches!(word, "edition" | "strategy") || is_item {
                        0
                    } else if STRATEGY_ONLY.contains(&word) {
                        1
                    } else if MEMBER_WORDS.contains(&word) || word == "return" {
                        // Parentheses end here; braces may go on.
                        open.iter().rposition(|&o| self.text(o) == "{").map_or(open.len(), |brace| brace + 1)
                    } else {
                        usize::MAX
                    };
                    while open.len() > depth.min(open.len()) {
                        self.unclosed(&mut open, at);
                    }
                }
                _ => {}
            }
        }
        let end = self.tokens.len();
        while !open.is_empty() {
            self.unclosed(&mut open, end);
        }
    }

    fn close(&mut self, open: &mut Vec<usize>, at: usize) {
        let wanted = match self.text(at) {
            ")" => "(",
            "]" => "[",
            _ => "{",
        };
        match open.iter().rposition(|&o| self.text(o) == wanted) {
            Some(level) => {
                while open.len() > level + 1 {
                    self.unclosed(open, at);
                }
                self.tokens[open[level]].partner = at as u32;
                open.pop();
            }
            None => {
                let (found, span) = (self.text(at), self.tokens[at].span);
                self.find(
                    Diagnostic::new("E0105", span, format!("`{found}` closes nothing"))
                        .label(format!("no `{wanted}` is open here"))
                        .help(format!("delete this `{found}`, or add the missing `{wanted}` before it")),
                );
            }
        }
    }

    fn unclosed(&mut self, open: &mut Vec<usize>, at: usize) {
        let Some(bracket) = open.pop() else { return };
        self.tokens[bracket].partner = at as u32;
        let (text, span) = (self.text(bracket), self.tokens[bracket].span);
        let closing = match text {
            "(" => ")",
            "[" => "]",
            _ => "}",
        };
        let found = if at < self.tokens.len() { format!("`{}`", self.text(at)) } else { "the end of the file".into() };
        self.find(
            Diagnostic::new("E0105", span, format!("expected `{closing}` before {found}"))
                .label(format!("this `{text}` is never closed"))
                .help(format!("add `{closing}` where the part in brackets ends")),
        );
    }
}

fn word_end(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().position(|&b| !(b.is_ascii_alphanumeric() || b == b'_')).unwrap_or(bytes.len() - at)
}

/// Digits, one point with digits behind it, letters: `1_000.5`, `5min`, `1e`, but not `0..9`.
fn number_end(bytes: &[u8], at: usize) -> usize {
    let end = word_end(bytes, at);
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        return word_end(bytes, end + 1);
    }
    end
}

fn sign_len(source: &str, at: usize) -> usize {
    const TWO: &[&str] = &["&&", "||", ":=", "**", "+=", "-=", "*=", "++", "=>", "<=", ">=", "==", "!=", "??", ".."];
    let rest = &source[at..];
    if TWO.iter().any(|two| rest.starts_with(two)) { 2 } else { rest.chars().next().map_or(1, char::len_utf8) }
}
