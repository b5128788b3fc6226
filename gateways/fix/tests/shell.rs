//! The whole order path over real sockets: command ring, shell, FIX session, a venue on a thread of its own, frame ring.
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use support::{Venue, config};
use tercel_event::{Command, CommandKind, Frame, FrameKind, NotSent, SessionEvent, SessionStatus};
use tercel_fix::order::OrderGateway;
use tercel_fix::store::MemoryStore;
use tercel_net::conformance::{Request, order_id};
use tercel_net::{BackOff, Connector, EdgeClock, OrderMachine, OrderShell, SocketOptions, TlsTrust, Url, WallClock};
use tercel_ring::{FrameConsumer, KillWord, PowerOfTwo, Producer, frames, spsc};
use tercel_types::{ClOrdId, DurationNs, Price, Qty};

/// A venue that serves one connection after the other and may be told to drop the current one.
struct VenueThread {
    address: SocketAddr,
    drop_now: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    requests: mpsc::Receiver<Request>,
    thread: Option<JoinHandle<()>>,
}

impl VenueThread {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (drop_now, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (tell, requests) = mpsc::channel();
        let flags = (drop_now.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut venue = Venue::new();
            let mut told = 0;
            while !flags.1.load(Ordering::Relaxed) {
                let Ok((mut socket, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                };
                socket.set_nonblocking(false).unwrap();
                socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
                venue.connected(WallClock.now());
                let mut buf = [0; 4096];
                loop {
                    if flags.0.swap(false, Ordering::Relaxed) || flags.1.load(Ordering::Relaxed) {
                        break;
                    }
                    match socket.read(&mut buf) {
                        Ok(0) => break,
                        Ok(len) => {
                            let answer = venue.receive(&buf[..len], WallClock.now());
                            if socket.write_all(&answer).is_err() || venue.out.closed {
                                break;
                            }
                            for request in &venue.exchange.requests[told..] {
                                let _ = tell.send(*request);
                            }
                            told = venue.exchange.requests.len();
                        }
                        Err(error)
                            if matches!(
                                error.kind(),
                                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                            ) => {}
                        Err(_) => break,
                    }
                }
            }
        });
        Self { address, drop_now, stop, requests, thread: Some(thread) }
    }

    fn next_request(&self) -> Request {
        self.requests.recv_timeout(Duration::from_secs(10)).expect("the venue is asked within 10 s")
    }
}

impl Drop for VenueThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Rig {
    shell: OrderShell<OrderGateway<MemoryStore>>,
    commands: Producer<Command>,
    frames: FrameConsumer,
    /// Kinds of all frames, and the session events, as they came.
    kinds: Vec<FrameKind>,
    events: Vec<u8>,
    not_sent: Vec<NotSent>,
    drain: bool,
}

impl Rig {
    fn new(address: SocketAddr, kill_word: Option<KillWord>, ring_len: usize) -> Self {
        let url = Url::parse(&format!("http://{address}/")).unwrap();
        let connector = Connector {
            trust: TlsTrust::new(None).unwrap(),
            options: SocketOptions::default(),
            clock: Arc::new(WallClock),
            timeout: Duration::from_secs(2),
        };
        let (commands, consumer) = spsc(PowerOfTwo::new(64).unwrap());
        let (producer, frames) = frames(PowerOfTwo::new(ring_len).unwrap());
        let gateway = OrderGateway::new(config(), MemoryStore::new());
        let back_off = BackOff { first: DurationNs::from_millis(1), longest: DurationNs::from_millis(20) };
        let shell = OrderShell::new(gateway, connector, url, consumer, producer, kill_word).with_back_off(back_off);
        Self { shell, commands, frames, kinds: vec![], events: vec![], not_sent: vec![], drain: true }
    }

    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "{what}: {:?} {}",
                self.kinds,
                self.shell.last_failure()
            );
            if !self.shell.turn() {
                std::thread::sleep(Duration::from_micros(200));
            }
            while self.drain
                && let Some(bytes) = self.frames.peek()
            {
                let frame = Frame::parse(bytes).unwrap();
                self.kinds.push(frame.kind().unwrap());
                if let Ok(status) = frame.body::<SessionStatus>() {
                    self.events.push(status.event);
                }
                self.not_sent.extend(frame.body::<NotSent>());
                self.frames.release();
            }
        }
    }

    fn count(&self, kind: FrameKind) -> usize {
        self.kinds.iter().filter(|seen| **seen == kind).count()
    }

    fn command(&mut self, kind: CommandKind, id: u64, orig: u64) {
        let command = Command {
            kind: kind as u8,
            cl_ord_id: order_id(id),
            orig_cl_ord_id: if orig == 0 { ClOrdId::NONE } else { order_id(orig) },
            side: 1,
            tif: b'1',
            ord_type: b'2',
            px: Price(618_000),
            order_qty: Qty(2),
            ..bytemuck::Zeroable::zeroed()
        };
        self.commands.try_push(command).unwrap();
    }
}

