//! Reads TOML and collects every problem with its line, instead of stopping at the first.
use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use tercel_types::{Decimal, Problem};
use toml_edit::{Document, Item, TableLike};

/// A problem and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    pub file: String,
    /// From 1; 0 when the problem is about something that is not there at all.
    pub line: usize,
    pub column: usize,
    pub problem: Problem,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.problem)
    }
}

/// A parsed text and the problems found in it so far.
pub struct Source {
    file: String,
    text: String,
    problems: RefCell<Vec<Located>>,
    /// How many of them the reader itself found; those that a crate's `validate` adds come after.
    read: RefCell<Vec<(String, usize, usize)>>,
}

impl Source {
    pub fn new(file: &str, text: &str) -> Self {
        Self { file: file.into(), text: text.into(), problems: RefCell::default(), read: RefCell::default() }
    }

    /// Parses the text and calls `read` with its root. Syntax errors are problems too.
    pub fn read<T>(self, read: impl FnOnce(&Table<'_>) -> T) -> Result<T, Vec<Located>> {
        let document = match Document::parse(self.text.clone()) {
            Ok(document) => document,
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                let at = self.text.get(span.clone()).unwrap_or("");
                self.report(
                    Some(span.clone()),
                    Problem {
                        key: String::new(),
                        seen: format!("{at:?}"),
                        allowed: "TOML".into(),
                        help: error.message().replace('\n', "; "),
                    },
                );
                return Err(self.problems.into_inner());
            }
        };
        let root = Table {
            source: &self,
            table: document.as_table(),
            path: String::new(),
            span: None,
            known: RefCell::default(),
        };
        let value = read(&root);
        root.finish();
        let mut problems = self.problems.into_inner();
        if problems.is_empty() {
            return Ok(value);
        }
        problems.sort_by_key(|p| (p.line, p.column));
        Err(problems)
    }

    /// Line and column, from 1.
    fn place(&self, span: Option<Range<usize>>) -> (usize, usize) {
        let Some(span) = span else { return (1, 1) };
        let before = self.text.get(..span.start).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1;
        (line, column)
    }

    /// A finding of the reader; what is found again about the same key follows from the first.
    fn report(&self, span: Option<Range<usize>>, problem: Problem) {
        let (line, column) = self.place(span.clone());
        let key = (problem.key.clone(), line, column);
        if !self.read.borrow().contains(&key) {
            self.read.borrow_mut().push(key);
            self.push(line, column, problem);
        }
    }

    /// A finding of a `validate`, which saw the value that stands for one that could not be read.
    fn report_later(&self, span: Option<Range<usize>>, problem: Problem) {
        let (line, column) = self.place(span);
        let known = self.read.borrow().contains(&(problem.key.clone(), line, column));
        let again = self
            .problems
            .borrow()
            .iter()
            .any(|found| (found.line, found.column) == (line, column) && found.problem == problem);
        if !known && !again {
            self.push(line, column, problem);
        }
    }

    fn push(&self, line: usize, column: usize, problem: Problem) {
        self.problems.borrow_mut().push(Located { file: self.file.clone(), line, column, problem });
    }
}

/// One table being read. Asking for a key makes it known; `finish` reports the others.
pub struct Table<'a> {
    source: &'a Source,
    table: &'a dyn TableLike,
    path: String,
    span: Option<Range<usize>>,
    known: RefCell<Vec<String>>,
}

