//! What a shard takes while the disk is full.

use crate::bench::dialogue::{
    CONNACK, RESUMED, clean, id, persistent, puback, publish, send, subscribe, subscribe_with,
};
use crate::bench::{Bench, Wire};
use flotilla_core::counters::DropReason;
use flotilla_mqtt::{
    Ack, Connect, Packet, QoS, ReasonCode, Requested, SubscriptionOptions, Version,
};

/// A durable session that wants `d/#`, one without a log that wants everything, a publisher.
fn bench() -> (Bench, Wire, Wire, Wire) {
    let mut b = Bench::new(1);
    let durable = b.connect(0, persistent("d", 600));
    assert_eq!(b.next(durable), CONNACK);
    subscribe(&mut b, durable, "d/#", QoS::ExactlyOnce);
    let other = clean(&mut b, "o");
    subscribe(&mut b, other, "#", QoS::AtLeastOnce);
    let p = clean(&mut b, "p");
    (b, durable, other, p)
}

/// A client that cannot be told why, and must not be silent for more than 15 seconds.
fn connect_old(b: &mut Bench) -> Wire {
    let mut connect = Connect::new(Version::V3_1_1, "old");
    connect.keep_alive_s = 10;
    let old = b.connect(0, connect);
    assert_eq!(b.next(old), CONNACK);
    old
}

#[test]
fn what_must_be_stored_is_refused() {
    let (mut b, durable, other, p) = bench();
    b.store_changed(true);
    send(&mut b, p, "d/1", "x", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(p), "PUBACK #1 0x97");
    send(&mut b, p, "d/1", "x", QoS::ExactlyOnce, 2);
    assert_eq!(b.next(p), "PUBREC #2 0x97");
    let mut keep = publish("x", "1", QoS::AtLeastOnce, 3);
    keep.retain = true;
    b.send(p, &Packet::Publish(keep));
    assert_eq!(b.next(p), "PUBACK #3 0x97");
    assert_eq!((b.next(durable), b.next(other)), (String::new(), String::new()), "to nobody");
    assert_eq!(b.engine.log().len(), 0);
    assert_eq!(b.shards[0].counters().dropped[DropReason::StoreFull as usize], 3);
    b.store_changed(false);
    send(&mut b, p, "d/1", "y", QoS::ExactlyOnce, 2);
    assert_eq!(b.next(p), "PUBREC #2 0x00", "its identifier was free again [MQTT-4.3.3-9]");
    assert_eq!(b.next(durable), "PUBLISH q2 #1 d/1=y");
}

#[test]
fn what_need_not_be_stored_goes_on() {
    let (mut b, durable, other, p) = bench();
    b.store_changed(true);
    send(&mut b, p, "e", "1", QoS::AtLeastOnce, 1);
    assert_eq!(
        (b.next(p).as_str(), b.next(other).as_str()),
        ("PUBACK #1 0x00", "PUBLISH q1 #1 e=1")
    );
    send(&mut b, p, "d/1", "2", QoS::AtMostOnce, 0);
    assert_eq!(b.next(durable), "PUBLISH q0 d/1=2");
    assert_eq!(b.next(other), "PUBLISH q0 d/1=2");
    let mut keep = publish("r", "3", QoS::AtMostOnce, 0);
    keep.retain = true;
    b.send(p, &Packet::Publish(keep));
    assert_eq!(b.next(other), "PUBLISH q0 r=3", "delivered, not retained");
    assert_eq!(b.shards[0].counters().dropped[DropReason::NotRetained as usize], 1);
    let late = clean(&mut b, "late");
    subscribe(&mut b, late, "r", QoS::AtMostOnce);
    assert_eq!(b.next(late), "");
}

