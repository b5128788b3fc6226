//! Every command and every strategy of the README works as it stands there.
use std::process::Command;
use tercel_test_e2e::{Scratch, python, root, tercel};

/// The fenced blocks of the README with this word behind the fence.
fn blocks(word: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut found = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(tag)) => open = Some((tag == word, String::new())),
            (Some((wanted, block)), Some(_)) => {
                if *wanted {
                    found.push(std::mem::take(block));
                }
                open = None;
            }
            (Some((_, block)), None) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

#[test]
fn every_command_of_the_readme_works() {
    let scratch = Scratch::new("readme");
    // Commands run in a folder that looks like the repository but may be written.
    for name in ["strategies", "tools"] {
        std::os::unix::fs::symlink(root().join(name), scratch.path().join(name)).unwrap();
    }
    std::fs::create_dir_all(scratch.path().join("run")).unwrap();
    let mut ran = 0;
    for line in blocks("sh").iter().flat_map(|block| block.lines()) {
        let command = line.split('#').next().unwrap_or("").trim();
        // Cloning is what brought us here; the tests are what runs this; benchmarks are run by hand.
        if command.is_empty() || ["git ", "cargo xtask", "cargo bench"].iter().any(|skip| command.starts_with(skip)) {
            continue;
        }
        let mut words: Vec<String> = match command.strip_prefix("cargo run --release -- ") {
            Some(rest) => {
                std::iter::once(tercel().display().to_string()).chain(rest.split(' ').map(str::to_owned)).collect()
            }
            None => command.split(' ').map(str::to_owned).collect(),
        };
        if words[0] == "python3" {
            words[0] = python();
        }
        if words[1..] == ["demo"] {
            words.extend(["--seconds".to_owned(), "5".to_owned()]); // thirty seconds of it run elsewhere
        }
        let output = Command::new(&words[0]).args(&words[1..]).current_dir(scratch.path()).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "README: `{command}` ends with {}\n{out}\n{err}", output.status);
        ran += 1;
    }
    assert!(ran >= 10, "only {ran} commands were found");
}

#[test]
fn the_strategy_of_the_readme_checks_and_trades() {
    let scratch = Scratch::new("readme-strategy");
    let block =
        blocks("text").into_iter().find(|block| block.starts_with("edition 1")).expect("the README shows a strategy");
    let path = scratch.path().join("lean_maker.strat");
    std::fs::write(&path, block).unwrap();
    let path = path.display().to_string();
    let check = tercel_test_e2e::run_json(&["check", &path, "--json"], 0);
    assert_eq!(check[0]["ok"], true, "{check}");
    let report = tercel_test_e2e::run_json(&["backtest", "--strategy", &path, "--seconds", "60", "--json"], 0);
    assert!(report["fills"].as_u64().unwrap() > 0, "{report}");
}
