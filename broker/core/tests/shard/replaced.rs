//! Subscriptions that are replaced, or overlap, while the log holds something for them.

use crate::bench::dialogue::{
    CONNACK, RESUMED, clean, persistent, puback, publish, send, subscribe, subscribe_with,
};
use crate::bench::{Bench, Wire};
use flotilla_core::limits::Limits;
use flotilla_mqtt::{
    Packet, PacketId, QoS, Requested, SubscriptionOptions, Unsubscribe, UnsubscribeFilters,
    UserProperties,
};

/// A session that takes one message at a time.
fn slow() -> (Bench, Wire) {
    let mut b = Bench::with_limits(1, Limits { inflight_max: 1, ..Limits::default() });
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), CONNACK);
    (b, s)
}

fn resume(b: &mut Bench, s: Wire) -> Wire {
    b.cut(s);
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), RESUMED);
    s
}

#[test]
fn no_local_that_is_taken_back_counts_for_what_comes_from_then_on() {
    let (mut b, s) = slow();
    let mut options = SubscriptionOptions::new(QoS::AtLeastOnce);
    options.no_local = true;
    subscribe_with(&mut b, s, None, &[Requested { filter: "a", options }]);
    assert_eq!(b.next(s), "SUBACK #1 [1]");
    // Because of it the own message is in the log, and because of the other's the cursor stays.
    let o = b.connect(0, persistent("other", 600));
    assert_eq!(b.next(o), CONNACK);
    subscribe(&mut b, o, "a", QoS::AtLeastOnce);
    send(&mut b, o, "a", "other's", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(s), "PUBLISH q1 #1 a=other's");
    send(&mut b, s, "a", "own", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(s), "PUBACK #1 0x00");
    let s = resume(&mut b, s);
    assert_eq!(b.next(s), "PUBLISH q1 dup #1 a=other's");
    subscribe(&mut b, s, "a", QoS::AtLeastOnce);
    let s = resume(&mut b, s);
    assert_eq!(b.next(s), "PUBLISH q1 dup #1 a=other's");
    puback(&mut b, s, 1);
    assert_eq!(b.next(s), "");
    send(&mut b, s, "a", "own again", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(s), "PUBLISH q1 #2 a=own again");
    assert_eq!(b.next(s), "PUBACK #1 0x00");
}

#[test]
fn no_local_counts_for_what_comes_from_then_on() {
    let (mut b, s) = slow();
    subscribe(&mut b, s, "a", QoS::AtLeastOnce);
    for (number, payload) in [(1, "in flight"), (2, "waits")] {
        send(&mut b, s, "a", payload, QoS::AtLeastOnce, number);
        if number == 1 {
            assert_eq!(b.next(s), "PUBLISH q1 #1 a=in flight");
        }
        assert_eq!(b.next(s), format!("PUBACK #{number} 0x00"));
    }
    let mut options = SubscriptionOptions::new(QoS::AtLeastOnce);
    options.no_local = true;
    subscribe_with(&mut b, s, None, &[Requested { filter: "a", options }]);
    let s = resume(&mut b, s);
    assert_eq!(b.next(s), "PUBLISH q1 dup #1 a=in flight");
    send(&mut b, s, "a", "later", QoS::AtLeastOnce, 3);
    assert_eq!(b.next(s), "PUBACK #3 0x10");
    puback(&mut b, s, 1);
    assert_eq!(b.next(s), "PUBLISH q1 #2 a=waits");
    puback(&mut b, s, 2);
    assert_eq!(b.next(s), "");
}

/// One message is in flight and another one waits when the subscription is lowered to QoS 0.
fn lowered() -> (Bench, Wire, Wire) {
    let (mut b, s) = slow();
    subscribe(&mut b, s, "a", QoS::AtLeastOnce);
    let p = clean(&mut b, "p");
    for (number, payload) in [(1, "in flight"), (2, "waits")] {
        send(&mut b, p, "a", payload, QoS::AtLeastOnce, number);
    }
    assert_eq!(b.next(s), "PUBLISH q1 #1 a=in flight");
    subscribe(&mut b, s, "a", QoS::AtMostOnce);
    (b, s, p)
}

#[test]
fn what_is_lowered_to_qos_0_gets_what_came_before() {
    let (mut b, s, p) = lowered();
    let s = resume(&mut b, s);
    assert_eq!(b.next(s), "PUBLISH q1 dup #1 a=in flight");
    send(&mut b, p, "a", "new", QoS::AtLeastOnce, 3);
    assert_eq!(b.next(s), "PUBLISH q0 a=new");
    // Also of a broker that was started again, and cannot know what the client has got.
    b.crash();
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), RESUMED);
    assert_eq!(b.next(s), "PUBLISH q1 dup #1 a=in flight");
    puback(&mut b, s, 1);
    assert_eq!(b.next(s), "PUBLISH q1 dup #2 a=waits");
    puback(&mut b, s, 2);
    assert_eq!(b.next(s), "");
    let p = clean(&mut b, "p");
    send(&mut b, p, "a", "newer", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(s), "PUBLISH q0 a=newer");
}

#[test]
fn what_was_replaced_and_is_taken_back_gets_nothing_more() {
    let (mut b, s, _) = lowered();
    b.send(
        s,
        &Packet::Unsubscribe(Unsubscribe {
            packet_id: PacketId::MIN,
            user_properties: UserProperties::EMPTY,
            filters: UnsubscribeFilters::from_slice(&["a"]),
        }),
    );
    assert_eq!(b.next(s), "UNSUBACK #1 [0]");
    let s = resume(&mut b, s);
    assert_eq!(b.next(s), "PUBLISH q1 dup #1 a=in flight");
    puback(&mut b, s, 1);
    assert_eq!(b.next(s), "");
}

#[test]
fn what_is_retained_has_the_identifier_of_its_subscription_and_from_the_log_those_of_all() {
    let (mut b, s) = slow();
    let p = clean(&mut b, "p");
    let mut retained = publish("a/b", "1", QoS::AtLeastOnce, 1);
    retained.retain = true;
    b.send(p, &Packet::Publish(retained));
    let options = SubscriptionOptions::new(QoS::AtLeastOnce);
    for (id, filter) in [(7, "a/#"), (8, "a/+")] {
        subscribe_with(&mut b, s, Some(id), &[Requested { filter, options }]);
        assert_eq!(b.next(s), "SUBACK #1 [1]");
        assert_eq!(b.next(s), format!("PUBLISH q1 retain #{} a/b=1 [{id}]", id - 6));
        if id == 7 {
            puback(&mut b, s, 1);
        }
    }
    let s = resume(&mut b, s);
    assert_eq!(b.next(s), "PUBLISH q1 dup retain #2 a/b=1 [7, 8]");
}
