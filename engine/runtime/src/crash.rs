//! Named instants at which a crash test kills the process with SIGKILL.
use tercel_ring::Counter;

/// `POINT` or `POINT:COUNT`: die when POINT is passed for the COUNT-th time (1 when absent).
#[derive(Clone, Debug, Default)]
pub struct CrashPlan {
    at: Option<(&'static str, u64)>,
    passed: Counter,
}

/// Every point that the engine passes.
pub const CRASH_POINTS: &[&str] = &["startup", "after_log_write", "before_send", "after_send", "resend", "reconcile"];

impl CrashPlan {
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, count) = match text.split_once(':') {
            Some((name, count)) => (name, count.parse::<u64>().map_err(|_| format!("`{count}` is not a count"))?),
            None => (text, 1),
        };
        match CRASH_POINTS.iter().find(|point| **point == name) {
            Some(point) => Ok(Self { at: Some((point, count.max(1))), passed: Counter::new() }),
            None => Err(format!("no crash point `{name}`; there are {}", CRASH_POINTS.join(", "))),
        }
    }

    /// Dies here when planned. One comparison when nothing is.
    #[inline]
    pub fn pass(&self, point: &str) {
        if let Some((planned, count)) = self.at
            && planned == point
        {
            self.passed.increment();
            if self.passed.get() >= count {
                die();
            }
        }
    }
}

#[cold]
fn die() {
    // SAFETY: kill(2) with our own pid takes no pointer; SIGKILL cannot be handled, so nothing runs after it.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_points_are_planned() {
        assert!(CrashPlan::parse("before_send:3").is_ok());
        assert!(CrashPlan::parse("nowhere").unwrap_err().contains("after_log_write"));
        assert!(CrashPlan::parse("resend:x").is_err());
        CrashPlan::default().pass("resend");
        CrashPlan::parse("resend:2").unwrap().pass("resend");
    }
}
