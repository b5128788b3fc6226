//! Which threads there are, where they are pinned and how they wait. Decided once, said in the start line.
use std::time::Duration;
use tercel_ring::WaitStrategy;
use tercel_types::Problem;

/// Settings of the edges; the core is always one thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopologyConfig {
    /// `None`: chosen from the number of processors.
    pub wait: Option<WaitStrategy>,
    pub core_cpu: Option<usize>,
    pub feed_cpu: Option<usize>,
    pub order_cpu: Option<usize>,
    pub journal_cpu: Option<usize>,
}

/// What runs, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    pub core_wait: WaitStrategy,
    pub gateway_wait: WaitStrategy,
    pub side_wait: WaitStrategy,
    pub core_cpu: Option<usize>,
    pub feed_cpu: Option<usize>,
    pub order_cpu: Option<usize>,
    pub journal_cpu: Option<usize>,
    pub cpus: usize,
    pub why: String,
}

/// Threads that may spin: core, feed, order.
const SPINNERS: usize = 3;

impl TopologyConfig {
    pub fn validate(&self, cpus: usize) -> Vec<Problem> {
        let pins = [
            ("core_cpu", self.core_cpu),
            ("feed_cpu", self.feed_cpu),
            ("order_cpu", self.order_cpu),
            ("journal_cpu", self.journal_cpu),
        ];
        let mut problems = Vec::new();
        for (at, (key, cpu)) in pins.iter().enumerate() {
            let Some(cpu) = cpu else { continue };
            if *cpu >= cpus {
                problems.push(Problem {
                    key: format!("topology.{key}"),
                    seen: cpu.to_string(),
                    allowed: format!("0 .. {}", cpus.saturating_sub(1)),
                    help: "this host has no such processor".into(),
                });
            }
            if self.wait == Some(WaitStrategy::Spin)
                && let Some((other, _)) = pins[..at].iter().find(|(_, pin)| *pin == Some(*cpu))
            {
                problems.push(Problem {
                    key: format!("topology.{key}"),
                    seen: format!("processor {cpu}, which `{other}` spins on"),
                    allowed: "a processor of its own for each spinning thread".into(),
                    help: "pin it elsewhere, or set wait = \"park\"".into(),
                });
            }
        }
        problems
    }

    /// Fills in what is not configured. With a processor for each spinning thread and one to spare the hot threads spin and
    /// are pinned; otherwise they park, because a spinning thread would only keep the others from running.
    pub fn resolve(&self, cpus: usize) -> Topology {
        let park = WaitStrategy::Park { spins: 64, max: Duration::from_micros(50) };
        let roomy = cpus > SPINNERS;
        let wait = self.wait.unwrap_or(if roomy { WaitStrategy::Spin } else { park });
        let spin = wait == WaitStrategy::Spin;
        let pin = |configured: Option<usize>, default: usize| configured.or((spin && roomy).then_some(default));
        let why = match (self.wait, roomy) {
            (Some(_), _) => "as configured".to_owned(),
            (None, true) => format!("{cpus} processors, {SPINNERS} threads may spin"),
            (None, false) => format!("{cpus} processors are too few for {SPINNERS} spinning threads"),
        };
        Topology {
            core_wait: wait,
            gateway_wait: wait,
            side_wait: WaitStrategy::PARK,
            core_cpu: pin(self.core_cpu, cpus.saturating_sub(1)),
            feed_cpu: pin(self.feed_cpu, cpus.saturating_sub(2)),
            order_cpu: pin(self.order_cpu, cpus.saturating_sub(3)),
            journal_cpu: self.journal_cpu,
            cpus,
            why,
        }
    }
}

impl Topology {
    /// One line for people: what runs, where, and why.
    pub fn line(&self) -> String {
        let at = |cpu: Option<usize>| cpu.map_or("any".to_owned(), |cpu| format!("cpu {cpu}"));
        format!(
            "core {} on {}, feed and order {} on {} and {}, journal {} on {}; {}",
            self.core_wait.word(),
            at(self.core_cpu),
            self.gateway_wait.word(),
            at(self.feed_cpu),
            at(self.order_cpu),
            self.side_wait.word(),
            at(self.journal_cpu),
            self.why
        )
    }
}

/// Pins the calling thread; `false` when the host does not allow it.
pub fn pin(cpu: Option<usize>) -> bool {
    match cpu {
        Some(id) => core_affinity::set_for_current(core_affinity::CoreId { id }),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processors_park_and_eight_spin() {
        let small = TopologyConfig::default().resolve(2);
        assert!(matches!(small.core_wait, WaitStrategy::Park { .. }));
        assert_eq!(small.core_cpu, None);
        assert!(small.line().contains("too few"), "{}", small.line());
        let large = TopologyConfig::default().resolve(8);
        assert_eq!((large.core_wait, large.core_cpu, large.order_cpu), (WaitStrategy::Spin, Some(7), Some(5)));
    }

    #[test]
    fn two_spinners_on_one_processor_are_a_problem() {
        let config = TopologyConfig {
            wait: Some(WaitStrategy::Spin),
            core_cpu: Some(1),
            feed_cpu: Some(1),
            order_cpu: Some(9),
            ..Default::default()
        };
        let problems = config.validate(2);
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
