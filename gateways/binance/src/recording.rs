//! Recordings: one line per message, `<receive time, ns> <raw JSON>`, gzipped or plain, in one file or in several that follow
//! each other. A REST snapshot stands between the messages as a bare line. Read as a stream: memory is one line, whatever
//! the length of the file. Shared by the venue, the backtest and the tools.
use crate::feed::{FeedIo, FeedMachine};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use tercel_net::{Now, Received};
use tercel_types::{InstrumentId, TimeNs};
use thiserror::Error;

/// What a line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// A message of a stream.
    Message,
    /// A REST depth snapshot.
    Snapshot,
}

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// From 1, in its file.
    pub line_no: u64,
    /// Receive time of the recording host.
    pub ts_recv: TimeNs,
    pub kind: LineKind,
    /// The raw JSON, without the line end.
    pub json: &'a [u8],
}

#[derive(Debug, Error)]
pub enum RecordingError {
    #[error("cannot open the recording `{path}`")]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path}:{line_no}: the recording cannot be read on from here; the file may be cut or damaged")]
    Read {
        path: PathBuf,
        line_no: u64,
        #[source]
        source: io::Error,
    },
    #[error("{path}:{line_no}: found `{seen}`, a line is `<receive time in ns> <JSON>`")]
    Line { path: PathBuf, line_no: u64, seen: String },
    #[error("{path}:{line_no}: the last line is cut: it has no end")]
    Cut { path: PathBuf, line_no: u64 },
    #[error("{path}:{line_no}: the line is longer than {limit} bytes")]
    TooLong { path: PathBuf, line_no: u64, limit: usize },
    #[error("a recording needs at least one file")]
    NoFile,
}

const LINE_LEN_MAX: usize = 16 << 20;

/// Reads the files of one recording in order.
pub struct Recording {
    paths: std::vec::IntoIter<PathBuf>,
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    line_no: u64,
    failed: bool,
}

impl Recording {
    /// Opens the first file; the others are opened when their turn comes.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Self, RecordingError> {
        let mut paths = paths.iter().map(|p| p.as_ref().to_owned()).collect::<Vec<_>>().into_iter();
        let path = paths.next().ok_or(RecordingError::NoFile)?;
        let reader = open(&path)?;
        Ok(Self { paths, path, reader, line: Vec::with_capacity(64 * 1024), line_no: 0, failed: false })
    }

    /// Reads from memory; `name` stands for the file in errors.
    pub fn from_reader(name: &str, reader: impl Read + Send + 'static) -> Self {
        let (path, reader) = (PathBuf::from(name), Box::new(BufReader::new(reader)));
        Self { paths: Vec::new().into_iter(), path, reader, line: Vec::new(), line_no: 0, failed: false }
    }

    /// The file that the last line came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next line, `None` at the end of the last file. After an error there is nothing more. A line that is cut at the
    /// end of a file is an error, since nobody knows what it said.
    pub fn next_line(&mut self) -> Option<Result<Line<'_>, RecordingError>> {
        if self.failed {
            return None;
        }
        match self.advance() {
            Ok(false) => None,
            Ok(true) => match split(&self.line) {
                Some((ts_recv, kind, from)) => {
                    Some(Ok(Line { line_no: self.line_no, ts_recv, kind, json: &self.line[from..] }))
                }
                None => {
                    self.failed = true;
                    let seen = String::from_utf8_lossy(&self.line[..self.line.len().min(60)]).into_owned();
                    Some(Err(RecordingError::Line { path: self.path.clone(), line_no: self.line_no, seen }))
                }
            },
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }

    /// Reads the next line that is not empty into `line`; `false` at the end of everything.
    fn advance(&mut self) -> Result<bool, RecordingError> {
        loop {
            self.line.clear();
            self.line_no += 1;
            let (path, line_no) = (&self.path, self.line_no);
            let len = (&mut self.reader)
                .take(LINE_LEN_MAX as u64)
                .read_until(b'\n', &mut self.line)
                .map_err(|source| RecordingError::Read { path: path.clone(), line_no, source })?;
            if len == 0 {
                let Some(next) = self.paths.next() else { return Ok(false) };
                self.reader = open(&next)?;
                self.path = next;
                self.line_no = 0;
                continue;
            }
            if self.line.last() != Some(&b'\n') {
                let path = path.clone();
                return Err(if len == LINE_LEN_MAX {
                    RecordingError::TooLong { path, line_no, limit: LINE_LEN_MAX }
                } else {
                    RecordingError::Cut { path, line_no }
                });
            }
            self.line.truncate(self.line.trim_ascii_end().len());
            if !self.line.is_empty() {
                return Ok(true);
            }
        }
    }
}

