//! From a program to callable code: the only file that owns executable memory.
//!
//! Thread      compiled on any thread, called by the one that runs the strategy.
//! Memory      one arena per strategy version: written while read-write, then switched to read-execute for good, freed on
//!             drop. Nothing is ever both writable and executable.
//! Never       `enable_nan_canonicalization` (5 to 12 times slower); a libcall into the host's libm.
use cranelift_codegen::ir::types::{F64, I64};
use cranelift_codegen::ir::{AbiParam, FuncRef, UserFuncName};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable, Flags};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_jit::{ArenaMemoryProvider, JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module};
use tercel_graph::{NodeId, math};
use tercel_types::TimeNs;

use crate::error::JitError;
use crate::layout::Place;
use crate::lower::{Callees, Emit, Source};
use crate::{Opt, Options};

/// The instruction-set level that code is generated for, whatever the host offers: part of the artefact's hash.
#[cfg(target_arch = "x86_64")]
pub const ISA_LEVEL: &str = "x86-64-v2";
#[cfg(target_arch = "aarch64")]
pub const ISA_LEVEL: &str = "armv8.0-a";
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("no pinned instruction-set level for this architecture; the interpreter runs everywhere");

#[cfg(target_arch = "x86_64")]
const ISA_FLAGS: [&str; 6] = ["has_sse3", "has_ssse3", "has_sse41", "has_sse42", "has_popcnt", "has_cmpxchg16b"];
#[cfg(not(target_arch = "x86_64"))]
const ISA_FLAGS: [&str; 0] = [];

/// `(slab, ticks, inputs, signal times, desired values)`. Safety: the slab has the length of the layout that the code was
/// compiled for; inputs, times and values have at least the lengths that manifest and layout say.
type Entry = unsafe extern "C" fn(*mut u64, u64, *const f64, *const TimeNs, *mut f64);

extern "C" fn ln(x: f64) -> f64 {
    math::ln(x)
}

extern "C" fn exp(x: f64) -> f64 {
    math::exp(x)
}

extern "C" fn ew_weight(dt_ns: i64, halflife_ns: i64) -> f64 {
    math::ew_weight(dt_ns, halflife_ns)
}

/// Executable code of one program.
pub(crate) struct Code {
    /// `Some` until drop.
    module: Option<JITModule>,
    statics: Vec<Entry>,
    /// The functions of a round, in order; most programs are one.
    first: Option<Entry>,
    others: Vec<Entry>,
    slab_len: usize,
    inputs_len: usize,
    times_len: usize,
    values_len: usize,
    /// Machine code in bytes, for the report.
    pub bytes: usize,
}

impl Code {
    pub(crate) fn compile(src: Source<'_>, options: Options) -> Result<Self, JitError> {
        let isa = isa(options)?;
        let mut builder = JITBuilder::with_isa(isa, Box::new(|call| format!("no libcall is allowed: {call}")));
        builder.symbols([
            ("tercel_ln", ln as *const u8),
            ("tercel_exp", exp as *const u8),
            ("tercel_ew_weight", ew_weight as *const u8),
        ]);
        // Address space only: pages are touched as code is written.
        let reserve = (1 << 20) + src.program.nodes.len() * 8192;
        let arena = ArenaMemoryProvider::new_with_size(reserve).map_err(|e| JitError::backend(&e))?;
        builder.memory_provider(Box::new(arena));
        let mut compiler =
            Compiler { module: JITModule::new(builder), context: FunctionBuilderContext::new(), bytes: 0 };
        let functions = compiler.functions(src).and_then(|functions| {
            compiler.module.finalize_definitions().map_err(|e| JitError::backend(&e))?;
            Ok(functions)
        });
        // Owned from here on, so that every way out frees the arena.
        let Compiler { module, bytes, .. } = compiler;
        let mut code = Self {
            module: Some(module),
            statics: vec![],
            first: None,
            others: vec![],
            slab_len: src.layout.len,
            inputs_len: src.manifest.inputs.len(),
            times_len: src.manifest.signals.len(),
            values_len: src.layout.values_len,
            bytes,
        };
        let (statics, rounds) = functions?;
        code.statics = statics.into_iter().filter_map(|id| code.entry(id)).collect();
        let mut rounds = rounds.into_iter().filter_map(|id| code.entry(id));
        (code.first, code.others) = (rounds.next(), rounds.collect());
        Ok(code)
    }

    fn entry(&self, id: FuncId) -> Option<Entry> {
        let address = self.module.as_ref()?.get_finalized_function(id);
        // SAFETY: `id` was defined in this module with the signature of `Entry` (five i64 parameters, C calling
        // convention of the host) and finalized; the address stays valid until `Drop` frees the module, and `Entry`
        // values never leave `Code`.
        Some(unsafe { core::mem::transmute::<*const u8, Entry>(address) })
    }

    /// Evaluates what depends on parameters alone. The slab must have been made by the layout of this code.
    pub(crate) fn run_statics(&self, slab: &mut [u64]) {
        assert_eq!(slab.len(), self.slab_len, "the slab is another program's");
        for entry in &self.statics {
            // SAFETY: as in `run_round`; what depends on parameters alone reads neither inputs nor signal times
            // (`layout::is_static`) and writes no desired value (`layout::direct`), so their addresses are never used.
            unsafe { entry(slab.as_mut_ptr(), 0, core::ptr::null(), core::ptr::null(), core::ptr::null_mut()) };
        }
    }

