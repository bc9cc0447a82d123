//! Frames as bytes.

use super::*;

const REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn open() -> Framing {
    let mut framing = Framing::new(Upgrade::new("/mqtt", 1000, true));
    assert!(!framing.is_open());
    assert_eq!(framing.unframe(REQUEST, &mut Vec::new()), Heard::Well);
    assert!(framing.is_open() && framing.unsent.starts_with(b"HTTP/1.1 101 "));
    framing.unsent.clear();
    framing
}

/// A frame of a client: the first byte, the payload.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x11, 0x22, 0x44, 0x88];
    let mut frame = vec![first];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length @ ..65536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
const CLOSE: u8 = 0x88;

#[test]
fn payloads_are_joined_however_they_come() {
    let long: Vec<u8> = (0..70_000_u32).map(|n| (n / 3) as u8).collect();
    let frames = [
        masked(BINARY, b"one"),
        masked(0x02, b"begins, "),
        masked(PING, b"ping"),
        masked(0x00, b"goes on, "),
        masked(0x80, b"ends"),
        masked(BINARY, b""),
        masked(BINARY, &long[..300]),
        masked(BINARY, &long),
    ]
    .concat();
    let expected = [b"onebegins, goes on, ends", &long[..300], &long].concat();
    for step in [1, 2, 3, 7, 13, 14, 15, 1000, usize::MAX] {
        let mut framing = open();
        let mut said = Vec::new();
        for some in frames.chunks(step) {
            assert_eq!(framing.unframe(some, &mut said), Heard::Well);
        }
        assert!(said == expected, "in steps of {step}");
        assert_eq!(framing.unsent, b"\x8a\x04ping");
        assert!(framing.begun.capacity() == 0 && framing.payload.is_none());
    }
}

#[test]
fn a_close_is_answered_with_its_code() {
    for (close, answer) in [
        (&b""[..], &b"\x88\x02\x03\xe8"[..]),
        (b"\x03\xe9going", b"\x88\x02\x03\xe9"),
        (b"\x0f\xa0", b"\x88\x02\x0f\xa0"),
    ] {
        let mut framing = open();
        let mut said = Vec::new();
        let came = [masked(BINARY, b"x"), masked(CLOSE, close), masked(BINARY, b"y")].concat();
        assert_eq!(framing.unframe(&came, &mut said), Heard::End);
        framing.say_goodbye();
        assert_eq!((said.as_slice(), framing.unsent.as_slice()), (&b"x"[..], answer));
        assert_eq!(framing.unframe(b"whatever", &mut said), Heard::Well);
        assert_eq!(said, b"x");
    }
}

#[test]
fn our_close_is_said_once() {
    let mut framing = open();
    framing.say_goodbye();
    framing.say_goodbye();
    assert_eq!(framing.unsent, b"\x88\x02\x03\xe8");
    // Nothing may follow it.
    assert_eq!(framing.unframe(&masked(PING, b""), &mut Vec::new()), Heard::Well);
    assert_eq!(framing.unframe(&masked(CLOSE, b""), &mut Vec::new()), Heard::End);
    assert_eq!(framing.unsent.len(), 4);
}

#[test]
fn what_is_wrong_is_told() {
    let unmasked = b"\x82\x01x".to_vec();
    for (code, came) in [
        (1003, masked(0x81, b"text")),
        (1003, masked(0x01, b"text")),
        (1002, unmasked),
        (1002, masked(0xc2, b"compressed")),
        (1002, masked(0x83, b"reserved")),
        (1002, masked(0x80, b"goes on")),
        (1002, [masked(0x02, b"begins"), masked(0x82, b"again")].concat()),
        (1002, masked(0x09, b"ping in parts")),
        (1002, masked(PING, &[0; 126])),
        (1002, masked(CLOSE, b"x")),
        (1002, masked(CLOSE, &1005_u16.to_be_bytes())),
        (1002, masked(CLOSE, b"\x03\xe8\xff")),
    ] {
        let mut framing = open();
        let Heard::Wrong(reason) = framing.unframe(&came, &mut Vec::new()) else {
            panic!("{came:?}");
        };
        assert!(!framing.may_speak() && !framing.is_open());
        let [0x88, length, high, low, ref told @ ..] = framing.unsent[..] else { panic!() };
        assert_eq!((u16::from_be_bytes([high, low]), usize::from(length)), (code, told.len() + 2));
        assert_eq!(told, reason.as_bytes());
    }
}

#[test]
fn pings_of_a_peer_that_does_not_read_do_not_pile_up() {
    let mut framing = open();
    for _ in 0..1000 {
        assert_eq!(framing.unframe(&masked(PING, &[7; 125]), &mut Vec::new()), Heard::Well);
    }
    assert!((PONGS_MAX..PONGS_MAX + 127).contains(&framing.unsent.len()));
}

#[test]
fn a_frame_of_packets() {
    let mut framed = Vec::new();
    frame_packets(b"\xc0\0", &mut framed);
    assert_eq!(framed, b"\x82\x02\xc0\0");
}
