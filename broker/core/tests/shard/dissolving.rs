//! Shared subscriptions: what becomes of the messages in the log when a member ends.

use std::collections::BTreeSet;

use crate::bench::dialogue::{
    CONNACK, RESUMED, clean, dropped, id, payloads, persistent, puback, send, subscribe,
};
use crate::bench::{Bench, Wire};
use flotilla_core::counters::DropReason;
use flotilla_core::durability::{Class, Durability};
use flotilla_core::limits::Limits;
use flotilla_mqtt::{
    Connect, Disconnect, Packet, QoS, ReasonCode, Unsubscribe, UnsubscribeFilters, UserProperties,
    Version,
};

const SHARED: &str = "$share/g/a/#";

fn join(b: &mut Bench, shard: u16, connect: Connect<'_>) -> Wire {
    let wire = b.connect(shard, connect);
    assert_eq!(b.next(wire), CONNACK);
    subscribe(b, wire, SHARED, QoS::ExactlyOnce);
    wire
}

fn publish(b: &mut Bench, wire: Wire, numbers: impl Iterator<Item = u16>, qos: QoS) {
    for number in numbers {
        send(b, wire, "a", &number.to_string(), qos, number);
    }
}

/// The numbers that arrived, each acknowledged.
fn numbers(b: &mut Bench, wire: Wire) -> Vec<u16> {
    let payloads = payloads(b, wire);
    payloads.iter().map(|payload| payload.parse().expect("payloads are numbers")).collect()
}

/// Three shards, small pages.
fn bench() -> Bench {
    Bench::with_limits(3, Limits { page_messages_max: 3, ..Limits::default() })
}

#[test]
fn another_member_gets_what_a_session_that_expires_has_not_had() {
    let mut b = bench();
    let away = join(&mut b, 1, persistent("away", 600));
    let p = clean(&mut b, "p");
    publish(&mut b, p, 1..=2, QoS::AtLeastOnce);
    assert_eq!(b.next(away), "PUBLISH q1 #1 a=1");
    assert_eq!(b.next(away), "PUBLISH q1 #2 a=2");
    puback(&mut b, away, 1);
    send(&mut b, p, "a", "3", QoS::ExactlyOnce, 3);
    assert_eq!(b.next(away), "PUBLISH q2 #3 a=3");
    b.cut(away);
    publish(&mut b, p, 4..=20, QoS::AtLeastOnce);
    let here = join(&mut b, 0, Connect::new(Version::V5, "here"));
    assert_eq!(b.next(here), "", "it is the other's");
    b.wait_ms(600_001);
    b.settle();
    let expected: Vec<u16> = [2].into_iter().chain(4..=20).collect();
    assert_eq!(numbers(&mut b, here), expected, "1 was acknowledged, 3 has left at QoS 2");
    assert!(b.engine.session("away").is_none());
    assert_eq!(dropped(&b, DropReason::SessionEnded), 0);
    let again = b.connect(2, persistent("away", 600));
    assert_eq!(b.next(again), CONNACK);
}

#[test]
fn one_who_begins_anew_leaves_it_to_the_others() {
    for crash in [false, true] {
        let mut b = bench();
        for (shard, name) in [(1, "one"), (2, "two")] {
            let wire = join(&mut b, shard, persistent(name, 600));
            b.cut(wire);
        }
        let p = clean(&mut b, "p");
        publish(&mut b, p, 1..=20, QoS::AtLeastOnce);
        if crash {
            b.crash();
        }
        let anew = b.connect(0, Connect { clean_start: true, ..persistent("one", 600) });
        assert_eq!(b.next(anew), CONNACK);
        assert_eq!(b.next(anew), "");
        assert_eq!(dropped(&b, DropReason::SessionEnded), 0);
        if crash {
            b.crash();
        }
        let two = b.connect(0, persistent("two", 600));
        assert_eq!(b.next(two), RESUMED);
        let mut all = numbers(&mut b, two);
        all.sort_unstable();
        assert_eq!(all, (1..=20).collect::<Vec<_>>());
    }
}

