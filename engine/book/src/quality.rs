use tercel_event::Phase;

/// What is wrong with a book; a set, since several things can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults(u8);

impl Faults {
    pub const NONE: Self = Self(0);
    /// An update is missing, malformed, or lies beyond what the book could hold.
    pub const GAP: Self = Self(1);
    /// No sign of life for longer than configured.
    pub const STALE: Self = Self(2);
    /// Best bid ≥ best ask at the end of a frame in `Continuous`.
    pub const CROSSED: Self = Self(4);
    /// The venue's checksum differs from ours.
    pub const CHECKSUM: Self = Self(8);
    /// No snapshot since the session came up, or a rebuild is under way.
    pub const RECOVERING: Self = Self(16);
    pub const DISCONNECTED: Self = Self(32);

    const NAMES: [(Self, &'static str); 6] = [
        (Self::GAP, "gap"),
        (Self::STALE, "stale"),
        (Self::CROSSED, "crossed"),
        (Self::CHECKSUM, "checksum"),
        (Self::RECOVERING, "recovering"),
        (Self::DISCONNECTED, "disconnected"),
    ];

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The words of the set, in a fixed order; for reports.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(fault, _)| self.contains(*fault)).map(|(_, name)| name)
    }
}

/// How far a book can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quality {
    pub faults: Faults,
    pub phase: Phase,
}

impl Quality {
    /// No fault, and the instrument trades continuously.
    #[inline]
    pub const fn is_live(self) -> bool {
        self.faults.is_empty() && matches!(self.phase, Phase::Continuous)
    }
}

/// Why a book asks to be rebuilt from a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ResyncReason {
    /// The update does not follow the one before.
    Gap = 1,
    Crossed = 2,
    Checksum = 3,
    /// Far levels that did not fit have come near the touch.
    Truncated = 4,
    /// A frame that cannot be true: negative quantity, lying counts, parts out of order.
    Malformed = 5,
}
