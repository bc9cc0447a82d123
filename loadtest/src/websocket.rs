//! MQTT in WebSocket frames, the client's side. [RFC 6455; MQTT 5, section 6]
//!
//! All that is written at once is one frame, so that the cost is one header a write, not one a packet.

use std::io::{self, ErrorKind};

/// Any sixteen bytes do: the answer to them shows that the server speaks WebSocket, and that no cache
/// answered. Always the same ones, so that the answer is known. [RFC 6455, section 1.3]
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// Bytes of the server's answer.
const ANSWER_MAX: usize = 8 * 1024;
/// Bytes of the header of a frame: two, eight for a length; the server masks nothing.
const HEADER_MAX: usize = 10;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0x0;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// One connection.
#[derive(Debug)]
pub(crate) struct WebSocket {
    /// The server's answer as far as it has come; `None`: frames flow.
    answer: Option<Vec<u8>>,
    /// The front of the header of a frame.
    header: Vec<u8>,
    /// What the frame is whose payload comes, and how much of it is to come.
    opcode: u8,
    left: u64,
    /// The payload of a ping, which comes back in a pong.
    ping: Vec<u8>,
    /// What is to be sent.
    out: Vec<u8>,
    /// Differs from frame to frame.
    mask: u32,
    /// The server has said that it closes.
    pub(crate) is_ended: bool,
}

