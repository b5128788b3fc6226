//! The standard modules: operators that the compiler knows, and items written in the language itself (`dsl/lang/std`).
use crate::ast;
use crate::diagnostic::SourceFile;
use crate::parse::parse;
use std::sync::{Arc, OnceLock};

/// Functions that need no `use`.
pub(crate) const CORE: &[&str] = &[
    "abs", "ceil", "changed", "clamp", "delta", "exp", "floor", "ln", "max", "min", "present", "round", "sqrt", "sum",
    "value", "where",
];

pub(crate) struct Standard {
    pub name: &'static str,
    pub builtins: &'static [&'static str],
    text: &'static str,
    read: OnceLock<(ast::File, Arc<SourceFile>)>,
}

impl Standard {
    const fn new(name: &'static str, builtins: &'static [&'static str], text: &'static str) -> Self {
        Self { name, builtins, text, read: OnceLock::new() }
    }

    /// Parsed once in the life of the program.
    pub fn read(&self) -> &(ast::File, Arc<SourceFile>) {
        self.read.get_or_init(|| {
            let text = SourceFile { name: format!("{}.strat", self.name.replace('.', "/")), text: self.text.into() };
            (parse(self.text).0, Arc::new(text))
        })
    }

    /// What the module offers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.builtins.iter().copied().chain(self.read().0.functions.iter().map(|f| f.name.text.as_str()))
    }
}

pub(crate) static STANDARD: [Standard; 5] = [
    Standard::new("std.micro", &["microprice", "queue_imbalance", "ofi"], ""),
    Standard::new("std.stat", &["ewmean", "ewstd", "ewvar_rate"], ""),
    Standard::new(
        "std.core",
        &[
            "adapt",
            "hold",
            "lag",
            "skip",
            "smooth",
            "squares",
            "ticks_since_highest",
            "ticks_since_lowest",
            "total",
            "weighted_sum",
        ],
        "",
    ),
    Standard::new("std.time", &[], include_str!("../../std/time.strat")),
    Standard::new("std.ta", &["highest", "hysteresis", "lowest"], include_str!("../../std/ta.strat")),
];

pub(crate) fn standard_of(name: &str) -> Option<&'static Standard> {
    STANDARD.iter().find(|s| s.name == name)
}

/// Names of the first edition that this version does not have: refused as such, not as unknown.
pub(crate) const LATER: &[&str] = &[
    "autocorr",
    "beta",
    "change",
    "cooldown",
    "corr",
    "cov",
    "debounce",
    "demean",
    "dot",
    "garch11",
    "halflife",
    "kalman_hedge",
    "kyle_lambda",
    "log_price",
    "markout",
    "mean",
    "median",
    "mlofi",
    "pnl",
    "quantile",
    "rank",
    "realised_vol",
    "recent",
    "rls",
    "round_down",
    "signed_volume",
    "std",
    "top",
    "trade_imbalance",
    "var",
    "vpin",
    "vwap",
    "zscore",
];
