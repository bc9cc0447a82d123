//! What waits in memory has an end, in bytes too.

use crate::bench::dialogue::{CONNACK, clean, persistent, publish, send, subscribe};
use crate::bench::{Bench, Wire};
use flotilla_core::counters::DropReason;
use flotilla_core::limits::Limits;
use flotilla_mqtt::{Packet, QoS};

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
