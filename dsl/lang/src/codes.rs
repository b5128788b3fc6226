//! Every code of a finding, with a page of a few lines: what it means and what to do.

/// One kind of finding.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    pub code: &'static str,
    pub title: &'static str,
    pub page: &'static str,
}

const fn code(code: &'static str, title: &'static str, page: &'static str) -> Code {
    Code { code, title, page }
}

/// The page of a code such as `E0207`.
pub fn explain(code: &str) -> Option<&'static Code> {
    CODES.iter().find(|c| c.code.eq_ignore_ascii_case(code))
}

#[rustfmt::skip]
pub const CODES: &[Code] = &[
    code("E0100", "the file is too large", "A strategy file has at most 1 MiB."),
    code("E0101", "syntax", "The grammar expected something else at this place. The message lists what fits, the help names the likely edit."),
    code("E0102", "a habit of another language", "`&&`, `||`, `!`, `:=`, `elif` and the like are written `and`, `or`, `not`, `=`, `else if` here."),
    code("E0103", "two members on one line", "Members and limits are separated by a new line or `;`."),
    code("E0104", "a text does not end", "A text stands between double quotes on one line."),
    code("E0105", "brackets do not match", "A bracket was opened and not closed, or closed and not opened."),
    code("E0106", "nested too deep", "Brackets nest to 64, expressions to 128, `if` occurs at most 64 times in a member. Name inner parts with `let`."),
    code("E0107", "a name is too long", "Names have at most 256 characters."),
    code("E0108", "not a unit", "Units are ns, us, ms, s, min, h, d, bps, %, and the currencies of the strategy's instruments. `m` is never a unit."),
    code("E0109", "too many members", "A file has at most 4,096 members, a strategy and its modules at most 4,096 functions."),
    code("E0201", "unknown name", "The name is not defined, or defined further down: a value is used below its definition."),
    code("E0202", "defined twice", "A name means one thing in the whole strategy, its modes included."),
    code("E0203", "unknown field or unit word", "Instruments, levels and signals have the fields of docs/reference/strat.md."),
    code("E0204", "unknown function, module or event", "Library functions are brought in with `use std.micro.{ofi}`."),
    code("E0205", "wrong arguments", "The help shows the form of the call."),
    code("E0206", "wrong kind of value", "A number stands where a condition is needed, or an instrument where a value is, or the reverse."),
    code("E0207", "units do not match", "`+`, `-`, `min`, `max`, `??`, `if` and comparisons need one unit on both sides; a literal 0 fits all. Multiply or divide one side by a value that carries the missing unit."),
    code("E0208", "a number is out of range", "A literal is too large, not whole, or has no finite value."),
    code("E0209", "a default outside its range", "The default of a parameter lies inside LOW .. HIGH."),
    code("E0210", "a literal is needed", "Widths, half-lives, counts and periods decide the memory of the strategy, so they are literals."),
    code("E0211", "a counting operator needs one clock", "`x[k]`, `delta`, windows and means count ticks. Say which ticks: `e @ every 1s`."),
    code("E0212", "time used as a value", "`now`, `elapsed` and ages change at every instant. Compare them with a bound that stays, or sample the expression: `… @ every 1s`."),
    code("E0213", "a pulse held", "`crosses_above`, `crosses_below` and `changed` are true at one instant. They are conditions of `when`, alone or with `and`; they are not sampled, negated, frozen or kept."),
    code("E0214", "comparisons do not chain", "Write `a < b and b < c`."),
    code("E0215", "a function calls itself", "Every call of a `fn` or `indicator` is a copy of its body, so a function cannot call itself, through others neither. What happened before is kept in a `state`, or by an operator such as `smooth`."),
    code("E0216", "memory in a `fn`", "A `fn` is one expression over the values of the moment. `x[k]`, `delta`, windows, means, crossings, `@` and calls of an `indicator` remember: make it an `indicator`."),
    code("E0217", "too many calls", "Calls nest to 32, and one strategy inlines at most 4,096 of them, equal ones counted once."),
    code("E0218", "a module cannot be used", "`lib.NAME` is the file `NAME.strat` beside the strategy. It holds `fn` and `indicator` only, and modules do not use each other in a circle."),
    code("E0219", "an indicator only remembers", "Rules inside an `indicator` write its own `state` with `next`. They change no mode and halt nothing: return a condition and let the strategy act on it."),
    code("E0220", "results of an indicator", "`return (line: a, hist: b)` gives every declared result once, by name. Of an indicator with several results one is chosen: `macd(x).hist`."),
    code("E0303", "something is missing", "A strategy has an instrument and at least one quote or target; a quote has 1 to 16 legs."),
    code("E0401", "unknown mode", "`go` names a mode of the strategy."),
    code("E0402", "one initial mode", "Exactly one mode is `initial`, and it has no values."),
    code("E0403", "values of a mode", "`go m(a, b)` gives every value of the mode, in order, in its unit."),
    code("E0411", "two unguarded owners", "In one scope the first owner whose guard holds wins, so a second unguarded one never acts."),
    code("E0415", "an order depends on forgotten state", "A restart restores modes, their values and `persist state`. A plain `state` starts anew, so no order may depend on it."),
    code("E0421", "a limit needs a verdict", "Position, notional, order size and order rate refuse the order that would breach. Other limits say what happens: `else pull x`, `else { flatten x; halt \"why\" }`."),
    code("E0422", "unknown metric", "Metrics are position, notional, order_size, order_rate, feed_silence, loss."),
    code("E0423", "`per` of a limit", "`loss` is `per day`, `order_rate` is `per` a duration, the others have none."),
    code("E0501", "outside the engine's bounds", "Nodes, clocks, timers, instruments and windows are bounded, so that cost and memory are known before the strategy runs."),
    code("E0502", "over budget", "The operations counted for the entry point exceed the strategy's own `budget`."),
    code("E0900", "not in this version", "The construct belongs to the first edition and parses, but this version does not run it."),
    code("W0412", "shadowed owner", "An unguarded owner of the same instrument stands before it."),
    code("W0420", "a mode that owns nothing", "Without an owner working orders are cancelled and the position stays. Give the mode a `target x = 0 …`."),
    code("W0503", "an exit that needs data", "When the feed is gone its conditions are absent and never true; `elapsed` is never absent."),
    code("W0504", "re-entry on a level", "After the exit the entry condition may still be true. Require time in the mode or a pulse."),
    code("W0510", "exact equality", "Prices and quantities rarely meet exactly; fees leave dust."),
    code("W0511", "quoting against oneself", "`x.best_bid` contains our own orders; `x.others.best_bid` does not."),
    code("W0601", "a parameter that nothing reads", "An operator who changes it changes nothing. Delete it, or begin its name with `_` to keep it."),
    code("W0602", "a `let` that nothing reads", "It is computed for nothing. Delete it, or begin its name with `_` to keep it."),
    code("W0603", "an import that nothing calls", "Delete the name from the `use`."),
];
