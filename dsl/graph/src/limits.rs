//! Static bounds: a program beyond them does not validate.

/// Nodes of one program.
pub const NODES_MAX: usize = 1 << 16;
/// Rules, sinks, modes and state variables, each.
pub const PARTS_MAX: usize = 4096;
/// Depth of `x[k]`.
pub const HISTORY_MAX: u32 = 1 << 16;
/// Panes of one time window.
pub const PANES_MAX: u32 = 1024;
/// Half-life, pane and window width: 30 days.
pub const SPAN_NS_MAX: i64 = 30 * 86_400 * 1_000_000_000;
/// Commit rounds after the first round of an instant; one more is a livelock.
pub const COMMIT_ROUNDS_MAX: u32 = 4;
/// Values of one `Roll` operator, and of `Skip` and of the seed of `Ema`.
pub const ROLL_MAX: u32 = 1 << 14;
