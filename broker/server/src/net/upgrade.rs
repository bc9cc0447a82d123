//! The HTTP request that begins a WebSocket.

use std::{mem, net::IpAddr};

use tungstenite::{
    Error,
    error::ProtocolError,
    handshake::{
        machine::TryParse,
        server::{Request, create_response, write_response},
    },
    http::{
        HeaderValue, Uri,
        header::{ORIGIN, SEC_WEBSOCKET_PROTOCOL},
    },
};

/// What clients must offer, and get.
const SUBPROTOCOL: &str = "mqtt";
/// Where a request ends.
const END: &[u8] = b"\r\n\r\n";

/// A request that has not come as a whole.
#[derive(Debug)]
pub struct Upgrade {
    came: Vec<u8>,
    path: Box<str>,
    bytes_max: usize,
    foreign_pages: bool,
}

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing yet.
    Wait,
    /// From here on come frames.
    Accepted {
        /// For the peer.
        response: Vec<u8>,
        /// What came behind the request.
        rest: Vec<u8>,
    },
    /// It ends here.
    Refused {
        /// For the peer.
        response: Vec<u8>,
        /// For the log.
        reason: String,
    },
}

impl Upgrade {
    /// For a request to `path` of at most `bytes_max` bytes. `foreign_pages`: from web pages of
    /// other machines, too.
    pub fn new(path: &str, bytes_max: usize, foreign_pages: bool) -> Self {
        Self { came: Vec::new(), path: path.into(), bytes_max, foreign_pages }
    }

    /// Takes up what came.
    pub fn take(&mut self, bytes: &[u8]) -> Answer {
        // The end may have begun in what came before.
        let begin = self.came.len().saturating_sub(END.len() - 1);
        self.came.extend_from_slice(bytes);
        let new = self.came.get(begin..).unwrap_or_default();
        let length = new.windows(END.len()).position(|four| four == END);
        let length = length.map(|at| begin + at + END.len());
        if length.unwrap_or(self.came.len()) > self.bytes_max {
            let reason = format!("its request has more than {} bytes", self.bytes_max);
            return refuse("431 Request Header Fields Too Large", reason);
        }
        if length.is_none() {
            // What cannot become a request need not be waited for.
            return match Request::try_parse(&self.came) {
                Ok(_) => Answer::Wait,
                Err(error) => refuse("400 Bad Request", error.to_string()),
            };
        }
        let mut came = mem::take(&mut self.came);
        match Request::try_parse(&came) {
            Ok(Some((length, request))) => self.judge(&request, came.split_off(length)),
            Ok(None) => refuse("400 Bad Request", "its request does not end".to_owned()),
            Err(Error::Protocol(ProtocolError::WrongHttpMethod)) => {
                refuse("405 Method Not Allowed\r\nAllow: GET", "it does not GET".to_owned())
            }
            Err(error) => refuse("400 Bad Request", error.to_string()),
        }
    }

    fn judge(&self, request: &Request, rest: Vec<u8>) -> Answer {
        if request.uri().path() != &*self.path {
            let reason = format!("there is no {}, only {}", request.uri().path(), self.path);
            return refuse("404 Not Found", reason);
        }
        if !self.foreign_pages
            && let Some(origin) = request.headers().get(ORIGIN)
            && !is_of_this_machine(origin)
        {
            let reason = format!(
                "pages of {} may not connect where clients need no credentials; set up \
                 authentication, or `anonymous = true` in [auth]",
                String::from_utf8_lossy(origin.as_bytes())
            );
            return refuse("403 Forbidden", reason);
        }
        let mut accepted = match create_response(request) {
            Ok(accepted) => accepted,
            Err(error) => {
                let status = "426 Upgrade Required\r\nUpgrade: websocket\r\n\
                              Connection: Upgrade\r\nSec-WebSocket-Version: 13";
                return refuse(status, error.to_string());
            }
        };
        let offers = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let mut offers = offers.filter_map(|offer| offer.to_str().ok());
        // [MQTT-6.0.0-3], [MQTT-6.0.0-4]
        if !offers.any(|offer| offer.split(',').any(|name| name.trim() == SUBPROTOCOL)) {
            let reason = "it does not offer the subprotocol \"mqtt\"".to_owned();
            return refuse("400 Bad Request", reason);
        }
        let mqtt = HeaderValue::from_static(SUBPROTOCOL);
        accepted.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, mqtt);
        let mut response = Vec::new();
        write_response(&mut response, &accepted).expect("a Vec takes all, the headers are ours");
        Answer::Accepted { response, rest }
    }
}

