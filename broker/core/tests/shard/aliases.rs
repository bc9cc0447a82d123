//! Topic Aliases towards a client.

use crate::bench::dialogue::{clean, send, subscribe};
use crate::bench::{Bench, Wire};
use flotilla_mqtt::{Connect, Packet, QoS, Version};

const TOPIC: &str = "fleet/r1/d1/state";

fn subscriber(b: &mut Bench, topic_alias_maximum: u16, packet_size_max: Option<u32>) -> Wire {
    let mut connect = Connect::new(Version::V5, "s");
    connect.topic_alias_maximum = topic_alias_maximum;
    connect.maximum_packet_size = packet_size_max;
    let wire = b.connect(0, connect);
    b.next(wire);
    subscribe(b, wire, "#", QoS::AtLeastOnce);
    wire
}

/// Topic, alias.
fn next(b: &mut Bench, wire: Wire) -> (String, Option<u16>) {
    let next = b.receive(wire, |packet| match packet {
        Packet::Publish(publish) => (publish.topic.to_owned(), publish.topic_alias),
        other => panic!("{other:?}"),
    });
    next.expect("a PUBLISH")
}

#[test]
fn a_topic_that_comes_again_goes_by_a_number() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let mut b = Bench::new(1);
        let s = subscriber(&mut b, 1, None);
        let p = clean(&mut b, "p");
        let packet_id = u16::from(qos > QoS::AtMostOnce);
        for (topic, alias) in [(TOPIC, None), (TOPIC, Some(1)), ("", Some(1)), ("", Some(1))] {
            send(&mut b, p, TOPIC, "x", qos, packet_id);
            assert_eq!(next(&mut b, s), (topic.to_owned(), alias), "[MQTT-3.3.2-12]");
        }
        assert_eq!(b.shards[0].counters().messages_aliased, 2);
        // Another connection knows nothing of it [MQTT-3.3.2-7].
        b.cut(s);
        let s = subscriber(&mut b, 1, None);
        send(&mut b, p, TOPIC, "x", qos, packet_id);
        assert_eq!(next(&mut b, s), (TOPIC.to_owned(), None));
    }
}

#[test]
fn a_client_that_takes_none_gets_none() {
    let mut b = Bench::new(1);
    let s = subscriber(&mut b, 0, None);
    let p = clean(&mut b, "p");
    for _ in 0..4 {
        send(&mut b, p, TOPIC, "x", QoS::AtLeastOnce, 1);
        assert_eq!(next(&mut b, s), (TOPIC.to_owned(), None), "[MQTT-3.3.2-11]");
    }
}

#[test]
fn an_alias_that_makes_the_packet_too_large_is_not_set() {
    // Header 2, topic 2 and 17, Packet Identifier 2, no properties 1, payload 1.
    let whole = 25;
    let mut b = Bench::new(1);
    let s = subscriber(&mut b, 1, Some(whole));
    let p = clean(&mut b, "p");
    for _ in 0..4 {
        send(&mut b, p, TOPIC, "x", QoS::AtLeastOnce, 1);
        assert_eq!(next(&mut b, s), (TOPIC.to_owned(), None), "[MQTT-3.1.2-24]");
    }
    assert_eq!(b.shards[0].counters().messages_aliased, 0);
    b.cut(s);
    let s = subscriber(&mut b, 1, Some(whole + 3));
    for (topic, alias) in [(TOPIC, None), (TOPIC, Some(1)), ("", Some(1))] {
        send(&mut b, p, TOPIC, "x", QoS::AtLeastOnce, 1);
        assert_eq!(next(&mut b, s), (topic.to_owned(), alias));
    }
}