#[test]
fn consumers_and_new_sessions_go_on() {
    let (mut b, durable, _, p) = bench();
    send(&mut b, p, "d/1", "1", QoS::AtLeastOnce, 1);
    send(&mut b, p, "d/1", "2", QoS::ExactlyOnce, 2);
    b.store_changed(true);
    assert_eq!(b.next(durable), "PUBLISH q1 #1 d/1=1");
    assert_eq!(b.next(durable), "PUBLISH q2 #2 d/1=2");
    puback(&mut b, durable, 1);
    b.send(durable, &Packet::Pubrec(Ack::new(id(2), ReasonCode::Success)));
    assert_eq!(b.next(durable), "PUBREL #2 0x00");
    b.send(durable, &Packet::Pubcomp(Ack::new(id(2), ReasonCode::Success)));
    b.wait_ms(2000);
    let cursor = b.engine.session("d").map(|stored| stored.cursor);
    assert_eq!(cursor, Some(b.engine.end()));
    assert_eq!((b.next(p).as_str(), b.next(p).as_str()), ("PUBACK #1 0x00", "PUBREC #2 0x00"));
    b.send(p, &Packet::Pubrel(Ack::new(id(2), ReasonCode::Success)));
    assert_eq!(b.next(p), "PUBCOMP #2 0x00");
    let new = b.connect(0, persistent("new", 600));
    assert_eq!(b.next(new), CONNACK);
    let options = SubscriptionOptions::new(QoS::AtLeastOnce);
    subscribe_with(&mut b, new, None, &[Requested { filter: "n", options }]);
    assert_eq!(b.next(new), "SUBACK #1 [1]");
    b.cut(new);
    let new = b.connect(0, persistent("new", 600));
    assert_eq!(b.next(new), RESUMED);
}

#[test]
fn who_cannot_be_told_is_not_read_until_there_is_room() {
    let (mut b, durable, _, _) = bench();
    let old = connect_old(&mut b);
    b.store_changed(true);
    send(&mut b, old, "d/1", "0", QoS::AtMostOnce, 0);
    assert_eq!(b.next(durable), "PUBLISH q0 d/1=0", "QoS 0 needs no answer");
    for number in 1..=3 {
        send(&mut b, old, "d/1", &number.to_string(), QoS::AtLeastOnce, number);
    }
    assert!(b.is_paused(old));
    assert_eq!((b.next(old), b.next(durable)), (String::new(), String::new()));
    for _ in 0..10 {
        b.wait_ms(10_000);
    }
    assert!(b.is_open(old), "it is the broker that does not listen");
    b.store_changed(false);
    for number in 1..=3 {
        assert_eq!(b.next(old), format!("PUBACK #{number} 0x00"));
        assert_eq!(b.next(durable), format!("PUBLISH q1 #{number} d/1={number}"));
    }
    b.store_changed(true);
    send(&mut b, old, "d/1", "4", QoS::AtLeastOnce, 4);
    b.cut(old);
    b.store_changed(false);
    assert_eq!(b.next(durable), "", "it went with its connection, without an answer");
}

#[test]
fn retained_messages_that_would_be_stored_for_a_subscription_are_refused() {
    let (mut b, durable, other, p) = bench();
    let mut keep = publish("r", "1", QoS::AtLeastOnce, 1);
    keep.retain = true;
    b.send(p, &Packet::Publish(keep));
    assert_eq!(b.next(other), "PUBLISH q1 #1 r=1");
    let log = b.engine.log().len();
    b.store_changed(true);
    let ask = |b: &mut Bench, wire, qos| {
        let options = SubscriptionOptions::new(qos);
        subscribe_with(b, wire, None, &[Requested { filter: "r", options }]);
        b.next(wire)
    };
    assert_eq!(ask(&mut b, durable, QoS::AtLeastOnce), "SUBACK #1 [151]");
    assert_eq!(b.next(durable), "");
    assert_eq!(ask(&mut b, other, QoS::AtLeastOnce), "SUBACK #1 [1]", "it has no log");
    assert_eq!(b.next(other), "PUBLISH q1 retain #2 r=1");
    assert_eq!(b.engine.log().len(), log);
    assert_eq!(ask(&mut b, durable, QoS::AtMostOnce), "SUBACK #1 [0]", "nothing is stored");
    assert_eq!(b.next(durable), "PUBLISH q0 retain r=1");
    b.store_changed(false);
    assert_eq!(ask(&mut b, durable, QoS::AtLeastOnce), "SUBACK #1 [1]");
    assert_eq!(b.next(durable), "PUBLISH q1 retain #1 r=1");
}

#[test]
fn who_was_not_read_is_heard_before_its_silence_counts() {
    let (mut b, durable, _, _) = bench();
    let old = connect_old(&mut b);
    b.store_changed(true);
    send(&mut b, old, "d/1", "1", QoS::AtLeastOnce, 1);
    b.wait_ms(14_999);
    // There is room again in the turn in which the timer rings.
    b.hold_turns(true);
    b.store_changed(false);
    b.wait_ms(1);
    b.hold_turns(false);
    b.settle();
    assert_eq!(
        (b.next(old).as_str(), b.next(durable).as_str()),
        ("PUBACK #1 0x00", "PUBLISH q1 #1 d/1=1")
    );
    b.wait_ms(15_000);
    assert!(!b.is_open(old));
}