#[test]
fn nothing_is_read_before_all_that_it_was_given_is_committed() {
    let durability = Durability::new(Vec::new(), Class::Fsync);
    let mut b = Bench::with_durability(1, Limits::default(), durability);
    let one = join(&mut b, 0, persistent("one", 600));
    let two = join(&mut b, 0, persistent("two", 6_000));
    b.cut(two);
    let p = clean(&mut b, "p");
    (b.commits_at_once, b.syncs_at_once) = (false, false);
    send(&mut b, p, "a", "1", QoS::ExactlyOnce, 1);
    b.commit(1);
    b.report();
    assert_eq!(b.engine.submissions(), 1, "under which identifier `one` gets it is being stored");
    b.cut(one);
    b.commit(usize::MAX);
    while b.report() {}
    // To each of them, and then the time of one is over.
    publish(&mut b, p, 2..=3, QoS::AtLeastOnce);
    b.wait_ms(600_001);
    assert!(b.engine.submissions() > 1, "that is not committed");
    b.sync(usize::MAX);
    while b.report() | b.read_page() | b.deliver_page() {}
    (b.commits_at_once, b.syncs_at_once) = (true, true);
    b.settle();
    let two = b.connect(0, persistent("two", 6_000));
    assert_eq!(b.next(two), RESUMED);
    let mut all = BTreeSet::new();
    while let Some(number) = b.receive(two, |packet| match packet {
        Packet::Publish(publish) => publish.payload[0] - b'0',
        other => panic!("{other:?}"),
    }) {
        all.insert(number);
    }
    assert_eq!(all, BTreeSet::from([1, 2, 3]));
    assert_eq!(dropped(&b, DropReason::SessionEnded), 0);
}

#[test]
fn a_crash_in_between_only_repeats_what_was_not_passed_on() {
    let mut lengths = BTreeSet::new();
    for commits in 0..12 {
        let mut b = bench();
        for (shard, name) in [(1, "one"), (2, "two")] {
            let wire = join(&mut b, shard, persistent(name, 600));
            b.cut(wire);
        }
        let p = clean(&mut b, "p");
        publish(&mut b, p, 1..=20, QoS::AtLeastOnce);
        b.commits_at_once = false;
        b.connect(0, Connect { clean_start: true, ..persistent("one", 600) });
        let arrive = |b: &mut Bench| {
            while b.answer() | b.deliver_mail() | b.read_page() | b.deliver_page() {}
        };
        arrive(&mut b);
        for _ in 0..commits {
            b.commit(1);
            b.report();
            arrive(&mut b);
        }
        lengths.insert(b.engine.log().len());
        b.commits_at_once = true;
        b.crash();
        let mut all = Vec::new();
        for name in ["one", "two"] {
            let wire = b.connect(0, persistent(name, 600));
            assert!([CONNACK, RESUMED].contains(&b.next(wire).as_str()));
            all.extend(numbers(&mut b, wire));
        }
        all.sort_unstable();
        assert_eq!(all, (1..=20).collect::<Vec<_>>(), "after {commits} commits");
    }
    assert!(lengths.len() > 3, "it crashed after each of some pages: {lengths:?}");
}

#[test]
fn what_nobody_can_have_is_counted() {
    let mut b = bench();
    let only = join(&mut b, 1, persistent("only", 600));
    b.cut(only);
    let p = clean(&mut b, "p");
    publish(&mut b, p, 1..=7, QoS::AtLeastOnce);
    b.wait_ms(600_001);
    b.settle();
    assert_eq!(dropped(&b, DropReason::SessionEnded), 7);
    assert!(b.engine.session("only").is_none());
}

#[test]
fn a_full_disk_keeps_it_until_there_is_room() {
    let mut b = bench();
    for (shard, name) in [(1, "one"), (2, "two")] {
        let expiry_s = if name == "one" { 60 } else { 600 };
        let wire = join(&mut b, shard, persistent(name, expiry_s));
        b.cut(wire);
    }
    let p = clean(&mut b, "p");
    publish(&mut b, p, 1..=10, QoS::AtLeastOnce);
    b.store_changed(true);
    b.wait_ms(60_001);
    b.settle();
    assert_eq!(b.engine.log().len(), 10);
    assert!(b.engine.session("one").is_some(), "its messages are not lost");
    b.store_changed(false);
    b.settle();
    assert!(b.engine.session("one").is_none());
    let two = b.connect(0, persistent("two", 600));
    assert_eq!(b.next(two), RESUMED);
    let mut all = numbers(&mut b, two);
    all.sort_unstable();
    assert_eq!(all, (1..=10).collect::<Vec<_>>());
}

