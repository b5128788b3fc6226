//! Windows over the last n present values: sums that slide and are rebuilt beside, and extremes by a tree.
use crate::ABSENT_BITS;
use crate::op::Op;
use crate::value::Value;

/// State of `RollSum`, `RollWeighted` and `RollSquares`. An accumulator is a number or absent (NaN of the one bit pattern).
pub(super) struct Sums {
    pub held: Option<f64>,
    /// Where the next value goes; the oldest stands there.
    pos: usize,
    count: u64,
    /// Of the window: sum and weighted sum, or mean and squares.
    slid: [f64; 2],
    /// The same of the values since `pos` was last 0.
    rebuilt: [f64; 2],
    ring: Vec<f64>,
}

/// A number, or absent with its one bit pattern.
fn number(value: f64) -> f64 {
    if value.is_finite() { value } else { f64::from_bits(ABSENT_BITS) }
}

impl Sums {
    pub(super) fn new(n: u32) -> Self {
        Self { held: None, pos: 0, count: 0, slid: [0.0; 2], rebuilt: [0.0; 2], ring: vec![0.0; n as usize] }
    }

    /// A present value.
    pub(super) fn tick(&mut self, op: Op, x: f64) -> Option<f64> {
        let len = self.ring.len();
        let n = len as f64;
        let oldest = core::mem::replace(&mut self.ring[self.pos], x);
        let is_first = self.pos == 0;
        // Values in the block, this one included.
        let block = (self.pos + 1) as f64;
        let ([a, b], [c, d]) = (self.slid, self.rebuilt);
        let (slid, rebuilt) = if let Op::RollSquares { .. } = op {
            let off = x - c;
            let mean = if is_first { x } else { c + off / block };
            let squares = if is_first { 0.0 } else { d + off * (x - mean) };
            let change = x - oldest;
            let moved = a + change / n;
            let spread = number(b + change * ((x - moved) + (oldest - a)));
            ([moved, if spread < 0.0 { 0.0 } else { spread }], [mean, squares])
        } else {
            let plain = if is_first { x } else { c + x };
            let weighted = if is_first { x } else { d + block * x };
            ([(a + x) - oldest, (b + n * x) - a], [plain, weighted])
        };
        self.rebuilt = rebuilt.map(number);
        self.pos = (self.pos + 1) % len;
        self.slid = if self.pos == 0 { self.rebuilt } else { slid.map(number) };
        self.count += 1;
        let total = self.slid[usize::from(!matches!(op, Op::RollSum { .. }))];
        (self.count >= len as u64 && total.is_finite()).then_some(total)
    }

    pub(super) fn words(&self, mut word: impl FnMut(u64)) {
        word(Value::F64(self.held).word());
        word(self.pos as u64);
        word(self.count);
        self.slid.iter().chain(&self.rebuilt).chain(&self.ring).for_each(|v| word(v.to_bits()));
    }
}

/// State of `RollMax`, `RollMin`, `RollSinceMax` and `RollSinceMin`: node i of the tree stands over nodes 2i and 2i + 1,
/// the leaves are the ring. Leaves never filled hold the infinity that loses against everything.
pub(super) struct Extreme {
    pub held: Option<f64>,
    n: u64,
    finds_max: bool,
    /// Gives the age of the extreme and not its value.
    gives_age: bool,
    pos: usize,
    count: u64,
    /// From node 1 on; node 0 does not exist.
    values: Vec<f64>,
    /// Number of the value that stands in a node; kept for ages only.
    numbers: Vec<u64>,
}

impl Extreme {
    pub(super) fn new(op: Op, n: u32, loses: f64) -> Self {
        let gives_age = matches!(op, Op::RollSinceMax { .. } | Op::RollSinceMin { .. });
        let nodes = 2 * n.next_power_of_two() as usize - 1;
        Self {
            held: None,
            n: n.into(),
            finds_max: loses < 0.0,
            gives_age,
            pos: 0,
            count: 0,
            values: vec![loses; nodes],
            numbers: vec![0; if gives_age { nodes } else { 0 }],
        }
    }

    /// A present value: put into its leaf, then compared with its neighbour on every way up.
    pub(super) fn tick(&mut self, x: f64) -> Option<f64> {
        let mut node = self.values.len().div_ceil(2) + self.pos;
        let (mut best, mut number) = (x, self.count);
        self.put(node, best, number);
        while node > 1 {
            let other = self.values[(node ^ 1) - 1];
            let wins = if self.finds_max { other > best } else { other < best };
            let other_number = self.numbers.get((node ^ 1) - 1).copied().unwrap_or(0);
            if wins || (self.gives_age && other == best && other_number > number) {
                (best, number) = (other, other_number);
            }
            node /= 2;
            self.put(node, best, number);
        }
        self.pos = if self.pos as u64 + 1 == self.n { 0 } else { self.pos + 1 };
        let age = self.count - number;
        self.count += 1;
        (self.count >= self.n).then_some(if self.gives_age { age as f64 } else { best })
    }

    fn put(&mut self, node: usize, value: f64, number: u64) {
        self.values[node - 1] = value;
        if let Some(slot) = self.numbers.get_mut(node - 1) {
            *slot = number;
        }
    }

    pub(super) fn words(&self, mut word: impl FnMut(u64)) {
        word(Value::F64(self.held).word());
        word(self.pos as u64);
        word(self.count);
        self.values.iter().for_each(|v| word(v.to_bits()));
        self.numbers.iter().for_each(|v| word(*v));
    }
}
