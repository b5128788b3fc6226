use core::fmt;

/// One thing that is wrong with a configuration. Every crate's `validate` returns all of its problems at once; `tools` adds
/// file and line, because only it knows the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted key, such as `risk.account.max_position`.
    pub key: String,
    /// What was seen.
    pub seen: String,
    /// What is allowed.
    pub allowed: String,
    /// What to do.
    pub help: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: found {}, allowed is {}; {}", self.key, self.seen, self.allowed, self.help)
    }
}
