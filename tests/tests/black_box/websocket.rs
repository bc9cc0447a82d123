//! MQTT in WebSockets: the request, the frames (MQTT 5 and 3.1.1, chapter 6).
//!
//! That every packet goes through frames is shown by all scenarios, which are played over `ws://`
//! and `wss://`, too.

use std::time::Instant;

use flotilla_tests::{
    Broker, Connect, DEADLINE, Link, Publish, Scene, Settings, Socket, Transport, Version,
    websocket::{REQUEST, frame, take_frame},
};

const BINARY: u8 = 0x82;

/// The bytes below the frames, with what has come.
struct Wire {
    socket: Socket,
    came: Vec<u8>,
}

impl Wire {
    fn open(scene: &Scene) -> Self {
        let socket = Socket::open_raw(&scene.endpoint()).expect("the listener takes connections");
        Self { socket, came: Vec::new() }
    }

    /// A WebSocket with a connected client.
    fn connect(scene: &Scene, name: &str) -> Self {
        let mut wire = Self::open(scene);
        wire.send(REQUEST);
        assert!(wire.answer().starts_with("HTTP/1.1 101 "));
        wire.send(&frame(BINARY, &Connect::new(scene.id(name)).bytes(Version::V5)));
        let (first, connack) = wire.frame();
        assert_eq!((first, connack[0]), (BINARY, 0x20));
        wire
    }

    fn send(&mut self, bytes: &[u8]) {
        self.socket.send(bytes).expect("the broker reads");
    }

    /// Whether more came.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let read = self.socket.receive(&mut buffer, Instant::now() + DEADLINE);
        let read = read.expect("an answer, or a proper end");
        self.came.extend_from_slice(&buffer[..read]);
        read > 0
    }

    /// The head of an HTTP response.
    fn answer(&mut self) -> String {
        loop {
            if let Some(end) = self.came.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.came.split_off(end + 4);
                let head = std::mem::replace(&mut self.came, rest);
                return String::from_utf8(head).expect("a head is text");
            }
            assert!(self.fill(), "no answer: {:?}", String::from_utf8_lossy(&self.came));
        }
    }

    fn frame(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let Some(frame) = take_frame(&mut self.came) {
                return frame;
            }
            assert!(self.fill(), "no frame: {:?}", self.came);
        }
    }

    fn ping(&mut self) {
        self.send(&frame(BINARY, b"\xc0\0"));
        assert_eq!(self.frame(), (BINARY, b"\xd0\0".to_vec()));
    }

    /// A close frame with this code, then the end of the stream.
    fn expect_closed(&mut self, code: u16) {
        let (first, payload) = self.frame();
        assert_eq!((first, &payload[..2]), (0x88, &code.to_be_bytes()[..]), "{payload:?}");
        assert!(!self.fill(), "the stream ends");
    }
}

fn with_both(scenario: impl Fn(&Scene)) {
    for link in [Link::V5_WS, Link::V5_WSS] {
        scenario(&Scene::shared(link));
    }
}

/// [MQTT-6.0.0-2]
#[test]
fn packets_are_split_and_joined_over_frames() {
    with_both(|scene| {
        let mut subscriber = scene.connect("s");
        let topic = scene.topic("t");
        subscriber.subscribe(&topic, 0);
        let mut wire = Wire::connect(scene, "p");
        let publish = |payload: &str| Publish::new(&topic, payload).bytes(Version::V5);
        // Three packets in one frame.
        wire.send(&frame(BINARY, &[publish("1"), publish("2"), publish("3")].concat()));
        // A packet in a message of many fragments, a ping among them, in the middle of a packet.
        let packet = publish("4");
        wire.send(&frame(0x02, &packet[..1]));
        wire.send(&frame(0x89, b"now"));
        wire.send(&frame(0x00, &[]));
        for byte in &packet[1..] {
            wire.send(&frame(0x00, &[*byte]));
        }
        wire.send(&frame(0x80, &[]));
        // The end of one, the beginning of the next; the frames byte by byte.
        let two = [publish("5"), publish("6")].concat();
        let (first, second) = two.split_at(two.len() / 2 + 3);
        for byte in [frame(BINARY, first), frame(BINARY, second)].concat() {
            wire.send(&[byte]);
        }
        // Longer than the worker's buffer.
        let long = "x".repeat(300_000);
        wire.send(&frame(BINARY, &publish(&long)));
        for payload in ["1", "2", "3", "4", "5", "6", &long] {
            assert_eq!(subscriber.await_publish().text(), payload);
        }
        assert_eq!(wire.frame(), (0x8A, b"now".to_vec()));
        wire.ping();
    });
}