impl WebSocket {
    /// Asks for this path of this host.
    pub(crate) fn new(host: &str, path: &str) -> Self {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: mqtt\r\n\r\n"
        );
        Self {
            answer: Some(Vec::new()),
            header: Vec::new(),
            opcode: BINARY,
            left: 0,
            ping: Vec::new(),
            out: request.into_bytes(),
            mask: 0x9E37_79B9,
            is_ended: false,
        }
    }

    /// Moves what is to be sent into a frame, as soon as frames may flow; what is to be written.
    pub(crate) fn wrap(&mut self, bytes: &mut Vec<u8>) -> &mut Vec<u8> {
        if self.answer.is_none() && !bytes.is_empty() {
            self.frame(BINARY, bytes);
            bytes.clear();
        }
        &mut self.out
    }

    /// Bytes that wait to be written.
    pub(crate) const fn len(&self) -> usize {
        self.out.len()
    }

    /// Moves the payloads in these bytes to their front; how long they are.
    ///
    /// # Errors
    /// When the server does not speak WebSocket, or speaks no MQTT on it.
    pub(crate) fn unwrap_frames(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let (mut read, mut written) = (self.take_answer(bytes)?, 0);
        while read < bytes.len() {
            if self.left == 0 {
                self.header.push(bytes[read]);
                read += 1;
                self.begin()?;
                continue;
            }
            let left = usize::try_from(self.left).unwrap_or(usize::MAX);
            let len = left.min(bytes.len() - read);
            let payload = read..read + len;
            read += len;
            self.left -= len as u64;
            match self.opcode {
                BINARY => {
                    bytes.copy_within(payload, written);
                    written += len;
                }
                PING => {
                    self.ping.extend_from_slice(&bytes[payload]);
                    if self.left == 0 {
                        self.pong();
                    }
                }
                _ => {}
            }
        }
        Ok(written)
    }

    /// Takes the server's answer from the front; how many bytes it was.
    fn take_answer(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(answer) = &mut self.answer else { return Ok(0) };
        let before = answer.len();
        answer.extend_from_slice(&bytes[..bytes.len().min(ANSWER_MAX)]);
        let Some(end) = answer.windows(4).position(|it| it == b"\r\n\r\n") else {
            return if answer.len() < ANSWER_MAX {
                Ok(bytes.len())
            } else {
                Err(wrong("its answer does not end"))
            };
        };
        check(&String::from_utf8_lossy(&answer[..end]))?;
        self.answer = None;
        Ok(end + 4 - before)
    }

    /// A header has one byte more; with the last one, its payload begins.
    fn begin(&mut self) -> io::Result<()> {
        let [first, second, length @ ..] = &self.header[..] else { return Ok(()) };
        let wanted = match second {
            126 => 2,
            127 => HEADER_MAX - 2,
            _ if second & MASKED > 0 => return Err(wrong("it masks its frames")),
            _ => 0,
        };
        if length.len() < wanted {
            return Ok(());
        }
        let long = length.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        self.left = if wanted == 0 { u64::from(*second) } else { long };
        // A frame that is continued is as if it were longer.
        self.opcode = match first & 0xF {
            CONTINUATION => BINARY,
            opcode => opcode,
        };
        self.header.clear();
        match self.opcode {
            BINARY | PONG => {}
            PING if self.left == 0 => self.pong(),
            PING => {}
            CLOSE => self.is_ended = true,
            _ => return Err(wrong("it sends text where MQTT is binary")),
        }
        Ok(())
    }

    fn pong(&mut self) {
        let ping = std::mem::take(&mut self.ping);
        self.frame(PONG, &ping);
    }

    fn frame(&mut self, opcode: u8, payload: &[u8]) {
        self.out.push(FIN | opcode);
        match payload.len() {
            len @ ..126 => self.out.push(MASKED | len as u8),
            len @ 126..0x1_0000 => {
                self.out.push(MASKED | 126);
                self.out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                self.out.push(MASKED | 127);
                self.out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        self.mask = self.mask.wrapping_mul(0x0019_660D).wrapping_add(0x3C6E_F35F);
        let mask = self.mask.to_be_bytes();
        self.out.extend_from_slice(&mask);
        let start = self.out.len();
        self.out.extend_from_slice(payload);
        for (byte, mask) in self.out[start..].iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
    }
}

/// Whether the server agrees to WebSocket [RFC 6455, section 4.1] and to MQTT on it [MQTT-6.0.0-4].
fn check(answer: &str) -> io::Result<()> {
    let mut lines = answer.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("101") {
        return Err(wrong(&format!("it answers '{status}'")));
    }
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let has = |name: &str, value: &str| {
        headers.iter().any(|it| it.0.eq_ignore_ascii_case(name) && it.1.trim() == value)
    };
    if !has("Sec-WebSocket-Accept", ACCEPT) {
        return Err(wrong("its answer is to another question (Sec-WebSocket-Accept)"));
    }
    if !has("Sec-WebSocket-Protocol", "mqtt") {
        return Err(wrong("it does not say that it speaks MQTT (Sec-WebSocket-Protocol)"));
    }
    Ok(())
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
                          Connection: Upgrade\r\nsec-websocket-accept: \
                          s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

    fn open() -> WebSocket {
        let mut socket = WebSocket::new("localhost", "/mqtt");
        assert_eq!(socket.unwrap_frames(&mut ANSWER.as_bytes().to_vec()).unwrap(), 0);
        socket.out.clear();
        socket
    }

    /// What came out of these bytes, in pieces of that many.
    fn received(socket: &mut WebSocket, bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut all = Vec::new();
        for piece in bytes.chunks(piece) {
            let mut piece = piece.to_vec();
            let len = socket.unwrap_frames(&mut piece).unwrap();
            all.extend_from_slice(&piece[..len]);
        }
        all
    }

    #[test]
    fn frames_may_be_cut_anywhere() {
        let mut bytes = ANSWER.as_bytes().to_vec();
        bytes.extend([0x02, 1, b'a', 0x89, 2, b'p', b'q', 0x80, 2, b'b', b'c']);
        bytes.extend([0x82, 126, 0, 200]);
        bytes.extend([b'd'; 200]);
        bytes.extend([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        bytes.extend(vec![b'e'; 65_536]);
        for piece in [1, 2, 3, 7, 100, bytes.len()] {
            let mut socket = WebSocket::new("localhost", "/mqtt");
            socket.out.clear();
            let received = received(&mut socket, &bytes, piece);
            assert_eq!(received.len(), 3 + 200 + 65_536);
            assert!(received.starts_with(b"abcd") && received.ends_with(b"e"));
            assert_eq!(socket.out[..2], [0x8A, 0x82], "a pong of two bytes, masked");
        }
    }

    #[test]
    fn what_is_sent_is_masked_and_has_its_length() {
        for (len, header) in [(5, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let mut socket = open();
            let mut bytes = vec![b'x'; len];
            let out = socket.wrap(&mut bytes).clone();
            assert!(bytes.is_empty());
            assert_eq!(out.len(), header + 4 + len);
            assert_eq!(out[0], 0x82);
            let mask = &out[header..header + 4];
            let unmasked = out[header + 4..].iter().zip(mask.iter().cycle());
            assert!(unmasked.map(|(byte, mask)| byte ^ mask).all(|byte| byte == b'x'));
        }
    }

    #[test]
    fn nothing_is_framed_before_the_server_agrees() {
        let mut socket = WebSocket::new("localhost", "/mqtt");
        let mut connect = b"connect".to_vec();
        assert!(socket.wrap(&mut connect).starts_with(b"GET /mqtt HTTP/1.1\r\n"));
        assert_eq!(connect, b"connect");
    }

    #[test]
    fn a_server_of_something_else_is_told() {
        for (from, to, words) in [
            ("101 Switching Protocols", "404 Not Found", "404 Not Found"),
            ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "other", "Sec-WebSocket-Accept"),
            ("Protocol: mqtt", "Protocol: chat", "Sec-WebSocket-Protocol"),
        ] {
            let mut socket = WebSocket::new("localhost", "/mqtt");
            let error = socket.unwrap_frames(&mut ANSWER.replace(from, to).into_bytes());
            assert!(error.unwrap_err().to_string().contains(words));
        }
        let mut socket = open();
        assert!(socket.unwrap_frames(&mut [0x81, 1, b't']).is_err(), "text");
        let mut socket = open();
        assert_eq!(socket.unwrap_frames(&mut [0x88, 0]).unwrap(), 0);
        assert!(socket.is_ended);
    }
}
