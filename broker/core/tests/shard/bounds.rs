//! What waits in memory has an end, in bytes too.

use crate::bench::dialogue::{
    CONNACK, RESUMED, clean, id, persistent, publish, send, subscribe, subscribe_with,
};
use crate::bench::{Bench, Wire};
use flotilla_core::counters::DropReason;
use flotilla_core::limits::Limits;
use flotilla_mqtt::{Packet, QoS, Requested, SubscriptionOptions};

/// Payload of each message, bytes.
const PAYLOAD: usize = 10_000;
/// The longest message with all that belongs to it.
const MESSAGE: usize = PAYLOAD + 100;

/// The sum of all fields of this name in what the shards show of themselves.
fn sum(b: &Bench, field: &str) -> usize {
    let (text, field) = (format!("{:?}", b.shards), format!(" {field}: "));
    let values = text.split(&field).skip(1);
    let digits = |value: &str| value.split(|c: char| !c.is_ascii_digit()).next().map(str::to_owned);
    values.filter_map(digits).map(|value| value.parse::<usize>().expect("a number")).sum()
}

fn stuck(b: &mut Bench, name: &str, qos: QoS) -> Wire {
    let s = b.connect(0, persistent(name, 600));
    assert_eq!(b.next(s), CONNACK);
    subscribe(b, s, "a", qos);
    s
}

fn publish_many(b: &mut Bench, messages: u16) {
    let p = clean(b, "p");
    let payload = "x".repeat(PAYLOAD);
    for number in 1..=messages {
        send(b, p, "a", &payload, QoS::ExactlyOnce, number);
        assert_eq!(b.next(p), format!("PUBREC #{number} 0x00"));
        let ack = flotilla_mqtt::Ack::new(
            flotilla_mqtt::PacketId::new(number).expect("not 0"),
            flotilla_mqtt::ReasonCode::Success,
        );
        b.send(p, &Packet::Pubrel(ack));
        b.next(p);
    }
}

#[test]
fn a_persistent_session_that_does_not_acknowledge_holds_so_many_bytes() {
    let limits = Limits {
        tail_bytes_max: 50_000,
        page_bytes_max: 40_000,
        inflight_max: 3,
        ..Limits::default()
    };
    let waiting_max =
        (limits.tail_bytes_max + MESSAGE).max(limits.page_bytes_max / 4 * 5 + MESSAGE);
    let mut b = Bench::with_limits(1, limits);
    let sockets: Vec<_> =
        (0..5).map(|n| stuck(&mut b, &format!("s{n}"), QoS::AtLeastOnce)).collect();
    publish_many(&mut b, 200);
    let waiting = sum(&b, "waiting_bytes");
    assert!(waiting > 5 * 20_000, "they have something to send: {waiting}");
    assert!(waiting <= 5 * waiting_max, "{waiting}");
    // Nothing was lost by it.
    for s in sockets {
        let mut got = 0;
        while let Some(packet_id) = b.receive(s, |packet| match packet {
            Packet::Publish(publish) => publish.packet_id,
            _ => None,
        }) {
            got += 1;
            let packet_id = packet_id.expect("QoS 1");
            let ack = flotilla_mqtt::Ack::new(packet_id, flotilla_mqtt::ReasonCode::Success);
            b.send(s, &Packet::Puback(ack));
            assert!(sum(&b, "waiting_bytes") <= 5 * waiting_max);
        }
        assert_eq!(got, 200);
    }
    assert_eq!(sum(&b, "waiting_bytes"), 0);
}

#[test]
fn a_persistent_session_whose_socket_takes_nothing_holds_so_many_bytes() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let limits = Limits {
            tail_bytes_max: 50_000,
            page_bytes_max: 40_000,
            unsent_bytes_max: 30_000,
            ..Limits::default()
        };
        let mut b = Bench::with_limits(1, limits);
        stuck(&mut b, "s", qos);
        // The publisher's answers are short.
        b.is_stuffed = true;
        b.commits_at_once = false;
        let p = clean_later(&mut b);
        let payload = "x".repeat(PAYLOAD);
        for number in 1..=200 {
            send(&mut b, p, "a", &payload, QoS::AtLeastOnce, number);
            if number % 7 == 0 {
                b.settle();
            }
        }
        b.settle();
        let waiting = sum(&b, "waiting_bytes");
        assert!((20_000..=50_000 + MESSAGE).contains(&waiting), "{qos:?} {waiting}");
        let unsent = sum(&b, "unsent_bytes");
        assert!((30_000..=30_000 + 2 * MESSAGE).contains(&unsent), "{qos:?} {unsent}");
        assert_eq!(sum(&b, "storing_bytes"), 0);
    }
}

