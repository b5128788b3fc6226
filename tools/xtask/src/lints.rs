//! Lint lists that clippy cannot express per crate: determinism, atomics, unsafe, hot-path habits.
use crate::Outcome;
use std::path::Path;

struct List {
    name: &'static str,
    places: &'static [&'static str],
    /// Text that must not occur in code (comments and tests are skipped), and why.
    banned: &'static [(&'static str, &'static str)],
}

const DETERMINISTIC: &[&str] = &[
    "engine/types",
    "engine/event",
    "engine/book",
    "engine/risk",
    "engine/order",
    "engine/exec",
    "engine/core",
    "engine/sim",
    "dsl/graph",
    "dsl/lang",
    "dsl/jit",
    "dsl/eval",
];
const NO_ATOMICS: &[&str] = &[
    "engine/types",
    "engine/event",
    "engine/book",
    "engine/risk",
    "engine/order",
    "engine/exec",
    "engine/core",
    "engine/sim",
    "engine/journal",
    "gateways/fix",
    "gateways/binance",
    "dsl/graph",
    "dsl/lang",
    "dsl/eval",
];
/// The only crates in which `unsafe` may stand.
const UNSAFE_ALLOWED: &[&str] = &["engine/ring", "engine/journal", "engine/net", "engine/runtime", "dsl/jit"];

const LISTS: &[List] = &[
    List {
        name: "determinism",
        places: DETERMINISTIC,
        banned: &[
            ("HashMap", "its order depends on a random seed; use a sorted Vec, BTreeMap or a table by id"),
            ("HashSet", "its order depends on a random seed; use a sorted Vec, BTreeSet or a table by id"),
            ("SystemTime", "time arrives in the frame"),
            ("Instant::now", "time arrives in the frame"),
            ("thread::", "the core runs on one thread that it does not know"),
            ("std::env", "configuration is a value"),
            (".ln()", "the host's libm differs between machines; use the pinned functions"),
            (".exp()", "the host's libm differs between machines; use the pinned functions"),
            (".powf(", "the host's libm differs between machines; use the pinned functions"),
            (".powi(", "its result differs between targets; write the product"),
            (".sin()", "the host's libm differs between machines"),
            (".mul_add(", "fusing changes the result"),
            ("f32", "prices and values are integers or f64"),
        ],
    },
    List {
        name: "atomics",
        places: NO_ATOMICS,
        banned: &[
            ("sync::atomic", "atomics live in engine/ring, where loom sees them"),
            ("UnsafeCell", "cells live in engine/ring"),
            ("RefCell", "cells live in engine/ring"),
            ("Mutex", "nothing here locks"),
            ("RwLock", "nothing here locks"),
        ],
    },
];

/// In a file whose header says `Hot path`.
const HOT: &[(&str, &str)] = &[
    ("format!", "allocates"),
    ("println!", "is a system call"),
    ("eprintln!", "is a system call"),
    (".to_string()", "allocates"),
    (".to_owned()", "allocates"),
    (".to_vec()", "allocates"),
    (".unwrap()", "can panic; return a value or say why it cannot be"),
    ("panic!", "refusals leave through a value"),
];

pub fn check(root: &Path) -> Outcome {
    let mut problems = Vec::new();
    for list in LISTS {
        for place in list.places {
            for_each_source(&root.join(place).join("src"), &mut |path, text| {
                problems.extend(find(list.name, list.banned, &shown(root, path), text));
            });
        }
    }
    for place in ["engine", "gateways", "dsl", "tools"] {
        let Ok(entries) = std::fs::read_dir(root.join(place)) else { continue };
        for entry in entries.flatten() {
            let name = format!("{place}/{}", entry.file_name().to_string_lossy());
            problems.extend(check_unsafe(&name, &entry.path()));
            for_each_source(&entry.path().join("src"), &mut |path, text| {
                if text.lines().take_while(|l| l.starts_with("//!")).any(|l| l.contains("Hot path")) {
                    problems.extend(find("hot", HOT, &shown(root, path), text));
                }
            });
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn check_unsafe(name: &str, dir: &Path) -> Option<String> {
    if UNSAFE_ALLOWED.contains(&name) {
        return None;
    }
    let root = ["src/lib.rs", "src/main.rs"].iter().find_map(|f| std::fs::read_to_string(dir.join(f)).ok())?;
    (!root.contains("#![forbid(unsafe_code)]")).then(|| {
        format!("unsafe: {name} must say `#![forbid(unsafe_code)]`; unsafe lives in {}", UNSAFE_ALLOWED.join(", "))
    })
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// Reports banned text line by line, outside comments and outside the `#[cfg(test)]` part at the end of a file.
fn find(list: &str, banned: &[(&str, &str)], file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (idx, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("#[cfg(test)]") || line.contains("#[cfg(any(test") {
            break;
        }
        let code = line.split("//").next().unwrap_or(line);
        for (word, why) in banned {
            if code.contains(word) {
                found.push(format!("{list}: {file}:{}: `{word}` {why}", idx + 1));
            }
        }
    }
    found
}

fn for_each_source(dir: &Path, visit: &mut dyn FnMut(&Path, &str)) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            // `proof` is dsl/jit's differential test, compiled for tests only.
            if name != "tests" && name != "proof" {
                for_each_source(&path, visit);
            }
        } else if name.ends_with(".rs") && !name.starts_with("tests") && !name.ends_with("_tests.rs") {
            match std::fs::read_to_string(&path) {
                Ok(text) => visit(&path, &text),
                Err(error) => eprintln!("lints: {}: {error}", path.display()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_call_is_found_and_a_comment_is_not() {
        let text = "// HashMap here is only talk\nfn f(x: f64) -> f64 { x.ln() }\n#[cfg(test)]\nmod tests { use std::collections::HashMap; }\n";
        let found = find("determinism", LISTS[0].banned, "a.rs", text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("a.rs:2"), "{}", found[0]);
    }
}
