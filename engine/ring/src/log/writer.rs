use super::header::{Identity, LogWords, NO_CURSOR};
use super::reader::GatingReader;
use super::{CAPACITY_MIN, LagStep, LogConfig, LogError, NAME_LEN, READERS_MAX};
use crate::frames::payload_of;
use crate::map::{Mapping, Residency};
use crate::publish::{Follower, MAX_FRAME_LEN, Next, PREFIX_LEN, Publisher, PushError, WatchedWords, Words};
use core::sync::atomic::Ordering;
use std::path::{Path, PathBuf};

/// The writing end of a log.
pub struct LogWriter {
    publisher: Publisher<LogWords>,
    identity: Identity,
    residency: Residency,
    path: PathBuf,
}

impl LogWriter {
    /// A new log, which takes the place of an old one at the same path only once it is whole.
    /// Errors: `Capacity`, `Busy` when another process writes the old one, `Io`.
    pub fn create(config: &LogConfig) -> Result<Self, LogError> {
        if config.capacity.get() < CAPACITY_MIN {
            return Err(LogError::Capacity { seen: config.capacity.get() });
        }
        let identity = Identity::of(config);
        let len = super::header::HEADER_LEN + config.capacity.get();
        let failed = |source| LogError::Io { path: config.path.clone(), len: len as u64, source };
        if let Ok((old, _)) = LogWords::open(&config.path, false)
            && !old.map().try_lock().map_err(failed)?
        {
            return Err(LogError::Busy { path: config.path.clone() });
        }
        let mut fresh = config.path.clone().into_os_string();
        fresh.push(".new");
        let map = Mapping::create(Path::new(&fresh), len).map_err(failed)?;
        if !map.try_lock().map_err(failed)? {
            return Err(LogError::Busy { path: config.path.clone() });
        }
        let residency = map.make_resident();
        let words = LogWords::create(map, &identity);
        std::fs::rename(&fresh, &config.path).map_err(failed)?;
        Ok(Self { publisher: Publisher::new(words, 0, 0), identity, residency, path: config.path.clone() })
    }

