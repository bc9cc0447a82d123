//! What goes, and what stays.

use std::fs;
use std::time::{Duration, Instant};

use flotilla_core::id::ClientId;
use flotilla_core::record::SessionRecord;
use flotilla_core::turn::Write;
use flotilla_store::{Cleaned, Engine, LogSize, Options, Reason, Taken, backlog_closed};

use crate::bench::{Bench, DEADLINE, cursor, message, options, put, session};

/// Messages taken for a reason.
fn taken(cleaned: &[Cleaned], reason: Reason) -> u64 {
    cleaned.iter().map(|one| one.taken[reason as usize].messages).sum()
}

/// The size of a log from which nothing more can go, once the cleaner has looked again.
fn size(b: &Bench) -> LogSize {
    let left = b.rocks().backlog(None).expect("it can be read");
    let bytes: u64 = left.partitions.iter().map(|partition| partition.bytes).sum();
    let until = Instant::now() + DEADLINE;
    loop {
        let size = b.rocks().log_size();
        if size.bytes == bytes && size.partitions == left.partitions.len() {
            return size;
        }
        assert!(Instant::now() < until, "{size:?} is not {left:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_everybody_has_had_goes() {
    let mut b = Bench::new(options(10));
    b.write(put(session("s", &["t/#"])));
    b.commit();
    for _ in 0..10 {
        b.publish_many("t/a", 5);
    }
    assert!(b.clean_all().is_empty(), "it has had nothing");
    b.write(cursor("s", 26));
    b.commit();
    let cleaned = b.clean_all();
    assert_eq!(taken(&cleaned, Reason::Consumed), 20, "whole segments");
    assert!(cleaned.iter().all(|one| one.overtaken.is_empty()));
    assert_eq!(b.positions(1), (21..51).collect::<Vec<_>>());
    assert_eq!(b.positions(25), (25..51).collect::<Vec<_>>());
    b.reopen();
    assert_eq!(b.recovered.sessions[0].cursor.0, 26);
    assert_eq!(b.positions(1), (21..51).collect::<Vec<_>>());
    assert_eq!(b.rocks().counters().cleaned, [Taken::default(); 3], "since it was opened");
}

#[test]
fn what_is_addressed_to_a_session_stays_although_its_subscription_starts_later() {
    let mut b = Bench::new(options(1));
    b.write(put(session("member", &[])));
    b.commit();
    // The record with the subscription had to wait for an earlier one.
    b.publish(message("t/1", |parts| parts.addressee = "member\0$share/g/t/+"));
    b.publish(message("t/2", |_| {}));
    b.commit();
    b.write(put(SessionRecord { revision: 2, ..session("member", &["$share/g/t/+"]) }));
    b.publish_many("t/3", 1);
    b.commit();
    assert!(b.clean_all().is_empty());
    b.write(cursor("member", 3));
    b.commit();
    assert_eq!(taken(&b.clean_all(), Reason::Consumed), 2);
}

#[test]
fn who_is_away_holds_what_it_wants_and_nothing_else() {
    let mut b = Bench::new(options(10));
    b.write(put(session("away", &["cmd/away/#"])));
    b.write(put(session("here", &["telemetry/#"])));
    b.commit();
    for _ in 0..10 {
        b.publish_many("telemetry/a", 9);
        b.publish_many("cmd/b", 1);
    }
    b.write(cursor("here", 101));
    b.commit();
    let cleaned = b.clean_all();
    assert_eq!(taken(&cleaned, Reason::Consumed), 90);
    // Its filter matches none of them; its partition is held all the same.
    assert_eq!(b.positions(1), (1..11).map(|n| n * 10).collect::<Vec<_>>());
    assert_eq!(size(&b).partitions, 1);
    // What is new in a partition that was emptied is found, before and after a restart.
    b.publish_many("telemetry/a", 3);
    assert_eq!(b.positions(101), [101, 102, 103]);
    b.reopen();
    assert_eq!(b.positions(1).len(), 13);
    b.write(Write::EndSession(ClientId::from("away")));
    b.commit();
    assert_eq!(taken(&b.clean_all(), Reason::Consumed), 10);
}

#[test]
fn a_log_that_is_cleaned_as_a_whole_goes_on_where_it_ended() {
    let mut b = Bench::new(options(10));
    b.publish_many("t", 30);
    b.publish_many("u/v", 30);
    let cleaned = b.clean_all();
    assert_eq!(taken(&cleaned, Reason::Consumed), 60, "nobody wants anything");
    assert!(b.positions(1).is_empty());
    for _ in 0..3 {
        b.reopen();
        assert_eq!(b.recovered.end.0, 61);
        assert!(b.positions(1).is_empty());
    }
    b.write(put(session("s", &["#"])));
    b.publish_many("t", 4);
    assert_eq!(b.positions(1), [61, 62, 63, 64]);
    b.reopen();
    assert_eq!(b.recovered.end.0, 65);
    assert_eq!(b.positions(61), [61, 62, 63, 64]);
}

#[test]
fn what_is_too_old_goes_and_what_is_too_much() {
    let old = |b: &mut Bench, topic: &str, messages: usize| {
        for _ in 0..messages {
            b.publish(message(topic, |parts| parts.received_at_ms = 1_000));
        }
        b.commit();
    };
    let age_max = Some(Duration::from_secs(3600));
    let mut b = Bench::new(Options { age_max, ..options(10) });
    b.write(put(session("s", &["#"])));
    b.commit();
    old(&mut b, "t", 10);
    old(&mut b, "t", 9);
    b.publish_many("t", 1);
    let cleaned = b.cleaned();
    assert_eq!(cleaned.taken[Reason::Age as usize].messages, 10);
    assert_eq!(b.positions(1), (11..21).collect::<Vec<_>>(), "the newest of a segment counts");
    assert_eq!(b.rocks().counters().cleaned.map(|of| of.messages), [0, 10, 0]);

    let mut b = Bench::new(Options { disk_bytes_max: Some(20_000), ..options(10) });
    b.write(put(session("s", &["#"])));
    b.commit();
    b.publish_many("quiet", 10);
    for _ in 0..40 {
        b.publish_many("flood", 10);
    }
    let cleaned = b.clean_all();
    let gone = taken(&cleaned, Reason::Bytes);
    let left = b.positions(1);
    assert_eq!(left[..10], (1..11).collect::<Vec<_>>(), "a flood does not push it out");
    assert_eq!(left.len() as u64 + gone, 410);
    let size = size(&b);
    assert!((15_000..=20_000).contains(&size.bytes), "{size:?}");
    let counters = b.rocks().counters();
    let taken = counters.cleaned[Reason::Bytes as usize];
    assert_eq!(taken.messages, gone);
    assert_eq!(counters.block_bytes - taken.bytes, size.bytes, "what came and did not go");
    assert_eq!(size.partitions, 2);
}

#[test]
fn files_shrink() {
    let payload: Vec<u8> = {
        // What does not compress.
        let mut state = 1_u64;
        let step = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..1 << 20).map(step).collect()
    };
    let mut b = Bench::new(Options { wal_bytes_max: 1 << 20, ..options(16) });
    b.write(put(session("s", &["t/#"])));
    b.commit();
    for n in 0..160 {
        b.publish(message("t/a", |parts| parts.payload = &payload));
        if n % 8 == 7 {
            b.commit();
        }
    }
    let bytes = |b: &Bench| -> u64 {
        let files = fs::read_dir(&b.dir).expect("it is there");
        let tables = files.filter_map(Result::ok);
        let tables = tables.filter(|file| file.path().extension().is_some_and(|end| end == "sst"));
        tables.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
    };
    assert!(b.clean_all().is_empty());
    let until = Instant::now() + DEADLINE;
    while bytes(&b) < 100 << 20 {
        assert!(Instant::now() < until, "tables are written: {}", bytes(&b));
        std::thread::sleep(Duration::from_millis(10));
    }
    b.write(cursor("s", 145));
    b.commit();
    assert_eq!(taken(&b.clean_all(), Reason::Consumed), 144);
    let until = Instant::now() + DEADLINE;
    while bytes(&b) > 64 << 20 {
        assert!(Instant::now() < until, "{}", bytes(&b));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(b.positions(1), (145..161).collect::<Vec<_>>());
}

#[test]
fn a_backlog_is_reported_open_or_closed_and_tells_what_will_go() {
    let age_max = Some(Duration::from_secs(3600));
    let patient = Options { cleans_every: None, ..options(10) };
    let mut b = Bench::new(patient.clone());
    b.write(put(session("s", &["t/#"])));
    b.write(put(session("none", &["u/x"])));
    b.commit();
    for _ in 0..14 {
        b.publish(message("t/a", |parts| parts.received_at_ms = 1_000));
        b.publish(message("u", |parts| parts.received_at_ms = 2_000));
        b.commit();
    }
    b.seal();
    let open = b.rocks().backlog(None).expect("it can be read");
    b.close();
    let aged = Options { age_max, ..patient };
    let closed = backlog_closed(&b.dir, &aged, Some(5)).expect("it can be read");
    assert_eq!(open.plan, None);
    for (backlog, is_planned) in [(&open, false), (&closed, true)] {
        let [t, u] = &backlog.partitions[..] else { panic!("{backlog:?}") };
        assert_eq!((t.name.as_deref(), t.messages, t.oldest_ms), (Some("t"), 14, Some(1_000)));
        assert_eq!((u.name.as_deref(), u.messages, u.oldest_ms), (Some("u"), 14, Some(2_000)));
        assert!(t.bytes > 14 * 10);
        let lowest = t.lowest.as_ref().expect("somebody wants it");
        assert_eq!((lowest.client_id.as_str(), lowest.position.0), ("s", 1));
        assert_eq!(lowest.disconnected_at_ms, Some(5));
        assert_eq!(t.going[Reason::Age as usize].messages, if is_planned { 10 } else { 0 });
    }
    let plan = closed.plan.expect("it was asked for");
    assert_eq!((plan.sessions, plan.messages, plan.unread_blocks), (1, 10, 0));
    assert_eq!(plan.most[0].client_id.as_str(), "s");
    b.options = Options { age_max, ..options(10) };
    b.reopen();
    let cleaned = b.cleaned();
    assert_eq!(cleaned.taken[Reason::Age as usize].messages, 20);
    assert_eq!(cleaned.overtaken, plan.most);
}
