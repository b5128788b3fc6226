//! Every table of `dsl/tables`, on the interpreter and on machine code.
use std::path::Path;

#[test]
fn every_table_holds_on_both_engines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tables");
    let mut files: Vec<_> = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "table"));
    files.sort();
    // `TABLE=s02` plays those whose name has it.
    let only = std::env::var("TABLE").unwrap_or_default();
    let (mut wrong, mut cells) = (Vec::new(), 0);
    for path in &files {
        let name = path.file_name().unwrap().to_string_lossy();
        if !name.contains(&only) {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        match tercel_eval::play_table(&format!("dsl/tables/{name}"), &text) {
            Ok(played) => cells += played.cells,
            Err(message) => wrong.push(message),
        }
    }
    println!("{} tables, {cells} cells on each engine", files.len());
    assert!(wrong.is_empty(), "\n{}\n{} of {} tables differ", wrong.join("\n"), wrong.len(), files.len());
    assert!(!only.is_empty() || files.len() >= 150, "{} tables: some are missing", files.len());
}