impl<'a> Table<'a> {
    fn item(&self, key: &str) -> Option<&'a Item> {
        self.known.borrow_mut().push(key.into());
        self.table.get(key).filter(|item| !item.is_none())
    }

    fn full(&self, key: &str) -> String {
        if self.path.is_empty() { key.into() } else { format!("{}.{key}", self.path) }
    }

    /// Reports a problem at `key`, or at the table when the key is missing.
    pub fn problem(&self, key: &str, seen: impl Into<String>, allowed: impl Into<String>, help: impl Into<String>) {
        let span = self.table.get(key).and_then(Item::span).or_else(|| self.span.clone());
        let problem = Problem { key: self.full(key), seen: seen.into(), allowed: allowed.into(), help: help.into() };
        self.source.report(span, problem);
    }

    /// Adds problems that a crate's own `validate` found, at the key of this table that they name.
    pub fn add(&self, problems: Vec<Problem>) {
        for problem in problems {
            let (key, span) = self.resolve(&problem.key);
            self.source.report_later(span.or_else(|| self.span.clone()), Problem { key: self.full(&key), ..problem });
        }
    }

    /// The key of this file that a crate's `sockets[1].streams[0]` stands for, and where it is: as far as the path is
    /// known here, else by its last word.
    fn resolve(&self, key: &str) -> (String, Option<Range<usize>>) {
        let known = |table: &'a dyn TableLike, name: &str| {
            let singular = name.strip_suffix('s').unwrap_or(name);
            [name, singular].into_iter().find_map(|name| Some((name.to_owned(), table.get(name)?)))
        };
        let (mut table, mut span, mut path): (&dyn TableLike, _, Vec<String>) = (self.table, None, Vec::new());
        for segment in key.split('.') {
            let (name, idx) = match segment.strip_suffix(']').and_then(|segment| segment.split_once('[')) {
                Some((name, idx)) => (name, idx.parse::<usize>().ok()),
                None => (segment, None),
            };
            let Some((name, item)) = known(table, name) else {
                if path.is_empty() {
                    let last = key.rsplit('.').next().unwrap_or("").to_owned();
                    return (last.clone(), self.table.get(&last).and_then(Item::span));
                }
                path.push(segment.to_owned());
                continue;
            };
            span = item.span().or(span);
            path.push(idx.map_or_else(|| name.clone(), |idx| format!("{name}[{idx}]")));
            let inner = idx.and_then(|idx| item.as_array_of_tables()?.get(idx));
            if let Some(inner) = inner {
                span = inner.span().or(span);
                table = inner;
            } else if let Some(value) = idx.and_then(|idx| item.as_array()?.get(idx)) {
                span = value.span().or(span);
            } else if let Some(inner) = item.as_table_like() {
                table = inner;
            }
        }
        (path.join("."), span)
    }

    /// Line and column of a key, or of the table when the key is missing.
    pub fn place(&self, key: &str) -> (usize, usize) {
        let span = self.table.get(key).and_then(Item::span).or_else(|| self.span.clone());
        self.source.place(span)
    }

    fn wrong_type(&self, key: &str, item: &Item, allowed: &str) {
        self.problem(key, format!("{} {}", article(item.type_name()), shown(item)), allowed, "change the value");
    }

    fn missing(&self, key: &str, allowed: &str) {
        self.problem(key, "nothing", allowed, format!("add `{key} = …`"));
    }

    pub fn str_opt(&self, key: &str) -> Option<String> {
        let item = self.item(key)?;
        match item.as_str() {
            Some(text) => Some(text.into()),
            None => {
                self.wrong_type(key, item, "a string");
                None
            }
        }
    }

    pub fn str(&self, key: &str) -> String {
        if self.table.get(key).is_none() {
            self.item(key);
            self.missing(key, "a string");
        }
        let text = self.str_opt(key);
        if text.as_deref().is_some_and(|text| text.trim().is_empty()) {
            self.problem(key, "an empty string", "a string with something in it", "fill it in");
        }
        text.unwrap_or_default()
    }

    pub fn str_or(&self, key: &str, default: &str) -> String {
        self.str_opt(key).unwrap_or_else(|| default.into())
    }

    /// A word of a list, with the nearest one suggested.
    pub fn word_or<T: Copy>(&self, key: &str, words: &[(&str, T)], default: T) -> T {
        let Some(found) = self.str_opt(key) else { return default };
        match words.iter().find(|(word, _)| *word == found) {
            Some((_, value)) => *value,
            None => {
                let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                let help = match nearest(&found, &all) {
                    Some(word) => format!("did you mean `{word}`?"),
                    None => "choose one of them".into(),
                };
                self.problem(key, format!("`{found}`"), all.join(", "), help);
                default
            }
        }
    }

    pub fn int_opt(&self, key: &str, allowed: Range<i64>) -> Option<i64> {
        let item = self.item(key)?;
        let words = format!("a whole number in {} .. {}", allowed.start, allowed.end - 1);
        match item.as_integer() {
            Some(value) if allowed.contains(&value) => Some(value),
            Some(value) => {
                self.problem(key, value.to_string(), words, "change the value");
                None
            }
            None => {
                self.wrong_type(key, item, &words);
                None
            }
        }
    }

    pub fn int(&self, key: &str, allowed: Range<i64>) -> i64 {
        if self.table.get(key).is_none() {
            self.item(key);
            self.missing(key, &format!("a whole number in {} .. {}", allowed.start, allowed.end - 1));
        }
        let fallback = allowed.start;
        self.int_opt(key, allowed).unwrap_or(fallback)
    }

    pub fn int_or(&self, key: &str, allowed: Range<i64>, default: i64) -> i64 {
        self.int_opt(key, allowed).unwrap_or(default)
    }

    pub fn float_opt(&self, key: &str) -> Option<f64> {
        let item = self.item(key)?;
        match item.as_float().or_else(|| item.as_integer().map(|i| i as f64)) {
            Some(value) if value.is_finite() => Some(value),
            _ => {
                self.wrong_type(key, item, "a finite number");
                None
            }
        }
    }

    pub fn bool_or(&self, key: &str, default: bool) -> bool {
        let Some(item) = self.item(key) else { return default };
        item.as_bool().unwrap_or_else(|| {
            self.wrong_type(key, item, "true or false");
            default
        })
    }

    /// An exact decimal, written as a string so that no float stands between the text and the value.
    pub fn decimal_opt(&self, key: &str) -> Option<Decimal> {
        let text = self.str_opt(key)?;
        match Decimal::parse(text.as_bytes()) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(
                    key,
                    format!("{text:?} ({error})"),
                    "a decimal in quotes, such as \"0.10\"",
                    "change the value",
                );
                None
            }
        }
    }

    pub fn decimal(&self, key: &str) -> Decimal {
        if self.table.get(key).is_none() {
            self.item(key);
            self.missing(key, "a decimal in quotes, such as \"0.10\"");
        }
        self.decimal_opt(key).unwrap_or(Decimal::ONE)
    }

    pub fn strings(&self, key: &str) -> Vec<String> {
        let Some(item) = self.item(key) else { return Vec::new() };
        let Some(array) = item.as_array() else {
            self.wrong_type(key, item, "a list of strings");
            return Vec::new();
        };
        array
            .iter()
            .filter_map(|value| {
                if value.as_str().is_none() {
                    self.wrong_type(key, item, "a list of strings");
                }
                value.as_str().map(str::to_owned)
            })
            .collect()
    }

    /// A list of whole numbers; empty with a problem when it is missing.
    pub fn ints(&self, key: &str, allowed: Range<i64>) -> Vec<i64> {
        let words = format!("a list of whole numbers in {} .. {}", allowed.start, allowed.end - 1);
        let Some(item) = self.item(key) else {
            self.missing(key, &words);
            return Vec::new();
        };
        let Some(array) = item.as_array() else {
            self.wrong_type(key, item, &words);
            return Vec::new();
        };
        let values: Vec<i64> =
            array.iter().filter_map(|value| value.as_integer().filter(|v| allowed.contains(v))).collect();
        if values.len() != array.len() {
            self.wrong_type(key, item, &words);
        }
        values
    }

    pub fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|item| !item.is_none())
    }

    /// A sub-table, `[key]`; `None` with a problem when it must be there.
    pub fn table<T>(&self, key: &str, read: impl FnOnce(&Table<'a>) -> T) -> Option<T> {
        if !self.has(key) {
            self.item(key);
            self.missing_table(key);
            return None;
        }
        self.table_opt(key, read)
    }

    fn missing_table(&self, key: &str) {
        self.problem(key, "nothing", format!("a table `[{}]`", self.full(key)), "add it");
    }

    pub fn table_opt<T>(&self, key: &str, read: impl FnOnce(&Table<'a>) -> T) -> Option<T> {
        let item = self.item(key)?;
        let Some(table) = item.as_table_like() else {
            self.wrong_type(key, item, "a table");
            return None;
        };
        let inner = Table {
            source: self.source,
            table,
            path: self.full(key),
            span: item.span().or_else(|| self.span.clone()),
            known: RefCell::default(),
        };
        let value = read(&inner);
        inner.finish();
        Some(value)
    }

    /// All of `[[key]]`, in order.
    pub fn tables<T>(&self, key: &str, mut read: impl FnMut(&Table<'a>) -> T) -> Vec<T> {
        let Some(item) = self.item(key) else { return Vec::new() };
        let Some(array) = item.as_array_of_tables() else {
            self.wrong_type(key, item, &format!("tables `[[{}]]`", self.full(key)));
            return Vec::new();
        };
        array
            .iter()
            .enumerate()
            .map(|(idx, table)| {
                let inner = Table {
                    source: self.source,
                    table,
                    path: format!("{}[{idx}]", self.full(key)),
                    span: table.span(),
                    known: RefCell::default(),
                };
                let value = read(&inner);
                inner.finish();
                value
            })
            .collect()
    }

    /// All keys and values of a table of free names, as (key, text of the value).
    pub fn entries(&self) -> Vec<(String, f64)> {
        let keys: Vec<String> = self.table.iter().map(|(key, _)| key.to_owned()).collect();
        keys.iter().filter_map(|key| Some((key.clone(), self.float_opt(key)?))).collect()
    }

    pub fn entries_str(&self) -> Vec<(String, String)> {
        let keys: Vec<String> = self.table.iter().map(|(key, _)| key.to_owned()).collect();
        keys.iter().filter_map(|key| Some((key.clone(), self.str_opt(key)?))).collect()
    }

    /// Looks into a sub-table without reading it: nothing is marked as known, nothing is missing.
    pub fn peek(&self, key: &str, look: impl FnOnce(&Table<'a>)) {
        if let Some(item) = self.table.get(key)
            && let Some(table) = item.as_table_like()
        {
            let span = item.span().or_else(|| self.span.clone());
            look(&Table { source: self.source, table, path: self.full(key), span, known: RefCell::default() });
        }
    }

    pub fn peek_str(&self, key: &str) -> Option<String> {
        self.table.get(key)?.as_str().map(str::to_owned)
    }

    /// Every key with its place.
    pub fn places(&self) -> Vec<(String, (usize, usize))> {
        self.table.iter().map(|(key, _)| (key.to_owned(), self.place(key))).collect()
    }

    /// Reports every key that nobody asked for.
    fn finish(&self) {
        let known = self.known.borrow();
        let mut words: Vec<&str> = known.iter().map(String::as_str).collect();
        words.sort_unstable();
        words.dedup();
        for (key, item) in self.table.iter() {
            if words.contains(&key) {
                continue;
            }
            let span = self
                .table
                .key(key)
                .and_then(toml_edit::Key::span)
                .or_else(|| item.span())
                .or_else(|| self.span.clone());
            let help = match nearest(key, &words) {
                Some(word) => format!("did you mean `{word}`?"),
                None => "remove it".into(),
            };
            self.source.report(
                span,
                Problem { key: self.full(key), seen: "an unknown key".into(), allowed: words.join(", "), help },
            );
        }
    }
}

fn article(type_name: &str) -> String {
    if type_name.starts_with(['a', 'e', 'i', 'o', 'u']) { format!("an {type_name}") } else { format!("a {type_name}") }
}

fn shown(item: &Item) -> String {
    let text = item.to_string();
    let text = text.trim();
    if text.len() > 40 { format!("({}…)", text.chars().take(40).collect::<String>()) } else { format!("({text})") }
}

/// The word at the smallest edit distance, if it is close enough to be meant.
fn nearest<'w>(found: &str, words: &[&'w str]) -> Option<&'w str> {
    words
        .iter()
        .map(|word| (distance(found, word), *word))
        .min()
        .filter(|(distance, word)| *distance <= 2 && *distance < word.len())
        .map(|(_, word)| word)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_listed_with_its_line() {
        let text = "[run]\ndirr = \"x\"\nlog_mb = \"64\"\n\n[order]\nport = 70000\n";
        let problems = Source::new("t.toml", text)
            .read(|root| {
                root.table("run", |run| {
                    run.str("dir");
                    run.int_or("log_mb", 1..4096, 64);
                });
                root.table("order", |order| order.int("port", 1..65536));
                root.table("feed", |_| ());
            })
            .unwrap_err();
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 5, "{lines:#?}");
        assert!(lines.iter().any(
            |l| l.starts_with("t.toml:2:1: `run.dirr`: found an unknown key") && l.contains("did you mean `dir`?")
        ));
        assert!(
            lines.iter().any(|l| l.starts_with("t.toml:3:10: `run.log_mb`: found a string (\"64\")")),
            "{lines:#?}"
        );
        assert!(lines.iter().any(|l| l.starts_with("t.toml:6:8: `order.port`: found 70000")), "{lines:#?}");
        assert!(lines.iter().any(|l| l.contains("`run.dir`: found nothing")));
        assert!(lines.iter().any(|l| l.contains("`feed`: found nothing")));
    }

    #[test]
    fn a_syntax_error_has_a_line() {
        let problems = Source::new("t.toml", "[run]\nx = = 1\n").read(|_| ()).unwrap_err();
        assert_eq!(problems[0].line, 2, "{problems:?}");
    }
}
