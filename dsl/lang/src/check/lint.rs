//! Ownership, and habits that lose money: findings over the whole strategy.
use super::Checker;
use crate::ast;
use crate::diagnostic::{Diagnostic, Severity};

impl Checker<'_> {
    pub(super) fn lint(&mut self, strategy: &ast::Strategy) {
        self.ownership();
        // The rest judges the whole strategy, so it needs every part of it.
        if self.is_partial || self.findings.iter().any(|d| d.severity() == Severity::Error) {
            return;
        }
        self.orphans();
        self.exits();
        if self.manifest.sinks.is_empty() && !self.may_only_watch {
            self.report(
                Diagnostic::new("E0303", strategy.name.span, "expected a `quote` or a `target`, the strategy has none")
                    .help("add `quote x { … }` or `target x = … via …`"),
            );
        }
    }

    /// Within one scope the first owner whose guard holds wins: what stands behind an unguarded one never does.
    fn ownership(&mut self) {
        let sinks = self.sinks.clone();
        for (at, later) in sinks.iter().enumerate() {
            let same = |s: &&super::SinkFact| s.mode == later.mode && s.instrument == later.instrument && !s.guarded;
            let Some(first) = sinks[..at].iter().find(same) else { continue };
            let alias = self.instruments[later.instrument as usize].alias.clone();
            let finding = if later.guarded {
                Diagnostic::new(
                    "W0412",
                    later.span,
                    format!("this never owns `{alias}`: an unguarded owner stands before it"),
                )
                .related(first.span, "this one always owns it")
                .help("put the guarded owner first")
            } else {
                Diagnostic::new("E0411", later.span, format!("two unguarded owners of `{alias}`"))
                    .label("second owner")
                    .related(first.span, "first owner")
                    .help("give the first one `while`, or move them to different modes")
            };
            self.report(finding);
        }
    }

    /// W0420: in a mode that names x nowhere its orders are cancelled and its position stays, owned by no rule.
    fn orphans(&mut self) {
        let mut findings = Vec::new();
        for (x, info) in self.instruments.iter().enumerate() {
            let owned = |mode: Option<u16>| self.sinks.iter().any(|s| s.instrument as usize == x && s.mode == mode);
            let owned_somewhere = self.sinks.iter().any(|s| s.instrument as usize == x);
            if !owned_somewhere || owned(None) {
                continue;
            }
            for (idx, mode) in self.modes.iter().enumerate() {
                if !owned(Some(idx as u16)) {
                    let alias = &info.alias;
                    let message =
                        format!("mode `{}` owns no order of `{alias}`, whose position may not be flat", mode.name);
                    findings.push(
                        Diagnostic::new("W0420", mode.span, message)
                            .label("a late fill would stay")
                            .help(format!("add `target {alias} = 0 … via aggressive(max_slip: 5 bps)` to the mode")),
                    );
                }
            }
        }
        self.findings.append(&mut findings);
    }

    /// W0601, W0602: parameters and `let`s that nothing reads. A leading underscore says that it is meant so.
    /// For a strategy without errors: another finding may be why nothing reads them.
    pub fn unused(&mut self) {
        let mut findings = Vec::new();
        for (what, name) in self.unused_candidates.iter().filter(|(_, name)| !self.used.contains(&name.span)) {
            if name.text.starts_with('_') {
                continue;
            }
            let (code, cost) = if *what == "let" {
                ("W0602", "computed for nothing")
            } else {
                ("W0601", "changing it changes nothing")
            };
            findings.push(
                Diagnostic::new(code, name.span, format!("`{what} {}` is never used", name.text))
                    .label(cost)
                    .help(format!("delete it, or call it `_{}` to keep it", name.text)),
            );
        }
        self.findings.append(&mut findings);
    }

    /// W0503: an exit that needs data waits for ever when the data is gone. W0504: a cycle that re-enters on a level.
    fn exits(&mut self) {
        let mut findings = Vec::new();
        for (idx, mode) in self.modes.iter().enumerate() {
            let own: Vec<_> = self.rules.iter().filter(|r| r.mode == Some(idx as u16) && r.goes_to.is_some()).collect();
            if mode.initial || own.is_empty() {
                continue;
            }
            if !own.iter().any(|r| r.traits.escapes) {
                findings.push(
                    Diagnostic::new(
                        "W0503",
                        mode.span,
                        format!("no exit of mode `{}` survives missing data", mode.name),
                    )
                    .label("every condition here is absent when the feed is")
                    .help("add `or elapsed > …` to an exit"),
                );
            }
        }
        for rule in &self.rules {
            let (Some(from), Some(to)) = (rule.mode, rule.goes_to) else { continue };
            let starts = self.modes.get(from as usize).is_some_and(|m| m.initial);
            let returns = self.rules.iter().any(|r| r.mode == Some(to) && r.goes_to == Some(from));
            if starts && returns && from != to && !rule.traits.pulse && !rule.traits.elapsed {
                findings.push(
                    Diagnostic::new("W0504", rule.span, "the mode can be re-entered at once after its exit")
                        .label("this condition is a pure level")
                        .help("add `and elapsed > 1s`, or use a pulse such as `crosses_above`"),
                );
            }
        }
        self.findings.append(&mut findings);
    }
}
