use super::{Library, StandardOnly, standard::STANDARD};
use crate::check::definition;
use crate::diagnostic::{Diagnostics, Severity, SourceFile};
use crate::parse::parse;
use std::sync::Arc;

/// Every item of the standard modules is sound for every unit.
#[test]
fn the_standard_modules_are_sound() {
    for standard in &STANDARD {
        let Some(name) = standard.names().next() else { continue };
        let source = format!("use {}.{{{name}}}\n", standard.name);
        let text = Arc::new(SourceFile { name: "test".into(), text: source });
        let (library, found) = Library::load(&parse(&text.text).0, text, &StandardOnly);
        assert!(found.is_empty(), "{:?}", Diagnostics::new("", "", found).items);
        for (idx, function) in library.functions.iter().enumerate() {
            let file = &library.modules[function.module].file;
            let mut found = parse(&file.text).1;
            found.extend(definition(&library, idx));
            found.retain(|d| d.severity() == Severity::Error);
            let found = Diagnostics::new(&file.name, &file.text, found);
            assert!(found.is_empty(), "{found}");
        }
    }
}

#[test]
fn every_item_of_the_standard_modules_is_documented() {
    for standard in &STANDARD {
        for function in &standard.read().0.functions {
            assert!(!function.doc.is_empty(), "{}: `{}`", standard.name, function.name.text);
        }
    }
}
