//! What is wrong with a set of strategies as a whole, in words; apart, so that the machine holds no text.
use crate::StrategyConfig;
use tercel_types::{AccountId, Problem};

pub fn count(strategies: usize, entries: usize) -> Problem {
    Problem {
        key: "strategies".into(),
        seen: format!("{strategies} strategies for {entries} entries"),
        allowed: "one entry per strategy".into(),
        help: "configure every strategy once".into(),
    }
}

/// `own` trades for another account than `account`, on the same session.
pub fn account(own: &StrategyConfig, account: AccountId) -> Problem {
    Problem {
        key: format!("strategies.{}.account", own.name),
        seen: format!("account {} on gateway {}", own.account.0, own.gateway.0),
        allowed: format!("account {}", account.0),
        help: "one order session trades for one account".into(),
    }
}

pub fn timers() -> Problem {
    Problem {
        key: "strategies".into(),
        seen: "more timers than one frame carries".into(),
        allowed: crate::TIMERS_MAX.to_string(),
        help: "split the run into shards".into(),
    }
}
