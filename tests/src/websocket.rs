//! A client's side of a WebSocket, written for these tests alone.

use std::{io, time::Instant};

/// What begins one.
pub const REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// What every third thing that is sent goes in.
const PARTS: usize = 2;

/// Bytes between frames.
#[derive(Debug, Default)]
pub(crate) struct WebSocket {
    came: Vec<u8>,
    said: Vec<u8>,
    is_closed: bool,
    sent: usize,
}

impl WebSocket {
    /// Takes up what came.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.came.extend_from_slice(bytes);
    }

    /// Whether the answer to the request is there.
    ///
    /// # Errors
    /// When it is another than it must be.
    pub(crate) fn is_open(&mut self, until: Instant) -> io::Result<bool> {
        let end = self.came.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else {
            return if Instant::now() < until {
                Ok(false)
            } else {
                Err(io::ErrorKind::TimedOut.into())
            };
        };
        let rest = self.came.split_off(end + 4);
        let answer = std::mem::replace(&mut self.came, rest);
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        // [MQTT-6.0.0-4]; the key is the example of RFC 6455, so is what answers it.
        let is_right = answer.starts_with("http/1.1 101 ")
            && answer.contains("\r\nsec-websocket-protocol: mqtt\r\n")
            && answer.contains("\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n");
        if is_right { Ok(true) } else { Err(io::Error::other(answer)) }
    }

    /// Frames with these bytes: one, or now and then a message of two.
    pub(crate) fn frames(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.sent += 1;
        let middle = if self.sent.is_multiple_of(3) { bytes.len() / PARTS } else { bytes.len() };
        let (first, second) = bytes.split_at(middle);
        if second.is_empty() {
            return frame(0x82, first);
        }
        [frame(0x02, first), frame(0x80, second)].concat()
    }

    /// Moves what the broker said into `buffer`; 0 says that it has closed.
    ///
    /// # Panics
    /// When a frame comes that a broker must not send.
    pub(crate) fn said(&mut self, buffer: &mut [u8]) -> Option<usize> {
        while let Some((first, payload)) = take_frame(&mut self.came) {
            assert!(!self.is_closed, "a frame behind a close frame");
            match first {
                // [MQTT-6.0.0-1]
                0x82 => self.said.extend_from_slice(&payload),
                0x88 => self.is_closed = true,
                0x8A => {}
                other => panic!("a frame that begins with {other:#04X}"),
            }
        }
        if self.said.is_empty() {
            return self.is_closed.then_some(0);
        }
        let length = self.said.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.said[..length]);
        self.said.drain(..length);
        Some(length)
    }
}

/// A frame as a client sends it: masked.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xFA, 0x21, 0x3D];
    let length = payload.len();
    let mut frame = vec![first];
    match length {
        ..126 => frame.push(0x80 | length as u8),
        126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Takes a whole frame of the broker off the front: its first byte, its payload.
///
/// # Panics
/// When it is masked.
pub fn take_frame(came: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (first, second) = (*came.first()?, *came.get(1)?);
    let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let (begin, length) = match second {
        ..126 => (2, usize::from(second)),
        126 => (4, number(came.get(2..4)?)),
        127 => (10, number(came.get(2..10)?)),
        _ => panic!("a masked frame of a server"),
    };
    let payload = came.get(begin..begin + length)?.to_vec();
    came.drain(..begin + length);
    Some((first, payload))
}
