//! The kill word: one word in a mapped file that means *everything*. Console, API, file watcher and signal handler raise
//! it, and every order gateway reads it before every write.
use crate::map::Mapping;
use core::sync::atomic::{AtomicU32, Ordering};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A handle on the word; clones and other processes see the same one. It outlives the process: a restart under a raised
/// word does not trade until somebody clears it.
#[derive(Clone)]
pub struct KillWord(Arc<Mapping>);

impl KillWord {
    /// Opens the word at `path`, creating it lowered when the file is missing or too short.
    pub fn open(path: &Path) -> io::Result<Self> {
        const LEN: u64 = 4096;
        let file = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if file.metadata()?.len() < LEN {
            file.set_len(LEN)?;
        }
        Ok(Self(Arc::new(Mapping::open(path, true)?)))
    }

    #[inline]
    fn word(&self) -> &AtomicU32 {
        // SAFETY: the mapping is at least a page, page-aligned, and the word is only ever accessed atomically.
        unsafe { AtomicU32::from_ptr(self.0.base().cast()) }
    }

    /// One store: may be called from a signal handler.
    #[inline]
    pub fn raise(&self) {
        self.word().store(1, Ordering::SeqCst); // ORDERING: pairs with `is_raised`
    }

    pub fn clear(&self) {
        self.word().store(0, Ordering::SeqCst);
    }

    /// Any value but 0 counts as raised.
    #[inline]
    pub fn is_raised(&self) -> bool {
        self.word().load(Ordering::Acquire) != 0 // ORDERING: pairs with `raise`
    }
}

#[cfg(test)]
mod tests {
    use super::KillWord;

    #[test]
    fn every_handle_sees_the_word_and_it_outlives_them() {
        let path = std::env::temp_dir().join(format!("tercel-kill-{}", std::process::id()));
        let (one, two) = (KillWord::open(&path).unwrap(), KillWord::open(&path).unwrap());
        assert!(!two.is_raised());
        one.raise();
        assert!(two.is_raised());
        drop((one, two));
        let three = KillWord::open(&path).unwrap();
        assert!(three.is_raised(), "a restart finds the word raised");
        three.clear();
        assert!(!three.is_raised());
        std::fs::remove_file(path).unwrap();
    }
}
