//! One GET over HTTP/1.1, for REST snapshots: blocking within a deadline, body of bounded size, connection closed after.
use crate::stream::is_wait;
use crate::{ConnectError, Connector, Url};
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum HttpError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("`{authority}` answered {status} to GET {path}: {body}")]
    Status { authority: String, path: String, status: u16, body: String },
    #[error("the answer of `{authority}` is not HTTP/1.1: {what}")]
    Malformed { authority: String, what: &'static str },
    #[error("the answer of `{authority}` is larger than {limit} bytes")]
    TooLarge { authority: String, limit: usize },
    #[error("no whole answer from `{authority}` within {timeout_ms} ms")]
    Timeout { authority: String, timeout_ms: u64 },
    #[error("the connection to `{authority}` failed")]
    Io {
        authority: String,
        #[source]
        source: std::io::Error,
    },
}

/// Head and trailers together.
const HEAD_LEN_MAX: usize = 64 * 1024;

/// Gets `url` and returns the body of a 200. Blocks the calling thread for at most the connector's timeout (for connecting)
/// plus `timeout` (for the answer).
pub fn get(connector: &Connector, url: &Url, timeout: Duration, body_len_max: usize) -> Result<Vec<u8>, HttpError> {
    let mut stream = connector.open(url)?;
    let authority = url.authority();
    let io = |source| HttpError::Io { authority: authority.clone(), source };
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: tercel\r\nAccept: application/json\r\n\
         Accept-Encoding: identity\r\nConnection: close\r\n\r\n",
        url.path
    );
    stream.write_all(request.as_bytes()).and_then(|()| stream.flush()).map_err(io)?;

    let deadline = Instant::now() + timeout;
    let mut received = Vec::with_capacity(64 * 1024);
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let late = || HttpError::Timeout {
            authority: authority.clone(),
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        };
        if left.is_zero() {
            return Err(late());
        }
        stream.socket().tcp().set_read_timeout(Some(left)).map_err(io)?;
        let ended = match stream.read(&mut chunk) {
            Ok(0) => true,
            Ok(len) => {
                received.extend_from_slice(&chunk[..len]);
                false
            }
            // Servers often close TLS without saying goodbye; the length of the body still decides whether it is whole.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => true,
            Err(error) if is_wait(&error) => return Err(late()),
            Err(error) => return Err(io(error)),
        };
        if received.len() > HEAD_LEN_MAX + 2 * body_len_max {
            return Err(HttpError::TooLarge { authority, limit: body_len_max });
        }
        match parse(&received, ended, body_len_max) {
            Ok(Some((200, body))) => return Ok(body),
            Ok(Some((status, body))) => {
                let body = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
                return Err(HttpError::Status { authority, path: url.path.clone(), status, body });
            }
            Ok(None) if ended => {
                return Err(HttpError::Malformed {
                    authority,
                    what: "the connection ended before the answer was whole",
                });
            }
            Ok(None) => {}
            Err(Bad::TooLarge) => return Err(HttpError::TooLarge { authority, limit: body_len_max }),
            Err(Bad::Malformed(what)) => return Err(HttpError::Malformed { authority, what }),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Bad {
    TooLarge,
    Malformed(&'static str),
}

/// Status and body once `received` holds a whole answer; `None` while more must come.
fn parse(received: &[u8], ended: bool, body_len_max: usize) -> Result<Option<(u16, Vec<u8>)>, Bad> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let body = match head.parse(received) {
        Ok(httparse::Status::Complete(len)) => &received[len..],
        Ok(httparse::Status::Partial) if received.len() > HEAD_LEN_MAX => {
            return Err(Bad::Malformed("the head is too long"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Bad::Malformed("the head cannot be read")),
    };
    let status = head.code.unwrap_or(0);
    let header = |name: &str| head.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value);
    if header("content-encoding").is_some_and(|value| !value.eq_ignore_ascii_case(b"identity")) {
        return Err(Bad::Malformed("the body is compressed, which was not asked for"));
    }
    if header("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().ends_with(b"chunked")) {
        return Ok(unchunk(body, body_len_max)?.map(|body| (status, body)));
    }
    if let Some(text) = header("content-length") {
        let len: usize = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .ok_or(Bad::Malformed("Content-Length is no number"))?;
        if len > body_len_max {
            return Err(Bad::TooLarge);
        }
        return Ok(body.get(..len).map(|body| (status, body.to_vec())));
    }
    if body.len() > body_len_max {
        return Err(Bad::TooLarge);
    }
    Ok(ended.then(|| (status, body.to_vec())))
}

/// The body of a chunked answer (RFC 9112 §7.1); `None` while the last chunk is missing.
fn unchunk(mut rest: &[u8], body_len_max: usize) -> Result<Option<Vec<u8>>, Bad> {
    let mut body = Vec::new();
    loop {
        let (at, len) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete((at, len))) => (at, usize::try_from(len).map_err(|_| Bad::TooLarge)?),
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Bad::Malformed("a chunk has no size")),
        };
        if len == 0 {
            return Ok(Some(body));
        }
        if body.len().saturating_add(len) > body_len_max {
            return Err(Bad::TooLarge);
        }
        let Some(chunk) = rest.get(at..at + len) else { return Ok(None) };
        body.extend_from_slice(chunk);
        match rest.get(at + len..at + len + 2) {
            Some(b"\r\n") => rest = &rest[at + len + 2..],
            Some(_) => return Err(Bad::Malformed("a chunk is longer than its size")),
            None => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_by_length_by_chunks_or_by_the_end() {
        let by_length = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
        assert_eq!(parse(by_length, false, 10), Ok(Some((200, b"body".to_vec()))));
        assert_eq!(parse(&by_length[..by_length.len() - 1], false, 10), Ok(None));
        let chunked = b"HTTP/1.1 429 Slow\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n";
        assert_eq!(parse(chunked, false, 10), Ok(Some((429, b"body".to_vec()))));
        for cut in 0..chunked.len() - 4 {
            assert_eq!(parse(&chunked[..cut], false, 10), Ok(None), "cut at {cut}");
        }
        let by_end = b"HTTP/1.1 200 OK\r\n\r\nbody";
        assert_eq!(parse(by_end, false, 10), Ok(None));
        assert_eq!(parse(by_end, true, 10), Ok(Some((200, b"body".to_vec()))));
    }

    #[test]
    fn lies_and_excess_are_refused() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n", false, 10), Err(Bad::TooLarge));
        let chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n";
        assert_eq!(parse(chunk, false, 10), Err(Bad::TooLarge));
        assert!(matches!(parse(b"FTP what\r\n\r\n", false, 10), Err(Bad::Malformed(_))));
        let gzip = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nx";
        assert!(matches!(parse(gzip, true, 10), Err(Bad::Malformed(_))));
    }
}
