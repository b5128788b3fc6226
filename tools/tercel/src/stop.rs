//! Signals of the operating system: SIGINT, SIGTERM and SIGHUP (a closed terminal) end in order, SIGUSR1 raises the kill word.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the signals have asked for so far.
#[derive(Clone)]
pub struct Asked {
    stop: Arc<AtomicBool>,
    kill: Arc<AtomicBool>,
}

impl Asked {
    /// Installs the handlers; a second SIGINT ends the process at once, as people expect.
    pub fn install() -> Result<Self, String> {
        let asked = Self { stop: Arc::default(), kill: Arc::default() };
        let failed = |error: std::io::Error| format!("cannot install signal handlers: {error}");
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
            signal_hook::flag::register_conditional_shutdown(signal, 130, asked.stop.clone()).map_err(failed)?;
            signal_hook::flag::register(signal, asked.stop.clone()).map_err(failed)?;
        }
        signal_hook::flag::register(signal_hook::consts::SIGUSR1, asked.kill.clone()).map_err(failed)?;
        Ok(asked)
    }

    pub fn stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Whether SIGUSR1 has come since the last call: each signal raises the kill word once, so that it can be cleared.
    pub fn take_kill(&self) -> bool {
        self.kill.swap(false, Ordering::SeqCst)
    }
}
