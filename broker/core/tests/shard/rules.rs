//! One rule a test, on the bench: what goes in, what comes out, packet by packet.

use crate::bench::Bench;
use crate::bench::dialogue::{
    CONNACK, RESUMED, clean, id, persistent, puback, publish, send, subscribe, subscribe_with,
};
use flotilla_core::limits::Limits;
use flotilla_mqtt::{
    Ack, Connect, Disconnect, Packet, Publish, QoS, ReasonCode, Requested, RetainHandling,
    SubscriptionOptions, Unsubscribe, UnsubscribeFilters, UserProperties, Version, Will,
};

#[test]
fn an_acknowledgement_waits_for_the_commit() {
    let mut b = Bench::new(2);
    b.commits_at_once = false;
    let s = b.connect(0, persistent("s", 60));
    for _ in 0..9 {
        b.answer();
        b.deliver_mail();
    }
    assert_eq!(b.next(s), "", "CONNACK promises a session");
    b.settle();
    assert_eq!(b.next(s), CONNACK);
    let options = SubscriptionOptions::new(QoS::AtLeastOnce);
    subscribe_with(&mut b, s, None, &[Requested { filter: "a", options }]);
    assert_eq!(b.next(s), "", "SUBACK promises a subscription [MQTT-3.8.4-1]");
    b.settle();
    assert_eq!(b.next(s), "SUBACK #1 [1]");
    let p = b.connect(1, Connect::new(Version::V5, "p"));
    b.settle();
    assert_eq!(b.next(p), CONNACK);
    send(&mut b, p, "a", "1", QoS::AtLeastOnce, 1);
    send(&mut b, p, "b", "2", QoS::AtLeastOnce, 2);
    send(&mut b, p, "a", "3", QoS::ExactlyOnce, 3);
    b.deliver_mail();
    assert_eq!((b.next(p), b.next(s)), (String::new(), String::new()), "nothing is stored");
    b.settle();
    assert_eq!(b.next(p), "PUBACK #1 0x00");
    assert_eq!(b.next(p), "PUBACK #2 0x10", "[MQTT-4.6.0-2]: in order");
    assert_eq!(b.next(p), "PUBREC #3 0x00");
    assert_eq!(b.next(s), "PUBLISH q1 #1 a=1");
    assert_eq!(b.next(s), "PUBLISH q1 #2 a=3");
}

#[test]
fn what_nobody_durable_wants_is_not_stored() {
    let mut b = Bench::new(1);
    let (s, p) = (clean(&mut b, "s"), clean(&mut b, "p"));
    subscribe(&mut b, s, "a", QoS::AtLeastOnce);
    send(&mut b, p, "a", "1", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(p), "PUBACK #1 0x00");
    assert_eq!(b.next(s), "PUBLISH q1 #1 a=1");
    assert!(b.engine.log().is_empty());
}

#[test]
fn resumes_with_dup_same_identifiers_and_order() {
    // [MQTT-4.4.0-1], across connections, shards and a restart.
    for crash in [false, true] {
        let mut b = Bench::new(3);
        let s = b.connect(0, persistent("s", 600));
        assert_eq!(b.next(s), CONNACK);
        subscribe(&mut b, s, "#", QoS::AtLeastOnce);
        let p = clean(&mut b, "p");
        for number in 1..=4 {
            send(&mut b, p, "a", &number.to_string(), QoS::AtLeastOnce, number);
            assert_eq!(b.next(s), format!("PUBLISH q1 #{number} a={number}"));
        }
        puback(&mut b, s, 2);
        b.cut(s);
        send(&mut b, p, "a", "5", QoS::AtLeastOnce, 5);
        if crash {
            b.crash();
        }
        let s = b.connect(2, persistent("s", 600));
        assert_eq!(b.next(s), RESUMED);
        for number in [1, 3, 4] {
            assert_eq!(b.next(s), format!("PUBLISH q1 dup #{number} a={number}"));
        }
        assert_eq!(b.next(s), "PUBLISH q1 #5 a=5");
        assert_eq!(b.next(s), "");
    }
}

