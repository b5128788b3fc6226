//! The venue's judge as a person uses it: a verdict in the first line, and no traceback whatever it is given.
use std::path::Path;
use std::process::Command;
use tercel_test_e2e::{Scratch, python, root};

/// Exit code, standard output, standard error.
fn judge(args: &[&str]) -> (i32, String, String) {
    let script = root().join("tools/venue/judge.py");
    let output = Command::new(python()).arg(script).args(args).output().expect("python starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// One order that is filled in full, as docs/reference/venue-log.md describes it.
fn write_log(dir: &Path, commission: &str) {
    std::fs::create_dir_all(dir).unwrap();
    let order = r#""order_id":"V0000000001","cl_ord_id":"A1","symbol":"BTCUSDT","side":1,"ord_type":"2","tif":"3","px":"100.0","order_qty":"0.010""#;
    let lines = [
        r#"{"n":1,"ts":1,"wall":1,"after":0,"client":0,"type":"request","msg_type":"D","msg_seq_num":2,"cl_ord_id":"A1"}"#.to_owned(),
        format!(r#"{{"n":2,"type":"exec",{order},"exec_id":"E0000000001","exec_type":"0","ord_status":"0","cum_qty":"0.000","leaves_qty":"0.010"}}"#),
        format!(
            r#"{{"n":3,"after":1,"type":"exec",{order},"exec_id":"E0000000002","exec_type":"F","ord_status":"2","cum_qty":"0.010","leaves_qty":"0.000","last_px":"100.0","last_qty":"0.010","liquidity":2,"commission":"{commission}","position":"0.010","fees":"{commission}"}}"#
        ),
    ];
    std::fs::write(dir.join("orders.jsonl"), lines.join("\n") + "\n").unwrap();
    std::fs::write(dir.join("fix.log"), "").unwrap();
}

#[test]
fn the_first_line_is_the_verdict() {
    let scratch = Scratch::new("judge");
    let venue = scratch.path().join("venue");
    write_log(&venue, "0.0005");
    // The folder above, which `demo --keep` leaves, does as well.
    for folder in [&venue, &scratch.path().to_owned()] {
        let (code, out, err) = judge(&[&folder.display().to_string()]);
        assert_eq!((code, err.as_str(), out.lines().count()), (0, "", 1), "{out}{err}");
        assert!(out.starts_with("OK: 1 orders (0 open), 1 fills, position 0.010 BTCUSDT, fees 0.0005"), "{out}");
    }
    write_log(&venue, "0.0006");
    let shown = venue.display().to_string();
    let (code, out, _) = judge(&[&shown]);
    assert_eq!(code, 1);
    let first = out.lines().next().unwrap();
    assert!(
        first.starts_with("FAILED: 2 differences, first: orders.jsonl line 3: commission 0.0006, expected 0.0005"),
        "{out}"
    );
    let (code, out, _) = judge(&[&shown, "--json"]);
    let found: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &found["ok"], found["wrong"].as_array().map(Vec::len)), (1, &false.into(), Some(2)), "{found}");
    assert!(found["verdict"].as_str().unwrap().starts_with("FAILED: 2 differences"), "{found}");
}

#[test]
fn what_cannot_be_judged_is_said_in_one_line() {
    let scratch = Scratch::new("judge-bad");
    let venue = scratch.path().join("venue");
    write_log(&venue, "0.0005");
    let shown = venue.display().to_string();
    let nowhere = scratch.path().join("nowhere").display().to_string();
    let empty = scratch.path().join("a/b");
    std::fs::create_dir_all(&empty).unwrap();
    let empty = empty.display().to_string();
    let text = scratch.path().join("text");
    std::fs::write(&text, "hello\n").unwrap();
    let text = text.display().to_string();
    for (args, said) in [
        (&[&*nowhere][..], "no such folder; give the folder of a venue's log"),
        (&[&empty], "holds no `orders.jsonl`"),
        (&[&text], "no such folder"),
        (&[&shown, "--against", &nowhere], "no such file; expected another account of the run"),
        (&[&shown, "--against", &text], "text:1:1 is not JSON"),
        (&[&shown, "--recording", &nowhere], "nowhere is no recording that can be read"),
        (&[&shown, "--recording", &text], "text is no recording that can be read"),
        (&[&shown, "--maker", "two"], "`two` is no decimal number"),
        (&[&shown, "--heard"], "--heard needs --against FILE"),
        (&[], "the following arguments are required: folder"),
    ] {
        let (code, out, err) = judge(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains(said) && !err.contains("Traceback"), "{args:?} does not say `{said}`: {err}");
    }
    let log = venue.join("orders.jsonl");
    let whole = std::fs::read_to_string(&log).unwrap();
    for (damaged, said) in [
        (whole[..whole.len() - 20].to_owned(), "orders.jsonl:3 is no line of an order log"),
        (whole.replace("\"last_px\":\"100.0\",", ""), "orders.jsonl line 3 is no execution (KeyError('last_px'))"),
        (whole.replace("\"n\":1,", ""), "orders.jsonl:1 is no line of an order log (no `n` or `type`)"),
    ] {
        std::fs::write(&log, damaged).unwrap();
        let (code, _, err) = judge(&[&shown]);
        assert!(code == 2 && err.contains(said) && !err.contains("Traceback"), "{code} {err}");
    }
    std::fs::write(&log, whole).unwrap();
    std::fs::write(venue.join("fix.log"), "1 2").unwrap();
    let (code, _, err) = judge(&[&shown]);
    assert!(code == 2 && err.contains("fix.log:1 is no line"), "{err}");
    std::fs::remove_file(venue.join("fix.log")).unwrap();
    let (code, _, err) = judge(&[&shown]);
    assert!(code == 2 && err.contains("fix.log: no such file; expected the record of the order session"), "{err}");
}

#[test]
fn help_names_every_option_and_the_exit_codes() {
    let (code, out, _) = judge(&["--help"]);
    assert_eq!(code, 0);
    for part in ["--json", "--recording FILE", "--against FILE", "--heard", "--maker RATE", "exit code: 0", "examples:"]
    {
        assert!(out.contains(part), "no `{part}` in\n{out}");
    }
}
