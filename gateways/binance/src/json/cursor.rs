//! Hot path. A place in JSON text: blanks, keys, strings, and skipping whatever is not wanted, checked as strictly as RFC
//! 8259 has it. Never allocates, never panics, never recurses.
use crate::json::{Malformed, Why};

/// Values nested deeper than this are refused; no message of the venue has more than four levels.
pub const DEPTH_MAX: u32 = 64;

#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

/// A key of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// A key of one character, as nearly all of the venue's are.
    One(u8),
    Long(&'a [u8]),
}

impl<'a> Cursor<'a> {
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Takes the cursor by value, so that one on the stack of a loop may live in registers.
    #[inline(always)]
    pub fn fault(self, why: Why) -> Malformed {
        fault_at(self.at, self.bytes.len(), why)
    }

    /// The byte here; 0, which no JSON text holds outside of strings, at the end.
    #[inline]
    pub fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    pub fn blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Steps over `want`, with blanks before it.
    #[inline]
    pub fn expect(&mut self, want: u8) -> Result<(), Malformed> {
        if self.peek() != want {
            self.blanks();
            if self.peek() != want {
                return Err(self.fault(Why::Syntax));
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Steps over `want` when it is the very next text.
    #[inline]
    pub fn take<const N: usize>(&mut self, want: &[u8; N]) -> bool {
        // An end that wraps is before its start, so that one look at the length is enough.
        let end = self.at.wrapping_add(N);
        let found = self.bytes.get(self.at..end).is_some_and(|text| text == want);
        if found {
            self.at = end;
        }
        found
    }

    /// After a member or element: `true` when another one follows, `false` when `close` ended the list.
    #[inline]
    pub fn more(&mut self, close: u8) -> Result<bool, Malformed> {
        if !matches!(self.peek(), b',' | b']' | b'}') {
            self.blanks();
        }
        match self.peek() {
            b',' => {
                self.at += 1;
                Ok(true)
            }
            found if found == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.fault(Why::Syntax)),
        }
    }

    /// After `{` or `[`: `true` when there is nothing inside, and steps over `close`.
    #[inline]
    pub fn is_empty(&mut self, close: u8) -> bool {
        self.blanks();
        let empty = self.peek() == close;
        self.at += usize::from(empty);
        empty
    }

    /// A key and its colon; the place is then at the value.
    #[inline]
    pub fn key(&mut self) -> Result<Key<'a>, Malformed> {
        if let Some(&[b'"', name, b'"', b':']) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk())
            && name != b'\\'
            && name != b'"'
            && name >= 0x20
        {
            self.at += 4;
            self.blanks();
            return Ok(Key::One(name));
        }
        self.blanks();
        let name = self.string()?;
        self.expect(b':')?;
        self.blanks();
        Ok(match *name {
            [one] => Key::One(one),
            _ => Key::Long(name),
        })
    }

