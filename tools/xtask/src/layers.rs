//! The import rule: which crate may import which. A wrong arrow is named together with the right one.
use crate::Outcome;
use std::path::Path;

/// Crate folder, what it may import, and where code goes that seems to need more.
const RULES: &[(&str, &[&str], &str)] = &[
    ("engine/types", &[], "engine/types imports nothing of ours: put the new thing above it"),
    ("engine/ring", &["types"], "the ring moves bytes; give it the value as a parameter"),
    ("engine/event", &["types"], "frames are plain data: move the word that both need down to engine/types"),
    ("engine/book", STRANGER, BRACES),
    ("engine/risk", STRANGER, BRACES),
    ("engine/order", STRANGER, BRACES),
    ("engine/journal", &["types", "ring", "event"], BRACES),
    ("engine/net", &["types", "ring", "event"], BRACES),
    ("engine/exec", &["types", "event", "book", "risk", "order"], "engine/core calls engine/exec, not the other way"),
    (
        "engine/core",
        &["types", "event", "book", "risk", "order", "exec"],
        "engine/runtime wires the core to rings, files and sockets",
    ),
    ("engine/sim", STRANGER, "the simulator shares no accounting with the engine, so that it can judge it"),
    (
        "engine/runtime",
        &["types", "ring", "event", "journal", "net", "book", "risk", "order", "exec", "core"],
        "gateways reach the runtime through the traits of engine/net, wired up in tools",
    ),
    ("gateways/fix", GATEWAY, GATEWAYS),
    ("gateways/binance", GATEWAY, GATEWAYS),
    ("dsl/graph", STRANGER, "a strategy meets the engine only as an event::Strategy, wired up in tools"),
    (
        "dsl/lang",
        &["types", "event", "graph"],
        "a strategy meets the engine only as an event::Strategy, wired up in tools",
    ),
    ("dsl/jit", &["types", "event", "graph"], "the backend sees the typed graph, never the text"),
    (
        "dsl/eval",
        &["types", "event", "book", "risk", "exec", "core", "graph", "lang", "jit"],
        "tables and `tercel eval` play strategies on the core itself; sockets, files and threads belong to tools",
    ),
    (
        "tools/venue",
        &["types", "ring", "event", "sim", "net", "journal", "fix", "binance"],
        "the venue is the other side: it may not use the engine's book, order, risk or core",
    ),
];

const STRANGER: &[&str] = &["types", "event"];
const GATEWAY: &[&str] = &["types", "ring", "event", "journal", "net"];
const BRACES: &str =
    "these crates are strangers to each other: let engine/exec or engine/core pass values between them";
const GATEWAYS: &str =
    "gateways never import each other, the dsl or the core: what two of them need goes to engine/net";

pub fn check(root: &Path) -> Outcome {
    let mut problems = Vec::new();
    for dir in ["engine", "gateways", "dsl", "tools"] {
        let Ok(entries) = std::fs::read_dir(root.join(dir)) else {
            problems.push(format!("layers: cannot read the folder `{dir}`"));
            continue;
        };
        let mut crates: Vec<_> = entries.flatten().filter(|e| e.path().join("Cargo.toml").exists()).collect();
        crates.sort_by_key(|e| e.file_name());
        for entry in crates {
            let place = format!("{dir}/{}", entry.file_name().to_string_lossy());
            match std::fs::read_to_string(entry.path().join("Cargo.toml")) {
                Ok(text) => problems.extend(check_manifest(&place, &text)),
                Err(error) => problems.push(format!("layers: {place}/Cargo.toml: {error}")),
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn check_manifest(place: &str, text: &str) -> Vec<String> {
    // Composition roots import anything below them.
    if matches!(place, "tools/tercel" | "tools/xtask") {
        return Vec::new();
    }
    let Some((_, allowed, right_way)) = RULES.iter().find(|(name, ..)| *name == place) else {
        return vec![format!(
            "layers: `{place}` is not in the import rule; add its row to tools/xtask/src/layers.rs and docs/architecture.md"
        )];
    };
    let manifest: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return vec![format!("layers: {place}/Cargo.toml: {error}")],
    };
    let mut problems = Vec::new();
    for section in ["dependencies", "build-dependencies"] {
        let Some(toml::Value::Table(dependencies)) = manifest.get(section) else { continue };
        for name in dependencies.keys() {
            if let Some(ours) = name.strip_prefix("tercel-")
                && !allowed.contains(&ours)
            {
                let may = if allowed.is_empty() { "nothing of ours".to_owned() } else { allowed.join(", ") };
                problems.push(format!(
                    "layers: {place} -> {ours} is a wrong arrow; {place} may import {may}. Right way: {right_way}"
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_arrow_is_named_with_the_right_one() {
        let text = "[dependencies]\ntercel-types.workspace = true\ntercel-order.workspace = true\n";
        let problems = check_manifest("engine/risk", text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("engine/risk -> order is a wrong arrow"), "{}", problems[0]);
        assert!(problems[0].contains("engine/core pass values"), "{}", problems[0]);
    }

    #[test]
    fn a_crate_without_a_row_is_refused() {
        assert_eq!(check_manifest("engine/extra", "[dependencies]\n").len(), 1);
        assert!(check_manifest("engine/book", "[dependencies]\ntercel-event.workspace = true\n").is_empty());
    }
}
