//! The two guards of the core thread: an allocator that counts, and a filter of the kernel that kills.
//!
//! Thread      both watch the thread that arms them and no other.
//! Cost        counting is one thread-local word per call of the allocator; the filter costs nothing until it kills.
use core::cell::Cell;
use core::hint::black_box;
use std::alloc::{GlobalAlloc, Layout, System};
use std::io;

/// Calls of the allocator by a watched thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// New blocks, and blocks that grew or shrank.
    pub allocations: u64,
    /// Blocks given back.
    pub releases: u64,
}

thread_local! {
    /// `None`: this thread is not watched. Constant and without a destructor, so looking at it never allocates.
    static TALLY: Cell<Option<Tally>> = const { Cell::new(None) };
}

/// The system's allocator, counted on watched threads.
pub struct Counting;

#[inline]
fn count(one: impl FnOnce(&mut Tally)) {
    // Fails only while the thread is torn down, which a watched thread never is.
    let _ = TALLY.try_with(|cell| {
        if let Some(mut tally) = cell.get() {
            one(&mut tally);
            cell.set(Some(tally));
        }
    });
}

// SAFETY: every call is handed to `System` unchanged; counting touches one thread-local word and cannot unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(|tally| tally.allocations += 1);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(|tally| tally.allocations += 1);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(|tally| tally.releases += 1);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(|tally| tally.allocations += 1);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

/// From here on the calling thread's allocations are counted and its first system call kills the process with SIGSYS. There
/// is no exception, the thread's own end included, and no way back: a guarded thread ends with its process.
pub fn arm() -> io::Result<()> {
    // The allocator keeps this small block at hand, so that a planted allocation does not need the kernel too: each plant
    // is caught by its own guard.
    drop(black_box(Vec::<u64>::with_capacity(4)));
    forbid_system_calls()?;
    TALLY.set(Some(Tally::default()));
    Ok(())
}

/// What the allocator was asked for since `arm`; counting ends.
pub fn tally() -> Tally {
    TALLY.take().unwrap_or_default()
}

fn forbid_system_calls() -> io::Result<()> {
    // One instruction: whatever the call, kill.
    let kill = libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_KILL_PROCESS,
    };
    let mut instructions = [kill];
    let program = libc::sock_fprog { len: instructions.len() as u16, filter: instructions.as_mut_ptr() };
    // SAFETY: the call takes integers only.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `program` and its one instruction live across the call; the kernel copies them.
    if unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The kernel's number of the calling thread.
pub fn thread_no() -> u64 {
    // SAFETY: takes no argument.
    u64::try_from(unsafe { libc::gettid() }).unwrap_or(0)
}

/// The kernel's word on a thread of this process: 0 no filter, 2 a filter.
pub fn filter_mode(thread_no: u64) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/self/task/{thread_no}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Seccomp:")).and_then(|mode| mode.trim().parse().ok())
}

/// A process that is killed on purpose leaves no memory image behind.
pub fn leave_no_core_dump() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a struct of the right type that lives across the call. A failure costs disk space only.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
}
