//! A syntax error of the grammar in words: what was expected, what was found, and the likely edit.
use super::Rule;
use crate::diagnostic::{Diagnostic, nearest};
use crate::scan::{Chunk, Scan, TokenKind};
use crate::span::Span;
use pest::error::{ErrorVariant, InputLocation};

const KEYWORDS: &[&str] = &[
    "instrument",
    "param",
    "signal",
    "let",
    "mode",
    "risk",
    "limit",
    "quote",
    "target",
    "when",
    "on",
    "if",
    "then",
    "else",
    "and",
    "or",
    "not",
    "every",
    "from",
    "max_age",
    "schema",
    "version",
    "initial",
    "while",
    "with",
    "via",
    "bid",
    "ask",
    "at",
    "go",
    "halt",
    "finish",
    "pull",
    "flatten",
    "crosses_above",
    "crosses_below",
];

pub(super) fn syntax_error(scan: &Scan<'_>, chunk: Chunk, error: &pest::error::Error<Rule>) -> Diagnostic {
    let whole = scan.span_of(chunk);
    let relative = match error.location {
        InputLocation::Pos(at) => at,
        InputLocation::Span((start, _)) => start,
    };
    let at = whole.start + relative as u32;
    let token = (chunk.from..chunk.to).find(|&t| scan.tokens[t].span.end > at);
    let (span, found) = match token {
        Some(token) => (scan.tokens[token].span, format!("`{}`", shorten(scan.text(token)))),
        None => (Span { start: whole.end, end: whole.end }, "the end of the member".to_string()),
    };
    if let ErrorVariant::CustomError { .. } = error.variant {
        return Diagnostic::new("E0106", whole, "the member is too large to read").help("split it into several `let`");
    }
    let expected = expected(error);
    let message = match expected.as_slice() {
        [] => format!("unexpected {found}"),
        [one] => format!("expected {one}, found {found}"),
        [first @ .., last] => format!("expected {} or {last}, found {found}", first.join(", ")),
    };
    let first = scan.first_word(chunk);
    let first_word = scan.text(first);
    // The grammar names no signs, so a member that lacks one seems not to have begun.
    if token == Some(first)
        && let Some(form) = form_of(first_word)
    {
        return Diagnostic::new("E0101", whole, format!("this `{first_word}` cannot be read"))
            .label("something is missing or too much")
            .help(form);
    }
    Diagnostic::new("E0101", span, message).label("here").help(advice(scan, chunk, token, first_word, &expected))
}

/// How a member reads.
fn form_of(word: &str) -> Option<&'static str> {
    Some(match word {
        "let" => "a value reads `let NAME = EXPRESSION`",
        "param" => "a parameter reads `param NAME: UNIT = DEFAULT in LOW .. HIGH`",
        "signal" => "a signal reads `signal alpha: bps from \"model\" max_age 20ms schema 3`",
        "instrument" => "an instrument reads `instrument x: perp(BTC/USDT)`",
        "state" | "persist" => "a state reads `state NAME: UNIT = FIRST`, or `persist state …`",
        "when" => "a rule reads `when CONDITION => ACTION`",
        "on" => "a rule reads `on EVENT if CONDITION => ACTION`, such as `on every 1s if x.flat => go out`",
        "quote" => "a quote reads `quote x while CONDITION { bid QTY at PRICE } with post_only`",
        "target" => "a target reads `target x = QTY via aggressive(max_slip: 3 bps)`",
        "limit" => "a limit reads `limit METRIC <= BOUND else VERDICT`",
        "budget" => "a budget reads `budget 200 ops per book`",
        "use" => "library functions are brought in with `use std.micro.{ofi}`",
        _ => return None,
    })
}

fn shorten(text: &str) -> String {
    if text.chars().count() > 24 { text.chars().take(24).collect::<String>() + "…" } else { text.to_string() }
}