    /// Evaluates one round; `false`, and nothing done, when inputs, times or values do not reach every index of the program.
    #[inline]
    pub(crate) fn run_round(
        &self,
        slab: &mut [u64],
        ticks: u64,
        inputs: &[f64],
        times: &[TimeNs],
        values: &mut [f64],
    ) -> bool {
        assert_eq!(slab.len(), self.slab_len, "the slab is another program's");
        if inputs.len() < self.inputs_len || times.len() < self.times_len || values.len() < self.values_len {
            return false;
        }
        let mut run = |entry: Entry| {
            // SAFETY: the slab has the length that every offset in the code was laid out for; ring positions, the only
            // computed offsets, are kept below their ring's length by the code that writes them. `&mut` bars any other
            // access meanwhile. Inputs and times are read only, at indices of the manifest (`Program::validate`), values are
            // written only, at slots of `Layout::direct`; all three reach those, and are borrowed for the call. `TimeNs` is
            // an i64. The code is finalized and its module lives in `self`.
            unsafe { entry(slab.as_mut_ptr(), ticks, inputs.as_ptr(), times.as_ptr(), values.as_mut_ptr()) };
        };
        if let Some(first) = self.first {
            run(first);
            self.others.iter().for_each(|other| run(*other));
        }
        true
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: `&mut self` proves that no function of the module is running, since they are called through
            // `&self` only and return before that borrow ends; their addresses die with `self`.
            unsafe { module.free_memory() };
        }
    }
}

fn isa(options: Options) -> Result<OwnedTargetIsa, JitError> {
    #[cfg(target_arch = "x86_64")]
    if !(std::is_x86_feature_detected!("sse4.2") && std::is_x86_feature_detected!("popcnt")) {
        return Err(JitError::Host { level: ISA_LEVEL });
    }
    let mut flags = settings::builder();
    let opt_level = if options.opt == Opt::Speed { "speed" } else { "none" };
    let verify = if cfg!(debug_assertions) || options.verify { "true" } else { "false" };
    for (name, value) in [
        ("opt_level", opt_level),
        ("enable_verifier", verify),
        ("is_pic", "false"),
        ("use_colocated_libcalls", "false"),
        ("enable_probestack", "false"),
        ("unwind_info", "false"),
    ] {
        flags.set(name, value).map_err(|e| JitError::backend(&e))?;
    }
    let mut builder = cranelift_native::builder_with_options(false).map_err(|e| JitError::backend(&e))?;
    for flag in ISA_FLAGS {
        builder.enable(flag).map_err(|e| JitError::backend(&e))?;
    }
    builder.finish(Flags::new(flags)).map_err(|e| JitError::backend(&e))
}

struct Compiler {
    module: JITModule,
    context: FunctionBuilderContext,
    bytes: usize,
}

type Chunks = (Vec<FuncId>, Vec<FuncId>);

impl Compiler {
    /// One function per chunk of static nodes, and of the others.
    fn functions(&mut self, src: Source<'_>) -> Result<Chunks, JitError> {
        let mut chunks = [vec![], vec![]];
        for (idx, place) in src.layout.place.iter().enumerate() {
            let (list, chunk): (&mut Vec<Vec<NodeId>>, usize) = match *place {
                Place::Literal => continue,
                Place::Static(chunk) => (&mut chunks[0], chunk),
                Place::Round(chunk) => (&mut chunks[1], chunk),
            };
            list.resize_with(list.len().max(chunk + 1), Vec::new);
            list[chunk].push(NodeId(idx as u32));
        }
        let [statics, rounds] = chunks;
        let mut define = |nodes: Vec<Vec<NodeId>>| -> Result<Vec<FuncId>, JitError> {
            nodes.iter().map(|nodes| self.function(src, nodes)).collect()
        };
        Ok((define(statics)?, define(rounds)?))
    }

    fn function(&mut self, src: Source<'_>, nodes: &[NodeId]) -> Result<FuncId, JitError> {
        let backend = |e| JitError::backend(&e);
        let mut signature = self.module.make_signature();
        signature.params.extend([AbiParam::new(I64); 5]);
        let id = self.module.declare_anonymous_function(&signature).map_err(backend)?;
        let mut context = self.module.make_context();
        context.func.signature = signature;
        context.func.name = UserFuncName::user(0, id.as_u32());
        let mut callee = |name: &str, params: &[_]| -> Result<FuncRef, JitError> {
            let mut signature = self.module.make_signature();
            signature.params.extend(params.iter().map(|ty| AbiParam::new(*ty)));
            signature.returns.push(AbiParam::new(F64));
            let id = self.module.declare_function(name, Linkage::Import, &signature).map_err(backend)?;
            Ok(self.module.declare_func_in_func(id, &mut context.func))
        };
        let callees = Callees {
            ln: callee("tercel_ln", &[F64])?,
            exp: callee("tercel_exp", &[F64])?,
            ew_weight: callee("tercel_ew_weight", &[I64, I64])?,
        };
        let mut emit = Emit::new(src, FunctionBuilder::new(&mut context.func, &mut self.context), callees);
        nodes.iter().for_each(|node| emit.node(*node));
        emit.finish(self.module.target_config());
        self.module.define_function(id, &mut context).map_err(backend)?;
        self.bytes += context.compiled_code().map_or(0, |code| code.code_buffer().len());
        Ok(id)
    }
}
