use tercel_types::{AccountId, DurationNs, Problem, SourceId};

/// Sizes and times of the order table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderConfig {
    /// Orders held, open and dead together. Dead ones make room, oldest first.
    pub capacity: usize,
    /// Execution ids remembered for "counts once".
    pub exec_ids: usize,
    pub strategies: usize,
    /// Accounts by order session, in configuration order: whose order it is when only the session tells.
    pub sessions: Vec<(SourceId, AccountId)>,
    pub accounts: usize,
    /// No answer for this long makes an order `Unknown` (control C24).
    pub outcome_after: DurationNs,
    /// A status question without an answer is asked again after this long.
    pub status_again_after: DurationNs,
}

impl Default for OrderConfig {
    fn default() -> Self {
        Self {
            capacity: 4096,
            exec_ids: 1 << 16,
            strategies: 1,
            sessions: vec![(tercel_event::sources::FIRST_GATEWAY, AccountId(0))],
            accounts: 1,
            outcome_after: DurationNs::from_secs(3),
            status_again_after: DurationNs::from_secs(3),
        }
    }
}

impl OrderConfig {
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |ok: bool, key: &str, seen: String, allowed: &str, help: &str| {
            if !ok {
                problems.push(Problem { key: key.into(), seen, allowed: allowed.into(), help: help.into() });
            }
        };
        check(
            (16..=1 << 20).contains(&self.capacity),
            "orders.capacity",
            self.capacity.to_string(),
            "16..=1048576",
            "several times the open orders, so that late fills find their order",
        );
        check(
            (16..=1 << 24).contains(&self.exec_ids),
            "orders.exec_ids",
            self.exec_ids.to_string(),
            "16..=16777216",
            "at least the executions of one reconnect",
        );
        check(self.strategies >= 1, "orders.strategies", self.strategies.to_string(), "1 or more", "name a strategy");
        check(self.accounts >= 1, "orders.accounts", self.accounts.to_string(), "1 or more", "name an account");
        for (source, account) in &self.sessions {
            check(
                account.idx() < self.accounts,
                "orders.sessions",
                format!("account {} of source {}", account.0, source.0),
                "an account of the configuration",
                "every order session trades for one account",
            );
        }
        for (key, span) in
            [("orders.outcome_after", self.outcome_after), ("orders.status_again_after", self.status_again_after)]
        {
            check(span.0 > 0, key, format!("{} ns", span.0), "above 0", "3 s suits a session over a WAN");
        }
        problems
    }
}