/// What the grammar would have accepted, in words, each once, at most six.
fn expected(error: &pest::error::Error<Rule>) -> Vec<String> {
    let ErrorVariant::ParsingError { positives, .. } = &error.variant else { return Vec::new() };
    let mut words: Vec<String> = Vec::new();
    for wanted in positives {
        let fits: Vec<String> = match wanted {
            Rule::EOI => vec!["the end of the member".into()],
            Rule::expr | Rule::operand | Rule::primary | Rule::sampled | Rule::prefix => vec!["a value".into()],
            Rule::infix | Rule::divide => vec!["an operator".into()],
            Rule::ident | Rule::name | Rule::call | Rule::call_or_path | Rule::path => vec!["a name".into()],
            Rule::field => vec!["a field name".into()],
            Rule::quantity | Rule::number => vec!["a number".into()],
            Rule::int => vec!["a whole number".into()],
            Rule::string => vec!["a text in double quotes".into()],
            Rule::ty | Rule::unit => vec!["a unit such as `ratio` or `price[x]`".into()],
            Rule::unit_name => vec!["a unit".into()],
            Rule::args | Rule::formals => vec!["`(`".into()],
            Rule::arg => vec!["an argument".into()],
            Rule::clock => vec!["`every` with a duration".into()],
            Rule::action => ["`go`", "`next`", "`halt`", "`finish`"].map(String::from).to_vec(),
            Rule::verdict => ["`pull`", "`flatten`", "`halt`"].map(String::from).to_vec(),
            Rule::leg => ["`bid`", "`ask`"].map(String::from).to_vec(),
            Rule::with => vec!["`with`".into()],
            Rule::symbol => vec!["a symbol".into()],
            Rule::member | Rule::in_mode | Rule::sink | Rule::rule => vec!["a member".into()],
            Rule::doc | Rule::postfix => continue,
            other => {
                let name = format!("{other:?}");
                vec![format!("`{}`", name.strip_prefix("k_").unwrap_or(name.trim_end_matches('_')))]
            }
        };
        for word in fits {
            if !words.contains(&word) {
                words.push(word);
            }
        }
    }
    words.truncate(6);
    words
}

/// One concrete edit.
fn advice(scan: &Scan<'_>, chunk: Chunk, token: Option<usize>, first_word: &str, expected: &[String]) -> String {
    let text = token.map_or("", |t| scan.text(t));
    let before = token.and_then(|t| t.checked_sub(1)).map_or("", |t| scan.text(t));
    match (first_word, text) {
        ("when" | "on", "pull" | "flatten") => {
            return format!(
                "`{text}` is a verdict of a `limit`; in a rule write `go MODE` and let the mode's `target` act"
            );
        }
        ("when" | "on", "buy" | "sell" | "order") => {
            return "there are no order commands; write `target x = QTY via …` in a mode and `go` there".into();
        }
        ("when" | "on", "=") => return "write `==` to compare, `=>` before the action".into(),
        ("limit", "=>") => return "write `else` before the verdict: `limit M <= B else pull x`".into(),
        ("limit", "<" | "==" | ">" | ">=") => return "a limit reads `limit METRIC <= BOUND`".into(),
        (_, "=") if !expected.iter().any(|e| e == "`=`") => return "write `==` to compare two values".into(),
        (_, "?") => return "a choice reads `if CONDITION then A else B`".into(),
        (_, "{") if expected.iter().any(|e| e == "`then`") => {
            return "a choice reads `if CONDITION then A else B`, without braces".into();
        }
        (_, "%") => return "`%` only ends a percentage such as `3%`; there is no remainder".into(),
        (_, "if") if token.is_some_and(|t| scan.tokens[t].first_on_line) => {
            return "a rule reads `when CONDITION => ACTION`".into();
        }
        (_, ";") => return "delete this `;`".into(),
        ("strategy", _) => return "a strategy begins with `strategy NAME version 1 {`".into(),
        ("signal", _) => {
            return "a signal reads `signal alpha: bps from \"model\" max_age 20ms schema 3`".into();
        }
        ("param", _) => return "a parameter reads `param NAME: UNIT = DEFAULT in LOW .. HIGH`".into(),
        ("instrument", _) => return "an instrument reads `instrument x: perp(BTC/USDT)`".into(),
        _ => {}
    }
    let Some(token) = token else { return format!("complete the `{first_word}`") };
    let kind = scan.tokens[token].kind;
    if kind == TokenKind::Doc {
        return "a `///` line belongs in front of a member; elsewhere write `//`".into();
    }
    let wants_operator = expected.iter().any(|e| e == "an operator");
    if kind == TokenKind::Word && KEYWORDS.contains(&text) && expected.iter().any(|e| e == "a name" || e == "a value") {
        return format!("`{text}` is a word of the language; use another name, or complete what stands before it");
    }
    if kind == TokenKind::Word {
        let missing: Vec<&str> = expected.iter().filter_map(|e| e.strip_prefix('`')?.strip_suffix('`')).collect();
        if let Some(word) = nearest(text, missing.iter().copied()) {
            return format!("write `{word}`");
        }
        if let Some(word) =
            nearest(before, KEYWORDS.iter().copied().filter(|&k| k != before)).filter(|_| token == chunk.from + 1)
        {
            return format!("did you mean `{word}` instead of `{before}`?");
        }
    }
    if wants_operator && matches!(kind, TokenKind::Word | TokenKind::Number) {
        return format!("put an operator between `{before}` and `{text}`");
    }
    match expected.first() {
        Some(first) if first == "the end of the member" => {
            format!("delete `{}`, or begin a new line before it if it is another member", shorten(text))
        }
        Some(first) => format!("write {first} before `{}`", shorten(text)),
        None => format!("delete `{}`", shorten(text)),
    }
}
