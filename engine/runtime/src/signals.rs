//! Reads the signal slots and turns what is new and whole into frames. Runs on a side thread: each look is a `pread`, so a
//! truncated or missing file is a fault of the signal and never one of the engine.
use std::path::Path;
use tercel_event::{Signal, SignalFault, sources, write_frame};
use tercel_ring::{Counter, FrameProducer, Slot, SlotFault, SlotReader};
use tercel_types::{DurationNs, Problem, TimeNs};

/// One signal of the run, in configuration order.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalSlotConfig {
    pub model: String,
    pub slot_idx: usize,
    pub schema: u16,
    /// Values outside are refused, in the unit of the signal's declaration.
    pub lo: f64,
    pub hi: f64,
}

impl SignalSlotConfig {
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.lo.partial_cmp(&self.hi) != Some(std::cmp::Ordering::Less) {
            problems.push(Problem {
                key: "signal.lo".into(),
                seen: format!("{} .. {}", self.lo, self.hi),
                allowed: "lo below hi".into(),
                help: "give the range of values that the model can produce".into(),
            });
        }
        problems
    }
}

/// What the reader has seen; shared with the report.
#[derive(Clone, Debug, Default)]
pub struct SignalCounters {
    pub values: Counter,
    pub withdrawn: Counter,
    pub faults: Counter,
    pub ring_full: Counter,
}

struct Followed {
    config: SignalSlotConfig,
    publish_seq: u64,
    /// What the core was last told, so that a fault is told once.
    told: Option<Result<(), SignalFault>>,
}

pub struct SignalReader {
    slots: SlotReader,
    followed: Vec<Followed>,
    ring: FrameProducer,
    src_seq: u64,
    looks: u64,
    counters: SignalCounters,
}

/// A publisher's clock may be this far ahead of ours.
const FUTURE: DurationNs = DurationNs::from_secs(1);

impl SignalReader {
    pub fn new(path: &Path, signals: Vec<SignalSlotConfig>, ring: FrameProducer, counters: SignalCounters) -> Self {
        let followed = signals.into_iter().map(|config| Followed { config, publish_seq: 0, told: None }).collect();
        Self { slots: SlotReader::new(path), followed, ring, src_seq: 0, looks: 0, counters }
    }

    /// Looks at every slot once; `true` when something was new. `now` is engine time.
    pub fn poll(&mut self, now: TimeNs) -> bool {
        self.looks += 1;
        if self.looks.is_multiple_of(256) {
            self.slots.refresh();
        }
        let mut worked = false;
        for at in 0..self.followed.len() {
            let read = self.slots.read(self.followed[at].config.slot_idx);
            worked |= self.judge(at, read, now);
        }
        worked
    }

    fn judge(&mut self, at: usize, read: Result<Slot, SlotFault>, now: TimeNs) -> bool {
        let followed = &self.followed[at];
        let (slot, verdict) = match read {
            Ok(slot) if slot.publish_seq == followed.publish_seq && followed.told == Some(Ok(())) => return false,
            Ok(slot) => (slot, judge_slot(&slot, &followed.config, now)),
            Err(SlotFault::Writing) => return false,
            Err(SlotFault::Unreadable | SlotFault::Short | SlotFault::Empty) => {
                (Slot::default(), Err(SignalFault::Missing))
            }
            Err(SlotFault::Version | SlotFault::Checksum) => (Slot::default(), Err(SignalFault::Malformed)),
        };
        if verdict.is_err() && followed.told == Some(verdict) {
            self.followed[at].publish_seq = slot.publish_seq;
            return false;
        }
        match verdict {
            Ok(()) => self.counters.values.increment(),
            Err(SignalFault::Withdrawn) => self.counters.withdrawn.increment(),
            Err(_) => self.counters.faults.increment(),
        }
        let body = Signal {
            signal: at as u32,
            valid: u32::from(verdict.is_ok()),
            value: if verdict.is_ok() { slot.value } else { 0.0 },
            confidence: if verdict.is_ok() { slot.confidence } else { 0.0 },
            model_id: slot.model_id,
            publish_seq: slot.publish_seq,
            ts_features: slot.ts_features,
            ts_published: slot.ts_published,
            fault: verdict.err().map_or(0, |fault| fault as u64),
        };
        let mut frame = [0; 128];
        let Some(len) = write_frame(&mut frame, sources::SIGNALS, self.src_seq + 1, 0, &body, &[]) else {
            return false;
        };
        if self.ring.push(&frame[..len]).is_err() {
            self.counters.ring_full.increment();
            return false; // not remembered as told: the next look tries again
        }
        self.src_seq += 1;
        self.followed[at].publish_seq = slot.publish_seq;
        self.followed[at].told = Some(verdict);
        true
    }
}