fn open(path: &Path) -> Result<Box<dyn BufRead + Send>, RecordingError> {
    let fail = |source| RecordingError::Open { path: path.to_owned(), source };
    let mut file = BufReader::with_capacity(256 * 1024, File::open(path).map_err(fail)?);
    let gzip = file.fill_buf().map_err(fail)?.starts_with(&[0x1f, 0x8b]);
    Ok(if gzip { Box::new(BufReader::with_capacity(256 * 1024, MultiGzDecoder::new(file))) } else { Box::new(file) })
}

/// Time, kind and where the JSON starts; `None` when the line has another form.
fn split(line: &[u8]) -> Option<(TimeNs, LineKind, usize)> {
    let blank = line.iter().take(20).position(|&b| b == b' ')?;
    let ts: i64 = core::str::from_utf8(&line[..blank]).ok()?.parse().ok()?;
    let json = &line[blank + 1..];
    if ts < 0 || json.first() != Some(&b'{') {
        return None;
    }
    // Streams come in an envelope or name their event; a snapshot does neither and starts with its id.
    let kind = if json.starts_with(b"{\"lastUpdateId\"") { LineKind::Snapshot } else { LineKind::Message };
    Some((TimeNs(ts), kind, blank + 1))
}

/// Plays a recording of one instrument through a feed machine as if every stream of its configuration were up from the
/// first line on; time is the receive time of the lines.
pub struct Player {
    recording: Recording,
    instrument: InstrumentId,
    started: bool,
}

impl Player {
    pub fn new(recording: Recording, instrument: InstrumentId) -> Self {
        Self { recording, instrument, started: false }
    }

    /// Gives the next line to the machine; its receive time and kind, or `None` at the end.
    pub fn step(
        &mut self,
        machine: &mut FeedMachine,
        io: &mut dyn FeedIo,
    ) -> Result<Option<(TimeNs, LineKind)>, RecordingError> {
        let Some(line) = self.recording.next_line().transpose()? else { return Ok(None) };
        let now = Now { engine: line.ts_recv, wall: line.ts_recv };
        if !self.started {
            self.started = true;
            for socket in 0..machine.sockets_count() {
                machine.on_connected(socket, now, io);
            }
        }
        if machine.next_deadline().is_some_and(|at| at <= now.wall) {
            machine.on_time(now, io);
        }
        let received = Received { bytes: line.json, ts_user: line.ts_recv, ts_kernel: None };
        match line.kind {
            LineKind::Message => machine.on_message(0, received, now, io),
            LineKind::Snapshot => machine.on_snapshot(self.instrument, Some(received), now, io),
        }
        Ok(Some((line.ts_recv, line.kind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines(text: &'static [u8]) -> Vec<Result<(u64, i64, LineKind, String), String>> {
        let mut recording = Recording::from_reader("r", text);
        let mut all = Vec::new();
        while let Some(line) = recording.next_line() {
            all.push(
                line.map(|l| (l.line_no, l.ts_recv.0, l.kind, String::from_utf8_lossy(l.json).into_owned()))
                    .map_err(|e| e.to_string()),
            );
        }
        all
    }

    #[test]
    fn lines_are_read_and_snapshots_told_apart() {
        let got = lines(b"5 {\"stream\":1}\r\n\n6 {\"lastUpdateId\":1}\n");
        assert_eq!(got[0], Ok((1, 5, LineKind::Message, "{\"stream\":1}".into())));
        assert_eq!(got[1], Ok((3, 6, LineKind::Snapshot, "{\"lastUpdateId\":1}".into())));
        assert_eq!(got.len(), 2);
    }

    #[test]
    fn a_bad_line_and_a_cut_line_are_named() {
        assert_eq!(
            lines(b"5 {}\nx {}\n7 {}\n")[1],
            Err("r:2: found `x {}`, a line is `<receive time in ns> <JSON>`".into())
        );
        assert_eq!(lines(b"5 {}\nx {}\n7 {}\n").len(), 2, "nothing follows an error");
        assert_eq!(lines(b"5 {}\n6 {\"a\"")[1], Err("r:2: the last line is cut: it has no end".into()));
    }

    #[test]
    fn a_cut_gzip_is_reported_with_its_line() {
        let dir = std::env::temp_dir().join(format!("tercel-recording-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("cut.gz");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for ts in 0..5_000 {
            writeln!(gzip, "{ts} {{\"n\":{}}}", ts * 7_919).unwrap();
        }
        let whole = gzip.finish().unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let mut recording = Recording::open(&[&path]).unwrap();
        let (mut good, mut error) = (0, None);
        while let Some(line) = recording.next_line() {
            match line {
                Ok(_) => good += 1,
                Err(e) => error = Some(e),
            }
        }
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(good > 0 && good < 5_000);
        assert!(matches!(error, Some(RecordingError::Read { line_no, .. }) if line_no == good + 1), "{error:?}");
    }
}
