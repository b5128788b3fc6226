//! Faults that the venue makes on request, at stated times of the playback, so that recovery is exercised on purpose.
use core::fmt;
use core::str::FromStr;
use tercel_types::DurationNs;
use thiserror::Error;

/// What goes wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// One depth message is not sent: a gap in its update ids.
    DropDepth,
    /// One depth message is sent twice.
    DuplicateDepth,
    /// One depth message is cut in the middle.
    MalformDepth,
    /// One best-quote message is cut in the middle.
    MalformQuote,
    /// Every connection with a depth stream is closed.
    DisconnectDepth,
    /// Every connection with a best-quote stream is closed.
    DisconnectQuote,
    /// Every connection with a trade stream is closed.
    DisconnectTrade,
    /// The order session's connection is closed without a Logout.
    DisconnectFix,
    /// The next depth snapshot is refused with HTTP 503.
    RefuseSnapshot,
}

impl FaultKind {
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::DropDepth, "drop-depth"),
        (Self::DuplicateDepth, "duplicate-depth"),
        (Self::MalformDepth, "malform-depth"),
        (Self::MalformQuote, "malform-quote"),
        (Self::DisconnectDepth, "disconnect-depth"),
        (Self::DisconnectQuote, "disconnect-quote"),
        (Self::DisconnectTrade, "disconnect-trade"),
        (Self::DisconnectFix, "disconnect-fix"),
        (Self::RefuseSnapshot, "refuse-snapshot"),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

/// A fault and when it happens: engine time since the start of the playback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub at: DurationNs,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{seen}` is no fault; write `<kind>@<seconds>s`, such as `drop-depth@10s`, with one of the kinds {kinds}")]
pub struct FaultError {
    pub seen: String,
    kinds: String,
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let parse = || {
            let (kind, at) = text.split_once('@')?;
            let (kind, _) = FaultKind::ALL.iter().find(|(_, name)| *name == kind)?;
            let at = match at.strip_suffix("ms") {
                Some(ms) => DurationNs::from_millis(ms.parse::<u32>().ok()?.into()),
                None => {
                    let step = tercel_types::Decimal { mantissa: 1, scale: 9 };
                    DurationNs(step.count_of(at.strip_suffix('s')?.as_bytes()).ok().filter(|&ns| ns >= 0)?)
                }
            };
            Some(Self { kind: *kind, at })
        };
        parse().ok_or_else(|| {
            let kinds: Vec<_> = FaultKind::ALL.iter().map(|(_, name)| *name).collect();
            FaultError { seen: text.into(), kinds: kinds.join(", ") }
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}ms", self.kind.name(), self.at.0 / 1_000_000)
    }
}

/// The faults of a run in order of time; each is due once.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    /// Latest first.
    rest: Vec<Fault>,
}

impl Schedule {
    pub fn new(faults: &[Fault]) -> Self {
        let mut rest = faults.to_vec();
        rest.sort_by_key(|fault| core::cmp::Reverse(fault.at));
        Self { rest }
    }

    pub fn next_at(&self) -> Option<DurationNs> {
        self.rest.last().map(|fault| fault.at)
    }

    /// The next fault that is due at `elapsed`.
    pub fn pop(&mut self, elapsed: DurationNs) -> Option<Fault> {
        if self.next_at()? <= elapsed { self.rest.pop() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_read_and_print() {
        let fault: Fault = "drop-depth@10s".parse().unwrap();
        assert_eq!(fault, Fault { kind: FaultKind::DropDepth, at: DurationNs::from_secs(10) });
        assert_eq!("disconnect-fix@0.25s".parse::<Fault>().unwrap().at, DurationNs::from_millis(250));
        assert_eq!(fault.to_string().parse::<Fault>().unwrap(), fault);
        for bad in ["", "drop-depth", "drop-depth@", "drop-depth@10", "drop-depth@-1s", "fall-over@1s"] {
            assert!(bad.parse::<Fault>().unwrap_err().to_string().contains("drop-depth@10s"), "{bad}");
        }
    }

    #[test]
    fn each_fault_is_due_once_and_in_order() {
        let faults = ["drop-depth@2s", "disconnect-fix@1s"].map(|text| text.parse().unwrap());
        let mut schedule = Schedule::new(&faults);
        assert_eq!(schedule.pop(DurationNs::from_millis(999)), None);
        assert_eq!(schedule.pop(DurationNs::from_secs(5)), Some(faults[1]));
        assert_eq!(schedule.pop(DurationNs::from_secs(5)), Some(faults[0]));
        assert_eq!(schedule.pop(DurationNs::from_secs(5)), None);
    }
}
