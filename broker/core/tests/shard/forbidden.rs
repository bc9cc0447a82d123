//! What a client may not say.

use crate::bench::Bench;
use crate::bench::dialogue::{clean, subscribe};
use flotilla_mqtt::{Connect, QoS, Version, Will};

/// A Will is published as if its client did it, so that it may not go where its client may not.
#[test]
fn a_will_for_a_topic_of_the_broker() {
    let levels = vec!["a"; 33].join("/");
    let mut b = Bench::new(1);
    let s = clean(&mut b, "s");
    subscribe(&mut b, s, "$SYS/#", QoS::AtMostOnce);
    for (topic, answer) in [("$SYS/x", "0x87"), ("$dead/x", "0x87"), (&levels, "0x90")] {
        let mut connect = Connect::new(Version::V5, "c");
        connect.will = Some(Will::new(topic, b"gone", QoS::AtMostOnce, false));
        let wire = b.connect(0, connect);
        assert_eq!(b.next(wire), format!("CONNACK {answer} present=false"), "{topic}");
        assert!(!b.is_open(wire));
    }
    assert_eq!(b.next(s), "");
    assert_eq!(b.shards[0].census().sessions.len(), 1);
}

#[test]
fn a_subscription_identifier_in_its_publish() {
    let mut b = Bench::new(1);
    let s = clean(&mut b, "s");
    subscribe(&mut b, s, "a", QoS::AtMostOnce);
    let p = clean(&mut b, "p");
    b.send_bytes(p, b"\x30\x07\0\x01a\x02\x0b\x011");
    assert_eq!(b.next(p), "DISCONNECT 0x82", "[MQTT-3.3.4-6]");
    assert_eq!(b.next(s), "");
}
