//! What a run tells people and programs: amounts with currencies, names as in the strategies, why nothing was sent, and what
//! the figures stand on. Backtests, since they are quick and the report is the same.
use serde_json::{Value, json};
use std::path::Path;
use tercel_test_e2e::{Scratch, run, run_json};

/// A strategy that trades every second, with the given limits.
fn strategy(dir: &Path, name: &str, limits: &str) -> String {
    let text = format!(
        "edition 1\nstrategy {name} version 1 {{\n  instrument x: perp(BTC/USDT)\n  \
         mode in initial {{\n    target x = 0.01 BTC via aggressive(max_slip: 3 bps)\n    when elapsed > 1s => go out\n  }}\n  \
         mode out {{\n    target x = 0 BTC via aggressive(max_slip: 3 bps)\n    when elapsed > 1s => go in\n  }}\n  \
         risk {{\n{limits}\n  }}\n}}\n"
    );
    std::fs::create_dir_all(dir).unwrap();
    let path = dir.join("x.strat");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn text_of(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn refusals_and_halts_say_who_which_limit_value_and_bound() {
    let scratch = Scratch::new("report");
    // Two files of one name, and two strategies of one name.
    let small =
        strategy(&scratch.path().join("a"), "careful", "    limit order_size(x) <= 0.006 BTC // less than it wants");
    let poor = "    limit position(x) <= 0.02 BTC\n    limit loss <= 0.5 USDT per day else { flatten x; halt \"that is enough\" }";
    let poor = strategy(&scratch.path().join("b"), "careful", poor);
    let args = ["backtest", "--seconds", "20", "--strategy", &small, "--strategy", &poor];
    let report = run_json(&[&args[..], &["--json"]].concat(), 0);
    let names: Vec<&Value> = report["strategies"].as_array().unwrap().iter().map(|s| &s["name"]).collect();
    assert_eq!(names, ["careful", "careful#2"]);
    let files: Vec<&Value> = report["strategies"].as_array().unwrap().iter().map(|s| &s["file"]).collect();
    assert_eq!(files, ["x.strat", "x-2.strat"]);
    let refused = report["refused"].as_array().unwrap();
    let own = refused.iter().find(|r| r["control"] == "strategy limit").unwrap_or_else(|| panic!("{report}"));
    for (key, wanted) in [
        ("strategy", json!("careful")),
        ("limit", json!("limit order_size(x) <= 0.006 BTC")),
        ("symbol", json!("BTCUSDT")),
        ("value", json!("0.010")),
        ("bound", json!("0.006")),
        ("unit", json!("BTC")),
    ] {
        assert_eq!(own[key], wanted, "{key}: {own}");
    }
    let halt = report["events"].as_array().unwrap().iter().find(|event| event["what"] == "halted").expect("a halt");
    assert_eq!((&halt["strategy"], &halt["message"]), (&json!("careful#2"), &json!("that is enough")), "{halt}");
    assert!(halt["limit"].as_str().unwrap().starts_with("limit loss <= 0.5 USDT per day else"), "{halt}");
    assert!(halt["at"].as_str().unwrap().starts_with("2024-08-08T23:54:"), "{halt}");

    let text = text_of(&args);
    for part in [
        "careful: limit order_size(x) <= 0.006 BTC; asked for 0.010 BTC, bound 0.006 BTC",
        "Z careful#2 halted: \"that is enough\", by `limit loss <= 0.5 USDT per day",
        "Z careful#2 flattened BTCUSDT",
        "  careful#2 ",
        "HALTED",
        "position    flat",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}

#[test]
fn a_backtest_says_what_its_figures_stand_on() {
    let args = ["backtest", "--seconds", "20", "--latency", "constant:150,250,350"];
    let report = run_json(&[&args[..], &["--json"]].concat(), 0);
    assert_eq!(report["latency_us"], json!({"feed": 150, "order": 250, "report": 350}));
    assert_eq!(report["queue_model"], "conservative");
    assert_eq!(report["fee_rates"], json!({"BTCUSDT": {"maker_bps": "2", "taker_bps": "5"}}));
    assert_eq!(report["data"]["from"], "2024-08-08T23:54:15.333143866Z");
    let span = report["data"]["span_s"].as_f64().unwrap();
    assert!((19.0..=20.0).contains(&span), "{}", report["data"]);
    assert!(report["data"]["messages"].as_u64().unwrap() > 4_000, "{}", report["data"]);
    let text = text_of(&args);
    for part in [
        "s of the built-in recording, 2024-08-08T23:54:15",
        " messages, ",
        "fees        BTCUSDT: maker 2 bps, taker 5 bps",
        "latency     constant: 150 us from the recorded message to the engine, 250 us from a command to the matching, 350 us",
        "queue       conservative: ",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    // Every amount of money names its currency.
    let amounts = text.lines().filter(|line| line.starts_with("P&L") || line.contains(" net "));
    for line in amounts {
        let words: Vec<&str> = line.split([' ', ',', '(', ')']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2).filter(|pair| pair[0].contains('.') && pair[0].parse::<f64>().is_ok()) {
            assert_eq!(pair[1], "USDT", "{line}");
        }
    }
}
