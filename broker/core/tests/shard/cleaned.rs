//! The log is cleaned: cursors follow its end, and who is overtaken is told.

use crate::bench::Bench;
use crate::bench::dialogue::{
    CONNACK, RESUMED, clean, persistent, puback, publish, send, subscribe,
};
use flotilla_core::counters::{Counters, DropReason};
use flotilla_core::id::Position;
use flotilla_core::limits::Limits;
use flotilla_mqtt::{Packet, QoS, Version};

fn counters(b: &Bench) -> Counters {
    let mut sum = Counters::default();
    for shard in &b.shards {
        sum += shard.counters();
    }
    sum
}

/// A session that subscribes to `a` and is away; messages 1 to `messages` are published.
fn away(b: &mut Bench, messages: u16) {
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), CONNACK);
    subscribe(b, s, "a", QoS::AtLeastOnce);
    b.cut(s);
    let p = clean(b, "p");
    for number in 1..=messages {
        send(b, p, "a", &number.to_string(), QoS::AtLeastOnce, number);
    }
}

#[test]
fn a_session_that_gets_nothing_follows_the_log() {
    let mut b = Bench::new(3);
    let idle: Vec<_> = (0..3)
        .map(|shard| {
            let s = b.connect(shard, persistent(&format!("idle{shard}"), 600));
            assert_eq!(b.next(s), CONNACK);
            subscribe(&mut b, s, "idle", QoS::AtLeastOnce);
            s
        })
        .collect();
    // What they wrote when they came was long ago.
    for _ in 0..2 {
        b.wait_ms(61_000);
    }
    // A session that gets everything; one shard does all the work.
    away(&mut b, 9);
    b.wait_ms(59_000);
    assert!(b.engine.session("idle1").is_some_and(|stored| stored.cursor < b.engine.end()));
    // A round, and one more for shards that had not heard of the log's end.
    for _ in 0..2 {
        b.wait_ms(61_000);
    }
    for name in ["idle0", "idle1", "idle2"] {
        let cursor = b.engine.session(name).map(|stored| stored.cursor);
        assert_eq!(cursor, Some(b.engine.end()), "{name}");
    }
    let cursor = b.engine.session("s").map(|stored| stored.cursor);
    assert_eq!(cursor, Some(Position(1)), "who is away wants what it has not had");
    // Nothing is lost by it.
    let p = clean(&mut b, "q");
    send(&mut b, p, "idle", "1", QoS::AtLeastOnce, 1);
    for s in idle {
        assert_eq!(b.next(s), "PUBLISH q1 #1 idle=1");
    }
}

#[test]
fn cursors_of_many_idle_sessions_are_written_a_part_at_a_time() {
    let mut b = Bench::with_limits(1, Limits { cursor_idle_ms: 1_000, ..Limits::default() });
    for number in 0..3_000 {
        let s = b.connect(0, persistent(&format!("s{number}"), 600));
        assert_eq!(b.next(s), CONNACK);
    }
    away(&mut b, 1);
    b.wait_ms(100);
    let behind = |b: &Bench| {
        let end = b.engine.end();
        let names = (0..3_000).map(|number| format!("s{number}"));
        names.filter(|name| b.engine.session(name).is_some_and(|s| s.cursor < end)).count()
    };
    assert_eq!(behind(&b), 3_000);
    let mut written = Vec::new();
    for _ in 0..3 {
        b.wait_ms(1_000);
        let before = behind(&b);
        for _ in 0..4 {
            b.wait_ms(10);
        }
        written.push(before);
    }
    assert!(written[0] >= 3_000 - 1_024, "one turn writes some: {written:?}");
    assert_eq!(behind(&b), 0, "several write all");
}

#[test]
fn a_session_that_was_overtaken_is_told_once_it_connects() {
    for crash in [false, true] {
        let mut b = Bench::new(3);
        away(&mut b, 6);
        b.clean(Position(3), &[("s", 2)]);
        b.clean(Position(5), &[("s", 2)]);
        if crash {
            b.crash();
        } else {
            let counters = counters(&b);
            assert_eq!(counters.dropped[DropReason::Cleaned as usize], 4);
            assert_eq!(counters.sessions_overtaken, 2);
        }
        let s = b.connect(1, persistent("s", 600));
        assert_eq!(b.next(s), format!("{RESUMED} messages-cleaned=4"));
        assert_eq!(b.next(s), "PUBLISH q1 #1 a=5");
        assert_eq!(b.next(s), "PUBLISH q1 #2 a=6");
        let stored = |b: &Bench| b.engine.session("s").map(|stored| stored.overtaken);
        assert_eq!(stored(&b), Some(4), "a crash now tells it again");
        b.cut(s);
        assert_eq!(stored(&b), Some(0));
        let s = b.connect(2, persistent("s", 600));
        assert_eq!(b.next(s), RESUMED, "it is told once");
        b.cut(s);
        b.clean(Position(6), &[("s", 1)]);
        let s = b.connect(0, persistent("s", 600));
        assert_eq!(b.next(s), format!("{RESUMED} messages-cleaned=1"));
    }
}

