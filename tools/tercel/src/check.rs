//! `tercel check`: every finding of a strategy, or its static report.
use crate::{cli, strategies};
use serde_json::{Value, json};

/// Returns whether all files are good. A file that cannot be read is an error.
pub fn main(args: &cli::Check) -> Result<bool, String> {
    let mut good = true;
    let mut all = Vec::new();
    for path in &args.files {
        let shown = path.display().to_string();
        let source = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
        match strategies::check(&source, &shown) {
            Ok(compiled) => {
                let code = tercel_jit::compile(compiled.program.clone(), compiled.manifest.clone());
                let hash = match &code {
                    Ok(strategy) => tercel_event::Strategy::manifest(strategy).hash,
                    Err(error) => {
                        return Err(format!("{shown}: the strategy cannot be compiled to machine code: {error}"));
                    }
                };
                if args.json {
                    let warnings: Value = serde_json::from_str(&compiled.warnings.to_json()).unwrap_or(Value::Null);
                    let entries: serde_json::Map<String, Value> = compiled
                        .report
                        .entries
                        .iter()
                        .map(|(clock, operations)| (clock.clone(), json!(operations)))
                        .collect();
                    all.push(json!({
                        "file": shown,
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
                    }));
                } else {
                    if !compiled.warnings.is_empty() {
                        println!("{}", compiled.warnings.render());
                    }
                    println!("{shown}: ok, artefact {hash:016x}\n{}", compiled.report);
                }
            }
            Err(diagnostics) => {
                good = false;
                if args.json {
                    let found: Value = serde_json::from_str(&diagnostics.to_json()).unwrap_or(Value::Null);
                    all.push(json!({"file": shown, "ok": false, "diagnostics": found}));
                } else {
                    println!("{}", diagnostics.render());
                }
            }
        }
    }
    if args.json {
        println!("{}", Value::Array(all));
    }
    Ok(good)
}
