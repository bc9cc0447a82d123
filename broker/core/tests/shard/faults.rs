//! Faults that a review found, each as the dialogue that showed it.

use crate::bench::dialogue::{
    CONNACK, RESUMED, clean, id, persistent, puback, publish, send, subscribe, subscribe_with,
};
use crate::bench::{Bench, Wire};
use flotilla_core::counters::DropReason;
use flotilla_core::durability::Durability;
use flotilla_core::limits::Limits;
use flotilla_mqtt::{
    Ack, Connect, Disconnect, Packet, QoS, ReasonCode, Requested, SubscriptionOptions, Unsubscribe,
    UnsubscribeFilters, UserProperties, Version, Will,
};

/// As many QoS 2 messages as Receive Maximum allows, to their end.
fn publish_1024(b: &mut Bench, p: Wire) {
    let mut bytes = Vec::new();
    for n in 1..=1024 {
        let packet = Packet::Publish(publish("a", "x", QoS::ExactlyOnce, n));
        packet.encode(Version::V5, &mut bytes).expect("it is small");
    }
    b.send_bytes(p, &bytes);
    bytes.clear();
    for n in 1..=1024 {
        let packet = Packet::Pubrel(Ack::new(id(n), ReasonCode::Success));
        packet.encode(Version::V5, &mut bytes).expect("it is small");
    }
    b.send_bytes(p, &bytes);
    while b.receive(p, |_| ()).is_some() {}
}

fn all(b: &mut Bench, wire: Wire) -> Vec<String> {
    let mut v = Vec::new();
    loop {
        let n = b.next(wire);
        if n.is_empty() {
            return v;
        }
        v.push(n);
    }
}

#[test]
fn will_and_expiry_when_the_clocks_truncate_differently() {
    let mut b = Bench::new(1);
    let w = clean(&mut b, "w");
    subscribe(&mut b, w, "will", QoS::AtMostOnce);
    let mut connect = persistent("c", 10);
    let mut will = Will::new("will", b"gone", QoS::AtMostOnce, false);
    will.delay_interval_s = 5;
    connect.will = Some(will);
    let c = b.connect(0, connect);
    b.cut(c);
    // mono 1000.9, unix .1 at the cut: the timer rings at mono +5000 when unix is at +4999.
    b.now.unix_ms -= 1;
    b.wait_ms(5_000);
    b.wait_ms(5_000);
    for _ in 0..100 {
        b.wait_ms(1_000_000);
    }
    assert_eq!(b.next(w), "PUBLISH q0 will=gone");
    assert!(b.engine.session("c").is_none(), "expired long ago");
}

#[test]
fn packet_ids_run_out() {
    let mut b = Bench::new(1);
    let p = clean(&mut b, "p");
    let mut connect = persistent("s", 600);
    connect.receive_maximum = 1024;
    let mut s = b.connect(0, connect);
    b.next(s);
    subscribe(&mut b, s, "#", QoS::ExactlyOnce);
    for _ in 0..4 {
        publish_1024(&mut b, p);
        let mut bytes = Vec::new();
        while let Some(x) = b.receive(s, |packet| match packet {
            Packet::Publish(p) => p.packet_id,
            _ => None,
        }) {
            if let Some(id) = x {
                Packet::Pubrec(Ack::new(id, ReasonCode::Success))
                    .encode(Version::V5, &mut bytes)
                    .expect("it is there");
            }
        }
        b.send_bytes(s, &bytes);
        b.cut(s);
        s = b.connect(0, connect);
    }
    let open = b.engine.session("s").expect("it is there").outbound.len();
    assert!(open <= 1024, "{open} exchanges in flight under inflight_max 1024");
}

