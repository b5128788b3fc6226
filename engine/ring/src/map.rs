//! Memory-mapped files: the one place that maps, prefaults and locks.
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A shared mapping of a whole file, unmapped on drop. The file stays open, and with it its `flock`.
/// Whoever may truncate the file can make an access fault (SIGBUS): files mapped here belong to the engine alone (mode
/// 0600); regions that a stranger writes are read by `SlotReader` instead.
pub(crate) struct Mapping {
    base: *mut u8,
    len: usize,
    file: File,
}

// SAFETY: the mapping is shared memory whose accesses are governed by the types built on it (atomics and `publish`).
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

/// How much of a mapping is known to stay in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residency {
    /// The file lies on tmpfs or hugetlbfs: no write-back, no page fault after the first touch.
    pub in_memory: bool,
    /// Every page was touched before use.
    pub prefaulted: bool,
    /// Why the pages are not locked (`mlock`), `None` when they are.
    pub not_locked: Option<String>,
}

impl Mapping {
    /// Creates `path` with `len` bytes of zeros, all of them allocated now: a full disk is an error here, never a fault
    /// later. An existing file is emptied first.
    pub(crate) fn create(path: &Path, len: usize) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        // SAFETY: a plain call on an open descriptor.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, len as libc::off_t) } {
            0 => Self::over(file, len, true),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Maps an existing file, whatever its length.
    pub(crate) fn open(path: &Path, writable: bool) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(writable).open(path)?;
        let len = usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Self::over(file, len, writable)
    }

    fn over(file: File, len: usize, writable: bool) -> io::Result<Self> {
        let protection = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        // SAFETY: a new mapping of `len` bytes at an address of the kernel's choice.
        let base = unsafe { libc::mmap(core::ptr::null_mut(), len, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { base: base.cast(), len, file })
    }

    #[inline]
    pub(crate) fn base(&self) -> *mut u8 {
        self.base
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// An exclusive `flock` for as long as the mapping lives; `false` when another process or mapping has it.
    pub(crate) fn try_lock(&self) -> io::Result<bool> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(std::fs::TryLockError::WouldBlock) => Ok(false),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Touches every page for writing and asks the kernel to keep them; reports what it got.
    pub(crate) fn make_resident(&self) -> Residency {
        const MADV_POPULATE_WRITE: libc::c_int = 23;
        // SAFETY: the range is the mapping; the call changes no content.
        let populated = unsafe { libc::madvise(self.base.cast(), self.len, MADV_POPULATE_WRITE) } == 0;
        // SAFETY: the range is the mapping.
        let locked = unsafe { libc::mlock(self.base.cast(), self.len) } == 0;
        let not_locked = (!locked).then(|| io::Error::last_os_error().to_string());
        Residency { in_memory: self.is_in_memory(), prefaulted: populated || locked, not_locked }
    }

    fn is_in_memory(&self) -> bool {
        const TMPFS_MAGIC: i64 = 0x0102_1994;
        const HUGETLBFS_MAGIC: i64 = 0x9584_58f6;
        // SAFETY: `statfs` is plain integers, for which zero is a value; the call fills it.
        let mut stat: libc::statfs = unsafe { core::mem::zeroed() };
        // SAFETY: an open descriptor and a struct of the right type.
        let known = unsafe { libc::fstatfs(self.file.as_raw_fd(), &mut stat) } == 0;
        known && [TMPFS_MAGIC, HUGETLBFS_MAGIC].contains(&(stat.f_type as i64))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped in `over` with this base and length; every pointer into it is owned beside an `Arc` of this.
        unsafe { libc::munmap(self.base.cast(), self.len) };
    }
}