fn clean_later(b: &mut Bench) -> Wire {
    let p = b.connect(0, flotilla_mqtt::Connect::new(flotilla_mqtt::Version::V5, "p"));
    b.settle();
    assert_eq!(b.next(p), CONNACK);
    p
}

#[test]
fn the_queue_of_a_session_without_a_log_is_bounded_in_bytes() {
    let limits = Limits { queue_bytes_max: 50_000, inflight_max: 1, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    let s = clean(&mut b, "s");
    subscribe(&mut b, s, "a", QoS::AtLeastOnce);
    publish_many(&mut b, 20);
    let waiting = sum(&b, "waiting_bytes");
    assert!((40_000..=50_000).contains(&waiting), "{waiting}");
    let dropped = b.shards[0].counters().dropped[DropReason::QueueFull as usize];
    let in_flight = 1;
    assert_eq!(dropped as usize + waiting / PAYLOAD + in_flight, 20);
    // One that is larger than all may wait alone.
    let limits = Limits { queue_bytes_max: 100, inflight_max: 1, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    let s = clean(&mut b, "s");
    subscribe(&mut b, s, "a", QoS::AtLeastOnce);
    publish_many(&mut b, 3);
    assert_eq!(b.shards[0].counters().dropped[DropReason::QueueFull as usize], 1);
}

#[test]
fn retained_messages_are_bounded_in_bytes() {
    let limits = Limits { retained_bytes_max: 3 * MESSAGE, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    let p = clean(&mut b, "p");
    let payload = "x".repeat(PAYLOAD);
    let keep = |b: &mut Bench, topic: &str, payload: &str, number, qos| {
        let mut keep = publish(topic, payload, qos, number);
        keep.retain = true;
        b.send(p, &Packet::Publish(keep));
        b.next(p)
    };
    for number in 1..=3_u16 {
        let answer = keep(&mut b, &number.to_string(), &payload, number, QoS::AtLeastOnce);
        assert_eq!(answer, format!("PUBACK #{number} 0x10"));
    }
    assert_eq!(keep(&mut b, "4", &payload, 4, QoS::AtLeastOnce), "PUBACK #4 0x97");
    assert_eq!(b.shards[0].counters().dropped[DropReason::NotRetained as usize], 1);
    let longer = "x".repeat(3 * PAYLOAD);
    assert_eq!(keep(&mut b, "3", &longer, 5, QoS::AtLeastOnce), "PUBACK #5 0x97");
    assert_eq!(b.router.retained_messages(), 3, "the publisher knows that the old one stays");
    assert_eq!(keep(&mut b, "3", "short", 6, QoS::AtLeastOnce), "PUBACK #6 0x10");
    assert!(b.router.retained_bytes() < 2 * MESSAGE + 100);
    // Nobody can be told: the topic's last value is not the retained one any more.
    assert_eq!(keep(&mut b, "2", &longer, 0, QoS::AtMostOnce), "");
    assert_eq!(b.router.retained_messages(), 2);
}

#[test]
fn a_subscriber_gets_all_retained_messages_however_short_its_queue_is() {
    for (queue_messages_max, queue_bytes_max) in [(3, 1 << 20), (1 << 20, 3 * MESSAGE)] {
        let limits = Limits { queue_messages_max, queue_bytes_max, ..Limits::default() };
        let mut b = Bench::with_limits(1, Limits { inflight_max: 1, ..limits });
        let p = clean(&mut b, "p");
        let payload = "x".repeat(PAYLOAD);
        for topic in 0..20 {
            let topic = topic.to_string();
            let mut keep = publish(&topic, &payload, QoS::AtLeastOnce, 1);
            keep.retain = true;
            b.send(p, &Packet::Publish(keep));
        }
        let s = clean(&mut b, "s");
        subscribe(&mut b, s, "+", QoS::AtMostOnce);
        let got = (0..20).filter(|_| b.next(s).starts_with("PUBLISH")).count();
        let dropped = |b: &Bench| b.shards[0].counters().dropped[DropReason::QueueFull as usize];
        assert_eq!((got, dropped(&b)), (20, 0));
        // But not more than once: how often it subscribes is up to the client.
        let t = clean(&mut b, "t");
        subscribe(&mut b, t, "+", QoS::AtLeastOnce);
        let waiting = sum(&b, "waiting_bytes");
        let options = SubscriptionOptions::new(QoS::AtLeastOnce);
        subscribe_with(&mut b, t, None, &[Requested { filter: "+", options }]);
        assert!(sum(&b, "waiting_bytes") <= waiting + MESSAGE);
    }
}

#[test]
fn who_asks_for_nothing_is_read_while_too_much_waits_for_the_disk() {
    let limits = Limits { uncommitted_bytes_max: 400, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    stuck(&mut b, "d", QoS::AtLeastOnce);
    let (p, other) = (clean(&mut b, "p"), clean(&mut b, "other"));
    b.commits_at_once = false;
    for number in 1..=9 {
        send(&mut b, p, "a", "x", QoS::AtLeastOnce, number);
    }
    assert!(b.is_paused(p));
    for _ in 0..3 {
        b.send(other, &Packet::Pingreq);
        assert_eq!(b.next(other), "Pingresp", "it would think that the broker has gone");
    }
    send(&mut b, other, "b", "x", QoS::AtMostOnce, 0);
    assert!(b.is_paused(other));
    b.settle();
    for number in 1..=9 {
        assert_eq!(b.next(p), format!("PUBACK #{number} 0x00"));
    }
    assert!(!b.is_paused(other));
}

#[test]
fn acknowledgements_that_wait_for_the_disk_are_bounded_in_bytes() {
    let limits = Limits { owed_bytes_max: 1_000, ..Limits::default() };
    let mut b = Bench::with_limits(1, limits);
    stuck(&mut b, "d", QoS::AtLeastOnce);
    let p = clean(&mut b, "p");
    b.commits_at_once = false;
    send(&mut b, p, "a", "x", QoS::AtLeastOnce, 1);
    for number in 1..=200 {
        let ack = flotilla_mqtt::Ack::new(id(number), flotilla_mqtt::ReasonCode::Success);
        b.send(p, &Packet::Pubrel(ack));
    }
    let owed = sum(&b, "owed_bytes");
    assert!(b.is_paused(p) && (1_000..1_100).contains(&owed), "{owed}");
    b.settle();
    assert_eq!((b.next(p).as_str(), b.is_paused(p)), ("PUBACK #1 0x00", false));
    for number in 1..=200 {
        assert_eq!(b.next(p), format!("PUBCOMP #{number} 0x92"));
    }
    assert_eq!(sum(&b, "owed_bytes"), 0);
}

#[test]
fn who_waits_too_long_for_connack_is_sent_away() {
    let mut b = Bench::new(1);
    b.commits_at_once = false;
    let mut old = persistent("s", 600);
    old.version = flotilla_mqtt::Version::V3_1_1;
    // The first one's record is not written, the second one waits for the first one's session,
    // the third one for its turn.
    let waiting =
        [old, persistent("s", 600), persistent("s", 600)].map(|connect| b.connect(0, connect));
    while b.answer() | b.deliver_mail() {}
    assert!(!b.is_open(waiting[0]), "taken over");
    let first = b.connect(0, persistent("t", 600));
    while b.answer() | b.deliver_mail() {}
    b.wait_ms(10_000);
    b.wait_ms(59_999);
    assert!([first, waiting[1], waiting[2]].iter().all(|&wire| b.is_open(wire)));
    b.wait_ms(1);
    for wire in [first, waiting[1], waiting[2]] {
        assert_eq!((b.next(wire).as_str(), b.is_open(wire)), ("CONNACK 0x88 present=false", false));
    }
    b.settle();
    for name in ["s", "t"] {
        let wire = b.connect(0, persistent(name, 600));
        b.settle();
        assert_eq!(b.next(wire), RESUMED);
        b.wait_ms(100_000);
        assert!(b.is_open(wire));
    }
}
