//! `tercel check`: every finding of a strategy, or its static report.
use crate::{cli, strategies};
use serde_json::{Value, json};
use std::path::Path;

/// Reports on every file. The error holds what is wrong with those that are not good.
pub fn main(args: &cli::Check) -> Result<(), String> {
    let mut all = Vec::new();
    let mut wrong = Vec::new();
    for path in &args.files {
        match check(path, args.json) {
            Ok(value) => all.push(value),
            Err((value, text)) => {
                all.push(value);
                wrong.push(text);
            }
        }
    }
    if args.json {
        println!("{}", Value::Array(all));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// One file: its report, printed unless it goes into the JSON; or what is wrong, as JSON and for people.
fn check(path: &Path, as_json: bool) -> Result<Value, (Value, String)> {
    let file = path.display().to_string();
    let failed = |text: String| (json!({"file": path.display().to_string(), "ok": false, "error": text.clone()}), text);
    let source = strategies::read(path).map_err(|error| failed(format!("{file}: {error}")))?;
    let compiled = strategies::check(&source, &file).map_err(|diagnostics| {
        let found: Value = serde_json::from_str(&diagnostics.to_json()).unwrap_or(Value::Null);
        (json!({"file": file, "ok": false, "diagnostics": found}), diagnostics.render())
    })?;
    let code = tercel_jit::compile(compiled.program.clone(), compiled.manifest.clone())
        .map_err(|error| failed(format!("{file}: the strategy cannot be compiled to machine code: {error}")))?;
    let hash = tercel_event::Strategy::manifest(&code).hash;
    if !as_json {
        if !compiled.warnings.is_empty() {
            println!("{}", compiled.warnings.render());
        }
        println!("{file}: ok, artefact {hash:016x}\n{}", compiled.report);
    }
    let warnings: Value = serde_json::from_str(&compiled.warnings.to_json()).unwrap_or(Value::Null);
    let entries: serde_json::Map<String, Value> =
        compiled.report.entries.iter().map(|(clock, operations)| (clock.clone(), json!(operations))).collect();
    Ok(json!({
        "file": file,
        "ok": true,
        "strategy": compiled.report.strategy,
        "version": compiled.report.version,
        "hash": format!("{hash:016x}"),
        "nodes": compiled.report.nodes,
        "state_bytes": compiled.report.state_bytes,
        "operations": entries,
        "operations_max": compiled.report.operations_max,
        "deadlines": compiled.report.deadlines,
        "orders_max": compiled.report.orders_max,
        "ready_after_ns": compiled.report.ready_after_ns,
        "warnings": warnings,
    }))
}
