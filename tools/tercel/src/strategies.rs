//! From `.strat` text to a strategy that the core can run.
use crate::config::RunConfig;
use std::io;
use std::path::Path;
use tercel_event::{Manifest, Strategy};
use tercel_lang::{Compiled, Diagnostics, Modules, ast};

/// The text of a strategy file, with the modules of one's own that it uses (`use lib.name.{…}` is `name.strat` beside it)
/// behind it: one text, which journals, copies and replays take as it is.
pub fn read(path: &Path) -> io::Result<String> {
    let source = std::fs::read_to_string(path)?;
    Ok(tercel_lang::bundle(&source, &Beside(path.parent().unwrap_or(Path::new("")))))
}

/// The folder of the strategy.
struct Beside<'a>(&'a Path);

impl Modules for Beside<'_> {
    fn text(&self, name: &str) -> Result<String, String> {
        std::fs::read_to_string(self.0.join(format!("{name}.strat"))).map_err(|error| error.to_string())
    }
}

/// Checks and compiles to machine code. The error is ready for people: file, line, column, expected and found, a fix.
pub fn compile(source: &str, file: &str) -> Result<(Box<dyn Strategy>, Compiled), String> {
    let compiled = check(source, file).map_err(|diagnostics| diagnostics.render())?;
    let strategy = tercel_jit::compile(compiled.program.clone(), compiled.manifest.clone())
        .map_err(|error| format!("{file}: the strategy cannot be compiled to machine code: {error}"))?;
    Ok((Box::new(strategy), compiled))
}

pub fn check(source: &str, file: &str) -> Result<Compiled, Diagnostics> {
    tercel_lang::compile(source, file)
}

/// Compiled strategies in configuration order.
pub type Strategies = Vec<Box<dyn Strategy>>;

/// All strategies of a run, in order; every error of every file.
pub fn compile_all<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(Strategies, Vec<Manifest>), String> {
    let mut strategies = Vec::new();
    let mut manifests = Vec::new();
    let mut errors = Vec::new();
    for (file, source) in files {
        match compile(source, file) {
            Ok((strategy, _)) => {
                manifests.push(strategy.manifest().clone());
                strategies.push(strategy);
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok((strategies, manifests)) } else { Err(errors.join("\n")) }
}

/// Names as the texts give them (`strategy NAME`); a second one of the same name is `NAME#2`.
pub fn unique_names(manifests: &[Manifest]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for manifest in manifests {
        let numbered = (1..).map(|number| match number {
            1 => manifest.name.clone(),
            _ => format!("{}#{number}", manifest.name),
        });
        names.extend(numbered.take(manifests.len()).find(|name| !names.contains(name)));
    }
    names
}

/// A strategy of a run in the words of its own text.
pub struct Named {
    pub name: String,
    pub manifest: Manifest,
    /// The limits as they are written, in the order of the manifest.
    pub limits: Vec<String>,
}

/// The strategies of a run, which compiled when it started.
pub fn named(config: &RunConfig) -> Vec<Named> {
    let manifests: Vec<Manifest> = config
        .strategies
        .iter()
        .map(|entry| check(&entry.source, &entry.file).map(|compiled| compiled.manifest).unwrap_or_default())
        .collect();
    let names = unique_names(&manifests);
    let texts = config.strategies.iter().map(|entry| limit_texts(&entry.source));
    names
        .into_iter()
        .zip(manifests)
        .zip(texts)
        .map(|((name, manifest), limits)| Named { name, manifest, limits })
        .collect()
}

/// The strategy's own text, without the modules that [`read`] puts behind it.
fn own_text(source: &str) -> &str {
    source.split("\n\u{1e}").next().unwrap_or("")
}

/// Line and column of what a strategy declares: an `instrument` or `signal` by name, a limit by metric (`limits`, `loss`); of
/// the strategy's name otherwise.
pub fn declared_at(source: &str, kind: &str, name: &str) -> (usize, usize) {
    let (file, _) = tercel_lang::parse(own_text(source));
    let Some(strategy) = file.strategies.first() else { return (1, 1) };
    let of = |member: &ast::Member| match member {
        ast::Member::Instrument(item) if kind == "instrument" && item.name.text == name => Some(item.name.span),
        ast::Member::Signal(item) if kind == "signal" && item.name.text == name => Some(item.name.span),
        ast::Member::Risk(limits) if kind == "limits" => {
            let metric = limits.iter().filter_map(|limit| limit.metric.first()).find(|metric| metric.text == name);
            metric.map(|metric| metric.span)
        }
        _ => None,
    };
    let span = strategy.members.iter().find_map(of).unwrap_or(strategy.name.span);
    tercel_lang::Lines::new(source).position(source, span.start)
}

fn limit_texts(source: &str) -> Vec<String> {
    let (file, _) = tercel_lang::parse(own_text(source));
    let members = file.strategies.into_iter().take(1).flat_map(|strategy| strategy.members);
    let limits = members.filter_map(|member| match member {
        ast::Member::Risk(limits) => Some(limits),
        _ => None,
    });
    let text = |limit: ast::Limit| {
        let lines = limit.span.text(source).lines().map(|line| line.split("//").next().unwrap_or(""));
        lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
    };
    limits.flatten().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strategy_is_read_with_the_modules_beside_it() {
        let dir = std::env::temp_dir().join(format!("tercel-modules-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        let strategy = "edition 1\nuse lib.own.{wide}\nstrategy s version 1 {\n  instrument x: perp(BTC/USDT)\n  \
                        target x = 0 BTC while wide(x.spread) > x.tick via aggressive(max_slip: 3 bps)\n}\n";
        std::fs::write(dir.join("s.strat"), strategy).expect("a strategy");
        let alone = read(&dir.join("s.strat")).expect("readable");
        let found = check(&alone, "s.strat").expect_err("the module is missing").render();
        assert!(found.contains("E0218") && found.contains("`own.strat` beside the strategy"), "{found}");
        std::fs::write(dir.join("own.strat"), "fn wide(a: num): num = 2 * a\n").expect("a module");
        let whole = read(&dir.join("s.strat")).expect("readable");
        let first = check(&whole, "s.strat").map(|c| c.source_hash).map_err(|d| d.render()).expect("sound");
        std::fs::write(dir.join("own.strat"), "fn wide(a: num): num = 3 * a\n").expect("a module");
        // The text that was read goes on meaning what it meant; read again it is another strategy.
        assert_eq!(check(&whole, "s.strat").expect("sound").source_hash, first);
        let again = read(&dir.join("s.strat")).expect("readable");
        assert_ne!(check(&again, "s.strat").expect("sound").source_hash, first);
        std::fs::remove_dir_all(&dir).expect("removed");
    }

    #[test]
    fn limits_are_quoted_as_they_are_written() {
        let source = "strategy t version 1 {\n  instrument x: perp(BTC/USDT)\n  risk {\n    limit position(x)  <= 1 BTC // refused\n    \
                      limit loss <= 5 USDT per day else {\n      flatten x; halt \"daily\" }\n  }\n  target x = 0 BTC via aggressive(max_slip: 3 bps)\n}\n";
        assert_eq!(
            limit_texts(source),
            ["limit position(x) <= 1 BTC", "limit loss <= 5 USDT per day else { flatten x; halt \"daily\" }"]
        );
    }

    #[test]
    fn two_strategies_of_one_name_are_told_apart() {
        let named = |name: &str| Manifest { name: name.into(), ..Default::default() };
        assert_eq!(unique_names(&[named("a"), named("b"), named("a"), named("a")]), ["a", "b", "a#2", "a#3"]);
    }
}
