//! `docs/reference/cli.md` is the help of every sub-command, word for word; this test keeps it so.
use crate::cli::Cli;
use clap::CommandFactory;
use std::path::Path;

const PLACE: &str = "docs/reference/cli.md";

fn render() -> String {
    let mut out = String::from(
        "# Command line\n\nThe help of every sub-command, word for word. Exit codes: 0 done; 1 failed, or a comparison or replay said no; \
         2 bad usage or bad input, a strategy that `check` refuses among it.\n\nWritten by `TERCEL_BLESS=1 cargo test --release --package tercel reference`; do not edit.\n",
    );
    let mut root = Cli::command().term_width(110);
    root.build();
    section(&mut root.clone(), "tercel", &mut out);
    for command in root.get_subcommands() {
        if command.get_name() == "help" {
            continue;
        }
        section(&mut command.clone(), &format!("tercel {}", command.get_name()), &mut out);
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            section(&mut inner.clone(), &format!("tercel {} {}", command.get_name(), inner.get_name()), &mut out);
        }
    }
    out
}

fn section(command: &mut clap::Command, title: &str, out: &mut String) {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    out.push_str(&format!("\n## {title}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()));
}

#[test]
fn the_command_reference_is_what_help_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PLACE);
    let text = render();
    if std::env::var_os("TERCEL_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "{PLACE} is not what --help says; run TERCEL_BLESS=1 cargo test --release --package tercel reference"
    );
}