fn judge_slot(slot: &Slot, config: &SignalSlotConfig, now: TimeNs) -> Result<(), SignalFault> {
    if !slot.valid {
        return Err(SignalFault::Withdrawn);
    }
    if slot.schema != config.schema {
        return Err(SignalFault::Schema);
    }
    if slot.ts_features.since(now).0 > FUTURE.0 || slot.ts_published.since(now).0 > FUTURE.0 {
        return Err(SignalFault::Future);
    }
    // False for NaN, so NaN is out of range too.
    let inside = slot.value >= config.lo && slot.value <= config.hi && (0.0..=1.0).contains(&slot.confidence);
    if inside { Ok(()) } else { Err(SignalFault::Range) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use tercel_event::Frame;
    use tercel_ring::{FrameConsumer, PowerOfTwo, SlotWriter, frames};

    fn setup(name: &str) -> (PathBuf, SignalReader, FrameConsumer) {
        let path = std::env::temp_dir().join(format!("tercel-signals-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let (producer, consumer) = frames(PowerOfTwo::new(1 << 17).unwrap());
        let config = SignalSlotConfig { model: "m".into(), slot_idx: 0, schema: 3, lo: -50.0, hi: 50.0 };
        (path.clone(), SignalReader::new(&path, vec![config], producer, SignalCounters::default()), consumer)
    }

    fn pop(consumer: &mut FrameConsumer) -> Option<Signal> {
        let signal = Frame::parse(consumer.peek()?).unwrap().body().unwrap();
        consumer.release();
        Some(signal)
    }

    #[test]
    fn every_bad_slot_is_absent_once_and_a_good_one_is_used() {
        let (path, mut reader, mut consumer) = setup("bad");
        let now = TimeNs(10_000_000_000);
        reader.poll(now);
        assert_eq!(pop(&mut consumer).unwrap().fault, SignalFault::Missing as u64);
        reader.poll(now);
        assert_eq!(pop(&mut consumer), None, "told once");
        let mut writer = SlotWriter::create(&path, 1).unwrap();
        let good = Slot {
            schema: 3,
            valid: true,
            value: 1.5,
            confidence: 0.5,
            ts_features: now,
            ts_published: now,
            publish_seq: 1,
            model_id: 7,
        };
        let cases = [
            (good, 0),
            (Slot { value: f64::NAN, publish_seq: 2, ..good }, SignalFault::Range as u64),
            (Slot { value: 51.0, publish_seq: 3, ..good }, SignalFault::Range as u64),
            (Slot { schema: 4, publish_seq: 4, ..good }, SignalFault::Schema as u64),
            (Slot { ts_features: TimeNs(now.0 + 2_000_000_000), publish_seq: 5, ..good }, SignalFault::Future as u64),
            (Slot { valid: false, publish_seq: 6, ..good }, SignalFault::Withdrawn as u64),
        ];
        for (slot, fault) in cases {
            writer.write(0, &slot).unwrap();
            reader.poll(now);
            if slot.publish_seq == 3 {
                assert_eq!(pop(&mut consumer), None, "the same fault is told once");
                continue;
            }
            let signal = pop(&mut consumer).unwrap_or_else(|| panic!("nothing for publish_seq {}", slot.publish_seq));
            assert_eq!(
                (signal.fault, signal.valid),
                (fault, u32::from(fault == 0)),
                "publish_seq {}",
                slot.publish_seq
            );
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_truncated_file_is_absent_and_comes_back() {
        let (path, mut reader, mut consumer) = setup("short");
        let now = TimeNs(10_000_000_000);
        let good = Slot {
            schema: 3,
            valid: true,
            value: 1.5,
            confidence: 0.5,
            ts_features: now,
            ts_published: now,
            publish_seq: 1,
            model_id: 7,
        };
        SlotWriter::create(&path, 1).unwrap().write(0, &good).unwrap();
        reader.poll(now);
        assert_eq!(pop(&mut consumer).unwrap().valid, 1);
        std::fs::File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
        reader.poll(now);
        assert_eq!(pop(&mut consumer).unwrap().fault, SignalFault::Missing as u64);
        SlotWriter::create(&path, 1).unwrap().write(0, &good).unwrap();
        reader.poll(now);
        assert_eq!(pop(&mut consumer).unwrap().valid, 1);
        std::fs::remove_file(path).unwrap();
    }
}
