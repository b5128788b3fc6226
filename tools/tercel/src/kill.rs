//! `tercel kill` and `tercel ctl`: an operator's words to a running engine.
use crate::{cli, operator};
use serde_json::json;
use tercel_ring::KillWord;

/// Raises or clears the kill word: one store in shared memory, which works with the engine's core wedged.
pub fn main(args: &cli::Kill) -> Result<bool, String> {
    let dir = crate::replay::run_dir(&args.dir);
    let path = dir.join("kill.word");
    if !path.exists() {
        return Err(format!("no kill word at {}: no engine has run with this directory", path.display()));
    }
    let word = KillWord::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    if args.clear {
        let file = dir.join("KILL");
        if file.exists() {
            std::fs::remove_file(&file)
                .map_err(|error| format!("{}: {error}; the watchdog would raise the word again", file.display()))?;
        }
        word.clear();
    } else {
        word.raise();
    }
    let engine = std::os::unix::net::UnixStream::connect(dir.join("control.sock")).is_ok();
    let state = if args.clear { "cleared" } else { "raised" };
    if args.json {
        println!("{}", json!({"kill_word": state, "dir": dir.display().to_string(), "engine_running": engine}));
    } else {
        let dir = dir.display();
        match (args.clear, engine) {
            (false, true) => {
                println!("kill word raised in {dir}: the order gateway cancels everything and sends no order")
            }
            (false, false) => println!(
                "kill word raised in {dir}; no engine is running there. The next start sends no order until `tercel kill {dir} --clear`"
            ),
            (true, true) => {
                println!(
                    "kill word cleared in {dir}: the gateways send orders again, the core gives them after `tercel ctl {dir} mode active`"
                )
            }
            (true, false) => println!("kill word cleared in {dir}; no engine is running there"),
        }
    }
    Ok(true)
}

pub fn ctl(args: &cli::Ctl) -> Result<bool, String> {
    let dir = crate::replay::run_dir(&args.dir);
    let mut opens = false;
    let request = match &args.action {
        cli::CtlAction::Param { strategy, name, value } => {
            json!({"op": "param", "strategy": strategy, "name": name, "value": value})
        }
        cli::CtlAction::Mode { state, strategy, account } => {
            opens = state == "active";
            json!({"op": "mode", "state": state, "strategy": strategy, "account": account})
        }
        cli::CtlAction::Kill { strategy } => json!({"op": "kill", "strategy": strategy}),
        cli::CtlAction::Rearm { strategy } => json!({"op": "rearm", "strategy": strategy}),
    };
    let mut answer = match operator::ask(&dir, &request) {
        Ok(answer) => answer,
        Err(error) if args.json => {
            println!("{}", json!({"ok": false, "error": error}));
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let path = dir.join("kill.word");
    let raised = path.exists() && KillWord::open(&path).is_ok_and(|word| word.is_raised());
    if opens && raised {
        let shown = dir.display();
        answer["warning"] =
            json!(format!("the kill word is raised, so no order leaves; clear it with `tercel kill {shown} --clear`"));
    }
    if args.json {
        println!("{answer}");
    } else {
        println!("{}", answer["done"].as_str().unwrap_or("done"));
        if let Some(warning) = answer["warning"].as_str() {
            println!("but {warning}");
        }
    }
    Ok(true)
}
