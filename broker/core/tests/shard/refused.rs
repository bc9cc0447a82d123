//! A message that was refused is not taken for a repetition when it comes again.

use crate::bench::dialogue::{CONNACK, RESUMED, clean, id, persistent, publish, subscribe};
use crate::bench::{Bench, Wire};
use flotilla_core::limits::Limits;
use flotilla_mqtt::{Ack, Connect, Disconnect, Packet, Publish, QoS, ReasonCode, Version};

/// A client that cannot be told, with a session.
fn old() -> Connect<'static> {
    let mut connect = persistent("old", u32::MAX);
    connect.version = Version::V3_1_1;
    connect
}

fn connect(b: &mut Bench, connect: Connect<'_>, connack: &str) -> Wire {
    let wire = b.connect(0, connect);
    assert_eq!(b.next(wire), connack);
    wire
}

#[test]
fn by_ending_the_connection() {
    let limits = Limits { retained_payload_max: 4, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    let too_large = Publish { retain: true, ..publish("a", "large", QoS::ExactlyOnce, 1) };
    for refused in [too_large, publish("$a", "1", QoS::ExactlyOnce, 1)] {
        let mut connack = CONNACK;
        for _ in 0..3 {
            let wire = connect(&mut b, old(), connack);
            b.send(wire, &Packet::Publish(refused));
            assert_eq!(b.next(wire), "", "a PUBREC would lie");
            assert!(!b.is_open(wire));
            connack = RESUMED;
        }
        let mut end = old();
        (end.clean_start, end.session_expiry_interval_s) = (true, 0);
        let wire = connect(&mut b, end, CONNACK);
        b.cut(wire);
    }
}

#[test]
fn when_the_connection_has_ended_already() {
    let limits = Limits { retained_payload_max: 4, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    let p = connect(&mut b, persistent("p", 600), CONNACK);
    let refused = Publish { retain: true, ..publish("a", "large", QoS::ExactlyOnce, 1) };
    b.hold_turns(true);
    b.send(p, &Packet::Publish(refused));
    b.send(p, &Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
    b.hold_turns(false);
    b.settle();
    let p = connect(&mut b, persistent("p", 600), RESUMED);
    b.send(p, &Packet::Publish(Publish { dup: true, ..refused }));
    assert_eq!(b.next(p), "PUBREC #1 0x97");
}

#[test]
fn for_being_one_too_many() {
    let mut b = Bench::with_limits(1, Limits { receive_max: 2, ..Limits::default() });
    let s = clean(&mut b, "s");
    subscribe(&mut b, s, "a", QoS::AtMostOnce);
    let p = connect(&mut b, persistent("p", 600), CONNACK);
    for number in 1..=3 {
        b.send(p, &Packet::Publish(publish("a", "1", QoS::ExactlyOnce, number)));
    }
    assert!(!b.is_open(p), "[MQTT-3.3.4-7]");
    assert_eq!((b.next(s).as_str(), b.next(s).as_str()), ("PUBLISH q0 a=1", "PUBLISH q0 a=1"));
    let p = connect(&mut b, persistent("p", 600), RESUMED);
    for number in 1..=2 {
        b.send(p, &Packet::Pubrel(Ack::new(id(number), ReasonCode::Success)));
        assert_eq!(b.next(p), format!("PUBCOMP #{number} 0x00"));
    }
    b.send(p, &Packet::Publish(publish("a", "3", QoS::ExactlyOnce, 3)));
    assert_eq!((b.next(p).as_str(), b.next(s).as_str()), ("PUBREC #3 0x00", "PUBLISH q0 a=3"));
}
