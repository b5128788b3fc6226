//! Threads around the core: the core loop, the sequenced log behind it, signals, features, clock, topology.
//!
//! Gateways are wired up in `tools`; here they are only rings. `unsafe` is allowed in this crate and used for one call.

mod clock;
mod core_loop;
mod crash;
mod features;
mod journal_station;
mod log_sink;
mod signals;
mod station;
mod topology;

pub use clock::TscClock;
pub use core_loop::{Class, CommandRing, CoreCells, CoreLoop, SourceRing};
pub use crash::{CRASH_POINTS, CrashPlan};
pub use features::{FeatureBuilder, FeatureFile};
pub use journal_station::{Durability, JournalStation, LatencyNs};
pub use log_sink::{EdgeLog, MappedLog};
pub use signals::{SignalCounters, SignalReader, SignalSlotConfig};
pub use station::{Station, spawn};
pub use topology::{Topology, TopologyConfig, pin};
