//! A venue on one machine: plays a recorded Binance USD-M file over HTTP and WebSocket, takes orders over FIX 4.4 and matches
//! them against the recording by the rules of `tercel-sim`. It keeps its own log, from which a run can be judged.
#![forbid(unsafe_code)]

mod arrivals;
mod config;
mod desk;
mod fault;
mod log;
mod machine;
mod recording;
mod run;
mod ws;

pub use arrivals::{Arrival, ArrivalsError, arrivals_of, read_arrivals};
pub use config::{Start, VenueConfig, btcusdt_perp};
pub use desk::DeskCounters;
pub use fault::{Fault, FaultError, FaultKind};
pub use log::{EVENTS_FILE, FIX_FILE, FixLog, Line, ORDERS_FILE, VenueLog};
pub use machine::{ConnId, HttpAnswer, VenueCore, VenueIo, VenueReport};
pub use recording::{ApplyCounters, Message, Recording, RecordingError, StreamKind};
pub use run::{Ready, VenueError, run};
