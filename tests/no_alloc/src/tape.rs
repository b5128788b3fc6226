//! The recording as frames, decoded once by the feed gateway's machine, and played again and again: each pass shifts update
//! ids and trade ids past those of the pass before, so that the chain of depth messages never repeats.
use crate::setup;
use tercel_binance::recording::{Player, Recording};
use tercel_binance::{FeedConfig, FeedIo, FeedMachine, RingFull, SocketConfig, frames_of};
use tercel_event::{Bbo, Body, BookDelta, BookSnapshot, Frame, FrameBuf, FrameKind, HEADER_LEN, Trade};
use tercel_types::{InstrumentId, TimeNs};

const RECORDING: &str = "tools/venue/data/btcusdt_usdm_20240808.jsonts.gz";

#[derive(Default)]
struct Capture(Vec<Vec<u8>>);

impl FeedIo for Capture {
    fn push(&mut self, frames: &[u8]) -> Result<(), RingFull> {
        self.0.extend(frames_of(frames).map(<[u8]>::to_vec));
        Ok(())
    }

    fn request_snapshot(&mut self, _instrument: InstrumentId) {
        // The recording holds its snapshot.
    }
}

pub struct Tape {
    frames: Vec<Vec<u8>>,
    /// Ids of one pass, first to last, with a hole behind.
    update_ids: u64,
    trade_ids: u64,
}

impl Tape {
    pub fn load() -> Result<Self, String> {
        let path = setup::root().join(RECORDING);
        let config = FeedConfig {
            source: setup::FEED,
            sockets: vec![SocketConfig {
                ws_url: String::new(),
                streams: ["depth@0ms", "bookTicker", "trade"].map(|s| format!("btcusdt@{s}")).into(),
            }],
            ..FeedConfig::default()
        };
        let mut machine = FeedMachine::new(&config, &setup::instruments());
        let mut capture = Capture::default();
        let recording = Recording::open(&[path]).map_err(|error| error.to_string())?;
        let mut player = Player::new(recording, InstrumentId(0));
        while player.step(&mut machine, &mut capture).map_err(|error| error.to_string())?.is_some() {}
        if !machine.is_live(InstrumentId(0)) {
            return Err("the recording did not make a whole book".into());
        }
        let (mut updates, mut trades) = ((u64::MAX, 0), (u64::MAX, 0));
        let wider = |range: &mut (u64, u64), id: u64| *range = (range.0.min(id), range.1.max(id));
        for bytes in &capture.0 {
            let frame = Frame::parse(bytes).map_err(|error| error.to_string())?;
            match frame.kind() {
                Ok(FrameKind::BookDelta) => wider(&mut updates, body::<BookDelta>(&frame)?.last_update_id),
                Ok(FrameKind::BookSnapshot) => wider(&mut updates, body::<BookSnapshot>(&frame)?.last_update_id),
                Ok(FrameKind::Bbo) => wider(&mut updates, body::<Bbo>(&frame)?.update_id),
                Ok(FrameKind::Trade) => wider(&mut trades, body::<Trade>(&frame)?.trade_id),
                _ => {}
            }
        }
        let span = |range: (u64, u64)| range.1 - range.0 + 1_000_000;
        Ok(Self { frames: capture.0, update_ids: span(updates), trade_ids: span(trades) })
    }

    pub fn len(&self) -> usize {
        self.frames.len()
    }

    pub fn kind(&self, idx: usize) -> Option<FrameKind> {
        Frame::parse(&self.frames[idx]).ok().and_then(|frame| frame.kind().ok())
    }

    /// Frame `idx` of pass `pass` as if it had come at `now`, with number `src_seq` of its source.
    pub fn play(&self, idx: usize, pass: u64, src_seq: u64, now: TimeNs, out: &mut FrameBuf) {
        out.copy_from(&self.frames[idx]);
        let (updates, trades) = (pass * self.update_ids, pass * self.trade_ids);
        let exchange = TimeNs(now.0 - 1_000_000);
        patch::<BookDelta>(out, |b| {
            b.first_update_id += updates;
            b.last_update_id += updates;
            b.prev_update_id += updates;
            (b.ts_exchange, b.ts_recv, b.ts_user) = (exchange, now, now);
        });
        patch::<BookSnapshot>(out, |b| {
            b.last_update_id += updates;
            (b.ts_exchange, b.ts_recv, b.ts_user) = (exchange, now, now);
        });
        patch::<Bbo>(out, |b| {
            b.update_id += updates;
            (b.ts_exchange, b.ts_recv, b.ts_user) = (exchange, now, now);
        });
        patch::<Trade>(out, |b| {
            b.trade_id += trades;
            (b.ts_exchange, b.ts_recv, b.ts_user) = (exchange, now, now);
        });
        patch::<tercel_event::FeedStatus>(out, |b| b.ts_recv = now);
        let mut header = out.frame().header;
        header.src_seq = src_seq;
        out.bytes_mut()[..HEADER_LEN].copy_from_slice(bytemuck::bytes_of(&header));
    }
}

fn body<B: Body>(frame: &Frame<'_>) -> Result<B, String> {
    frame.body().map_err(|error| error.to_string())
}

/// Changes the body of a frame of kind `B`; leaves others alone.
fn patch<B: Body>(buf: &mut FrameBuf, change: impl FnOnce(&mut B)) {
    if buf.frame().kind() != Ok(B::KIND) {
        return;
    }
    if let Ok(mut body) = buf.frame().body::<B>() {
        change(&mut body);
        buf.bytes_mut()[HEADER_LEN..HEADER_LEN + size_of::<B>()].copy_from_slice(bytemuck::bytes_of(&body));
    }
}
