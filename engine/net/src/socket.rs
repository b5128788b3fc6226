//! A TCP socket that says when its bytes arrived: the kernel's stamp (SO_TIMESTAMPNS, read as a control message) and the
//! time at which the read returned.
//!
//! Thread      the owner's; blocking or not is the owner's choice.
//! Memory      none of its own: bytes go straight into the caller's buffer.
use crate::SharedClock;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use tercel_types::TimeNs;

/// What is asked of the kernel for a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Ask for kernel receive stamps. A kernel that refuses gives `None` as stamp, not an error.
    pub kernel_stamps: bool,
    /// SO_BUSY_POLL in microseconds; ignored where the kernel refuses it (it may need CAP_NET_ADMIN).
    pub busy_poll_us: Option<u32>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self { kernel_stamps: true, busy_poll_us: None }
    }
}

/// Times of the newest read that brought bytes; engine time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadStamps {
    /// When the read returned.
    pub ts_user: TimeNs,
    /// When the kernel received the newest of those bytes, where it says so.
    pub ts_kernel: Option<TimeNs>,
}

/// A connected TCP socket with TCP_NODELAY.
pub struct Socket {
    tcp: TcpStream,
    clock: SharedClock,
    stamps: ReadStamps,
}

impl Socket {
    /// Takes over a connected stream. Errors: TCP_NODELAY refused, which no usable TCP socket does.
    pub fn new(tcp: TcpStream, options: SocketOptions, clock: SharedClock) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        if options.kernel_stamps {
            // Best effort: without it `ts_kernel` stays `None`.
            let _ = set_option(tcp.as_raw_fd(), libc::SO_TIMESTAMPNS, 1);
        }
        if let Some(us) = options.busy_poll_us {
            let _ = set_option(tcp.as_raw_fd(), libc::SO_BUSY_POLL, i32::try_from(us).unwrap_or(i32::MAX));
        }
        Ok(Self { tcp, clock, stamps: ReadStamps::default() })
    }

    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Stamps of the newest read that brought bytes.
    #[inline]
    pub fn stamps(&self) -> ReadStamps {
        self.stamps
    }

    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }
}

impl Read for Socket {
    /// As `TcpStream::read`, and sets `stamps` when at least one byte came. `WouldBlock` when there is nothing.
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (len, kernel) = loop {
            match receive(self.tcp.as_raw_fd(), buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if len > 0 {
            let ts_user = self.clock.now().engine;
            self.stamps = ReadStamps { ts_user, ts_kernel: kernel.map(|wall| self.clock.engine_of(wall)) };
        }
        Ok(len)
    }
}

impl Write for Socket {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn set_option(fd: RawFd, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` is a live c_int and `len` is its size; the kernel copies it and keeps no pointer.
    let rc = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, name, (&raw const value).cast(), len) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Room for one SCM_TIMESTAMPNS message, aligned as `cmsghdr` asks.
#[repr(C, align(8))]
struct Control([u8; 64]);

// SAFETY: CMSG_SPACE only computes a length.
const _: () = assert!(unsafe { libc::CMSG_SPACE(size_of::<libc::timespec>() as u32) } as usize <= size_of::<Control>());

/// One `recvmsg`: bytes read and the kernel's receive stamp (wall time) of the newest of them.
#[inline]
fn receive(fd: RawFd, buf: &mut [u8]) -> io::Result<(usize, Option<TimeNs>)> {
    let mut control = Control([0; 64]);
    let mut iov = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: `msghdr` is plain data for which all zeros is a value (null pointers, zero lengths).
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control.0).cast();
    message.msg_controllen = size_of::<Control>() as _;
    // SAFETY: `message` points to `iov` (which covers exactly `buf`, borrowed mutably) and to `control`; all three outlive
    // the call and nobody else refers to them. The kernel writes at most the given lengths.
    let got = unsafe { libc::recvmsg(fd, &raw mut message, 0) };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((got as usize, stamp_of(&message)))
}

#[inline]
fn stamp_of(message: &libc::msghdr) -> Option<TimeNs> {
    // SAFETY: `message` was filled by recvmsg, so its control pointer and length describe what the kernel wrote, and the
    // CMSG macros stay inside it. The payload is read unaligned and only after its level, type and length were checked.
    unsafe {
        let mut head = libc::CMSG_FIRSTHDR(message);
        while !head.is_null() {
            let is_stamp = (*head).cmsg_level == libc::SOL_SOCKET && (*head).cmsg_type == libc::SCM_TIMESTAMPNS;
            if is_stamp && (*head).cmsg_len as usize >= libc::CMSG_LEN(size_of::<libc::timespec>() as u32) as usize {
                let ts: libc::timespec = libc::CMSG_DATA(head).cast::<libc::timespec>().read_unaligned();
                return Some(TimeNs(ts.tv_sec.saturating_mul(1_000_000_000).saturating_add(ts.tv_nsec)));
            }
            head = libc::CMSG_NXTHDR(message, head);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EdgeClock, WallClock};
    use std::net::TcpListener;
    use std::sync::Arc;

    fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        (Socket::new(accepted, SocketOptions::default(), Arc::new(WallClock)).unwrap(), peer)
    }

    #[test]
    fn bytes_carry_the_kernel_stamp_and_the_user_stamp() {
        let (mut socket, mut peer) = pair();
        let before = WallClock.wall();
        peer.write_all(b"hello").unwrap();
        let mut buf = [0; 16];
        let len = socket.read(&mut buf).unwrap();
        let after = WallClock.wall();
        assert_eq!(&buf[..len], b"hello");
        let stamps = socket.stamps();
        assert!(before <= stamps.ts_user && stamps.ts_user <= after);
        // The stamp is switched on per host when the first socket asks, so the very first bytes may lack it.
        if let Some(kernel) = stamps.ts_kernel {
            assert!(before <= kernel && kernel <= stamps.ts_user, "{before:?} {kernel:?} {stamps:?}");
        } else {
            println!("this kernel gave no receive stamp");
        }
    }

    #[test]
    fn nothing_to_read_and_end_of_stream_differ() {
        let (mut socket, peer) = pair();
        socket.tcp().set_nonblocking(true).unwrap();
        let mut buf = [0; 16];
        assert_eq!(socket.read(&mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(socket.stamps(), ReadStamps::default());
        drop(peer);
        socket.tcp().set_nonblocking(false).unwrap();
        assert_eq!(socket.read(&mut buf).unwrap(), 0);
    }
}
