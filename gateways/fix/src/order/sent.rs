//! Which request went out under which MsgSeqNum, for the rejects that name only a number.
use crate::tag::msg_type;
use tercel_event::CommandKind;
use tercel_types::ClOrdId;

/// Holds the newest 65,536 of the running sequence.
#[derive(Debug)]
pub(super) struct SentRing {
    slots: Box<[(u32, u8, ClOrdId)]>,
    newest: u32,
}

impl SentRing {
    const SLOTS: usize = 1 << 16;

    pub(super) fn new() -> Self {
        Self { slots: vec![(0, 0, ClOrdId::NONE); Self::SLOTS].into_boxed_slice(), newest: 0 }
    }

    #[inline]
    pub(super) fn remember(&mut self, msg_seq_num: u32, cl_ord_id: ClOrdId, kind: u8) {
        self.slots[msg_seq_num as usize % Self::SLOTS] = (msg_seq_num, kind, cl_ord_id);
        self.newest = msg_seq_num;
    }

    /// The session goes on with `next_out`. Numbers that will be given again name nobody any more.
    pub(super) fn go_on_from(&mut self, next_out: u32) {
        if next_out <= self.newest {
            self.slots.fill((0, 0, ClOrdId::NONE));
            self.newest = 0;
        }
    }

    /// The request that a reject of `msg_seq_num` is about. A RefMsgType (372) of another kind names something else.
    pub(super) fn find(&self, msg_seq_num: u32, ref_msg_type: &[u8]) -> Option<(ClOrdId, u8)> {
        let (number, kind, id) = self.slots[msg_seq_num as usize % Self::SLOTS];
        let agrees = ref_msg_type.is_empty() || type_of(kind) == Some(ref_msg_type);
        (number == msg_seq_num && number != 0 && agrees).then_some((id, kind))
    }
}

/// MsgType (35) of a command.
fn type_of(kind: u8) -> Option<&'static [u8]> {
    Some(match CommandKind::from_u8(kind)? {
        CommandKind::New => msg_type::NEW_ORDER_SINGLE,
        CommandKind::Cancel => msg_type::ORDER_CANCEL_REQUEST,
        CommandKind::Replace => msg_type::ORDER_CANCEL_REPLACE_REQUEST,
        CommandKind::Status => msg_type::ORDER_STATUS_REQUEST,
        CommandKind::MassStatus => msg_type::ORDER_MASS_STATUS_REQUEST,
        CommandKind::Resync => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(counter: u64) -> ClOrdId {
        ClOrdId::new(1, 0, counter).unwrap()
    }

    #[test]
    fn a_number_names_its_request_and_only_by_its_own_message_type() {
        let mut sent = SentRing::new();
        sent.remember(7, id(1), CommandKind::New as u8);
        assert_eq!(sent.find(7, b"D"), Some((id(1), CommandKind::New as u8)));
        assert_eq!(sent.find(7, b""), Some((id(1), CommandKind::New as u8)), "the tag may be absent");
        assert_eq!((sent.find(7, b"F"), sent.find(8, b"D"), sent.find(0, b"")), (None, None, None));
    }

    #[test]
    fn numbers_of_before_a_sequence_reset_name_nobody() {
        let mut sent = SentRing::new();
        sent.remember(2, id(1), CommandKind::New as u8);
        sent.remember(3, id(2), CommandKind::New as u8);
        sent.go_on_from(4);
        assert!(sent.find(2, b"D").is_some(), "a logon without a reset forgets nothing");
        sent.go_on_from(2);
        assert_eq!((sent.find(2, b"D"), sent.find(3, b"D")), (None, None));
        sent.remember(2, id(9), CommandKind::New as u8);
        assert_eq!(sent.find(2, b"D"), Some((id(9), CommandKind::New as u8)));
    }
}