#[test]
fn resend_exceeds_maximum_packet_size() {
    let mut b = Bench::new(1);
    let s = b.connect(0, persistent("s", 600));
    b.next(s);
    subscribe(&mut b, s, "#", QoS::AtLeastOnce);
    let p = clean(&mut b, "p");
    send(&mut b, p, "a", &"large".repeat(20), QoS::AtLeastOnce, 1);
    assert!(b.next(s).starts_with("PUBLISH q1 #1"));
    b.cut(s);
    let mut connect = persistent("s", 600);
    connect.maximum_packet_size = Some(40);
    let s = b.connect(0, connect);
    assert_eq!(b.next(s), RESUMED);
    assert_eq!(b.next(s), "", "[MQTT-3.1.2-24]");
}

#[test]
fn qos0_twice() {
    let limits = Limits { tail_messages_max: 1, inflight_max: 1, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    let o = b.connect(0, persistent("other", 600));
    b.next(o);
    subscribe(&mut b, o, "a", QoS::AtLeastOnce);
    let s = b.connect(0, persistent("s", 600));
    b.next(s);
    subscribe(&mut b, s, "a", QoS::AtMostOnce);
    subscribe(&mut b, s, "b", QoS::AtLeastOnce);
    let p = clean(&mut b, "p");
    send(&mut b, p, "b", "1", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(s), "PUBLISH q1 #1 b=1");
    send(&mut b, p, "a", "x", QoS::AtLeastOnce, 2);
    assert_eq!(b.next(s), "PUBLISH q0 a=x");
    b.cut(s);
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), RESUMED);
    assert_eq!(b.next(s), "PUBLISH q1 dup #1 b=1");
    puback(&mut b, s, 1);
    assert_eq!(b.next(s), "", "at most once");
}

#[test]
fn page_overtakes_the_commit_of_a_subscription() {
    let limits =
        Limits { tail_messages_max: 1, inflight_max: 1, page_messages_max: 8, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    let p = clean(&mut b, "p");
    let mut keep = publish("b", "old", QoS::AtLeastOnce, 1);
    keep.retain = true;
    b.send(p, &Packet::Publish(keep));
    b.next(p);
    let s = b.connect(0, persistent("s", 600));
    b.next(s);
    subscribe(&mut b, s, "a", QoS::AtLeastOnce);
    b.cut(s);
    b.commits_at_once = false;
    let s = b.connect(0, persistent("s", 600));
    b.answer();
    while b.deliver_mail() | b.commit(usize::MAX) | b.report() {}
    // CONNACK has left, the first page is asked for and not read yet.
    assert_eq!(b.next(s), RESUMED);
    let options = SubscriptionOptions::new(QoS::AtLeastOnce);
    subscribe_with(&mut b, s, None, &[Requested { filter: "b", options }]);
    keep.payload = b"new";
    b.send(p, &Packet::Publish(keep));
    b.commit(usize::MAX);
    b.read_page();
    b.deliver_page();
    b.settle();
    puback(&mut b, s, 1);
    b.settle();
    let rest = all(&mut b, s);
    assert!(
        rest.iter().any(|x| x.ends_with("b=new")),
        "the message behind the SUBSCRIBE, acknowledged"
    );
}

#[test]
fn subscribe_and_takeover_in_one_turn() {
    let mut b = Bench::new(1);
    let o = b.connect(0, persistent("other", 600));
    b.next(o);
    subscribe(&mut b, o, "#", QoS::AtLeastOnce);
    let p = clean(&mut b, "p");
    let s = b.connect(0, persistent("s", 600));
    b.next(s);
    // One turn: five messages, a SUBSCRIBE, and the second connection's claim.
    b.commits_at_once = false;
    let s2 = b.connect(0, persistent("s", 600));
    b.holds_turn = true;
    for n in 1..=5 {
        send(&mut b, p, "x", "x", QoS::AtLeastOnce, n);
    }
    let options = SubscriptionOptions::new(QoS::AtLeastOnce);
    subscribe_with(&mut b, s, None, &[Requested { filter: "a", options }]);
    b.answer();
    b.holds_turn = false;
    b.end_turn(0);
    b.settle();
    b.commits_at_once = true;
    assert_eq!(b.next(s2), RESUMED);
    subscribe(&mut b, s2, "a", QoS::AtLeastOnce);
    b.cut(s2);
    send(&mut b, p, "a", "1", QoS::AtLeastOnce, 6);
    let s3 = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s3), RESUMED);
    assert_eq!(b.next(s3), "PUBLISH q1 #1 a=1", "subscribed, acknowledged, published");
}