#[test]
fn who_cannot_be_told_is_told_later() {
    let mut b = Bench::new(2);
    away(&mut b, 3);
    b.clean(Position(4), &[("s", 3)]);
    let mut old = persistent("s", 600);
    old.version = Version::V3_1_1;
    let s = b.connect(0, old);
    assert_eq!(b.next(s), RESUMED, "MQTT 3.1.1 has no properties");
    b.cut(s);
    // The connection is lost before CONNACK.
    b.commits_at_once = false;
    let s = b.connect(1, persistent("s", u32::MAX));
    b.answer();
    b.cut(s);
    b.settle();
    b.commits_at_once = true;
    b.wait_ms(1);
    let s = b.connect(1, persistent("s", 600));
    assert_eq!(b.next(s), format!("{RESUMED} messages-cleaned=3"));
}

#[test]
fn a_new_session_hears_nothing_of_an_old_one() {
    let mut b = Bench::new(2);
    away(&mut b, 3);
    b.clean(Position(4), &[("s", 3)]);
    let mut anew = persistent("s", 600);
    anew.clean_start = true;
    let s = b.connect(1, anew);
    assert_eq!(b.next(s), CONNACK);
    b.cut(s);
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), RESUMED);
    b.cut(s);
    b.crash();
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), RESUMED);
}

#[test]
fn a_message_in_flight_that_was_cleaned_is_done() {
    let mut b = Bench::new(1);
    let s = b.connect(0, persistent("s", 600));
    b.next(s);
    subscribe(&mut b, s, "a", QoS::AtLeastOnce);
    let p = clean(&mut b, "p");
    for number in 1..=3 {
        send(&mut b, p, "a", &number.to_string(), QoS::AtLeastOnce, number);
        assert_eq!(b.next(s), format!("PUBLISH q1 #{number} a={number}"));
    }
    b.cut(s);
    b.clean(Position(3), &[("s", 2)]);
    let s = b.connect(0, persistent("s", 600));
    assert_eq!(b.next(s), format!("{RESUMED} messages-cleaned=2"));
    assert_eq!(b.next(s), "PUBLISH q1 dup #3 a=3");
    puback(&mut b, s, 3);
    b.wait_ms(1_001);
    assert_eq!(counters(&b).dropped[DropReason::Cleaned as usize], 2, "each is counted once");
    b.cut(s);
    let cursor = b.engine.session("s").map(|stored| stored.cursor);
    assert_eq!(cursor, Some(b.engine.end()));
}

#[test]
fn an_expired_session_leaves_nothing_even_if_the_broker_was_down() {
    for crash in [false, true] {
        let mut b = Bench::new(2);
        away(&mut b, 3);
        b.clean(Position(2), &[("s", 1)]);
        if crash {
            b.crash();
            b.now = b.now.plus_ms(700_000);
        }
        for _ in 0..12 {
            b.wait_ms(60_000);
        }
        assert!(b.engine.session("s").is_none(), "crash {crash}");
        assert_eq!(counters(&b).sessions_expired, 1);
        let s = b.connect(0, persistent("s", 600));
        assert_eq!(b.next(s), CONNACK);
    }
}

#[test]
fn retained_messages_go_when_they_expire() {
    for crash in [false, true] {
        let mut b = Bench::new(2);
        let p = clean(&mut b, "p");
        for number in 0..3_000_u16 {
            let topic = format!("a/{number}");
            let mut keep = publish(&topic, "1", QoS::AtLeastOnce, number + 1);
            keep.retain = true;
            keep.message_expiry_interval_s = Some(100);
            b.send(p, &Packet::Publish(keep));
        }
        let mut keep = publish("b", "1", QoS::AtLeastOnce, 3_001);
        keep.retain = true;
        b.send(p, &Packet::Publish(keep));
        if crash {
            b.crash();
        }
        b.wait_ms(60_000);
        assert_eq!(b.router.retained_messages(), 3_001);
        b.wait_ms(60_000);
        let left = b.router.retained_messages();
        assert!((1..3_001).contains(&left), "one turn does a part of it: {left}");
        for _ in 0..4 {
            b.wait_ms(1_000);
        }
        assert_eq!(b.router.retained_messages(), 1);
        assert_eq!(counters(&b).retained_expired, 3_000);
        assert!(b.shards.iter().all(|shard| shard.next_due_ms().is_none()), "nothing more is due");
        b.crash();
        assert_eq!(b.router.retained_messages(), 1, "the disk has forgotten them, too");
    }
}
