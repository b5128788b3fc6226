//! A violation on purpose, deep inside the core thread: in a strategy, in the middle of a step.
use std::str::FromStr;
use tercel_event::{Desires, Instant, Manifest, ParamError, Strategy};
use tercel_types::TimeNs;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    None,
    /// One `Vec` grows, once.
    Growth,
    /// One `getpid`, once.
    SystemCall,
    /// One line of log, once.
    LogLine,
    /// No strategy at all: the thread parks when it is idle, instead of spinning.
    Park,
}

impl FromStr for Plant {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "none" => Ok(Self::None),
            "growth" => Ok(Self::Growth),
            "syscall" => Ok(Self::SystemCall),
            "log" => Ok(Self::LogLine),
            "park" => Ok(Self::Park),
            other => Err(format!("`{other}` is no plant; there are none, growth, syscall, log, park")),
        }
    }
}

/// The strategy as it is, but for one instant.
pub struct Planted {
    pub inner: Box<dyn Strategy>,
    pub plant: Plant,
    /// The first instant of this sequence number or a later one does it.
    pub at_seq: u64,
    pub grown: Vec<u64>,
}

impl Strategy for Planted {
    fn manifest(&self) -> &Manifest {
        self.inner.manifest()
    }

    fn on_instant(&mut self, instant: &Instant<'_>, out: &mut Desires) {
        if instant.seq >= self.at_seq {
            match self.plant {
                Plant::None | Plant::Park => {}
                Plant::LogLine => eprintln!("one line"),
                Plant::Growth => self.grown.push(instant.seq),
                // SAFETY: takes no argument.
                Plant::SystemCall => drop(core::hint::black_box(unsafe { libc::getpid() })),
            }
            self.plant = Plant::None;
        }
        self.inner.on_instant(instant, out);
    }

    fn next_deadline(&self) -> Option<TimeNs> {
        self.inner.next_deadline()
    }

    fn set_param(&mut self, param_idx: usize, value: f64) -> Result<(), ParamError> {
        self.inner.set_param(param_idx, value)
    }

    fn digest(&self) -> u64 {
        self.inner.digest()
    }

    fn mode_name(&self) -> &str {
        self.inner.mode_name()
    }
}
