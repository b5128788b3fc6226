//! What an OrdStatus (39) says about the life of an order.

/// No fill can follow: filled, cancelled, rejected, expired. Done for the day (3) is not among them: an order that is good
/// till cancelled comes back the next day.
#[inline]
pub const fn is_terminal(ord_status: u8) -> bool {
    matches!(ord_status, b'2' | b'4' | b'8' | b'C')
}
