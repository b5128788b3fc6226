use core::fmt;
use thiserror::Error;

/// The parts of `http`, `https`, `ws` and `wss` addresses that a client needs. No user info, no fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// True for `https` and `wss`.
    pub tls: bool,
    /// True for `ws` and `wss`.
    pub websocket: bool,
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
    /// From the first `/`, with the query; `/` when the text had none.
    pub path: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    #[error("an address starts with http://, https://, ws:// or wss://")]
    Scheme,
    #[error("the address has no host")]
    Host,
    #[error("the port must be 1..65535")]
    Port,
    #[error("an address holds only printable ASCII without blanks")]
    Character,
}

impl Url {
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(UrlError::Character);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let (tls, websocket) = match scheme {
            "http" => (false, false),
            "https" => (true, false),
            "ws" => (false, true),
            "wss" => (true, true),
            _ => return Err(UrlError::Scheme),
        };
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => {
                let (host, after) = v6.split_once(']').ok_or(UrlError::Host)?;
                (host, after.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() {
            return Err(UrlError::Host);
        }
        let port = match port {
            Some(text) => text.parse().ok().filter(|&port| port != 0).ok_or(UrlError::Port)?,
            None if tls => 443,
            None => 80,
        };
        Ok(Self { tls, websocket, host: host.to_owned(), port, path })
    }

    /// `host:port` as the Host header has it.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.websocket, self.tls) {
            (false, false) => "http",
            (false, true) => "https",
            (true, false) => "ws",
            (true, true) => "wss",
        };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_split_into_their_parts() {
        let url = Url::parse("wss://fstream.binance.com/stream?streams=btcusdt@trade").unwrap();
        assert_eq!((url.tls, url.websocket, url.port), (true, true, 443));
        assert_eq!((url.host.as_str(), url.path.as_str()), ("fstream.binance.com", "/stream?streams=btcusdt@trade"));
        let url = Url::parse("http://[::1]:8080").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("::1", 8080, "/"));
        assert_eq!(url.to_string(), "http://[::1]:8080/");
        assert_eq!(Url::parse("http://h?x=1").unwrap().path, "/?x=1");
    }

    #[test]
    fn bad_addresses_are_refused_with_the_reason() {
        for (text, why) in [
            ("ftp://a/", UrlError::Scheme),
            ("a.b", UrlError::Scheme),
            ("http:///x", UrlError::Host),
            ("http://a:0/", UrlError::Port),
            ("http://a:70000/", UrlError::Port),
            ("http://a/\r\nX: y", UrlError::Character),
        ] {
            assert_eq!(Url::parse(text), Err(why), "{text}");
        }
    }
}
