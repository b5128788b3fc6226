//! FIX tag numbers by name, the header's tags, and the length fields that announce raw data.

macro_rules! tags {
    ($($name:ident = $number:literal,)+) => { $(pub const $name: u32 = $number;)+ };
}

tags! {
    ACCOUNT = 1,
    AVG_PX = 6,
    BEGIN_SEQ_NO = 7,
    BEGIN_STRING = 8,
    BODY_LENGTH = 9,
    CHECK_SUM = 10,
    CL_ORD_ID = 11,
    COMMISSION = 12,
    COMM_TYPE = 13,
    CUM_QTY = 14,
    END_SEQ_NO = 16,
    EXEC_ID = 17,
    EXEC_INST = 18,
    EXEC_REF_ID = 19,
    HANDL_INST = 21,
    LAST_PX = 31,
    LAST_QTY = 32,
    MSG_SEQ_NUM = 34,
    MSG_TYPE = 35,
    NEW_SEQ_NO = 36,
    ORDER_ID = 37,
    ORDER_QTY = 38,
    ORD_STATUS = 39,
    ORD_TYPE = 40,
    ORIG_CL_ORD_ID = 41,
    POSS_DUP_FLAG = 43,
    PRICE = 44,
    REF_SEQ_NUM = 45,
    SENDER_COMP_ID = 49,
    SENDER_SUB_ID = 50,
    SENDING_TIME = 52,
    SIDE = 54,
    SYMBOL = 55,
    TARGET_COMP_ID = 56,
    TARGET_SUB_ID = 57,
    TEXT = 58,
    TIME_IN_FORCE = 59,
    TRANSACT_TIME = 60,
    POSS_RESEND = 97,
    ENCRYPT_METHOD = 98,
    CXL_REJ_REASON = 102,
    ORD_REJ_REASON = 103,
    HEART_BT_INT = 108,
    TEST_REQ_ID = 112,
    ON_BEHALF_OF_COMP_ID = 115,
    ORIG_SENDING_TIME = 122,
    GAP_FILL_FLAG = 123,
    DELIVER_TO_COMP_ID = 128,
    RESET_SEQ_NUM_FLAG = 141,
    EXEC_TYPE = 150,
    LEAVES_QTY = 151,
    REF_TAG_ID = 371,
    REF_MSG_TYPE = 372,
    SESSION_REJECT_REASON = 373,
    EXEC_RESTATEMENT_REASON = 378,
    BUSINESS_REJECT_REF_ID = 379,
    BUSINESS_REJECT_REASON = 380,
    CXL_REJ_RESPONSE_TO = 434,
    USERNAME = 553,
    PASSWORD = 554,
    MASS_STATUS_REQ_ID = 584,
    MASS_STATUS_REQ_TYPE = 585,
    ORD_STATUS_REQ_ID = 790,
    LAST_LIQUIDITY_IND = 851,
    TOT_NUM_REPORTS = 911,
    LAST_RPT_REQUESTED = 912,
}

/// MsgType (35) values by name.
pub mod msg_type {
    pub const HEARTBEAT: &[u8] = b"0";
    pub const TEST_REQUEST: &[u8] = b"1";
    pub const RESEND_REQUEST: &[u8] = b"2";
    pub const REJECT: &[u8] = b"3";
    pub const SEQUENCE_RESET: &[u8] = b"4";
    pub const LOGOUT: &[u8] = b"5";
    pub const EXECUTION_REPORT: &[u8] = b"8";
    pub const ORDER_CANCEL_REJECT: &[u8] = b"9";
    pub const LOGON: &[u8] = b"A";
    pub const NEW_ORDER_SINGLE: &[u8] = b"D";
    pub const ORDER_CANCEL_REQUEST: &[u8] = b"F";
    pub const ORDER_CANCEL_REPLACE_REQUEST: &[u8] = b"G";
    pub const ORDER_STATUS_REQUEST: &[u8] = b"H";
    pub const ORDER_MASS_STATUS_REQUEST: &[u8] = b"AF";
    pub const BUSINESS_MESSAGE_REJECT: &[u8] = b"j";

    /// Session-level messages: gap-filled, never resent, and handled by the session itself.
    #[inline]
    pub fn is_admin(msg_type: &[u8]) -> bool {
        matches!(msg_type, [b'0'..=b'5' | b'A'])
    }
}

/// Whether `tag` belongs to the standard header of FIX 4.4.
#[inline]
pub const fn is_header(tag: u32) -> bool {
    matches!(
        tag,
        8 | 9 | 34 | 35 | 43 | 49 | 50 | 52 | 56 | 57 | 90 | 91 | 97 | 115 | 116 | 122 | 128 | 129 | 142..=145 | 212 | 213
            | 347 | 369 | 627..=630
    )
}

/// The data field whose length in bytes `tag` gives; such a value may hold SOH. 0 when `tag` is no length field.
#[inline]
pub const fn data_field_of(tag: u32) -> u32 {
    match tag {
        90 => 91,
        93 => 89,
        95 => 96,
        212 => 213,
        348 | 350 | 352 | 354 | 356 | 358 | 360 | 362 | 364 => tag + 1,
        445 => 446,
        618 => 619,
        621 => 622,
        _ => 0,
    }
}

/// Text of a tag with its `=`, made at compile time: first bytes of a field, padded with zeros.
pub(crate) struct Prefix<const TAG: u32>;

impl<const TAG: u32> Prefix<TAG> {
    pub(crate) const LEN: usize = {
        let (mut rest, mut len) = (TAG, 1);
        while rest > 0 {
            rest /= 10;
            len += 1;
        }
        len
    };

    pub(crate) const TEXT: [u8; 8] = {
        assert!(TAG > 0 && TAG < 10_000_000, "a tag has 1 to 7 digits");
        let mut text = [0; 8];
        let (mut rest, mut at) = (TAG, Self::LEN - 1);
        text[at] = b'=';
        while rest > 0 {
            at -= 1;
            text[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        text
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_the_text_of_the_tag() {
        assert_eq!(&Prefix::<CL_ORD_ID>::TEXT[..Prefix::<CL_ORD_ID>::LEN], b"11=");
        assert_eq!(&Prefix::<{ LAST_RPT_REQUESTED }>::TEXT[..Prefix::<{ LAST_RPT_REQUESTED }>::LEN], b"912=");
    }
}
