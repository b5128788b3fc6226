//! Places in a source text.

/// Bytes `start..end` of the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// From the first byte of `self` to the last of `other`.
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    pub fn text(self, source: &str) -> &str {
        source.get(self.start as usize..self.end as usize).unwrap_or("")
    }
}

/// Where each line of a source starts.
#[derive(Clone, Debug)]
pub struct Lines {
    starts: Vec<u32>,
}

impl Lines {
    pub fn new(source: &str) -> Self {
        let after_newlines = source.bytes().enumerate().filter(|&(_, b)| b == b'\n').map(|(at, _)| at as u32 + 1);
        Self { starts: std::iter::once(0).chain(after_newlines).collect() }
    }

    /// Line and column of a byte, both from 1; the column counts characters.
    pub fn position(&self, source: &str, at: u32) -> (usize, usize) {
        let line = self.starts.partition_point(|&start| start <= at).saturating_sub(1);
        let before = source.get(self.starts[line] as usize..at as usize).unwrap_or("");
        (line + 1, before.chars().count() + 1)
    }

    /// The text of a line (from 1), without its end.
    pub fn text<'a>(&self, source: &'a str, line: usize) -> &'a str {
        let start = self.starts.get(line - 1).map_or(source.len(), |&s| s as usize);
        let end = self.starts.get(line).map_or(source.len(), |&s| s as usize);
        source[start..end].trim_end_matches(['\n', '\r'])
    }
}
