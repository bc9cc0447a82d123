//! Enhanced authentication on the bench: the server asks who it is, and `me` is the answer.

use crate::bench::dialogue::{CONNACK, clean, publish};
use crate::bench::{Bench, Wire};
use flotilla_core::limits::Limits;
use flotilla_mqtt::{Auth, Connect, Disconnect, Packet, QoS, ReasonCode, Version};

fn connect(client_id: &str) -> Connect<'_> {
    let mut connect = Connect::new(Version::V5, client_id);
    connect.authentication_method = Some("BENCH");
    connect
}

fn auth(b: &mut Bench, wire: Wire, reason_code: ReasonCode, data: &str) {
    let auth = Auth::new(reason_code, "BENCH");
    b.send(wire, &Packet::Auth(Auth { authentication_data: Some(data.as_bytes()), ..auth }));
}

fn authenticated(b: &mut Bench, client_id: &str) -> Wire {
    let wire = b.connect(0, connect(client_id));
    assert_eq!(b.next(wire), "AUTH 0x18 who?");
    auth(b, wire, ReasonCode::ContinueAuthentication, "me");
    assert_eq!(b.next(wire), CONNACK);
    wire
}

#[test]
fn a_client_answers_and_is_in() {
    let mut b = Bench::new(1);
    let wire = authenticated(&mut b, "a");
    b.send(wire, &Packet::Pingreq);
    assert_eq!(b.next(wire), "Pingresp");
}

#[test]
fn whatever_else_it_says_ends_it() {
    let mut b = Bench::new(1);
    let other = Auth::new(ReasonCode::ContinueAuthentication, "OTHER");
    let early = Auth::new(ReasonCode::ReAuthenticate, "BENCH");
    for (packet, answer) in [
        (Packet::Pingreq, "CONNACK 0x82 present=false"),
        (Packet::Publish(publish("a", "1", QoS::AtMostOnce, 0)), "CONNACK 0x82 present=false"),
        (Packet::Auth(other), "CONNACK 0x82 present=false"),
        (Packet::Auth(early), "CONNACK 0x82 present=false"),
        (Packet::Disconnect(Disconnect::new(ReasonCode::Success)), ""),
    ] {
        let wire = b.connect(0, connect("a"));
        assert_eq!(b.next(wire), "AUTH 0x18 who?");
        b.send(wire, &packet);
        assert_eq!(b.next(wire), answer, "{packet:?}");
        assert!(!b.is_open(wire), "{packet:?}");
    }
    let wire = b.connect(0, connect("a"));
    assert_eq!(b.next(wire), "AUTH 0x18 who?");
    auth(&mut b, wire, ReasonCode::ContinueAuthentication, "somebody");
    assert_eq!(b.next(wire), "CONNACK 0x87 present=false");
}

#[test]
fn bytes_are_taken_when_they_are_a_packet() {
    let mut b = Bench::new(1);
    let wire = b.connect(0, connect("a"));
    assert_eq!(b.next(wire), "AUTH 0x18 who?");
    for byte in b"\xf0\x0e\x18\x0c\x15\0\x05BENCH\x16\0\x01" {
        b.send_bytes(wire, &[*byte]);
        assert_eq!((b.next(wire).as_str(), b.is_open(wire)), ("", true));
    }
    b.send_bytes(wire, b"x");
    assert_eq!(b.next(wire), "CONNACK 0x87 present=false", "x is nobody");
    let wire = b.connect(0, connect("a"));
    assert_eq!(b.next(wire), "AUTH 0x18 who?");
    b.send_bytes(wire, b"\xf1\0");
    assert_eq!((b.next(wire).as_str(), b.is_open(wire)), ("CONNACK 0x81 present=false", false));
}

#[test]
fn one_that_says_nothing_is_not_waited_for() {
    let limits = Limits { connect_timeout_ms: 1_000, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    let wire = b.connect(0, connect("a"));
    assert_eq!(b.next(wire), "AUTH 0x18 who?");
    b.wait_ms(1_001);
    assert!(!b.is_open(wire));
}

#[test]
fn it_may_be_asked_again_while_connected() {
    let mut b = Bench::new(1);
    let wire = authenticated(&mut b, "a");
    for _ in 0..2 {
        auth(&mut b, wire, ReasonCode::ReAuthenticate, "");
        assert_eq!(b.next(wire), "AUTH 0x18 who?");
        b.send(wire, &Packet::Pingreq);
        assert_eq!(b.next(wire), "Pingresp", "the connection goes on meanwhile");
        auth(&mut b, wire, ReasonCode::ContinueAuthentication, "me");
        assert_eq!(b.next(wire), "AUTH 0x00 fine");
    }
    assert_eq!(b.shards[0].counters().reauthentications, 2);
    auth(&mut b, wire, ReasonCode::ReAuthenticate, "");
    assert_eq!(b.next(wire), "AUTH 0x18 who?");
    auth(&mut b, wire, ReasonCode::ContinueAuthentication, "somebody");
    assert_eq!(b.next(wire), "DISCONNECT 0x87");
    assert!(!b.is_open(wire));
    assert_eq!(b.shards[0].counters().reauthentications_refused, 1);
}

#[test]
fn not_as_somebody_else() {
    let mut b = Bench::new(1);
    let wire = authenticated(&mut b, "a");
    auth(&mut b, wire, ReasonCode::ReAuthenticate, "");
    assert_eq!(b.next(wire), "AUTH 0x18 who?");
    auth(&mut b, wire, ReasonCode::ContinueAuthentication, "you");
    assert_eq!(b.next(wire), "DISCONNECT 0x87");
}

#[test]
fn steps_come_in_their_order() {
    let mut b = Bench::new(1);
    for reason_code in [ReasonCode::ContinueAuthentication, ReasonCode::Success] {
        let wire = authenticated(&mut b, "a");
        auth(&mut b, wire, reason_code, "me");
        assert_eq!(b.next(wire), "DISCONNECT 0x82", "{reason_code:?}");
    }
    let wire = authenticated(&mut b, "a");
    auth(&mut b, wire, ReasonCode::ReAuthenticate, "");
    assert_eq!(b.next(wire), "AUTH 0x18 who?");
    auth(&mut b, wire, ReasonCode::ReAuthenticate, "");
    assert_eq!(b.next(wire), "DISCONNECT 0x82");
    let wire = clean(&mut b, "plain");
    auth(&mut b, wire, ReasonCode::ReAuthenticate, "");
    assert_eq!(b.next(wire), "DISCONNECT 0x82");
    let wire = authenticated(&mut b, "a");
    b.send(wire, &Packet::Auth(Auth::new(ReasonCode::ReAuthenticate, "OTHER")));
    assert_eq!(b.next(wire), "DISCONNECT 0x82", "[MQTT-4.12.1-1]");
}

#[test]
fn a_client_of_small_packets() {
    let mut b = Bench::new(1);
    let mut small = connect("a");
    small.maximum_packet_size = Some(8);
    let wire = b.connect(0, small);
    assert_eq!(b.next(wire), "CONNACK 0x95 present=false");
}
