//! Who loses what is counted exactly, and told once.

use std::collections::BTreeMap;
use std::time::Duration;

use flotilla_core::id::{ClientId, Position};
use flotilla_core::record::{OutboundRecord, SessionRecord, Start};
use flotilla_core::turn::Write;
use flotilla_mqtt::{PacketId, QoS};
use flotilla_store::{Cleaned, Options};

use crate::bench::{Bench, cursor, message, options, put, session};

fn aging(messages: u64) -> Options {
    Options { age_max: Some(Duration::from_secs(3600)), ..options(messages) }
}

/// What each session has lost: messages, and those that had expired.
fn lost(cleaned: &[Cleaned]) -> BTreeMap<String, (u64, u64)> {
    let mut lost: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for one in cleaned.iter().flat_map(|cleaned| &cleaned.overtaken) {
        let sum = lost.entry(one.client_id.as_str().to_owned()).or_default();
        sum.0 += one.messages;
        sum.1 += one.expired;
    }
    lost
}

fn expect(pairs: &[(&str, u64, u64)]) -> BTreeMap<String, (u64, u64)> {
    pairs
        .iter()
        .map(|(name, messages, expired)| ((*name).to_owned(), (*messages, *expired)))
        .collect()
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("not 0")
}

fn with(record: SessionRecord, change: impl FnOnce(&mut SessionRecord)) -> Write {
    let mut record = record;
    change(&mut record);
    put(record)
}

#[test]
fn each_message_counts_for_whom_it_was_still_to_come() {
    let mut b = Bench::new(aging(10));
    let outbound = |name: &str, position, released| {
        let record = OutboundRecord {
            position: Position(position),
            packet_id: id(position as u16),
            released,
        };
        Write::PutOutbound(ClientId::from(name), record)
    };
    // Two filters that overlap; a filter of another partition.
    b.write(put(session("all", &["t/#", "#", "u"])));
    b.write(put(session("narrow", &["t/7"])));
    b.write(put(session("elsewhere", &["v/#"])));
    b.write(put(session("no filter", &[])));
    b.write(with(session("QoS 0", &["#"]), |record| {
        record.subscriptions[0].options.qos = QoS::AtMostOnce;
    }));
    // It was lowered to QoS 0 behind the fifth message.
    b.write(with(session("lowered", &["t/#", "t/#"]), |record| {
        record.subscriptions[0].options.qos = QoS::AtMostOnce;
        record.subscriptions[1].until = Some(Start::At(Position(6)));
    }));
    // It published the even ones itself.
    b.write(with(session("own", &["t/#"]), |record| {
        record.subscriptions[0].options.no_local = true;
    }));
    b.write(with(session("own, twice", &["t/#", "t/4"]), |record| {
        record.subscriptions[0].options.no_local = true;
    }));
    // It has had 1 to 5, but for two that it has not acknowledged.
    b.write(with(session("in flight", &["t/#"]), |record| {
        record.unacknowledged = vec![(id(1), Position(2)), (id(2), Position(4))];
        record.sent_up_to = Position(6);
    }));
    // Of QoS 2: 3 was sent, 4 is received; both are above the cursor.
    b.write(put(session("twice", &["t/#"])));
    b.write(outbound("twice", 3, false));
    b.write(outbound("twice", 4, true));
    // Its subscription is gone.
    b.write(with(session("unsubscribed", &[]), |record| {
        record.unacknowledged = vec![(id(1), Position(5))];
        record.sent_up_to = Position(6);
    }));
    b.write(put(session("read on", &["t/#"])));
    b.write(cursor("read on", 8));
    b.write(put(session("addressee", &["t/5"])));
    b.write(put(session("addressee in vain", &["t/0"])));
    b.write(put(session("member", &["$share/g/t/+"])));
    b.write(put(session("member no more", &["$share/h/t/+", "t/0"])));
    b.commit();
    for n in 1..=10_u64 {
        let topic = format!("t/{n}");
        b.publish(message(&topic, |parts| {
            parts.received_at_ms = 1_000;
            parts.publisher = match n % 2 {
                0 if n == 4 => "own, twice",
                0 => "own",
                _ => "somebody",
            };
            if n == 9 {
                parts.expires_at_ms = Some(2_000);
            }
        }));
    }
    b.commit();
    let addressees =
        ["addressee", "addressee in vain", "member\0$share/g/t/+", "member no more\0$share/g/t/+"];
    for addressee in addressees {
        for _ in 0..5 {
            b.publish(message("t/5", |parts| {
                parts.received_at_ms = 1_000;
                parts.addressee = addressee;
            }));
        }
    }
    b.commit();
    // These come late, and stay.
    b.write(put(session("late", &["#"])));
    b.publish_many("t/1", 3);
    let cleaned = b.clean_all();
    let expected = [
        ("addressee", 6, 0),
        ("all", 9, 1),
        ("in flight", 6, 1),
        ("lowered", 5, 0),
        ("member", 5, 0),
        ("narrow", 1, 0),
        ("own", 5, 1),
        ("own, twice", 9, 1),
        ("read on", 2, 1),
        ("twice", 8, 1),
        ("unsubscribed", 1, 0),
    ];
    assert_eq!(lost(&cleaned), expect(&expected));
    assert_eq!(b.positions(1), [31, 32, 33]);
    // The disk knows.
    b.reopen();
    for stored in &b.recovered.sessions {
        let name = stored.record.client_id.as_str();
        let known = expected.iter().find(|(known, ..)| *known == name).map_or(0, |known| known.1);
        assert_eq!(stored.overtaken, known, "{name}");
    }
    assert!(b.clean_all().is_empty(), "nothing is counted twice");
}