#[test]
fn what_a_crash_repeats_is_bounded() {
    let mut b = Bench::with_limits(1, Limits { cursor_lag_max: 4, ..Limits::default() });
    let mut most = 0;
    for round in 0..10 {
        let s = b.connect(0, persistent("s", 600));
        b.next(s);
        subscribe(&mut b, s, "#", QoS::AtLeastOnce);
        let p = clean(&mut b, "p");
        for number in 1..=20 + round {
            send(&mut b, p, "a", "x", QoS::AtLeastOnce, number);
            assert_eq!(b.next(s), format!("PUBLISH q1 #{number} a=x"));
            puback(&mut b, s, number);
        }
        b.crash();
        let s = b.connect(0, persistent("s", 600));
        assert_eq!(b.next(s), RESUMED);
        let mut repeated = 0;
        loop {
            let next = b.next(s);
            if next.is_empty() {
                break;
            }
            assert!(next.starts_with("PUBLISH q1 dup"), "{next}");
            repeated += 1;
            puback(&mut b, s, repeated);
        }
        assert!(repeated <= 4, "{repeated} messages that were acknowledged");
        most = most.max(repeated);
        b.cut(s);
        b.crash();
    }
    assert!(most > 0, "the cursor is not written for each message");
}

#[test]
fn qos_2_continues_where_it_stopped() {
    let mut b = Bench::new(1);
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), CONNACK);
    subscribe(&mut b, s, "#", QoS::ExactlyOnce);
    let p = clean(&mut b, "p");
    send(&mut b, p, "a", "1", QoS::ExactlyOnce, 9);
    send(&mut b, p, "a", "2", QoS::ExactlyOnce, 10);
    assert_eq!(b.next(s), "PUBLISH q2 #1 a=1");
    assert_eq!(b.next(s), "PUBLISH q2 #2 a=2");
    b.send(s, &Packet::Pubrec(Ack::new(id(1), ReasonCode::Success)));
    assert_eq!(b.next(s), "PUBREL #1 0x00");
    b.crash();
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), RESUMED);
    assert_eq!(b.next(s), "PUBREL #1 0x00", "[MQTT-4.3.3-6]: no second PUBLISH");
    assert_eq!(b.next(s), "PUBLISH q2 dup #2 a=2");
    b.send(s, &Packet::Pubcomp(Ack::new(id(1), ReasonCode::Success)));
    b.send(s, &Packet::Pubrec(Ack::new(id(2), ReasonCode::UnspecifiedError)));
    assert_eq!(b.next(s), "", "[MQTT-4.3.3-4]: no PUBREL after a refusal");
    b.send(s, &Packet::Pubrec(Ack::new(id(7), ReasonCode::Success)));
    assert_eq!(b.next(s), "PUBREL #7 0x92");
    b.crash();
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), RESUMED);
    // Nobody wrote that PUBCOMP and the refusal came; that is asked again, no message is sent.
    assert_eq!(b.next(s), "PUBREL #1 0x00");
    assert_eq!(b.next(s), "PUBREL #2 0x00");
    assert_eq!(b.next(s), "");
}

#[test]
fn takes_a_repeated_qos_2_message_once() {
    let mut b = Bench::new(1);
    let s = clean(&mut b, "s");
    subscribe(&mut b, s, "#", QoS::ExactlyOnce);
    let p = b.connect(0, persistent("p", 600));
    assert_eq!(b.next(p), CONNACK);
    send(&mut b, p, "a", "1", QoS::ExactlyOnce, 5);
    assert_eq!(b.next(p), "PUBREC #5 0x00");
    b.cut(p);
    let p = b.connect(0, persistent("p", 600));
    assert_eq!(b.next(p), RESUMED);
    let mut again = publish("a", "1", QoS::ExactlyOnce, 5);
    again.dup = true;
    b.send(p, &Packet::Publish(again));
    assert_eq!(b.next(p), "PUBREC #5 0x00", "[MQTT-4.3.3-10]");
    b.send(p, &Packet::Pubrel(Ack::new(id(5), ReasonCode::Success)));
    b.send(p, &Packet::Pubrel(Ack::new(id(5), ReasonCode::Success)));
    assert_eq!(b.next(p), "PUBCOMP #5 0x00");
    assert_eq!(b.next(p), "PUBCOMP #5 0x92");
    assert_eq!(b.next(s), "PUBLISH q2 #1 a=1");
    assert_eq!(b.next(s), "");
}

#[test]
fn a_second_connection_takes_the_session_over() {
    // [MQTT-3.1.4-3], from any shard to any other, whatever shard is the home.
    for (old_shard, new_shard, name) in [(0, 1, "x"), (1, 2, "y"), (2, 2, "z"), (1, 0, "w")] {
        let mut b = Bench::new(3);
        let old = b.connect(old_shard, persistent(name, 60));
        assert_eq!(b.next(old), CONNACK);
        subscribe(&mut b, old, "a", QoS::AtMostOnce);
        let new = b.connect(new_shard, persistent(name, 60));
        assert_eq!(b.next(old), "DISCONNECT 0x8e");
        assert!(!b.is_open(old));
        assert_eq!(b.next(new), RESUMED);
        let p = clean(&mut b, "p");
        send(&mut b, p, "a", "1", QoS::AtMostOnce, 0);
        assert_eq!(b.next(new), "PUBLISH q0 a=1", "the router knows where it is now");
    }
}

