//! Which operators the proof has met, and in which of their outcomes.
use core::fmt;
use std::collections::BTreeMap;

use tercel_graph::{Op, Value};

#[derive(Clone, Copy, Default)]
struct Seen {
    present: u64,
    absent: u64,
    yes: u64,
    no: u64,
}

#[derive(Default)]
pub(super) struct Coverage(BTreeMap<&'static str, Seen>);

impl Coverage {
    pub(super) fn see(&mut self, outcomes: impl Iterator<Item = (Op, Value)>) {
        for (op, value) in outcomes {
            let seen = self.0.entry(op.name()).or_default();
            if value.is_present() {
                seen.present += 1
            } else {
                seen.absent += 1
            }
            match value {
                Value::Bool(Some(true)) => seen.yes += 1,
                Value::Bool(Some(false)) => seen.no += 1,
                _ => {}
            }
        }
    }

    /// Operators that were not met in every outcome that they can have.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let lacks = |name: &&&'static str| {
            let seen = self.0.get(**name).copied().unwrap_or_default();
            let never_absent =
                matches!(**name, "const" | "const_bool" | "param" | "now" | "elapsed" | "in_mode" | "tick" | "present");
            let never_present = **name == "absent";
            let is_bool = seen.yes + seen.no > 0;
            (seen.present == 0 && !never_present)
                || (seen.absent == 0 && !never_absent)
                || (is_bool && (seen.yes == 0 || seen.no == 0))
        };
        Op::NAMES.iter().filter(lacks).copied().collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let met = Op::NAMES.iter().filter(|name| self.0.contains_key(*name)).count();
        writeln!(f, "operator coverage {met} of {}", Op::NAMES.len())?;
        writeln!(f, "{:<18}{:>12}{:>12}{:>12}{:>12}", "operator", "present", "absent", "true", "false")?;
        for name in Op::NAMES {
            let seen = self.0.get(name).copied().unwrap_or_default();
            writeln!(f, "{name:<18}{:>12}{:>12}{:>12}{:>12}", seen.present, seen.absent, seen.yes, seen.no)?;
        }
        Ok(())
    }
}
