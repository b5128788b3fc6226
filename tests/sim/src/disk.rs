//! What outlives a crash beside the log: the FIX message store. A process that is dead writes nothing any more.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tercel_fix::{MemoryStore, Store, StoreError};
use tercel_types::ClOrdId;

struct State {
    store: MemoryStore,
    dead: bool,
}

/// A message store that is shared with the simulation. One thread uses it; the lock is there because stores can be sent.
#[derive(Clone)]
pub struct Disk(Arc<Mutex<State>>);

impl Disk {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State { store: MemoryStore::new(), dead: false })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process that writes here dies.
    pub fn die(&self) {
        self.state().dead = true;
    }

    /// Another process opens the file.
    pub fn open(&self) -> Self {
        self.state().dead = false;
        self.clone()
    }

    fn alive(&self, write: impl FnOnce(&mut MemoryStore)) {
        let mut state = self.state();
        if !state.dead {
            write(&mut state.store);
        }
    }
}

impl Store for Disk {
    fn next_out(&self) -> u32 {
        self.state().store.next_out()
    }

    fn next_in(&self) -> u32 {
        self.state().store.next_in()
    }

    fn append(&mut self, msg_seq_num: u32, cl_ord_id: ClOrdId, message: &[u8]) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.dead { Ok(()) } else { state.store.append(msg_seq_num, cl_ord_id, message) }
    }

    fn skip_out(&mut self, next_out: u32) {
        self.alive(|store| store.skip_out(next_out));
    }

    fn set_next_in(&mut self, next_in: u32) {
        self.alive(|store| store.set_next_in(next_in));
    }

    fn reset(&mut self) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.dead { Ok(()) } else { state.store.reset() }
    }

    fn sent(&self, msg_seq_num: u32, out: &mut Vec<u8>) -> bool {
        self.state().store.sent(msg_seq_num, out)
    }

    fn find(&self, cl_ord_id: ClOrdId) -> Option<u32> {
        self.state().store.find(cl_ord_id)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
