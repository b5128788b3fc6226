//! Every file of `tests/golden` renders as recorded. `TERCEL_BLESS=1 cargo test -p tercel-lang` records anew.
use std::path::{Path, PathBuf};
use tercel_lang::{CODES, Diagnostic, Diagnostics, Modules, compile_with};

/// `tests/golden/lib`.
struct Beside;

impl Modules for Beside {
    fn text(&self, name: &str) -> Result<String, String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/lib/{name}.strat"));
        std::fs::read_to_string(path).map_err(|_| "no such file".into())
    }
}

fn cases() -> Vec<(String, PathBuf)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<(String, PathBuf)> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "strat"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path))
        .collect();
    cases.sort();
    cases
}

fn findings(name: &str, path: &Path) -> Diagnostics {
    let source = std::fs::read_to_string(path).unwrap();
    match compile_with(&source, &format!("{name}.strat"), &Beside) {
        Ok(compiled) => compiled.warnings,
        Err(findings) => findings,
    }
}

#[test]
fn findings_render_as_recorded_golden() {
    let bless = std::env::var_os("TERCEL_BLESS").is_some();
    let mut wrong = Vec::new();
    for (name, path) in cases() {
        let rendered = findings(&name, &path).render();
        let recorded = path.with_extension("txt");
        if bless {
            std::fs::write(&recorded, &rendered).unwrap();
        } else if std::fs::read_to_string(&recorded).unwrap_or_default() != rendered {
            wrong.push(format!("--- {name}\n{rendered}"));
        }
    }
    assert!(wrong.is_empty(), "{} golden files differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_golden_file_shows_the_code_of_its_name_first() {
    for (name, path) in cases() {
        let Some(code) = name.split('_').next().filter(|c| c.len() == 5 && c[1..].bytes().all(|b| b.is_ascii_digit()))
        else {
            continue;
        };
        let found = findings(&name, &path);
        let first = found.items.first().unwrap_or_else(|| panic!("{name}: no finding"));
        assert_eq!(first.code.to_lowercase(), code, "{name}:\n{found}");
    }
}

#[test]
fn a_fixed_file_has_no_finding() {
    let fixed = cases().into_iter().filter(|(name, _)| name.starts_with("fixed_"));
    let mut count = 0;
    for (name, path) in fixed {
        let found = findings(&name, &path);
        assert!(found.is_empty(), "{found}");
        count += 1;
    }
    assert!(count >= 9, "{count}");
}

#[test]
fn every_finding_names_a_fix_and_a_known_code() {
    for (name, path) in cases() {
        for Diagnostic { code, message, help, .. } in &findings(&name, &path).items {
            assert!(!message.is_empty() && !help.is_empty(), "{name}: {code}: {message}");
            assert!(CODES.iter().any(|c| c.code == *code), "{name}: {code} has no page");
        }
    }
}

#[test]
fn every_code_has_a_golden_file() {
    let names: Vec<String> = cases().into_iter().map(|(name, _)| name).collect();
    for code in CODES {
        // E0100 needs a file of a megabyte, E0109 one of 4,097 members: `hostile.rs` makes both.
        let made_elsewhere = matches!(code.code, "E0100" | "E0109");
        let prefix = format!("{}_", code.code.to_lowercase());
        assert!(made_elsewhere || names.iter().any(|n| n.starts_with(&prefix)), "{} has no golden file", code.code);
    }
}

#[test]
fn unit_mismatches_name_both_units() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/e0207_price_plus_ratio.strat");
    let found = findings("e0207_price_plus_ratio", &path);
    assert!(found.items[0].message.contains("price[x] + ratio"), "{found}");
}

#[test]
fn json_carries_place_and_fix() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/e0207_price_plus_ratio.strat");
    let json = findings("e0207_price_plus_ratio", &path).to_json();
    assert!(json.starts_with(
        "[{\"code\":\"E0207\",\"severity\":\"error\",\"file\":\"e0207_price_plus_ratio.strat\",\"line\":4,\"column\":11"
    ));
    assert!(json.contains("\"help\":\""), "{json}");
}
