//! The engine that runs a strategy, and the ear on it: what every instant came to, sent out as it happens.
use std::sync::mpsc::Sender;
use tercel_event::{Control, Desires, Instant, Manifest, ParamError, Strategy};
use tercel_graph::{Interp, NodeId, Program, Value};
use tercel_jit::JitStrategy;
use tercel_types::TimeNs;

/// What runs the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The reference: walks the graph.
    Interp,
    /// Machine code.
    Jit,
}

impl Engine {
    pub const ALL: [Self; 2] = [Self::Interp, Self::Jit];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Interp => "interpreter",
            Self::Jit => "machine code",
        }
    }
}

/// One instant as the strategy saw it and left it.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub seq: u64,
    pub now: TimeNs,
    /// Clocks of the manifest.
    pub ticks: u64,
    /// Per probe, after the last round.
    pub values: Vec<Value>,
    pub mode: String,
    pub control: Control,
    /// Rules fired and blocked so far.
    pub fired: u64,
    pub blocked: u64,
}

enum Runs {
    Interp(Box<Interp>),
    Jit(Box<JitStrategy>),
}

/// The largest bound that is one for a silence as well, in seconds.
const NO_BOUND: f64 = 1e9;

/// A strategy that reports every instant.
pub(crate) struct Probed {
    runs: Runs,
    probes: Vec<NodeId>,
    heard: Sender<Heard>,
    /// Instants before this frame are not the strategy's: feed and session come up.
    first_seq: u64,
}

impl Probed {
    pub fn new(
        engine: Engine,
        program: Program,
        manifest: Manifest,
        heard: Sender<Heard>,
        first_seq: u64,
    ) -> Result<Self, String> {
        let probes = program.probes.clone();
        let runs = match engine {
            Engine::Interp => Runs::Interp(Box::new(Interp::new(program, manifest).map_err(|e| e.to_string())?)),
            Engine::Jit => Runs::Jit(Box::new(tercel_jit::compile(program, manifest).map_err(|e| e.to_string())?)),
        };
        Ok(Self { runs, probes, heard, first_seq })
    }

    fn strategy(&self) -> &dyn Strategy {
        match &self.runs {
            Runs::Interp(strategy) => strategy.as_ref(),
            Runs::Jit(strategy) => strategy.as_ref(),
        }
    }

    fn strategy_mut(&mut self) -> &mut dyn Strategy {
        match &mut self.runs {
            Runs::Interp(strategy) => strategy.as_mut(),
            Runs::Jit(strategy) => strategy.as_mut(),
        }
    }

    fn value(&self, node: NodeId) -> Value {
        match &self.runs {
            Runs::Interp(strategy) => strategy.value(node),
            Runs::Jit(strategy) => strategy.value(node).expect("machine code keeps every probe"),
        }
    }

    fn counts(&self) -> (u64, u64) {
        let sum = |counts: &mut dyn Iterator<Item = (u64, u64)>| {
            counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
        };
        match &self.runs {
            Runs::Interp(strategy) => sum(&mut strategy.rule_counts()),
            Runs::Jit(strategy) => sum(&mut strategy.rule_counts()),
        }
    }
}

impl Strategy for Probed {
    fn manifest(&self) -> &Manifest {
        self.strategy().manifest()
    }

    fn on_instant(&mut self, instant: &Instant<'_>, out: &mut Desires) {
        if instant.seq < self.first_seq {
            // The core holds the limits at these instants too: bounds that nothing reaches stand in for those to come.
            let bounds: Vec<usize> = self.manifest().limits.iter().map(|limit| limit.bound_slot).collect();
            bounds.into_iter().for_each(|slot| out.values[slot] = NO_BOUND);
            return;
        }
        self.strategy_mut().on_instant(instant, out);
        let (fired, blocked) = self.counts();
        let heard = Heard {
            seq: instant.seq,
            now: instant.now,
            ticks: instant.ticks,
            values: self.probes.iter().map(|probe| self.value(*probe)).collect(),
            mode: self.strategy().mode_name().to_owned(),
            control: out.control,
            fired,
            blocked,
        };
        // Nobody listens while a journal is replayed.
        let _ = self.heard.send(heard);
    }

    fn next_deadline(&self) -> Option<TimeNs> {
        self.strategy().next_deadline()
    }

    fn set_param(&mut self, param_idx: usize, value: f64) -> Result<(), ParamError> {
        self.strategy_mut().set_param(param_idx, value)
    }

    fn digest(&self) -> u64 {
        self.strategy().digest()
    }

    fn mode_name(&self) -> &str {
        self.strategy().mode_name()
    }
}
