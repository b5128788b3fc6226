//! The server's half of WebSocket framing (RFC 6455): unmasked frames out, masked frames in. No extensions.

/// Frame kinds that a client may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClientFrame {
    Text(Vec<u8>),
    Ping(Vec<u8>),
    Close,
    /// Pong and binary frames mean nothing to the venue.
    Other,
}

/// Longest message that a client may send, in bytes.
const MESSAGE_LEN_MAX: usize = 64 * 1024;

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// Appends one whole frame.
pub(crate) fn write_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        len @ 0..=125 => out.push(len as u8),
        len @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Reads a client's frames out of a byte stream.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    buf: Vec<u8>,
    /// Text of a fragmented message so far.
    fragments: Vec<u8>,
}

/// The client broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation(pub &'static str);

impl FrameReader {
    pub fn push(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// The next whole frame, `None` when more bytes are needed.
    pub fn next(&mut self) -> Result<Option<ClientFrame>, Violation> {
        loop {
            let Some((fin, opcode, payload)) = self.take_frame()? else { return Ok(None) };
            match opcode {
                0x0 | TEXT => {
                    if self.fragments.len() + payload.len() > MESSAGE_LEN_MAX {
                        return Err(Violation("message too long"));
                    }
                    self.fragments.extend_from_slice(&payload);
                    if fin {
                        return Ok(Some(ClientFrame::Text(core::mem::take(&mut self.fragments))));
                    }
                }
                CLOSE => return Ok(Some(ClientFrame::Close)),
                PING => return Ok(Some(ClientFrame::Ping(payload))),
                _ => return Ok(Some(ClientFrame::Other)),
            }
        }
    }

    fn take_frame(&mut self) -> Result<Option<(bool, u8, Vec<u8>)>, Violation> {
        let [first, second, ..] = self.buf[..] else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(Violation("reserved bits"));
        }
        if second & 0x80 == 0 {
            return Err(Violation("a client's frame must be masked"));
        }
        let (len, head) = match second & 0x7f {
            126 => match self.buf.get(2..4) {
                Some(bytes) => (usize::from(bytes[0]) << 8 | usize::from(bytes[1]), 4),
                None => return Ok(None),
            },
            127 => return Err(Violation("message too long")),
            len => (usize::from(len), 2),
        };
        let end = head + 4 + len;
        let Some(frame) = self.buf.get(..end) else { return Ok(None) };
        let mask = &frame[head..head + 4];
        let payload = frame[head + 4..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        self.buf.drain(..end);
        Ok(Some((first & 0x80 != 0, first & 0x0f, payload)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [7, 11, 13, 17];
        let mut frame = vec![if fin { 0x80 | opcode } else { opcode }];
        if payload.len() < 126 {
            frame.push(0x80 | payload.len() as u8);
        } else {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
        frame
    }

    #[test]
    fn frames_come_out_whole_whatever_the_cuts() {
        let long = vec![b'x'; 300];
        let mut stream = masked(false, TEXT, b"ab");
        stream.extend(masked(true, 0, b"cd"));
        stream.extend(masked(true, PING, b"p"));
        stream.extend(masked(true, TEXT, &long));
        stream.extend(masked(true, CLOSE, b""));
        let want = [
            ClientFrame::Text(b"abcd".into()),
            ClientFrame::Ping(b"p".into()),
            ClientFrame::Text(long),
            ClientFrame::Close,
        ];
        for cut in 1..stream.len() {
            let mut reader = FrameReader::default();
            let mut got = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                reader.push(part);
                while let Some(frame) = reader.next().unwrap() {
                    got.push(frame);
                }
            }
            assert_eq!(got, want, "cut at {cut}");
        }
    }

    #[test]
    fn unmasked_and_oversized_frames_are_violations() {
        for bytes in [&[0x81, 0x01, b'a'][..], &[0x81, 0xff], &[0xf1, 0x81]] {
            let mut reader = FrameReader::default();
            reader.push(bytes);
            assert!(reader.next().is_err());
        }
    }

    #[test]
    fn lengths_are_written_in_their_three_forms() {
        for (len, head) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let mut out = Vec::new();
            write_frame(&mut out, TEXT, &vec![0; len]);
            assert_eq!(out.len(), len + head);
        }
    }
}