    /// A string without escapes. The venue never escapes what we read, so an escape is a fault rather than a copy.
    #[inline]
    pub fn string(&mut self) -> Result<&'a [u8], Malformed> {
        if self.peek() != b'"' {
            return Err(self.fault(Why::Syntax));
        }
        let from = self.at + 1;
        self.at = plain_end(self.bytes, from);
        match self.peek() {
            b'"' => {
                let text = &self.bytes[from..self.at];
                self.at += 1;
                Ok(text)
            }
            b'\\' => Err(self.fault(Why::Escape)),
            _ => Err(self.fault(Why::Syntax)),
        }
    }

    /// Steps over one value of any kind.
    #[inline]
    pub fn skip(&mut self) -> Result<(), Malformed> {
        if self.peek() == b'"' { self.skip_string() } else { self.skip_any() }
    }

    #[inline(never)]
    fn skip_any(&mut self) -> Result<(), Malformed> {
        // Bit i of `objects`: level i is an object.
        let (mut depth, mut objects) = (0u32, 0u64);
        loop {
            self.blanks();
            match self.peek() {
                open @ (b'{' | b'[') => {
                    if depth == DEPTH_MAX {
                        return Err(self.fault(Why::Depth));
                    }
                    self.at += 1;
                    objects = objects << 1 | u64::from(open == b'{');
                    depth += 1;
                    if !self.is_empty(if open == b'{' { b'}' } else { b']' }) {
                        if open == b'{' {
                            self.skip_key()?;
                        }
                        continue;
                    }
                    depth -= 1;
                    objects >>= 1;
                }
                b'"' => self.skip_string()?,
                b't' => self.literal(b"true")?,
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                _ => self.skip_number()?,
            }
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let object = objects & 1 == 1;
                if self.more(if object { b'}' } else { b']' })? {
                    if object {
                        self.skip_key()?;
                    }
                    break;
                }
                depth -= 1;
                objects >>= 1;
            }
        }
    }

    fn skip_key(&mut self) -> Result<(), Malformed> {
        self.blanks();
        self.skip_string()?;
        self.expect(b':')
    }

    fn skip_string(&mut self) -> Result<(), Malformed> {
        if self.peek() != b'"' {
            return Err(self.fault(Why::Syntax));
        }
        self.at += 1;
        loop {
            self.at = plain_end(self.bytes, self.at);
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => {
                    self.at += 1;
                    match self.peek() {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                        b'u' => {
                            let hex = self.bytes.get(self.at + 1..self.at + 5).unwrap_or(&[]);
                            if hex.len() < 4 || !hex.iter().all(u8::is_ascii_hexdigit) {
                                return Err(self.fault(Why::Escape));
                            }
                            self.at += 5;
                        }
                        _ => return Err(self.fault(Why::Escape)),
                    }
                }
                _ => return Err(self.fault(Why::Syntax)),
            }
        }
    }

    pub fn literal<const N: usize>(&mut self, text: &[u8; N]) -> Result<(), Malformed> {
        if self.take(text) { Ok(()) } else { Err(self.fault(Why::Syntax)) }
    }

    fn skip_number(&mut self) -> Result<(), Malformed> {
        self.at += usize::from(self.peek() == b'-');
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.skip_digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.skip_digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            self.skip_digits()?;
        }
        Ok(())
    }

    fn skip_digits(&mut self) -> Result<(), Malformed> {
        if !self.peek().is_ascii_digit() {
            return Err(self.fault(Why::Syntax));
        }
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }
}

#[cold]
fn fault_at(at: usize, len: usize, why: Why) -> Malformed {
    let why = if at >= len && why == Why::Syntax { Why::Truncated } else { why };
    Malformed::new(at, why)
}

/// The next quote, backslash or control character at or behind `at`, or the end.
#[inline]
pub fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let zero_byte = |x: u64| x.wrapping_sub(ONES) & !x & HIGH;
        let quote = zero_byte(word ^ (ONES * b'"' as u64));
        let escape = zero_byte(word ^ (ONES * b'\\' as u64));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let hit = quote | escape | control;
        if hit != 0 {
            // The lowest mark is exact: a borrow only runs upwards from a byte that is itself marked.
            return at + (hit.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|&b| b != b'"' && b != b'\\' && b >= 0x20) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn skips(text: &[u8]) -> bool {
        let mut cursor = Cursor::new(text);
        cursor.skip().is_ok() && {
            cursor.blanks();
            cursor.at == text.len()
        }
    }

    #[test]
    fn values_of_every_kind_are_skipped() {
        for text in
            ["1", "-0.5e+10", "\"a\\u00e9\\n\"", " [ 1 , {\"a\" : [ ] , \"b\":{}} ] ", "true", "null", "[[],[[]]]"]
        {
            assert!(skips(text.as_bytes()), "{text}");
        }
        for text in
            ["", "01", "1.", "-", "[1,]", "{\"a\"}", "{,}", "\"", "\"\\x\"", "\"\n\"", "tru", "[1 2]", "]", "{\"a\":1]"]
        {
            assert!(!skips(text.as_bytes()), "{text}");
        }
        let deep = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(skips(&deep(64)) && !skips(&deep(65)));
    }

    proptest! {
        /// What is skipped is exactly what serde_json takes for JSON, mutated texts included.
        #[test]
        fn skip_accepts_what_serde_json_accepts_prop(
            text in "[\\[\\]{}:,\"a0.1eE+\\- \\\\utrfalsn]{0,24}",
            nested in "(\\[|\\{\"a\":){0,4}(1|\"x\"|null|)(\\]|\\}){0,4}",
        ) {
            for text in [text, nested] {
                let theirs = serde_json::from_slice::<serde::de::IgnoredAny>(text.as_bytes()).is_ok();
                prop_assert_eq!(skips(text.as_bytes()), theirs, "{}", text);
            }
        }
    }
}
