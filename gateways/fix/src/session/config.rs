use core::fmt;
use tercel_types::{DurationNs, Problem};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Connects and sends the first Logon: the engine.
    Initiator,
    /// Waits for a Logon: the venue.
    Acceptor,
}

/// How a ResendRequest is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResendPolicy {
    /// One gap fill over the whole range: an order that was asked for seconds ago must not arrive now.
    GapFillAll,
    /// Application messages again with PossDupFlag; runs of session messages as gap fills.
    ResendApplication,
}

/// Username (553) and Password (554). `Debug` shows neither, and no log line of this crate holds one.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    pub role: Role,
    pub begin_string: String,
    pub sender_comp_id: String,
    pub target_comp_id: String,
    /// HeartBtInt (108) that an initiator asks for; an acceptor takes the initiator's.
    pub heart_bt_int_s: u32,
    /// An initiator asks for ResetSeqNumFlag (141) at every logon; an acceptor ignores this.
    pub reset_on_logon: bool,
    /// Whether the peer may reset both sequences by 141=Y. An engine that allows it can lose fills.
    pub accept_reset: bool,
    pub credentials: Option<Credentials>,
    pub resend: ResendPolicy,
    /// Messages asked for in one ResendRequest; 0 asks for all (16=0).
    pub resend_chunk: u32,
    /// Allowed distance of SendingTime (52) from our clock; `None` does not check.
    pub sending_time_tolerance: Option<DurationNs>,
    pub logon_timeout: DurationNs,
    pub logout_timeout: DurationNs,
    /// After this long without progress a ResendRequest is repeated; after three the session ends.
    pub resend_timeout: DurationNs,
}

impl SessionConfig {
    pub fn initiator(sender_comp_id: &str, target_comp_id: &str) -> Self {
        Self {
            role: Role::Initiator,
            begin_string: "FIX.4.4".into(),
            sender_comp_id: sender_comp_id.into(),
            target_comp_id: target_comp_id.into(),
            heart_bt_int_s: 30,
            reset_on_logon: false,
            accept_reset: false,
            credentials: None,
            resend: ResendPolicy::GapFillAll,
            resend_chunk: 0,
            sending_time_tolerance: Some(DurationNs::from_secs(120)),
            logon_timeout: DurationNs::from_secs(10),
            logout_timeout: DurationNs::from_secs(2),
            resend_timeout: DurationNs::from_secs(10),
        }
    }

    pub fn acceptor(sender_comp_id: &str, target_comp_id: &str) -> Self {
        Self {
            role: Role::Acceptor,
            accept_reset: true,
            resend: ResendPolicy::ResendApplication,
            ..Self::initiator(sender_comp_id, target_comp_id)
        }
    }

    /// Names the session in its store: another session's file is refused.
    pub fn identity(&self) -> String {
        format!("{}:{}->{}", self.begin_string, self.sender_comp_id, self.target_comp_id)
    }

    /// Every problem at once; keys are below `session`.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut problem = |key: &str, seen: &str, allowed: &str, help: &str| {
            problems.push(Problem {
                key: format!("session.{key}"),
                seen: format!("`{seen}`"),
                allowed: allowed.into(),
                help: help.into(),
            });
        };
        if self.begin_string != "FIX.4.4" {
            problem("begin_string", &self.begin_string, "`FIX.4.4`", "this version speaks FIX 4.4 only");
        }
        for (key, text) in [("sender_comp_id", &self.sender_comp_id), ("target_comp_id", &self.target_comp_id)] {
            if text.is_empty() || text.len() > 40 || !text.bytes().all(|b| b.is_ascii_graphic() && b != b'=') {
                problem(key, text, "1 to 40 printable ASCII characters without `=`", "ask the venue for its CompIDs");
            }
        }
        if !(1..=3_600).contains(&self.heart_bt_int_s) {
            problem("heart_bt_int_s", &self.heart_bt_int_s.to_string(), "1 to 3600", "30 is usual");
        }
        if let Some(credentials) = &self.credentials {
            let plain = |text: &str| !text.is_empty() && !text.bytes().any(|b| b < b' ');
            if !plain(&credentials.username) || !plain(&credentials.password) {
                problem("credentials", "hidden", "texts without control characters", "check the secret's source");
            }
        }
        problems
    }
}