#[test]
fn losses_add_up_until_the_client_was_told() {
    let mut b = Bench::new(aging(5));
    b.write(put(session("s", &["t"])));
    b.commit();
    let stored = |b: &Bench| b.recovered.sessions.first().map(|stored| stored.overtaken);
    let age = |b: &mut Bench, messages: usize| {
        for _ in 0..messages {
            b.publish(message("t", |parts| parts.received_at_ms = 1_000));
        }
        b.commit();
    };
    age(&mut b, 5);
    assert_eq!(lost(&b.clean_all()), expect(&[("s", 5, 0)]));
    age(&mut b, 5);
    assert_eq!(lost(&b.clean_all()), expect(&[("s", 5, 0)]));
    b.reopen();
    assert_eq!(stored(&b), Some(10));
    age(&mut b, 5);
    b.clean_all();
    b.write(Write::ClearOvertaken(ClientId::from("s"), 10));
    b.commit();
    b.reopen();
    assert_eq!(stored(&b), Some(5));
    b.write(Write::ClearOvertaken(ClientId::from("s"), 5));
    b.commit();
    b.reopen();
    assert_eq!(stored(&b), Some(0));
    // It was told of more than it has lost: of what an earlier session had.
    b.write(Write::ClearOvertaken(ClientId::from("s"), 5));
    b.commit();
    age(&mut b, 5);
    assert_eq!(lost(&b.clean_all()), expect(&[("s", 5, 0)]));
    b.reopen();
    assert_eq!(stored(&b), Some(5));
    // With the session goes what it has lost.
    age(&mut b, 5);
    assert_eq!(lost(&b.clean_all()), expect(&[("s", 5, 0)]));
    b.write(Write::EndSession(ClientId::from("s")));
    b.write(put(session("s", &["t"])));
    b.commit();
    b.reopen();
    assert_eq!(stored(&b), Some(0));
}

#[test]
fn many_sessions_lose_each_its_own() {
    let mut b = Bench::new(aging(1_000));
    for n in 0..300 {
        b.write(put(session(&format!("s{n}"), &[&format!("t/{n}"), "all"])));
    }
    b.commit();
    for n in 0..1_000 {
        let topic = if n % 10 == 0 { "all".to_owned() } else { format!("t/{}", n % 300) };
        b.publish(message(&topic, |parts| parts.received_at_ms = 1_000));
    }
    b.commit();
    let lost = lost(&b.clean_all());
    assert_eq!(lost.len(), 300);
    let own = |n: u64| (0..1_000).filter(|at| at % 10 != 0 && at % 300 == n).count() as u64;
    for n in 0..300 {
        assert_eq!(lost[&format!("s{n}")], (100 + own(n), 0), "{n}");
    }
}