#[test]
fn a_session_without_expiry_ends_when_it_is_taken_over() {
    let mut b = Bench::new(2);
    let old = clean(&mut b, "x");
    subscribe(&mut b, old, "a", QoS::AtMostOnce);
    let new = b.connect(1, persistent("x", 0));
    assert_eq!(b.next(old), "DISCONNECT 0x8e");
    assert_eq!(b.next(new), CONNACK, "[MQTT-3.2.2-3]");
    let p = clean(&mut b, "p");
    send(&mut b, p, "a", "1", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(p), "PUBACK #1 0x10", "nobody is subscribed any more");
}

#[test]
fn clean_start_discards_the_session() {
    let mut b = Bench::new(2);
    let s = b.connect(0, persistent("s", 60));
    assert_eq!(b.next(s), CONNACK);
    subscribe(&mut b, s, "a", QoS::AtLeastOnce);
    b.cut(s);
    assert!(b.engine.session("s").is_some());
    let s = b.connect(1, Connect::new(Version::V5, "s"));
    assert_eq!(b.next(s), CONNACK, "[MQTT-3.1.2-4] [MQTT-3.2.2-2]");
    assert!(b.engine.session("s").is_none(), "also on disk, before CONNACK");
}

#[test]
fn a_session_expires() {
    let mut b = Bench::new(1);
    let s = b.connect(0, persistent("s", 10));
    b.send(s, &Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
    assert!(!b.is_open(s));
    b.wait_ms(9_000);
    let s = b.connect(0, persistent("s", 10));
    assert_eq!(b.next(s), RESUMED);
    b.cut(s);
    b.crash();
    b.wait_ms(10_001);
    assert!(b.engine.session("s").is_none(), "[MQTT-4.1.0-2]");
    assert_eq!(b.shards[0].counters().sessions_expired, 1);
    let s = b.connect(0, persistent("s", 10));
    assert_eq!(b.next(s), CONNACK);
    b.cut(s);
    b.now = b.now.plus_ms(10_001);
    let s = b.connect(0, persistent("s", 10));
    assert_eq!(b.next(s), CONNACK, "also when its timer is late");
    let mut disconnect = Disconnect::new(ReasonCode::Success);
    disconnect.session_expiry_interval_s = Some(0);
    b.send(s, &Packet::Disconnect(disconnect));
    assert!(b.engine.session("s").is_none(), "DISCONNECT can end it");
    let s = clean(&mut b, "t");
    disconnect.session_expiry_interval_s = Some(5);
    b.send(s, &Packet::Disconnect(disconnect));
    assert_eq!(b.next(s), "DISCONNECT 0x82", "section 3.14.2.2.2");
}

fn with_will<'a>(client_id: &'a str, expiry_s: u32, delay_s: u32) -> Connect<'a> {
    let mut connect = persistent(client_id, expiry_s);
    let mut will = Will::new("will", b"gone", QoS::AtMostOnce, false);
    will.delay_interval_s = delay_s;
    connect.will = Some(will);
    connect
}

