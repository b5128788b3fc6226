//! Machine code equals the interpreter, bit for bit: random well-typed programs on random tapes, compared after every
//! instant over desired values, owners, control, deadlines, mode and the digest of all state. The same test must catch
//! every planted defect.
//!
//! `TERCEL_SOAK=1` runs 5,000 programs × 2,000 instants; without it a few hundred.
mod coverage;
mod programs;
mod rng;
mod tape;

use std::time::Instant as Clock;

use tercel_event::{Desires, Strategy};
use tercel_graph::{Interp, NodeId};

use crate::planted::Planted;
use crate::{Opt, Options};
use coverage::Coverage;
use programs::PARAMS;
use rng::Rng;
use tape::Tape;

const INSTANTS: usize = 2_000;

fn soak() -> bool {
    std::env::var_os("TERCEL_SOAK").is_some_and(|v| v == "1")
}

/// What one program's run amounted to.
struct Run {
    /// Starts from scratch, after a halt, a finish or a livelock.
    restarts: usize,
    state_words: usize,
}

/// Everything that must be equal after an instant.
fn compare(jit: &dyn Strategy, interp: &dyn Strategy, got: &Desires, want: &Desires) -> Result<(), String> {
    let differs = |what: &str, got: &dyn core::fmt::Debug, want: &dyn core::fmt::Debug| {
        Err(format!("{what}: machine code {got:?}, interpreter {want:?}"))
    };
    if got.owners != want.owners {
        return differs("owners", &got.owners, &want.owners);
    }
    if got.control != want.control {
        return differs("control", &got.control, &want.control);
    }
    for (slot, (got, want)) in got.values.iter().zip(&want.values).enumerate() {
        if got.to_bits() != want.to_bits() {
            return differs(&format!("slot {slot}"), &(got, got.to_bits()), &(want, want.to_bits()));
        }
    }
    if jit.next_deadline() != interp.next_deadline() {
        return differs("deadline", &jit.next_deadline(), &interp.next_deadline());
    }
    if jit.mode_name() != interp.mode_name() {
        return differs("mode", &jit.mode_name(), &interp.mode_name());
    }
    if jit.digest() != interp.digest() {
        return differs("digest", &jit.digest(), &interp.digest());
    }
    Ok(())
}

/// Runs program `seed` on both engines. `Err` says where they part.
fn differential(
    seed: u64,
    instants: usize,
    planted: Option<Planted>,
    coverage: Option<&mut Coverage>,
) -> Result<Run, String> {
    let mut rng = Rng::new(seed);
    let (program, manifest) = programs::random(&mut rng);
    let options = Options {
        opt: if rng.one_in(2) { Opt::None } else { Opt::Speed },
        chunk: rng.pick(&[1, 7, 50, 200]),
        verify: true,
    };
    let mut jit = crate::build(program.clone(), manifest.clone(), options, planted)
        .map_err(|e| format!("seed {seed}: does not compile: {e}"))?;
    let fresh = || Interp::new(program.clone(), manifest.clone()).map_err(|e| format!("seed {seed}: {e}"));
    let mut interp = fresh()?;
    let mut tape = Tape::new(&mut rng);
    let (mut got, mut want) = (Desires::for_manifest(&manifest), Desires::for_manifest(&manifest));
    if rng.one_in(16) {
        // A caller that takes less than there is gets what it takes.
        got.values.truncate(rng.below(manifest.values_len + 1));
    }
    let mut run = Run { restarts: 0, state_words: program.nodes.iter().map(|n| n.op.state_words()).sum() };
    let mut coverage = coverage;
    for at in 0..instants {
        if want.control != tercel_event::Control::Run {
            run.restarts += 1;
            jit.reset();
            interp = fresh()?;
            want.control = tercel_event::Control::Run;
        }
        if rng.one_in(50) {
            let (param, value) = (rng.below(PARAMS + 1), rng.number());
            let answers = (jit.set_param(param, value), interp.set_param(param, value));
            if format!("{:?}", answers.0) != format!("{:?}", answers.1) {
                return Err(format!("seed {seed}, instant {at}: set_param {answers:?}"));
            }
        }
        tape.step(&mut rng, interp.next_deadline());
        jit.on_instant(&tape.instant(), &mut got);
        interp.on_instant(&tape.instant(), &mut want);
        compare(&jit, &interp, &got, &want)
            .map_err(|what| format!("seed {seed}, instant {at} at {} ns, {options:?}: {what}", tape.now))?;
        if at % 8 == 0
            && let Some(coverage) = coverage.as_deref_mut()
        {
            let values = (0..program.nodes.len()).map(|idx| interp.value(NodeId(idx as u32)));
            coverage.see(program.nodes.iter().map(|n| n.op).zip(values));
        }
    }
    Ok(run)
}

/// The proof itself: `tercel-jit` may only ever be an optimisation.
#[test]
fn machine_code_equals_interpreter_prop() {
    let programs: u64 = if soak() { 5_000 } else { 300 };
    let mut coverage = Coverage::default();
    let (mut restarts, mut words) = (0, 0);
    let start = Clock::now();
    for seed in 0..programs {
        let run = differential(seed, INSTANTS, None, Some(&mut coverage)).unwrap_or_else(|what| panic!("{what}"));
        restarts += run.restarts;
        words += run.state_words;
    }
    println!(
        "{programs} programs x {INSTANTS} instants in {:.1} s, 0 differences; {restarts} restarts, {words} words of state",
        start.elapsed().as_secs_f64()
    );
    println!("{coverage}");
    assert_eq!(coverage.missing(), Vec::<&str>::new(), "every operator must be met, present and absent");
}

/// Each planted defect must make the same test fail, soon.
#[test]
fn every_planted_defect_is_caught() {
    for defect in Planted::ALL {
        let caught =
            (0..400u64).find_map(|seed| differential(seed, INSTANTS, Some(defect), None).err().map(|e| (seed, e)));
        let (seed, what) = caught.unwrap_or_else(|| panic!("{defect:?} is not caught by 400 programs"));
        println!("{defect:?}: caught by program {}: {what}", seed + 1);
    }
}
