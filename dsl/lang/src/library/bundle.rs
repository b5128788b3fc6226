//! A strategy and its own modules as one text, so that a journal, a copy or a replay needs no second file.
use super::{Library, Modules};
use crate::diagnostic::SourceFile;
use crate::parse::parse;
use std::sync::Arc;

/// Stands at the beginning of a line before the name of a module. No strategy contains it: the character is refused outside
/// texts, and a text ends on its line.
const MARK: &str = "\n\u{1e}module ";

/// The text of a strategy with the text of every `lib` module behind it that it uses. A module that cannot be read is left
/// out; compiling the result says so.
pub fn bundle(source: &str, modules: &dyn Modules) -> String {
    let (file, _) = parse(source);
    let text = Arc::new(SourceFile { name: String::new(), text: source.into() });
    let (library, _) = Library::load(&file, text, modules);
    let mut out = source.to_string();
    for (name, text) in library.texts() {
        if let Some(name) = name.strip_prefix("lib.") {
            out.push_str(&format!("{MARK}{name}\n{text}"));
        }
    }
    out
}

/// The modules that stand in the text itself, then those of the caller.
pub(crate) struct Bundled<'a> {
    parts: Vec<(&'a str, &'a str)>,
    rest: &'a dyn Modules,
}

/// The strategy of a text, and its modules.
pub(crate) fn unbundle<'a>(source: &'a str, rest: &'a dyn Modules) -> (&'a str, Bundled<'a>) {
    let mut parts = source.split(MARK);
    let strategy = parts.next().unwrap_or("");
    let parts = parts.filter_map(|part| part.split_once('\n')).collect();
    (strategy, Bundled { parts, rest })
}

impl Modules for Bundled<'_> {
    fn text(&self, name: &str) -> Result<String, String> {
        match self.parts.iter().find(|(n, _)| *n == name) {
            Some((_, text)) => Ok((*text).to_string()),
            None => self.rest.text(name),
        }
    }
}