#[test]
fn orders_reports_reconnect_and_logout_over_tcp() {
    let venue = VenueThread::start();
    let mut rig = Rig::new(venue.address, None, 1 << 16);
    rig.until("logon", |rig| rig.shell.machine().is_ready());
    rig.command(CommandKind::New, 1, 0);
    rig.until("report", |rig| rig.count(FrameKind::ExecReport) == 1);
    assert_eq!(venue.next_request(), Request::New { cl_ord_id: order_id(1) });
    venue.drop_now.store(true, Ordering::Relaxed);
    rig.until("disconnect", |rig| rig.events.contains(&(SessionEvent::Disconnected as u8)));
    rig.until("second logon", |rig| rig.shell.machine().is_ready());
    rig.command(CommandKind::Cancel, 2, 1);
    rig.until("cancel report", |rig| rig.count(FrameKind::ExecReport) == 2);
    rig.shell.stop();
    rig.until("end", |rig| rig.shell.is_ended());
    assert_eq!(rig.shell.counters().connects, 2);
    assert_eq!(rig.count(FrameKind::Sent), 2);
    assert!(rig.events.ends_with(&[SessionEvent::LoggedOut as u8, SessionEvent::Disconnected as u8]));
    rig.command(CommandKind::New, 3, 0);
    rig.until("an answer after the end", |rig| rig.not_sent.len() == 1);
}

#[test]
fn the_kill_word_cancels_with_the_core_wedged_and_the_ring_full() {
    let venue = VenueThread::start();
    let path = std::env::temp_dir().join(format!("tercel-fix-kill-{}", std::process::id()));
    let word = KillWord::open(&path).unwrap();
    let mut rig = Rig::new(venue.address, Some(word.clone()), 1 << 10);
    rig.until("logon", |rig| rig.shell.machine().is_ready());
    rig.drain = false; // the core does not read any more
    for id in 1..=10 {
        rig.command(CommandKind::New, id, 0);
    }
    rig.until("ten orders", |rig| rig.shell.machine().counters().reports == 10);
    assert!(rig.shell.counters().frames_deferred > 0, "the ring is full");
    word.raise();
    rig.until("all cancelled", |rig| rig.shell.machine().open_orders() == 0);
    let requests: Vec<Request> = (0..20).map(|_| venue.next_request()).collect();
    let cancels = requests.iter().filter(|request| matches!(request, Request::Cancel { .. })).count();
    assert_eq!(cancels, 10);
    rig.command(CommandKind::New, 11, 0);
    rig.drain = true;
    rig.until("the refusal", |rig| rig.not_sent.len() == 1);
    assert_eq!(rig.count(FrameKind::ExecReport), 20, "frames that waited were not lost");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn an_absent_venue_is_tried_again_and_commands_are_refused_meanwhile() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut rig = Rig::new(address, None, 1 << 16);
    rig.command(CommandKind::New, 1, 0);
    rig.until("refusal", |rig| rig.not_sent.len() == 1 && rig.shell.counters().connect_failures >= 3);
    assert!(rig.shell.last_failure().contains("cannot connect"), "{}", rig.shell.last_failure());
}
