//! Texts made to hurt: each is refused with a finding, in a bounded time, whatever its size or shape.
use std::time::{Duration, Instant};
use tercel_lang::{Diagnostics, compile};

const TARGET: &str = "  target x = 0 BTC via aggressive(max_slip: 3 bps)\n";

fn strategy(body: &str) -> String {
    format!("edition 1\nstrategy t version 1 {{\n  instrument x: perp(BTC/USDT)\n{body}{TARGET}}}\n")
}

/// Refused within the bound of the design, with `code` among the findings.
fn refused(source: &str, code: &str) -> Diagnostics {
    let started = Instant::now();
    let Err(findings) = compile(source, "hostile.strat") else { panic!("accepted {} bytes", source.len()) };
    let took = started.elapsed();
    let bound = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 2 });
    assert!(took < bound, "took {took:?} for {} bytes", source.len());
    assert!(findings.items.iter().any(|d| d.code == code), "expected {code}: {}", findings.render());
    assert!(findings.render().len() < 64 * 1024 && findings.items.len() <= 50);
    findings
}

#[test]
fn a_file_beyond_a_megabyte_is_not_read() {
    refused(&strategy(&"// padding\n".repeat(100_000)), "E0100");
}

#[test]
fn nesting_is_bounded_in_every_form() {
    refused(&strategy(&format!("  let a = {}1{}\n", "(".repeat(100_000), ")".repeat(100_000))), "E0106");
    refused(&strategy(&format!("  let a = {}1\n", "(".repeat(100_000))), "E0106");
    refused(&strategy(&format!("  let a = {}1\n", "- ".repeat(100_000))), "E0106");
    refused(&strategy(&format!("  let a = {}x.flat\n", "not ".repeat(100_000))), "E0106");
    refused(&strategy(&format!("  let a = x.mid{}\n", " ?? x.mid".repeat(50_000))), "E0106");
    refused(&strategy(&format!("  let a = 2{}\n", " ^ 2".repeat(100_000))), "E0106");
    refused(&strategy(&format!("  let a = 1{}\n", " + 1".repeat(100_000))), "E0106");
    refused(
        &strategy(&format!("  let a = {}1{}\n", "if x.flat then ".repeat(20_000), " else 1".repeat(20_000))),
        "E0106",
    );
    refused(&strategy(&format!("  let a = x.mid{}\n", "[1]".repeat(100_000))), "E0106");
    refused(&strategy(&format!("  when x.flat => {}go a{}\n", "{".repeat(50_000), "}".repeat(50_000))), "E0106");
    // Parentheses and prefixes together stay under the bound of the brackets and must be caught by the other.
    let mixed = format!("  let a = {}1{}\n", format!("({}", "- ".repeat(60)).repeat(60), ")".repeat(60));
    refused(&strategy(&mixed), "E0106");
}

#[test]
fn crowds_of_members_are_bounded() {
    let lets: String = (0..5_000).map(|i| format!("  let a{i} = x.mid * {i}.5\n")).collect();
    refused(&strategy(&lets), "E0109");
    let limits = format!("  risk {{\n{}  }}\n", "    limit position(x) <= 1 BTC\n".repeat(5_000));
    refused(&strategy(&limits), "E0109");
}

#[test]
fn crowds_of_errors_are_cut() {
    let findings = refused(&strategy(&"  let = 1\n".repeat(4_000)), "E0101");
    refused(&strategy(&format!("{}{}", "  let a = 1\n".repeat(4_000), "&& ".repeat(250_000))), "E0202");
    assert!(findings.more >= 900, "{}", findings.more);
}

#[test]
fn wide_members_are_read_or_refused_in_linear_time() {
    refused(&strategy(&format!("  let a = max({}1)\n", "1, ".repeat(300_000))), "E0106");
    refused(&strategy(&format!("  let a = x{}\n", ".a".repeat(400_000))), "E0203");
    let started = Instant::now();
    assert!(compile(&strategy(&format!("  param a: {}ratio = 1\n", "ratio * ".repeat(100_000))), "wide.strat").is_ok());
    assert!(started.elapsed() < Duration::from_secs(10));
    refused(&strategy(&format!("  quote x {{\n{}  }}\n", "    bid 1 BTC at x.mid\n".repeat(4_000))), "E0303");
    refused(&format!("strategy {} version 1 {{\n}}\n", "a".repeat(900_000)), "E0107");
    refused(&strategy(&format!("  let a = {}\n", "9".repeat(900_000))), "E0208");
    refused(&strategy(&format!("  signal a: bps from \"{}\n", "m".repeat(900_000))), "E0104");
    refused(&format!("use {}\n", "a.".repeat(300_000)), "E0101");
}

#[test]
fn costly_graphs_are_refused() {
    refused(&strategy("  let a = (x.mid @ every 1s)[5_000]\n"), "E0208");
    refused(&strategy("  let a = sum(x.last, 31d)\n"), "E0208");
    refused(&strategy("  let a = sum(x.last, 1s, panes: 5_000)\n"), "E0208");
    let instruments: String = (0..40).map(|i| format!("  instrument i{i}: perp(A{i}/USDT)\n")).collect();
    refused(&strategy(&instruments), "E0501");
}

#[test]
fn empty_and_blank_texts_say_what_is_missing() {
    for source in ["", "\n\n", "// nothing\n", "\u{feff}", "edition 1\n"] {
        refused(source, if source == "\u{feff}" { "E0102" } else { "E0101" });
    }
}
