//! Random bytes, random words and damaged strategies: never a panic, and the member-by-member parser agrees with the
//! grammar of the whole file. The seed of a failure is in its message; `TERCEL_SOAK=1` runs fifty times as many.
use pest::Parser;
use tercel_lang::{Grammar, Rule, compile, parse};

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        tercel_event::mix64(self.0)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }
}

fn rounds(count: u64) -> u64 {
    if std::env::var_os("TERCEL_SOAK").is_some() { count * 50 } else { count }
}

#[rustfmt::skip]
const WORDS: &[&str] = &[
    "edition", "use", "strategy", "indicator", "fn", "test", "return", "instrument", "basket", "param", "signal", "bars", "let",
    "persist", "state", "next", "invariant", "mode", "risk", "when", "on", "if", "then", "else", "and", "or", "not", "quote",
    "target", "limit", "bid", "ask", "at", "while", "via", "with", "go", "halt", "every", "from", "max_age", "schema", "version",
    "initial", "for", "in", "crosses_above", "x", "x.mid", "x.bid[0].qty", "elapsed", "now", "alpha", "max", "sum", "ofi",
    "aggressive", "ioc", "post_only", "keep", "1", "0.01", "2.5e-3", "1e999", "60s", "5 bps", "10%", "0.01 BTC", "\"m\"", "\"",
    "(", ")", "[", "]", "{", "}", "+", "-", "*", "/", "^", "<", "<=", "==", "!=", "??", "=", "=>", ":", ",", ".", "..", ";",
    "@", "///", "//", "\n", "\n", "\n", "  ", "&&", ":=", "5m", "é", "ratio", "price[x]", "qty[x]", "duration", "int", "bool",
    "position", "loss", "per", "day", "flatten", "pull", "perp(BTC/USDT)", "std.micro", "2 spread", "a", "b",
    "num", "num[a]", "market", "word", "lib.own", "std.ta.{rsi}", "fn f(a: num): num =", "f(x.mid)", "rsi(x.mid, 14)", "macd(x.mid).hist",
    "indicator g(a: num, n: int = 3): (up: num, down: num) {", "return (up: a, down: a[n])", "return", "next", "as", "where", "lag",
];

fn corpus() -> Vec<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    for dir in ["tests/corpus", "tests/golden", "../../strategies"] {
        for entry in std::fs::read_dir(root.join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "strat") {
                texts.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    texts.sort();
    texts
}

fn whole_file_accepts(source: &str) -> bool {
    Grammar::parse(Rule::file, source).is_ok()
}

/// Syntax findings other than those that lie beyond the grammar: layout, bounds, units and chains.
fn has_syntax_error(source: &str) -> bool {
    parse(source).1.iter().any(|d| matches!(d.code, "E0101" | "E0102" | "E0104" | "E0105"))
}

fn damage(rng: &mut Rng, text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    for _ in 0..1 + rng.below(3) {
        let at = rng.below(lines.len());
        let line = &mut lines[at];
        let places: Vec<usize> = line.char_indices().map(|(i, _)| i).chain([line.len()]).collect();
        let (from, to) = (places[rng.below(places.len())], places[rng.below(places.len())]);
        match rng.below(6) {
            0 => line.replace_range(from.min(to)..from.max(to), ""),
            1 => line.insert_str(from, rng.pick(WORDS)),
            2 => line.insert_str(from, &format!(" {} ", rng.pick(WORDS))),
            3 => drop(lines.remove(at)),
            4 => {
                let copy = lines[at].clone();
                let to = rng.below(lines.len());
                lines.insert(to, copy);
            }
            _ => {
                let other = rng.below(lines.len());
                lines.swap(at, other);
            }
        }
        if lines.is_empty() {
            break;
        }
    }
    lines.join("\n")
}

#[test]
fn random_bytes_never_panic_fuzz() {
    for seed in 0..rounds(8_000) {
        let mut rng = Rng(seed);
        let bytes: Vec<u8> = (0..rng.below(200)).map(|_| rng.next() as u8).collect();
        let _ = compile(&String::from_utf8_lossy(&bytes), "bytes.strat");
    }
}

#[test]
fn word_soup_never_panics_fuzz() {
    for seed in 0..rounds(8_000) {
        let mut rng = Rng(seed ^ 0xa5a5);
        let words: Vec<&str> = (0..rng.below(60)).map(|_| rng.pick(WORDS)).collect();
        let soup = words.join(" ");
        let framed = format!("strategy t version 1 {{\n  instrument x: perp(BTC/USDT)\n  {soup}\n}}\n");
        let _ = compile(&soup, "soup.strat");
        if let Err(findings) = compile(&framed, "soup.strat") {
            let _ = (findings.render(), findings.to_json());
        }
    }
}

#[test]
fn damaged_strategies_never_panic_and_both_parsers_agree_fuzz() {
    let corpus = corpus();
    let (mut accepted, mut refused) = (0u64, 0u64);
    for seed in 0..rounds(4_000) {
        let mut rng = Rng(seed ^ 0xdead_beef);
        let picked = rng.below(corpus.len());
        let text = damage(&mut rng, &corpus[picked]);
        let _ = compile(&text, "damaged.strat");
        if whole_file_accepts(&text) {
            accepted += 1;
        } else {
            refused += 1;
            let (_, findings) = parse(&text);
            assert!(!findings.is_empty(), "seed {seed}: the grammar refuses it, the parser says nothing:\n{text}");
        }
    }
    assert!(accepted > 300 && refused > 300, "one-sided: {accepted} accepted, {refused} refused");
}

/// What the grammar accepts as a file the parser accepts too, but for two members on a line and stray habits.
#[test]
fn the_parser_accepts_what_the_grammar_accepts_fuzz() {
    let corpus = corpus();
    let mut compared = 0u64;
    for seed in 0..rounds(4_000) {
        let mut rng = Rng(seed ^ 0xc0ffee);
        let picked = rng.below(corpus.len());
        let text = damage(&mut rng, &corpus[picked]);
        if whole_file_accepts(&text) {
            compared += 1;
            assert!(!has_syntax_error(&text), "seed {seed}: {:?}\n{text}", parse(&text).1);
        }
    }
    assert!(compared > 300, "{compared}");
}

#[test]
fn the_seven_strategies_of_the_design_parse() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut count = 0;
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(whole_file_accepts(&text), "{}", path.display());
        assert!(parse(&text).1.is_empty(), "{}: {:?}", path.display(), parse(&text).1);
        count += 1;
    }
    assert_eq!(count, 7);
}