#[test]
fn a_will_is_published_when_it_must_be() {
    let gone = "PUBLISH q0 will=gone";
    let mut b = Bench::new(1);
    let w = clean(&mut b, "watcher");
    subscribe(&mut b, w, "will", QoS::AtMostOnce);
    // [MQTT-3.1.2-8]: at once without a delay.
    let c = b.connect(0, with_will("c", 0, 0));
    b.cut(c);
    assert_eq!(b.next(w), gone);
    // [MQTT-3.14.4-3]: 0x00 takes it away, 0x04 does not.
    let c = b.connect(0, with_will("c", 0, 0));
    b.send(c, &Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
    assert_eq!(b.next(w), "");
    let c = b.connect(0, with_will("c", 0, 0));
    b.send(c, &Packet::Disconnect(Disconnect::new(ReasonCode::DisconnectWithWill)));
    assert_eq!(b.next(w), gone);
    // [MQTT-3.1.3-9]: not when the client comes back within the delay.
    let c = b.connect(0, with_will("c", 60, 5));
    b.cut(c);
    b.wait_ms(4_000);
    let c = b.connect(0, persistent("c", 60));
    b.wait_ms(9_000);
    assert_eq!((b.next(w), b.next(c)), (String::new(), RESUMED.to_owned()));
    // It comes after the delay, or when the session ends first.
    b.cut(c);
    for (expiry_s, wait_ms) in [(60, 5_001), (3, 3_001)] {
        let c = b.connect(0, with_will("c", expiry_s, 5));
        b.cut(c);
        assert_eq!(b.next(w), "");
        b.wait_ms(wait_ms);
        assert_eq!(b.next(w), gone);
    }
    // A delay survives a restart.
    let c = b.connect(0, with_will("d", 60, 5));
    b.cut(c);
    b.crash();
    let w = clean(&mut b, "watcher");
    subscribe(&mut b, w, "will", QoS::AtMostOnce);
    b.wait_ms(5_001);
    assert_eq!(b.next(w), gone);
}

/// Its lifetime begins when it is published (section 3.1.3.2.4).
#[test]
fn a_will_expires_as_other_messages_do() {
    for (away_ms, left_s) in [(10_000, Some(20)), (30_000, None)] {
        let mut b = Bench::new(1);
        let w = b.connect(0, persistent("watcher", 600));
        assert_eq!(b.next(w), CONNACK);
        subscribe(&mut b, w, "will", QoS::AtLeastOnce);
        let mut connect = with_will("c", 60, 5);
        let will = connect.will.as_mut().expect("it has one");
        (will.qos, will.message_expiry_interval_s) = (QoS::AtLeastOnce, Some(30));
        let c = b.connect(0, connect);
        b.cut(w);
        b.cut(c);
        b.wait_ms(5_000);
        b.wait_ms(away_ms);
        let w = b.connect(0, persistent("watcher", 600));
        assert_eq!(b.next(w), RESUMED);
        let got = b.receive(w, |packet| match packet {
            Packet::Publish(publish) => publish.message_expiry_interval_s,
            other => panic!("{other:?}"),
        });
        assert_eq!(got, left_s.map(Some));
    }
}

#[test]
fn never_exceeds_receive_maximum() {
    let mut b = Bench::new(1);
    let mut connect = persistent("s", 600);
    connect.receive_maximum = 2;
    let s = b.connect(0, connect);
    b.next(s);
    subscribe(&mut b, s, "#", QoS::ExactlyOnce);
    let p = clean(&mut b, "p");
    for number in 1..=4 {
        send(&mut b, p, "a", &number.to_string(), QoS::AtLeastOnce, number);
    }
    send(&mut b, p, "a", "0", QoS::AtMostOnce, 0);
    assert_eq!(b.next(s), "PUBLISH q1 #1 a=1");
    assert_eq!(b.next(s), "PUBLISH q1 #2 a=2");
    assert_eq!(b.next(s), "PUBLISH q0 a=0", "QoS 0 needs no quota");
    assert_eq!(b.next(s), "", "[MQTT-3.3.4-9]");
    b.cut(s);
    connect.receive_maximum = 1;
    let s = b.connect(0, connect);
    b.next(s);
    assert_eq!(b.next(s), "PUBLISH q1 dup #1 a=1");
    assert_eq!(b.next(s), "", "[MQTT-4.9.0-1]: the new connection's quota holds");
    for (number, dup) in [(1, " dup"), (2, ""), (3, "")] {
        puback(&mut b, s, number);
        let next = number + 1;
        assert_eq!(b.next(s), format!("PUBLISH q1{dup} #{next} a={next}"));
    }
}

#[test]
fn ends_a_connection_that_exceeds_ours() {
    let limits = Limits { receive_max: 2, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    let (s, p) = (b.connect(0, persistent("s", 600)), clean(&mut b, "p"));
    b.next(s);
    subscribe(&mut b, s, "#", QoS::AtLeastOnce);
    b.commits_at_once = false;
    for number in 1..=3 {
        send(&mut b, p, "a", "x", QoS::AtLeastOnce, number);
    }
    assert_eq!(b.next(p), "DISCONNECT 0x93", "[MQTT-3.3.4-7]");
}

#[test]
fn overlapping_subscriptions_give_one_copy_with_all_identifiers() {
    let mut b = Bench::new(1);
    let s = clean(&mut b, "s");
    for (id, filter, qos) in
        [(1, "a/#", QoS::AtMostOnce), (2, "a/+", QoS::ExactlyOnce), (3, "b", QoS::AtLeastOnce)]
    {
        let options = SubscriptionOptions::new(qos);
        subscribe_with(&mut b, s, Some(id), &[Requested { filter, options }]);
        b.next(s);
    }
    let p = clean(&mut b, "p");
    send(&mut b, p, "a/b", "1", QoS::AtLeastOnce, 1);
    let got = b.next(s);
    assert!(
        got == "PUBLISH q1 #1 a/b=1 [1, 2]" || got == "PUBLISH q1 #1 a/b=1 [2, 1]",
        "[MQTT-3.3.4-2] [MQTT-3.3.4-4] [MQTT-3.8.4-8]: {got}"
    );
    assert_eq!(b.next(s), "");
}

#[test]
fn retain_handling_is_exact() {
    let mut b = Bench::new(1);
    let p = clean(&mut b, "p");
    let mut keep = publish("a", "1", QoS::AtLeastOnce, 1);
    keep.retain = true;
    b.send(p, &Packet::Publish(keep));
    for durable in [false, true] {
        let s = b.connect(0, persistent("s", if durable { 60 } else { 0 }));
        b.next(s);
        let wish = |handling| SubscriptionOptions {
            retain_handling: handling,
            ..SubscriptionOptions::new(QoS::AtLeastOnce)
        };
        let expected = [
            (RetainHandling::DoNotSend, ""),
            (RetainHandling::SendIfNew, ""),
            (RetainHandling::SendAlways, "PUBLISH q1 retain #1 a=1"),
        ];
        for (handling, retained) in expected {
            let options = wish(handling);
            subscribe_with(&mut b, s, None, &[Requested { filter: "a", options }]);
            assert_eq!(b.next(s), "SUBACK #1 [1]");
            assert_eq!(b.next(s), retained, "{handling:?} [MQTT-3.3.1-9..11]");
        }
        send(&mut b, p, "a", "2", QoS::AtMostOnce, 0);
        assert_eq!(b.next(s), "PUBLISH q0 a=2", "[MQTT-3.3.1-12]: a new message has RETAIN 0");
        b.send(s, &Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
    }
    b.crash();
    let s = clean(&mut b, "t");
    let options = SubscriptionOptions::new(QoS::AtMostOnce);
    subscribe_with(&mut b, s, Some(7), &[Requested { filter: "#", options }]);
    assert_eq!(b.next(s), "SUBACK #1 [0]");
    assert_eq!(b.next(s), "PUBLISH q0 retain a=1 [7]", "after a restart, with its identifier");
    let p = clean(&mut b, "p");
    keep.payload = b"";
    b.send(p, &Packet::Publish(keep));
    b.crash();
    assert_eq!(b.router.retained_messages(), 0, "[MQTT-3.3.1-6]");
}

#[test]
fn a_retained_message_for_a_durable_session_is_sent_again() {
    let mut b = Bench::new(1);
    let p = clean(&mut b, "p");
    let mut keep = publish("a", "1", QoS::AtLeastOnce, 1);
    keep.retain = true;
    b.send(p, &Packet::Publish(keep));
    for name in ["s", "other"] {
        let s = b.connect(0, persistent(name, 60));
        b.next(s);
        subscribe(&mut b, s, "a", QoS::AtLeastOnce);
        assert_eq!(b.next(s), "PUBLISH q1 retain #1 a=1");
    }
    b.crash();
    let s = b.connect(0, persistent("s", 60));
    assert_eq!(b.next(s), RESUMED);
    assert_eq!(b.next(s), "PUBLISH q1 dup retain #1 a=1", "its own, not the other's");
    assert_eq!(b.next(s), "");
}

#[test]
fn no_local_and_retain_as_published() {
    let mut b = Bench::new(1);
    for durable in [0, 60] {
        let s = b.connect(0, persistent("s", durable));
        b.next(s);
        let options = SubscriptionOptions {
            no_local: true,
            retain_as_published: true,
            ..SubscriptionOptions::new(QoS::AtLeastOnce)
        };
        subscribe_with(&mut b, s, None, &[Requested { filter: "a", options }]);
        b.next(s);
        send(&mut b, s, "a", "own", QoS::AtMostOnce, 0);
        assert_eq!(b.next(s), "", "[MQTT-3.8.3-3]");
        let p = clean(&mut b, "p");
        let mut keep = publish("a", "1", QoS::AtLeastOnce, 1);
        keep.retain = true;
        b.send(p, &Packet::Publish(keep));
        assert_eq!(b.next(s), "PUBLISH q1 retain #1 a=1", "[MQTT-3.3.1-13]");
        keep.payload = b"";
        b.send(p, &Packet::Publish(keep));
        b.cut(s);
        b.wait_ms(61_000);
    }
}

#[test]
fn one_message_that_cannot_be_sent_does_not_stop_the_queue() {
    // [MQTT-3.1.2-25], [MQTT-3.3.2-5], [MQTT-3.3.2-6].
    let mut b = Bench::new(1);
    let mut connect = persistent("s", 600);
    connect.maximum_packet_size = Some(40);
    let s = b.connect(0, connect);
    b.next(s);
    subscribe(&mut b, s, "#", QoS::AtLeastOnce);
    b.cut(s);
    let p = clean(&mut b, "p");
    let mut short_lived = publish("a", "expires", QoS::AtLeastOnce, 1);
    short_lived.message_expiry_interval_s = Some(1);
    b.send(p, &Packet::Publish(short_lived));
    send(&mut b, p, "a", &"large".repeat(20), QoS::AtLeastOnce, 2);
    let mut lasting = publish("a", "lasts", QoS::AtLeastOnce, 3);
    lasting.message_expiry_interval_s = Some(100);
    b.send(p, &Packet::Publish(lasting));
    b.wait_ms(10_000);
    let s = b.connect(0, connect);
    assert_eq!(b.next(s), RESUMED);
    let left = b.receive(s, |packet| match packet {
        Packet::Publish(publish) => (publish.payload.to_vec(), publish.message_expiry_interval_s),
        other => panic!("{other:?}"),
    });
    assert_eq!(left, Some((b"lasts".to_vec(), Some(90))));
    assert_eq!(b.next(s), "");
    let counters = b.shards[0].counters();
    assert_eq!(counters.dropped.iter().sum::<u64>(), 2, "both are counted");
}

#[test]
fn refuses_what_belongs_to_the_broker() {
    let mut b = Bench::new(1);
    let p = clean(&mut b, "p");
    send(&mut b, p, "$SYS/x", "1", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(p), "PUBACK #1 0x87");
    send(&mut b, p, "$dead/x", "1", QoS::ExactlyOnce, 2);
    assert_eq!(b.next(p), "PUBREC #2 0x87");
    send(&mut b, p, "$SYS/x", "1", QoS::AtMostOnce, 0);
    assert_eq!(b.next(p), "");
    let levels = vec!["a"; 33].join("/");
    send(&mut b, p, &levels, "1", QoS::AtLeastOnce, 3);
    assert_eq!(b.next(p), "PUBACK #3 0x90");
    let old = b.connect(0, Connect::new(Version::V3_1_1, "old"));
    assert_eq!(b.next(old), CONNACK);
    send(&mut b, old, "$SYS/x", "1", QoS::AtLeastOnce, 1);
    assert!(!b.is_open(old), "MQTT 3.1.1 cannot be told otherwise");
    let options = SubscriptionOptions::new(QoS::AtLeastOnce);
    let deep = Requested { filter: &levels, options };
    let deep_share = format!("$share/g/{levels}");
    let shared = Requested { filter: &deep_share, options };
    subscribe_with(&mut b, p, None, &[shared, deep, Requested { filter: "a", options }]);
    assert_eq!(b.next(p), "SUBACK #1 [143, 143, 1]");
    let filters = ["a", "a"];
    b.send(
        p,
        &Packet::Unsubscribe(Unsubscribe {
            packet_id: id(2),
            user_properties: UserProperties::EMPTY,
            filters: UnsubscribeFilters::from_slice(&filters),
        }),
    );
    assert_eq!(b.next(p), "UNSUBACK #2 [0, 17]");
}

#[test]
fn aliases_end_with_the_connection() {
    let mut b = Bench::new(1);
    let s = clean(&mut b, "s");
    subscribe(&mut b, s, "#", QoS::AtMostOnce);
    let p = clean(&mut b, "p");
    let mut aliased = Publish::new("a", b"1");
    aliased.topic_alias = Some(3);
    b.send(p, &Packet::Publish(aliased));
    aliased.topic = "";
    b.send(p, &Packet::Publish(aliased));
    assert_eq!(b.next(s), "PUBLISH q0 a=1");
    assert_eq!(b.next(s), "PUBLISH q0 a=1");
    let q = clean(&mut b, "q");
    b.send(q, &Packet::Publish(aliased));
    assert_eq!(b.next(q), "DISCONNECT 0x82");
    aliased.topic_alias = Some(65);
    b.send(p, &Packet::Publish(aliased));
    assert_eq!(b.next(p), "DISCONNECT 0x94", "[MQTT-3.3.2-9]");
}

#[test]
fn silence_and_strangers_cost_their_own_connection() {
    let mut b = Bench::new(1);
    let bystander = clean(&mut b, "bystander");
    let mut connect = Connect::new(Version::V5, "slow");
    connect.keep_alive_s = 10;
    let slow = b.connect(0, connect);
    b.next(slow);
    let mute = b.open(0, Version::V5);
    b.wait_ms(9_999);
    b.send(slow, &Packet::Pingreq);
    assert_eq!(b.next(slow), "Pingresp");
    b.wait_ms(2);
    assert!(!b.is_open(mute), "no CONNECT within connect_timeout");
    b.wait_ms(14_990);
    assert!(b.is_open(slow));
    b.wait_ms(20);
    assert_eq!(b.next(slow), "DISCONNECT 0x8d", "[MQTT-3.1.2-22]");
    for garbage in [&b"GET / HTTP/1.1\r\n"[..], &[0xFF; 9], &[0x30, 0xFF, 0xFF, 0xFF, 0x7F]] {
        let wire = b.open(0, Version::V5);
        b.send_bytes(wire, garbage);
        assert!(!b.is_open(wire));
        assert_eq!(b.next(wire), "");
    }
    let wire = b.open(0, Version::V3_1_1);
    b.send_bytes(wire, b"\x10\x0f\x00\x06MQIsdp\x02\x02\x00\x3c\x00\x01x");
    assert_eq!(b.next(wire), "CONNACK 0x84 present=false", "return code 1 [MQTT-3.1.2-2]");
    b.refuse_next = Some(ReasonCode::BadUserNameOrPassword);
    let wire = b.connect(0, Connect::new(Version::V3_1_1, "stranger"));
    assert_eq!(b.next(wire), "CONNACK 0x86 present=false");
    assert!(!b.is_open(wire));
    b.send(bystander, &Packet::Connect(Connect::new(Version::V5, "bystander")));
    assert_eq!(b.next(bystander), "DISCONNECT 0x82", "[MQTT-3.1.0-2]");
    assert_eq!(b.shards[0].counters().connections_open, 0);
}

#[test]
fn assigns_a_client_identifier() {
    let mut b = Bench::new(1);
    let wire = b.connect(0, Connect::new(Version::V5, ""));
    let assigned = b.receive(wire, |packet| match packet {
        Packet::Connack(connack) => connack.properties.assigned_client_id.map(str::to_owned),
        other => panic!("{other:?}"),
    });
    assert!(assigned.flatten().is_some_and(|id| id.starts_with("flotilla-")), "[MQTT-3.2.2-16]");
}

#[test]
fn publishers_wait_when_the_disk_does_not_keep_up() {
    let limits = Limits { uncommitted_bytes_max: 1_000, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    let (s, p) = (b.connect(0, persistent("s", 600)), clean(&mut b, "p"));
    b.next(s);
    subscribe(&mut b, s, "#", QoS::AtLeastOnce);
    b.commits_at_once = false;
    for number in 1..=100 {
        send(&mut b, p, "a", &"x".repeat(100), QoS::AtLeastOnce, number);
    }
    assert!(b.engine.submissions() < 20, "{} batches wait", b.engine.submissions());
    b.settle();
    for number in 1..=100 {
        assert_eq!(b.next(p), format!("PUBACK #{number} 0x00"));
    }
}

#[test]
fn a_slow_reader_costs_a_cursor() {
    let limits =
        Limits { tail_messages_max: 4, inflight_max: 2, page_messages_max: 3, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    let (s, p) = (b.connect(0, persistent("s", 600)), clean(&mut b, "p"));
    b.next(s);
    subscribe(&mut b, s, "#", QoS::AtLeastOnce);
    for number in 1..=50 {
        send(&mut b, p, "a", &number.to_string(), QoS::AtLeastOnce, number);
    }
    for number in 1..=50 {
        assert_eq!(b.next(s), format!("PUBLISH q1 #{number} a={number}"));
        puback(&mut b, s, number);
    }
    assert_eq!(b.next(s), "");
    b.wait_ms(1_001);
    let cursor = b.engine.session("s").map(|stored| stored.cursor);
    assert_eq!(cursor, Some(b.engine.end()), "the cursor is written by and by");
}

#[test]
fn shutting_down_tells_everybody_and_writes_everything() {
    let mut b = Bench::new(2);
    let s = b.connect(0, persistent("s", 600));
    b.next(s);
    subscribe(&mut b, s, "#", QoS::AtLeastOnce);
    let p = b.connect(1, Connect::new(Version::V5, "p"));
    b.next(p);
    send(&mut b, p, "a", "1", QoS::AtLeastOnce, 1);
    b.shut_down();
    assert_eq!(b.next(s), "PUBLISH q1 #1 a=1");
    assert_eq!(b.next(s), "DISCONNECT 0x8b");
    let stored = b.engine.session("s").expect("it is durable");
    assert_eq!(stored.record.unacknowledged.len(), 1);
    assert!(stored.record.disconnected_at_ms.is_some());
}

#[test]
fn a_retained_message_beyond_a_limit_is_refused_or_not_retained() {
    let limits = Limits {
        retained_messages_max: 1,
        retained_payload_max: 4,
        subscriptions_max: 2,
        ..Limits::default()
    };
    let mut b = Bench::with_limits(1, limits);
    let s = clean(&mut b, "s");
    subscribe(&mut b, s, "#", QoS::AtLeastOnce);
    let p = clean(&mut b, "p");
    let keep = |topic, payload, qos, number| Publish {
        retain: true,
        ..publish(topic, payload, qos, number)
    };
    b.send(p, &Packet::Publish(keep("a", "1", QoS::AtLeastOnce, 1)));
    assert_eq!(b.next(p), "PUBACK #1 0x00");
    assert_eq!(b.next(s), "PUBLISH q1 #1 a=1");
    b.send(p, &Packet::Publish(keep("b", "2", QoS::AtLeastOnce, 2)));
    assert_eq!(b.next(p), "PUBACK #2 0x97", "one too many");
    b.send(p, &Packet::Publish(keep("a", "large", QoS::ExactlyOnce, 3)));
    assert_eq!(b.next(p), "PUBREC #3 0x97", "too large");
    assert_eq!(b.next(s), "", "refused is refused");
    b.send(p, &Packet::Publish(keep("a", "3", QoS::ExactlyOnce, 3)));
    assert_eq!(b.next(p), "PUBREC #3 0x00", "[MQTT-4.3.3-9]: a new message");
    assert_eq!(b.next(s), "PUBLISH q1 #2 a=3");
    b.send(p, &Packet::Publish(keep("a", "large", QoS::AtMostOnce, 0)));
    assert_eq!(b.next(s), "PUBLISH q0 a=large", "nobody can be told: it is delivered");
    assert_eq!(b.router.retained_messages(), 0, "and the old one is not the last value");
    b.send(p, &Packet::Publish(keep("a", "4", QoS::AtMostOnce, 0)));
    let old = b.connect(0, Connect::new(Version::V3_1_1, "old"));
    assert_eq!(b.next(old), CONNACK);
    b.send(old, &Packet::Publish(keep("b", "5", QoS::AtLeastOnce, 1)));
    assert!(!b.is_open(old), "a positive acknowledgement would lie");
}

#[test]
fn publishers_wait_when_another_shard_does_not_keep_up() {
    let limits = Limits { mailed_bytes_max: 2_000, ..Limits::default() };
    let mut b = Bench::with_limits(2, limits);
    let s = b.connect(1, Connect::new(Version::V5, "s"));
    assert_eq!(b.next(s), CONNACK);
    subscribe(&mut b, s, "#", QoS::AtMostOnce);
    let p = clean(&mut b, "p");
    b.commits_at_once = false;
    for number in 0..100 {
        send(&mut b, p, "a", &number.to_string(), QoS::AtMostOnce, 0);
    }
    assert!(b.waiting_mail() < 25, "{} mails wait", b.waiting_mail());
    b.settle();
    for number in 0..100 {
        assert_eq!(b.next(s), format!("PUBLISH q0 a={number}"));
    }
}

#[test]
fn a_timer_far_ahead_is_kept() {
    let mut b = Bench::new(1);
    let s = b.connect(0, persistent("s", 3_600));
    b.cut(s);
    for _ in 0..5 {
        b.wait_ms(11 * 60 * 1_000);
        assert!(b.engine.session("s").is_some());
    }
    b.wait_ms(5 * 60 * 1_000 + 1);
    assert!(b.engine.session("s").is_none());
}

#[test]
fn a_session_that_is_away_costs_nothing_at_each_publish() {
    let mut b = Bench::new(2);
    let away: Vec<String> = (0..20).map(|number| format!("s{number}")).collect();
    for (number, name) in away.iter().enumerate() {
        let s = b.connect(number as u16 % 2, persistent(name, 600));
        assert_eq!(b.next(s), CONNACK);
        subscribe(&mut b, s, "a", QoS::AtLeastOnce);
        b.cut(s);
    }
    let p = clean(&mut b, "p");
    send(&mut b, p, "a", "1", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(p), "PUBACK #1 0x00");
    assert_eq!((b.engine.log().len(), b.engine.targets), (1, 0));
    b.crash();
    for name in &away {
        let s = b.connect(0, persistent(name, 600));
        assert_eq!(b.next(s), RESUMED);
        assert_eq!(b.next(s), "PUBLISH q1 #1 a=1");
    }
}
