//! The FIX 4.4 session as a machine of bytes and time, in both roles.
//!
//!   bytes ──▶ framing ──▶ index ──▶ machine ──▶ Application (in sequence order, each number once)
//!                                      │             │ send
//!                                      └──▶ Link ◀───┘ ──▶ Store, then Wire
//!
//! The owner calls `Session::{on_connected, on_received, on_disconnected, on_time}`; the session calls the owner's
//! `Application` and `Wire`. It never reads a clock and never touches a socket.
mod config;
mod inbound;
mod link;
mod machine;
mod queue;
mod resend;

pub use config::{Credentials, ResendPolicy, Role, SessionConfig};
pub use link::{Counters, Link, NotWritten, Persist, Written};
pub use machine::Session;

use crate::message::{Header, Message};
use tercel_event::SessionEvent;
use tercel_net::{GatewayIo, Now, SendError};
use tercel_types::TimeNs;

/// The connection under a session.
pub trait Wire {
    /// Takes all of `bytes` or none; returns the engine time at which the write returned.
    fn send(&mut self, bytes: &[u8]) -> Result<TimeNs, SendError>;
    /// Closes after what was sent.
    fn close(&mut self);
    fn crash_point(&mut self, _point: &'static str) {}
}

impl Wire for dyn GatewayIo + '_ {
    #[inline]
    fn send(&mut self, bytes: &[u8]) -> Result<TimeNs, SendError> {
        GatewayIo::send(self, bytes)
    }
    #[inline]
    fn close(&mut self) {
        GatewayIo::close(self);
    }
    #[inline]
    fn crash_point(&mut self, point: &'static str) {
        GatewayIo::crash_point(self, point);
    }
}

/// A message handed on in sequence order.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'a> {
    pub message: Message<'a>,
    pub header: Header<'a>,
    pub msg_seq_num: u32,
    /// Kernel stamp of the read that completed the message where there is one, else the user stamp; engine time.
    pub ts_recv: TimeNs,
}

/// What the owner makes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// The session answers with Reject (3).
    Reject {
        reason: u32,
        ref_tag: Option<u32>,
        text: &'static str,
    },
    /// The session answers with BusinessMessageReject (j).
    BusinessReject {
        reason: u32,
        text: &'static str,
    },
}

/// SessionRejectReason (373).
pub mod reject_reason {
    pub const INVALID_TAG: u32 = 0;
    pub const REQUIRED_TAG_MISSING: u32 = 1;
    pub const TAG_WITHOUT_VALUE: u32 = 4;
    pub const VALUE_OUT_OF_RANGE: u32 = 5;
    pub const INCORRECT_DATA_FORMAT: u32 = 6;
    pub const COMP_ID_PROBLEM: u32 = 9;
    pub const SENDING_TIME_ACCURACY: u32 = 10;
    pub const INVALID_MSG_TYPE: u32 = 11;
    pub const OTHER: u32 = 99;
}

/// BusinessRejectReason (380).
pub mod business_reason {
    pub const OTHER: u32 = 0;
    pub const UNKNOWN_ID: u32 = 1;
    pub const UNSUPPORTED_MSG_TYPE: u32 = 3;
    pub const CONDITIONALLY_REQUIRED_FIELD_MISSING: u32 = 5;
}

/// The owner of a session.
pub trait Application<W: Wire + ?Sized, S> {
    /// An application message, Reject (3) or BusinessMessageReject (j), in sequence. Answers go out through `link.send`.
    fn on_message(&mut self, inbound: &Inbound<'_>, link: &mut Link<S>, now: Now, wire: &mut W) -> Verdict;

    /// `LoggedOn`: logged on and nothing of the peer is missing. `Recovering`/`Recovered`: a gap opened/closed; a gap found at
    /// logon ends with `LoggedOn`. `LoggedOut` and `Disconnected` come once each; `link.last_reason()` says why.
    fn on_session(&mut self, event: SessionEvent, link: &mut Link<S>, now: Now, wire: &mut W);
}

#[cfg(test)]
mod tests;