    /// Takes an existing log over at its tail. Its gating readers keep their cursors; attach them again by name.
    /// Errors: `Busy`, `Format`, `NoCursor`, `Damaged`, `Io`.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let (words, identity) = LogWords::open(path, true)?;
        let failed = |source| LogError::Io { path: path.to_path_buf(), len: 0, source };
        if !words.map().try_lock().map_err(failed)? {
            return Err(LogError::Busy { path: path.to_path_buf() });
        }
        let residency = words.map().make_resident();
        let start = super::recovery::start(&words, path)?;
        let mut follower = Follower::new(words.clone(), 0, start);
        loop {
            match follower.look() {
                Next::Empty => break,
                Next::Frame { len, .. } if follower.position() - start < identity.capacity => follower.advance(len),
                Next::Frame { len, .. } => return Err(super::recovery::damaged(path, &follower, len as u32)),
                Next::Damaged { len } => return Err(super::recovery::damaged(path, &follower, len)),
            }
        }
        words.position().store(follower.position(), Ordering::Release);
        let publisher = Publisher::new(words, follower.position(), start);
        Ok(Self { publisher, identity, residency, path: path.to_path_buf() })
    }

    /// Room for a frame of `len` bytes in all: the slice starts behind `len` (`PREFIX_LEN`), which `publish` writes. A
    /// claim that is not published is invisible, also after a kill.
    #[inline]
    pub fn claim(&mut self, len: usize) -> Result<&mut [u8], PushError> {
        let offset = self.publisher.claim(len)?;
        Ok(self.payload(offset, len))
    }

    /// What follows the `len` word of a frame that `publisher` has just given room to.
    #[inline]
    fn payload(&mut self, offset: usize, len: usize) -> &mut [u8] {
        let start = self.publisher.words().line(offset + PREFIX_LEN);
        // SAFETY: `claim` or `open` returned a range of `len` bytes inside the lines that no gating reader stands on; the
        // `len` word before it is touched atomically only. Lapped readers read single words and discard what `limit` disowns.
        // `&mut self` bars a second claim, the file lock a second writer. Tests: loom_publish, log::tests.
        unsafe { core::slice::from_raw_parts_mut(start, len - PREFIX_LEN) }
    }

    /// Makes the claimed frame visible with one release store of its `len`.
    #[inline]
    pub fn publish(&mut self) {
        self.publisher.publish();
    }

    /// Copies in a whole frame whose first four bytes are its length.
    #[inline]
    pub fn push(&mut self, frame: &[u8]) -> Result<(), PushError> {
        let Some(payload) = payload_of(frame) else { return Err(PushError::Length) };
        self.claim(frame.len())?.copy_from_slice(payload);
        self.publish();
        Ok(())
    }

    /// Writes a whole frame of two pieces: `head`, whose first four bytes are the length of both, and `body`.
    #[inline]
    pub fn append<const HEAD: usize>(&mut self, head: &[u8; HEAD], body: &[u8]) -> Result<(), PushError> {
        const { assert!(HEAD > PREFIX_LEN) };
        let len = HEAD + body.len();
        let (prefix, rest) = head.split_at(PREFIX_LEN);
        if prefix != (len as u32).to_le_bytes() {
            return Err(PushError::Length);
        }
        let claim = self.publisher.open(len)?;
        let (out_head, out_body) = self.payload(claim.offset, len).split_at_mut(rest.len());
        out_head.copy_from_slice(rest);
        out_body.copy_from_slice(body);
        self.publisher.close(claim);
        Ok(())
    }

    /// A reader that holds the writer back, from the newest frame on; or the one of that name, where it stood.
    /// At most one handle per name may be alive. Errors: `Name`, `Readers`.
    pub fn gating_reader(&mut self, name: &str) -> Result<GatingReader, LogError> {
        let mut padded = [0; NAME_LEN];
        if name.is_empty() || name.len() > NAME_LEN || !name.is_ascii() {
            return Err(LogError::Name { name: name.to_owned() });
        }
        padded[..name.len()].copy_from_slice(name.as_bytes());
        let words = self.publisher.words();
        let taken = |reader: &usize| words.cursor(*reader).load(Ordering::Acquire) != NO_CURSOR;
        let known = (0..READERS_MAX).find(|reader| taken(reader) && words.name(*reader) == padded);
        let reader = match known {
            Some(reader) => reader,
            None => {
                let free = (0..READERS_MAX).find(|reader| !taken(reader)).ok_or(LogError::Readers)?;
                words.set_name(free, padded);
                words.cursor(free).store(self.publisher.position(), Ordering::Release);
                free
            }
        };
        let position = words.cursor(reader).load(Ordering::Acquire);
        Ok(GatingReader::new(Follower::new(words.clone(), reader, position), self.identity.capacity))
    }

    /// Takes a gating reader's cursor away: it no longer holds the writer back, and its name is free.
    pub fn detach(&mut self, reader: GatingReader) {
        self.publisher.words().cursor(reader.index()).store(NO_CURSOR, Ordering::Release);
    }

    /// Bytes that the slowest gating reader has not released; a load per reader, so not for every frame.
    pub fn lag_bytes(&mut self) -> u64 {
        self.publisher.used()
    }

    /// Bytes that can be written without a look at the readers' cursors; at most what there is.
    #[inline]
    pub fn room_bytes(&self) -> u64 {
        self.publisher.room()
    }

    /// The lag as a step of trading's reaction.
    pub fn lag_step(&mut self) -> LagStep {
        let (lag, capacity) = (self.lag_bytes(), self.identity.capacity);
        // The largest frame may skip up to its own length at the end of a lap, and needs a line behind it.
        let reserve = 2 * MAX_FRAME_LEN as u64;
        match lag {
            _ if lag + reserve > capacity => LagStep::Full,
            _ if lag * 4 >= capacity * 3 => LagStep::ThreeQuarters,
            _ if lag * 2 >= capacity => LagStep::Half,
            _ => LagStep::Normal,
        }
    }

    /// Bytes ever written, padding and skipped ends of laps included.
    #[inline]
    pub fn position(&self) -> u64 {
        self.publisher.position()
    }

    pub fn capacity(&self) -> usize {
        self.identity.capacity as usize
    }

    pub fn epoch(&self) -> u32 {
        self.identity.epoch
    }

    pub fn config_hash(&self) -> u64 {
        self.identity.config_hash
    }

    /// What is known of the memory behind the log; the start line prints it.
    pub fn residency(&self) -> &Residency {
        &self.residency
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The fault behind a damaged position, for tests of the reader's bounds.
    #[cfg(test)]
    pub(super) fn plant_len(&self, offset: usize, len: u32) {
        self.publisher.words().len_at(offset).store(len, Ordering::Release);
    }
}