#[test]
fn no_dup_after_a_crash() {
    let limits = Limits { inflight_max: 2, cursor_lag_max: 1, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    let s = b.connect(0, persistent("s", 600));
    b.next(s);
    subscribe(&mut b, s, "#", QoS::AtLeastOnce);
    let p = clean(&mut b, "p");
    for n in 1..=10 {
        send(&mut b, p, "a", &n.to_string(), QoS::AtLeastOnce, n);
        assert_eq!(b.next(s), format!("PUBLISH q1 #{n} a={n}"));
        if n > 1 {
            puback(&mut b, s, n);
        }
    }
    b.wait_ms(2000);
    b.crash();
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), RESUMED);
    for n in 1..=10 {
        let x = b.next(s);
        assert_eq!(x, format!("PUBLISH q1 dup #{n} a={n}"), "[MQTT-3.3.1-1] it was sent before");
        puback(&mut b, s, n);
    }
}

/// What one crash left unknown, a second start does not make known: neither while the client is
/// away, nor after it was there without taking everything.
#[test]
fn no_dup_after_a_second_crash() {
    for comes_between in [false, true] {
        let limits = Limits { inflight_max: 2, ..Limits::default() };
        let mut b = Bench::with_limits(1, limits);
        let s = b.connect(0, persistent("s", 600));
        b.next(s);
        subscribe(&mut b, s, "#", QoS::AtLeastOnce);
        let p = clean(&mut b, "p");
        for n in 1..=10 {
            send(&mut b, p, "a", &n.to_string(), QoS::AtLeastOnce, n);
            assert_eq!(b.next(s), format!("PUBLISH q1 #{n} a={n}"));
            puback(&mut b, s, n);
        }
        b.crash();
        if comes_between {
            let s = b.connect(0, persistent("s", 600));
            assert_eq!(b.next(s), RESUMED);
            assert_eq!(b.next(s), "PUBLISH q1 dup #1 a=1");
            assert_eq!(b.next(s), "PUBLISH q1 dup #2 a=2");
            b.send(s, &Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
        } else {
            let q = clean(&mut b, "q");
            send(&mut b, q, "a", "new", QoS::AtLeastOnce, 1);
        }
        b.crash();
        let s = b.connect(0, persistent("s", 600));
        assert_eq!(b.next(s), RESUMED);
        for n in 1..=10 {
            assert_eq!(b.next(s), format!("PUBLISH q1 dup #{n} a={n}"), "[MQTT-3.3.1-1]");
            puback(&mut b, s, n);
        }
        if !comes_between {
            assert_eq!(b.next(s), "PUBLISH q1 #11 a=new", "nobody was there to get it");
        }
    }
}

#[test]
fn retained_lost_at_subscribe() {
    let mut b = Bench::new(1);
    let p = clean(&mut b, "p");
    let payload = "x".repeat(1000);
    for n in 0..2000 {
        let topic = format!("r/{n}");
        let mut keep = publish(&topic, &payload, QoS::AtMostOnce, 0);
        keep.retain = true;
        b.send(p, &Packet::Publish(keep));
    }
    let s = clean(&mut b, "s");
    subscribe(&mut b, s, "r/#", QoS::AtMostOnce);
    let got = all(&mut b, s).len();
    assert_eq!(got, 2000, "the client reads at once, {:?}", b.shards[0].counters().dropped);
}

#[test]
fn retained_writes_are_not_counted_as_backlog() {
    let limits = Limits { uncommitted_bytes_max: 10_000, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    let p = clean(&mut b, "p");
    b.commits_at_once = false;
    for n in 0..1000 {
        let topic = format!("r/{n}");
        let payload = "x".repeat(1000);
        let mut keep = publish(&topic, &payload, QoS::AtMostOnce, 0);
        keep.retain = true;
        b.send(p, &Packet::Publish(keep));
    }
    assert!(b.engine.submissions() < 20, "{} batches of 1 kB wait", b.engine.submissions());
}

#[test]
fn answers_without_end() {
    let mut b = Bench::new(1);
    let s = clean(&mut b, "s");
    b.is_stuffed = true;
    let flood = [0xC0, 0x00].repeat(50_000);
    for _ in 0..100 {
        b.send_bytes(s, &flood);
    }
    assert!(b.is_paused(s), "10 MB of PINGRESP wait for a client that does not read, limit 1 MiB");
}

#[test]
fn timers_leak() {
    let mut b = Bench::new(1);
    let mut connect = persistent("s", 7 * 24 * 3600);
    connect.keep_alive_s = 65_535;
    for _ in 0..1000 {
        let s = b.connect(0, connect);
        b.cut(s);
    }
    b.wait_ms(60_000);
    let shard = format!("{:?}", b.shards[0]);
    let timers = shard.matches("Reverse(").count();
    assert!(timers < 20, "{timers} timers for one session without a connection");
}

#[test]
fn expired_retained_fills_the_table() {
    let limits = Limits { retained_messages_max: 2, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    let p = clean(&mut b, "p");
    for topic in ["a", "b"] {
        let mut keep = publish(topic, "1", QoS::AtLeastOnce, 1);
        keep.retain = true;
        keep.message_expiry_interval_s = Some(1);
        b.send(p, &Packet::Publish(keep));
    }
    b.wait_ms(1_000_000);
    let mut keep = publish("c", "1", QoS::AtLeastOnce, 1);
    keep.retain = true;
    b.send(p, &Packet::Publish(keep));
    assert_eq!(
        b.shards[0].counters().dropped.iter().sum::<u64>(),
        0,
        "a and b are gone long since"
    );
}

#[test]
fn cursor_after_takeover() {
    let mut b = Bench::new(2);
    let s = b.connect(0, persistent("s", 600));
    b.next(s);
    subscribe(&mut b, s, "#", QoS::AtLeastOnce);
    let p = clean(&mut b, "p");
    send(&mut b, p, "a", "1", QoS::AtLeastOnce, 1);
    puback(&mut b, s, 1);
    let s = b.connect(1, persistent("s", 600));
    assert_eq!(b.next(s), RESUMED);
    b.wait_ms(5_000);
    send(&mut b, p, "a", "2", QoS::AtLeastOnce, 2);
    let got = b
        .receive(s, |x| match x {
            Packet::Publish(p) => p.packet_id.expect("it is there").get(),
            o => panic!("{o:?}"),
        })
        .expect("it is there");
    puback(&mut b, s, got);
    b.wait_ms(5_000);
    let cursor = b.engine.session("s").map(|stored| stored.cursor);
    assert_eq!(cursor, Some(b.engine.end()), "the cursor is written by and by");
}

#[test]
fn counters_add_up() {
    let mut b = Bench::new(1);
    let s = clean(&mut b, "s");
    subscribe(&mut b, s, "a", QoS::AtLeastOnce);
    let p = clean(&mut b, "p");
    send(&mut b, p, "a", "1", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(s), "PUBLISH q1 #1 a=1");
    b.cut(s);
    let c = b.shards[0].counters();
    let (delivered, dropped): (u64, u64) =
        (c.messages_delivered.iter().sum(), c.dropped.iter().sum());
    assert_eq!((delivered, dropped), (1, 0), "one delivery was owed");
}

#[test]
fn pubrel_in_the_same_read_as_publish() {
    let mut b = Bench::new(1);
    let s = clean(&mut b, "s");
    subscribe(&mut b, s, "#", QoS::ExactlyOnce);
    let p = b.connect(0, persistent("p", 600));
    b.next(p);
    let mut bytes = Vec::new();
    Packet::Publish(publish("a", "1", QoS::ExactlyOnce, 5))
        .encode(Version::V5, &mut bytes)
        .expect("it is there");
    Packet::Pubrel(Ack::new(id(5), ReasonCode::Success))
        .encode(Version::V5, &mut bytes)
        .expect("it is there");
    b.send_bytes(p, &bytes);
    b.crash();
    let s = clean(&mut b, "s");
    subscribe(&mut b, s, "#", QoS::ExactlyOnce);
    let p = b.connect(0, persistent("p", 600));
    b.next(p);
    send(&mut b, p, "a", "2", QoS::ExactlyOnce, 5);
    assert_eq!(b.next(p), "PUBREC #5 0x00");
    assert_eq!(b.next(s), "PUBLISH q2 #1 a=2", "acknowledged and never delivered");
}

#[test]
fn receive_max_65535() {
    let limits = Limits { receive_max: u16::MAX, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    let (s, p) = (b.connect(0, persistent("s", 600)), clean(&mut b, "p"));
    b.next(s);
    subscribe(&mut b, s, "#", QoS::AtLeastOnce);
    b.commits_at_once = false;
    let mut bytes = Vec::new();
    for n in 1..=u16::MAX {
        Packet::Publish(publish("a", "", QoS::AtLeastOnce, n))
            .encode(Version::V5, &mut bytes)
            .expect("it is there");
    }
    Packet::Publish(publish("a", "", QoS::AtLeastOnce, 1))
        .encode(Version::V5, &mut bytes)
        .expect("it is there");
    b.send_bytes(p, &bytes);
    assert_eq!(b.next(p), "DISCONNECT 0x93");
}

#[test]
fn session_present_0_before_the_end_is_stored() {
    let mut b = Bench::new(1);
    let s = b.connect(0, persistent("s", 600));
    b.next(s);
    subscribe(&mut b, s, "a", QoS::AtLeastOnce);
    b.commits_at_once = false;
    let mut disconnect = Disconnect::new(ReasonCode::Success);
    disconnect.session_expiry_interval_s = Some(0);
    b.send(s, &Packet::Disconnect(disconnect));
    let s = b.connect(0, persistent("s", 0));
    b.answer();
    while b.deliver_mail() {}
    let first = b.next(s);
    b.crash();
    b.commits_at_once = true;
    let s = b.connect(0, persistent("s", 0));
    let second = b.next(s);
    assert!(first.is_empty() || second == CONNACK, "{first}, then {second}");
}

#[test]
fn retained_rap_flag_after_unsubscribe() {
    let mut b = Bench::new(1);
    let p = clean(&mut b, "p");
    let mut keep = publish("a", "1", QoS::AtLeastOnce, 1);
    keep.retain = true;
    b.send(p, &Packet::Publish(keep));
    let s = b.connect(0, persistent("s", 60));
    b.next(s);
    let options = SubscriptionOptions::new(QoS::AtLeastOnce);
    subscribe_with(&mut b, s, Some(7), &[Requested { filter: "a", options }]);
    b.next(s);
    assert_eq!(b.next(s), "PUBLISH q1 retain #1 a=1 [7]");
    let filters = ["a"];
    b.send(
        s,
        &Packet::Unsubscribe(Unsubscribe {
            packet_id: id(2),
            user_properties: UserProperties::EMPTY,
            filters: UnsubscribeFilters::from_slice(&filters),
        }),
    );
    b.next(s);
    b.cut(s);
    let s = b.connect(0, persistent("s", 60));
    b.next(s);
    assert_eq!(b.next(s), "PUBLISH q1 dup retain #1 a=1", "[MQTT-3.3.1-8]");
}

#[test]
fn subscribe_flood_is_not_paused() {
    let limits = Limits { uncommitted_bytes_max: 10_000, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    let p = clean(&mut b, "p");
    for n in 0..10 {
        let topic = format!("r/{n}");
        let payload = "x".repeat(1000);
        let mut keep = publish(&topic, &payload, QoS::AtLeastOnce, 1);
        keep.retain = true;
        b.send(p, &Packet::Publish(keep));
    }
    let s = b.connect(0, persistent("s", 60));
    b.next(s);
    b.commits_at_once = false;
    for _ in 0..100 {
        let options = SubscriptionOptions::new(QoS::AtLeastOnce);
        subscribe_with(&mut b, s, None, &[Requested { filter: "#", options }]);
    }
    assert!(b.engine.submissions() < 20, "{} batches with 10 kB each", b.engine.submissions());
}

#[test]
fn many_finished_then_silence() {
    for waits in [false, true] {
        many_finished(waits);
    }
}

/// `waits`: so long that cursors were written, which cannot move.
fn many_finished(waits: bool) {
    let limits = Limits { finished_max: 3_000, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    let p = clean(&mut b, "p");
    let mut connect = persistent("s", 600);
    connect.receive_maximum = 1024;
    let s = b.connect(0, connect);
    b.next(s);
    subscribe(&mut b, s, "#", QoS::ExactlyOnce);
    let mut head = None;
    for _ in 0..5 {
        publish_1024(&mut b, p);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            while let Some(x) = b.receive(s, |packet| match packet {
                Packet::Publish(p) => (p.packet_id, true),
                Packet::Pubrel(p) => (Some(p.packet_id), false),
                _ => (None, false),
            }) {
                let (Some(id), is_publish) = x else { continue };
                if head.is_none() {
                    head = Some(id);
                    continue;
                }
                let ack = Ack::new(id, ReasonCode::Success);
                let packet = if is_publish { Packet::Pubrec(ack) } else { Packet::Pubcomp(ack) };
                packet.encode(Version::V5, &mut bytes).expect("it is there");
            }
            if bytes.is_empty() {
                break;
            }
            b.send_bytes(s, &bytes.clone());
        }
    }
    let head = head.expect("it is there");
    if waits {
        b.wait_ms(5_000);
    }
    b.send(s, &Packet::Pubrec(Ack::new(head, ReasonCode::Success)));
    b.send(s, &Packet::Pubcomp(Ack::new(head, ReasonCode::Success)));
    b.wait_ms(5_000);
    b.wait_ms(5_000);
    let rest = all(&mut b, s);
    assert!(rest.len() > 2, "the rest of the queue follows");
}

#[test]
fn a_drip_of_bytes_is_no_packet() {
    let mut b = Bench::new(1);
    let mut connect = Connect::new(Version::V5, "slow");
    connect.keep_alive_s = 10;
    let slow = b.connect(0, connect);
    b.next(slow);
    b.send_bytes(slow, &[0x30, 0xFF, 0xFF, 0x07]);
    for _ in 0..100 {
        b.wait_ms(10_000);
        b.send_bytes(slow, b"x");
    }
    assert!(!b.is_open(slow), "[MQTT-3.1.2-22]: no packet within 1000 s");
}

#[test]
fn shut_down_while_a_record_is_on_its_way() {
    let mut b = Bench::new(1);
    let s = b.connect(0, persistent("s", 600));
    b.next(s);
    b.commits_at_once = false;
    let options = SubscriptionOptions::new(QoS::AtLeastOnce);
    subscribe_with(&mut b, s, None, &[Requested { filter: "a", options }]);
    b.shut_down_unsettled();
    assert!(!b.shards[0].is_settled(), "the worker waits for it");
    b.settle();
    assert!(b.shards[0].is_settled());
    // The engine closes after committing what was submitted; the workers have ended.
    b.commit(usize::MAX);
    let record = &b.engine.session("s").expect("it is there").record;
    assert!(record.disconnected_at_ms.is_some(), "every session is written");
}

/// [MQTT-3.3.2-5]: a message that got a Packet Identifier and never left expires like any other.
#[test]
fn what_never_left_expires_although_it_has_an_identifier() {
    let mut b = Bench::with_durability(1, Limits::default(), Durability::default());
    let s = b.connect(0, persistent("s", 600));
    b.next(s);
    subscribe(&mut b, s, "#", QoS::ExactlyOnce);
    let p = clean(&mut b, "p");
    let mut expiring = publish("a", "1", QoS::ExactlyOnce, 1);
    expiring.message_expiry_interval_s = Some(1);
    (b.commits_at_once, b.syncs_at_once) = (false, false);
    b.send(p, &Packet::Publish(expiring));
    // The message is committed, then its identifier; neither is synced.
    while b.commit(usize::MAX) | b.report() {}
    assert_eq!(b.next(s), "", "its identifier is on its way to the disk");
    b.cut(s);
    (b.commits_at_once, b.syncs_at_once) = (true, true);
    b.settle();
    b.wait_ms(1_001);
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), RESUMED);
    assert_eq!(b.next(s), "");
    assert_eq!(b.shards[0].counters().dropped[DropReason::Expired as usize], 1);
}

/// A message in flight is sent again with the identifier of its subscription, although that was
/// lowered to QoS 0 meanwhile, and at the QoS at which its exchange began.
#[test]
fn a_resend_names_the_subscription_that_stood_then() {
    let mut b = Bench::new(1);
    let w = b.connect(0, persistent("c", 60));
    b.next(w);
    let ask = |b: &mut Bench, w, qos, id| {
        let options = SubscriptionOptions::new(qos);
        subscribe_with(b, w, Some(id), &[Requested { filter: "a", options }]);
        b.next(w)
    };
    assert_eq!(ask(&mut b, w, QoS::ExactlyOnce, 1), "SUBACK #1 [2]");
    let p = clean(&mut b, "p");
    send(&mut b, p, "a", "x", QoS::ExactlyOnce, 1);
    assert_eq!(b.next(w), "PUBLISH q2 #1 a=x [1]");
    assert_eq!(ask(&mut b, w, QoS::AtMostOnce, 2), "SUBACK #1 [0]");
    b.cut(w);
    let w = b.connect(0, persistent("c", 60));
    assert_eq!(b.next(w), RESUMED);
    assert_eq!(b.next(w), "PUBLISH q2 dup #1 a=x [1]");
}

/// What came while a subscription had QoS 0 was sent then: when it is raised it does not come again
/// from the log, where it stands for others.
#[test]
fn a_subscription_that_is_raised_does_not_repeat() {
    let mut b = Bench::new(1);
    let other = b.connect(0, persistent("other", 60));
    b.next(other);
    subscribe(&mut b, other, "a", QoS::AtLeastOnce);
    let w = b.connect(0, persistent("c", 60));
    b.next(w);
    subscribe(&mut b, w, "a", QoS::AtMostOnce);
    let p = clean(&mut b, "p");
    send(&mut b, p, "a", "1", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(w), "PUBLISH q0 a=1");
    subscribe(&mut b, w, "a", QoS::AtLeastOnce);
    // Its cursor was not written, so it reads from before the first message.
    b.crash();
    let p = clean(&mut b, "p");
    send(&mut b, p, "a", "2", QoS::AtLeastOnce, 2);
    let w = b.connect(0, persistent("c", 60));
    assert_eq!(b.next(w), RESUMED);
    assert_eq!(b.next(w), "PUBLISH q1 #1 a=2");
    assert_eq!(b.next(w), "");
}

/// A QoS 2 message that expires while its Packet Identifier is being stored is not sent.
#[test]
fn what_expires_while_its_identifier_is_stored_does_not_leave() {
    let mut b = Bench::new(1);
    let w = b.connect(0, persistent("c", 60));
    b.next(w);
    subscribe(&mut b, w, "a", QoS::ExactlyOnce);
    let p = clean(&mut b, "p");
    b.commits_at_once = false;
    let mut message = publish("a", "x", QoS::ExactlyOnce, 1);
    message.message_expiry_interval_s = Some(1);
    b.send(p, &Packet::Publish(message));
    b.commit(usize::MAX);
    while b.report() {}
    assert!(b.engine.submissions() > 0, "the identifier is on its way to the disk");
    b.wait_ms(1_500);
    b.commits_at_once = true;
    b.settle();
    assert_eq!(b.next(w), "");
    assert_eq!(b.shards[0].counters().dropped[DropReason::Expired as usize], 1);
    send(&mut b, p, "a", "y", QoS::ExactlyOnce, 2);
    assert_eq!(b.next(w), "PUBLISH q2 #2 a=y");
}
