//! Machine code for strategies: lowers a `tercel_graph::Program` with Cranelift. Equal to the interpreter bit for bit, over
//! state, desired values, owners and deadlines; `proof` holds the differential test and its planted defects.
//!
//!   Program ──▶ layout (slab) ──▶ lower (IR, ≤ 200 nodes a function) ──▶ backend (code pages) ──▶ JitStrategy
//!
//! Unsafe code is in `backend` alone: it calls what it compiled.

mod backend;
mod error;
mod layout;
mod lower;
mod planted;
#[cfg(test)]
mod proof;
mod rules;
mod strategy;

use tercel_event::{Chain, Manifest};
use tercel_graph::Program;

pub use backend::ISA_LEVEL;
pub use error::JitError;
pub use strategy::JitStrategy;

use backend::Code;
use layout::Layout;
use lower::Source;
use planted::Planted;

/// Version of what lowering emits: part of the artefact's hash, raised when the same graph gives other code.
const LOWERING_VERSION: u64 = 2;

/// How hard Cranelift optimises. The results are the same bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Opt {
    /// Linear compile time, and as fast to run on every strategy measured (`benches/dsl`).
    #[default]
    None,
    /// Cranelift's optimiser. It sinks values into the blocks of operators that tick and computes them again for later
    /// uses: chains of such operators make seven times the code at 200 nodes, and compile superlinearly.
    Speed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    pub opt: Opt,
    /// Nodes per function, at least 1: compilation is superlinear in it.
    pub chunk: usize,
    /// Run Cranelift's verifier; always on in debug builds.
    pub verify: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { opt: Opt::None, chunk: 200, verify: false }
    }
}

/// Compiles a program with the default options.
/// The manifest's hash becomes the artefact's: [`artefact_hash`] of the one given.
/// Errors: an invalid graph; a processor below [`ISA_LEVEL`]; a failure inside Cranelift.
pub fn compile(program: Program, manifest: Manifest) -> Result<JitStrategy, JitError> {
    compile_with(program, manifest, Options::default())
}

/// [`compile`] with options.
pub fn compile_with(program: Program, manifest: Manifest, options: Options) -> Result<JitStrategy, JitError> {
    build(program, manifest, options, None)
}

/// Hash of source and engine with what machine code adds: the instruction-set level and the lowering's version.
pub fn artefact_hash(hash: u64) -> u64 {
    let mut chain = Chain::default();
    chain.word(hash);
    chain.word(LOWERING_VERSION);
    chain.bytes(ISA_LEVEL.as_bytes());
    chain.0
}

fn build(
    program: Program,
    mut manifest: Manifest,
    options: Options,
    planted: Option<Planted>,
) -> Result<JitStrategy, JitError> {
    program.validate(&manifest)?;
    manifest.hash = artefact_hash(manifest.hash);
    let layout = Layout::new(&program, &manifest, options.chunk.max(1));
    let source = Source { program: &program, manifest: &manifest, layout: &layout, planted };
    let code = Code::compile(source, options)?;
    Ok(JitStrategy::new(program, manifest, layout, code, planted))
}
