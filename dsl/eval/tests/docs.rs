//! The examples of docs/reference/eval.md are what the player gives.
use std::path::Path;
use tercel_eval::{Engine, Evaluation, Setup, Steps, play_table};
use tercel_lang::StandardOnly;

/// Blocks of one language, in order.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let parts = text.split("\n```").collect::<Vec<_>>();
    let of_language = parts.iter().filter_map(|part| part.strip_prefix(&format!("{language}\n")));
    of_language.map(|block| format!("{block}\n")).collect()
}

#[test]
fn the_examples_of_the_reference_hold() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/eval.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (strategies, csv) = (blocks(&text, "strat"), blocks(&text, "csv"));
    assert_eq!((strategies.len(), csv.len()), (1, 2), "a strategy, its events, its values");
    let compiled = tercel_lang::compile_to_watch(&strategies[0], "watch.strat", &StandardOnly)
        .unwrap_or_else(|found| panic!("{}", found.render()));
    let names: Vec<String> = csv[1].lines().next().unwrap().split(',').skip(2).map(str::to_owned).collect();
    for engine in Engine::ALL {
        let (mut setup, mut steps) = (Setup::new(&compiled.manifest), Steps::default());
        csv[0].lines().for_each(|line| steps.scan(line));
        steps.apply(&mut setup, |_, _| false);
        let mut evaluation = Evaluation::new(&compiled, &names, setup, engine).unwrap();
        let mut out = evaluation.head();
        for line in csv[0].lines() {
            evaluation.line(line, &mut out).unwrap();
        }
        assert_eq!(out, csv[1], "{}", engine.name());
    }
    let tables = blocks(&text, "table");
    assert_eq!(tables.len(), 1);
    play_table("docs/reference/eval.md", &tables[0]).unwrap();
}