#[test]
fn what_was_only_in_memory_does_not_go_to_a_full_disk() {
    let mut b = bench();
    let here = join(&mut b, 0, Connect::new(Version::V5, "here"));
    let p = clean(&mut b, "p");
    send(&mut b, p, "a", "1", QoS::AtLeastOnce, 1);
    assert_eq!(b.next(here), "PUBLISH q1 #1 a=1");
    let away = join(&mut b, 1, persistent("away", 600));
    b.cut(away);
    b.store_changed(true);
    b.cut(here);
    b.settle();
    assert_eq!(b.engine.log().len(), 0);
    assert_eq!(dropped(&b, DropReason::SessionEnded), 1);
}

#[test]
fn a_page_that_was_asked_for_before_is_not_passed_on() {
    let mut b = bench();
    let away = join(&mut b, 1, persistent("away", 1));
    b.cut(away);
    let p = clean(&mut b, "p");
    publish(&mut b, p, 1..=5, QoS::AtLeastOnce);
    let here = join(&mut b, 0, Connect::new(Version::V5, "here"));
    b.commits_at_once = false;
    let again = b.connect(1, persistent("away", 1));
    while b.answer() | b.deliver_mail() | b.commit(1) | b.sync(1) | b.report() {}
    assert!(b.read_page(), "it asks when it is there");
    b.cut(again);
    b.wait_ms(1_001);
    while b.answer() | b.deliver_mail() | b.commit(1) | b.sync(1) | b.report() {}
    assert!(b.read_page(), "it asks for what it has to pass on");
    b.commits_at_once = true;
    b.settle();
    assert_eq!(numbers(&mut b, here), [1, 2, 3, 4, 5], "once each");
}

#[test]
fn one_who_unsubscribes_and_ends_in_one_turn_is_counted_once() {
    let mut b = bench();
    let brief = join(&mut b, 1, persistent("brief", 600));
    b.hold_turns(true);
    b.send(
        brief,
        &Packet::Unsubscribe(Unsubscribe {
            packet_id: id(9),
            user_properties: UserProperties::EMPTY,
            filters: UnsubscribeFilters::from_slice(&[SHARED]),
        }),
    );
    let mut leave = Disconnect::new(ReasonCode::Success);
    leave.session_expiry_interval_s = Some(0);
    b.send(brief, &Packet::Disconnect(leave));
    b.hold_turns(false);
    b.settle();
    assert_eq!(b.router.shared_groups(), 0);
    assert!(b.engine.session("brief").is_none());
    assert_eq!(b.shards[1].counters().subscriptions, 0);
}

#[test]
fn what_was_passed_on_before_a_crash_is_not_passed_on_again() {
    let mut b = bench();
    let away = join(&mut b, 1, persistent("away", 1));
    let p = clean(&mut b, "p");
    publish(&mut b, p, 1..=8, QoS::AtLeastOnce);
    // Sent, and not acknowledged.
    assert_eq!(b.next(away), "PUBLISH q1 #1 a=1");
    b.send(away, &Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
    b.settle();
    join(&mut b, 0, persistent("here", 600));
    b.commits_at_once = false;
    b.wait_ms(1_001);
    let before = b.engine.log().len();
    while b.engine.log().len() == before {
        let goes_on = b.commit(1) | b.sync(1) | b.report();
        assert!(goes_on, "it is passed on in the end");
        while b.deliver_mail() | b.read_page() | b.deliver_page() {}
    }
    assert!(b.engine.session("away").is_some(), "there is more");
    b.commits_at_once = true;
    b.crash();
    b.wait_ms(1_001);
    let here = b.connect(0, persistent("here", 600));
    assert_eq!(b.next(here), RESUMED);
    assert_eq!(numbers(&mut b, here), [1, 2, 3, 4, 5, 6, 7, 8], "once each");
}

/// The timer of its Session Expiry Interval rings while what it had is passed on.
#[test]
fn a_session_that_has_ended_does_not_expire() {
    let mut b = bench();
    let away = join(&mut b, 1, persistent("away", 10));
    b.cut(away);
    let p = clean(&mut b, "p");
    publish(&mut b, p, 1..=20, QoS::AtLeastOnce);
    b.commits_at_once = false;
    let anew = b.connect(0, Connect::new(Version::V5, "away"));
    while b.answer() | b.deliver_mail() {}
    b.wait_ms(10_001);
    assert_eq!(b.next(anew), "", "the old one is on its way");
    b.settle();
    assert_eq!(b.next(anew), CONNACK);
    let expired: u64 = b.shards.iter().map(|shard| shard.counters().sessions_expired).sum();
    assert_eq!((expired, dropped(&b, DropReason::SessionEnded)), (0, 20));
}
