//! From `.strat` text to a strategy that the core can run.
use std::io;
use std::path::Path;
use tercel_event::{Manifest, Strategy};
use tercel_lang::{Compiled, Diagnostics, Modules};

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
}