/// [MQTT-6.0.0-1], and what RFC 6455 forbids.
#[test]
fn frames_that_must_not_be_end_the_connection() {
    with_both(|scene| {
        let count = || scene.broker().metric("flotilla_websocket_violations_total", &[]);
        let before = count();
        let faults = [
            (1003, frame(0x81, b"text")),
            (1002, frame(0x80, b"goes on")),
            (1002, frame(0xC2, b"compressed")),
            (1002, frame(0x89, &[0; 126])),
            (1002, b"\x82\x02\xc0\0".to_vec()),
        ];
        for (number, (code, bytes)) in faults.iter().enumerate() {
            let mut wire = Wire::connect(scene, &format!("f{number}"));
            // What comes behind is not looked at, and does not cut off the answer.
            wire.send(&[&bytes[..], &frame(BINARY, &[0xC0; 5000])].concat());
            wire.expect_closed(*code);
        }
        assert!(count() >= before + faults.len() as f64);
    });
}

#[test]
fn a_close_frame_is_answered() {
    with_both(|scene| {
        let mut wire = Wire::connect(scene, "a");
        wire.send(&frame(0x88, &1001_u16.to_be_bytes()));
        wire.expect_closed(1001);
        // DISCONNECT: the broker closes.
        let mut wire = Wire::connect(scene, "b");
        wire.send(&frame(BINARY, b"\xe0\0"));
        wire.expect_closed(1000);
    });
}

/// [MQTT-6.0.0-3], [MQTT-6.0.0-4]
#[test]
fn requests_that_are_not_for_mqtt() {
    with_both(|scene| {
        let count = || {
            let labels = ["outcome=\"refused\""];
            scene.broker().metric("flotilla_websocket_handshakes_total", &labels)
        };
        let before = count();
        let request = std::str::from_utf8(REQUEST).expect("a request is text");
        let with = |old: &str, new: &str| request.replace(old, new).into_bytes();
        let requests = [
            (400, with("Protocol: mqtt", "Protocol: chat")),
            (400, with("Sec-WebSocket-Protocol: mqtt\r\n", "")),
            (404, with("/mqtt", "/")),
            (405, with("GET", "PUT")),
            (426, with("Upgrade: websocket\r\n", "")),
            (400, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec()),
            (400, Connect::new(scene.id("a")).bytes(Version::V5)),
            (431, with("localhost", &"x".repeat(100_000))),
        ];
        for (status, request) in &requests {
            let mut wire = Wire::open(scene);
            wire.send(request);
            let answer = wire.answer();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            while wire.fill() {}
        }
        assert!(count() >= before + requests.len() as f64);
        let mut wire = Wire::open(scene);
        wire.send(&with("Protocol: mqtt", "Protocol: chat, mqtt"));
        let answer = wire.answer().to_lowercase();
        assert!(answer.contains("\r\nsec-websocket-protocol: mqtt\r\n"), "{answer}");
    });
}

/// Half a request: others are served, it is closed after `connect_timeout`.
#[test]
fn requests_that_do_not_end() {
    let settings = Settings::new().tables("[limits]\nconnect_timeout = \"1s\"");
    let broker = Broker::start(settings);
    let mut slow: Vec<_> = [Transport::Ws, Transport::Wss]
        .map(|transport| {
            let endpoint = broker.endpoint(transport);
            let mut socket = Socket::open_raw(&endpoint).expect("the listener takes connections");
            socket.send(&REQUEST[..20]).expect("the broker reads");
            socket
        })
        .into();
    for socket in &mut slow {
        let read = socket.receive(&mut [0; 100], Instant::now() + DEADLINE);
        assert_eq!(read.expect("a proper end"), 0);
    }
    let labels = ["outcome=\"timed_out\""];
    assert_eq!(broker.metric("flotilla_websocket_handshakes_total", &labels), 2.0);
    assert_eq!(broker.metric("flotilla_tls_handshakes_total", &labels), 0.0);
}