/// Whether a page comes from a server of this machine [RFC 6454, 7].
fn is_of_this_machine(origin: &HeaderValue) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    origin.as_ref().and_then(Uri::host).is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

/// `status` with headers of its own; `reason` is the body, too.
fn refuse(status: &str, reason: String) -> Answer {
    let response = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\r\n{reason}\n",
        reason.len() + 1
    );
    Answer::Refused { response: response.into_bytes(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "GET /mqtt?x=1 HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\n\
                           Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                           Sec-WebSocket-Protocol: chat, mqtt\r\n\r\n";

    fn answer(request: &str) -> Answer {
        Upgrade::new("/mqtt", 1000, false).take(request.as_bytes())
    }

    #[track_caller]
    fn assert_refused(request: &str, status: &str, word: &str) {
        let Answer::Refused { response, reason } = answer(request) else { panic!("{request}") };
        let response = String::from_utf8(response).unwrap();
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{response}");
        assert!(reason.contains(word), "{reason}");
        assert!(response.ends_with(&format!("\r\n\r\n{reason}\n")), "{response}");
    }

    #[test]
    fn accepted_however_it_comes() {
        let Answer::Accepted { response, rest } = answer(&format!("{REQUEST}rest")) else {
            panic!("it is right");
        };
        let response = String::from_utf8(response).unwrap();
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        assert!(response.ends_with("\r\n\r\n") && rest == b"rest");
        // The example of RFC 6455, 1.3.
        assert!(response.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{response}");
        assert!(response.contains("sec-websocket-protocol: mqtt\r\n"), "{response}");

        for origin in ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:1"] {
            let origin = format!("Host: a\r\nOrigin: {origin}");
            let accepted = answer(&REQUEST.replace("Host: a", &origin));
            assert!(matches!(accepted, Answer::Accepted { .. }), "{origin}");
        }

        let mut slowly = Upgrade::new("/mqtt", 1000, false);
        let (last, bytes) = REQUEST.as_bytes().split_last().unwrap();
        for byte in bytes {
            assert_eq!(slowly.take(&[*byte]), Answer::Wait);
        }
        assert!(matches!(slowly.take(&[*last]), Answer::Accepted { .. }));
    }

    #[test]
    fn refused_with_a_reason() {
        let without = |line: &str| REQUEST.replace(line, "");
        let with = |old: &str, new: &str| REQUEST.replace(old, new);
        assert_refused("\x10\x0c\0\x04MQTT\x04", "400", "");
        assert_refused("hello\r\n\r\n", "400", "");
        assert_refused(&with("GET", "POST"), "405", "GET");
        assert_refused(&with("/mqtt?", "/other?"), "404", "only /mqtt");
        assert_refused(&with("HTTP/1.1", "HTTP/1.0"), "400", "1.1");
        assert_refused(&without("Upgrade: WebSocket\r\n"), "426", "websocket");
        assert_refused(&with("Version: 13", "Version: 8"), "426", "Version");
        assert_refused(&with("dGhlIHNhbXBsZSBub25jZQ==", "short"), "426", "Key");
        assert_refused(&with("chat, mqtt", "chat, mqttv3.1"), "400", "subprotocol");
        assert_refused(&without("Sec-WebSocket-Protocol: chat, mqtt\r\n"), "400", "subprotocol");
        for origin in
            ["https://evil.example", "http://127.0.0.1.evil.example", "null", "http://10.0.0.1"]
        {
            let request = with("Host: a", &format!("Host: a\r\nOrigin: {origin}"));
            assert_refused(&request, "403", origin);
            let anyhow = Upgrade::new("/mqtt", 1000, true).take(request.as_bytes());
            assert!(matches!(anyhow, Answer::Accepted { .. }), "{origin}");
        }
        let long = with("Host: a", &format!("Host: {}", "a".repeat(1000)));
        assert_refused(&long, "431", "1000 bytes");
        assert_refused(&long[..1001], "431", "1000 bytes");
    }
}
