use crate::error::JournalError;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// Two processes never write one journal: an exclusive `flock` on a file of the directory, gone with the process.
#[derive(Debug)]
pub struct JournalLock {
    dir: PathBuf,
    _file: File,
}

impl JournalLock {
    /// Creates the directory when it is missing. Errors: `Locked`, `Io`.
    pub fn acquire(dir: &Path) -> Result<Self, JournalError> {
        std::fs::create_dir_all(dir).map_err(JournalError::io("create", dir))?;
        let path = dir.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(JournalError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { dir: dir.to_path_buf(), _file: file }),
            Err(TryLockError::WouldBlock) => Err(JournalError::Locked { path: dir.to_path_buf() }),
            Err(TryLockError::Error(source)) => Err(JournalError::io("lock", &path)(source)),
        }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}
