//! A WebSocket: its request, then frames.

use flotilla::net::framing::{Framing, Heard, frame_packets};
use flotilla::net::upgrade::Upgrade;

/// Longest request, bytes.
const REQUEST_MAX: usize = 2_000;
/// More than a response, a close frame and all pongs that may wait.
const UNSENT_MAX: usize = REQUEST_MAX + 8_192;
const REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The first byte: whether a request that is right comes first, how many bytes come at a time. However
/// they come, the same is said.
pub(crate) fn listen(bytes: &[u8]) {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let request = if first & 1 == 0 { REQUEST } else { b"" };
    let whole = heard(request, bytes, usize::MAX);
    let in_parts = heard(request, bytes, usize::from(first / 2) + 1);
    assert_eq!(whole.said, in_parts.said, "what was said does not depend on where it was cut");
    assert_eq!(whole.heard, in_parts.heard, "nor does what came of it");
    assert_eq!(whole.is_accepted, in_parts.is_accepted, "nor whether it was let in");
    if whole.is_accepted {
        assert_eq!(whole.unsent, in_parts.unsent, "nor what is answered");
    }
    come_back(bytes);
}

struct Session {
    said: Vec<u8>,
    heard: Outcome,
    is_accepted: bool,
    unsent: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Well,
    End,
    Wrong,
}

fn heard(request: &[u8], bytes: &[u8], step: usize) -> Session {
    let mut framing = Framing::new(Upgrade::new("/mqtt", REQUEST_MAX, false));
    let (mut said, mut outcome, mut is_accepted) = (Vec::new(), Outcome::Well, false);
    if !request.is_empty() {
        assert_eq!(framing.unframe(request, &mut said), Heard::Well);
    }
    for part in bytes.chunks(step) {
        let heard = framing.unframe(part, &mut said);
        is_accepted |= framing.unsent.starts_with(b"HTTP/1.1 101 ");
        assert!(said.len() <= bytes.len(), "nothing is said that did not come");
        assert!(framing.unsent.len() <= UNSENT_MAX, "answers do not pile up");
        match heard {
            Heard::Well => continue,
            Heard::End => outcome = Outcome::End,
            Heard::Wrong(reason) => {
                assert!(!reason.is_empty(), "a refusal says something");
                outcome = Outcome::Wrong;
            }
        }
        assert!(!framing.is_open(), "it has ended");
        break;
    }
    Session { said, heard: outcome, is_accepted, unsent: framing.unsent }
}

/// A frame of the broker, masked as a client does with zeros, says what went into it.
fn come_back(packets: &[u8]) {
    let mut frame = Vec::new();
    frame_packets(packets, &mut frame);
    let header = frame.len() - packets.len();
    frame[1] |= 0x80;
    frame.splice(header..header, [0; 4]);
    let session = heard(REQUEST, &frame, usize::MAX);
    assert_eq!((session.said.as_slice(), session.heard), (packets, Outcome::Well));
}
