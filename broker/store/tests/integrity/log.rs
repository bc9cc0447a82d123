//! A damaged log: what is lost is told once, replays go on behind it.

use std::path::Path;

use flotilla_core::record::{SessionRecord, Start};
use flotilla_core::turn::{Append, Batch, Write};
use flotilla_store::{Options, SegmentLimits, verify_closed};
use rocksdb::{DB, IteratorMode};
use tempfile::TempDir;

use crate::bench::{
    flip, flush, message, open, positions, positions_of, quarantined, session, tables, tamper,
    try_open_with,
};

const FAMILY: &str = "log/t";

fn one(n: u64, size: usize) -> Batch {
    let noise = (0..size).map(|at| (at as u64 * 7919 + n * 104_729) as u8 ^ (at >> 8) as u8);
    let message = message("t/x", &noise.collect::<Vec<u8>>());
    Batch { appends: vec![Append { message, targets: Vec::new() }], ..Batch::default() }
}

/// A closed store with so many messages from position 1 on, each a block.
fn filled(count: u64, size: usize) -> TempDir {
    let dir = TempDir::new().expect("the store is there");
    let store = open(dir.path());
    for n in 0..count {
        store.commit(one(n, size));
    }
    store.close();
    dir
}

/// Changes the `nth` block.
fn change(dir: &Path, nth: usize, change: impl FnOnce(&DB, &[u8], Vec<u8>)) {
    tamper(dir, |db| {
        let log = db.cf_handle(FAMILY).expect("the store is there");
        let (key, value) = db
            .iterator_cf(&log, IteratorMode::Start)
            .nth(nth)
            .expect("the store is there")
            .expect("the store is there");
        change(db, &key, value.into_vec());
    });
}

/// Told once, and never again: not by another replay, not after a restart.
#[track_caller]
fn assert_told_once(dir: &Path, missing: u64, count: u64) {
    for round in 0..2 {
        let expected: Vec<u64> = (1..=count + round).filter(|n| *n != missing).collect();
        let store = open(dir);
        for from in [1, missing, missing + 1] {
            let expected: Vec<u64> = expected.iter().copied().filter(|n| *n >= from).collect();
            assert_eq!(positions(&store, from), expected, "from {from}");
        }
        let damage = if round == 0 { vec![("log", 1)] } else { vec![] };
        assert_eq!(store.damage(), damage, "round {round}");
        store.commit(one(round, 10));
        store.close();
    }
    let told = quarantined(dir);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains(&format!("from position {missing} on")), "{told}");
    let report = verify_closed(dir, &|_| true).expect("the store is there");
    assert!(report.is_whole(), "it was set aside: {:?}", report.damaged);
    assert_eq!(report.log["t"].lost, 1);
}

#[test]
fn a_flipped_bit_in_a_block() {
    let dir = filled(9, 100);
    change(dir.path(), 4, |db, key, mut value| {
        let middle = value.len() / 2;
        value[middle] ^= 1;
        db.put_cf(&db.cf_handle(FAMILY).unwrap(), key, value).unwrap();
    });
    let report = verify_closed(dir.path(), &|_| true).unwrap();
    assert_eq!((report.damaged_count, report.damaged[0].key.as_deref()), (1, Some("t 5")));
    // A page that ends before does not notice.
    let store = open(dir.path());
    assert_eq!((positions(&store, 6), store.damage()), (vec![6, 7, 8, 9], vec![]));
    store.close();
    assert_told_once(dir.path(), 5, 9);
    assert!(quarantined(dir.path()).contains("bytes_hex\":\"02"), "with what is left of it");
}

#[test]
fn a_missing_block() {
    let dir = filled(9, 100);
    change(dir.path(), 5, |db, key, _| db.delete_cf(&db.cf_handle(FAMILY).unwrap(), key).unwrap());
    assert_eq!(verify_closed(dir.path(), &|_| true).unwrap().damaged_count, 1);
    assert_told_once(dir.path(), 6, 9);
}

/// The last block of a partition is missing, and the next one was written without it: the index names
/// it, that block does not. What it names instead is still there.
#[test]
fn a_missing_block_that_only_the_index_names() {
    let segment = SegmentLimits { messages: 6, ..SegmentLimits::default() };
    let options = Options { segment, ..Options::default() };
    let dir = TempDir::new().unwrap();
    let store = try_open_with(dir.path(), &options).unwrap();
    for n in 0..3 {
        store.commit(one(n, 100));
    }
    for _ in 3..9 {
        let message = message("other", b"");
        let appends = vec![Append { message, targets: Vec::new() }];
        store.commit(Batch { appends, ..Batch::default() });
    }
    // Whoever asks the index writes it.
    assert_eq!(positions_of(&store, 1, "t/x"), [1, 2, 3]);
    store.close();
    change(dir.path(), 2, |db, key, _| db.delete_cf(&db.cf_handle(FAMILY).unwrap(), key).unwrap());
    let store = try_open_with(dir.path(), &options).unwrap();
    assert_eq!(store.commit(one(9, 100)), 11);
    for _ in 0..2 {
        assert_eq!(positions_of(&store, 1, "t/x"), [1, 2, 10]);
        assert_eq!(positions(&store, 1), [1, 2, 4, 5, 6, 7, 8, 9, 10]);
    }
    assert_eq!(store.damage(), [("log", 1)]);
    store.close();
    assert!(verify_closed(dir.path(), &|_| true).unwrap().is_whole());
}

#[test]
fn a_block_in_the_wrong_place() {
    let dir = filled(9, 100);
    tamper(dir.path(), |db| {
        let log = db.cf_handle(FAMILY).unwrap();
        let rows: Vec<_> = db.iterator_cf(&log, IteratorMode::Start).map(Result::unwrap).collect();
        db.put_cf(&log, &rows[4].0, &rows[5].1).unwrap();
    });
    assert_told_once(dir.path(), 5, 9);
}

/// How many messages the last block had is not known, and no position may be given twice.
#[test]
fn a_damaged_last_block() {
    let dir = filled(9, 100);
    change(dir.path(), 8, |db, key, mut value| {
        value[30] ^= 1;
        db.put_cf(&db.cf_handle(FAMILY).unwrap(), key, value).unwrap();
    });
    let store = open(dir.path());
    assert_eq!(store.damage(), [("log", 1)]);
    let end = store.recovered.end.0;
    assert!(end > 10, "{end}");
    store.close();
    let store = open(dir.path());
    assert_eq!((store.damage(), store.recovered.end.0), (vec![], end));
    assert_eq!(store.commit(one(9, 10)), end + 1);
    let expected: Vec<u64> = (1..=8).chain([end]).collect();
    assert_eq!(positions(&store, 1), expected);
    store.close();
    let store = open(dir.path());
    assert_eq!((positions(&store, 1), store.damage()), (expected, vec![]));
    store.close();
    assert!(verify_closed(dir.path(), &|_| true).unwrap().is_whole());
}

/// A part of a table that RocksDB cannot read, wherever it is: told once a start, with the file.
#[test]
fn a_damaged_table() {
    for fifth in 0..5 {
        let dir = filled(60, 8000);
        flush(dir.path());
        let file = tables(dir.path(), FAMILY).remove(0);
        let len = file.metadata().unwrap().len() as usize;
        flip(&file, len * fifth / 5 + 1000);
        let report = verify_closed(dir.path(), &|_| true).unwrap();
        assert!(
            report.damaged.iter().any(|it| it.kind == "table of log/t"),
            "{:?}",
            report.damaged
        );

        let store = open(dir.path());
        let found = positions(&store, 1);
        assert!((30..60).contains(&found.len()), "{fifth}: {found:?}");
        assert_eq!(store.damage(), [("log", 1)]);
        let lost: Vec<u64> = (1..=60).filter(|n| !found.contains(n)).collect();
        assert!(lost.windows(2).all(|pair| pair[1] == pair[0] + 1), "one piece: {lost:?}");
        for from in [1, lost[0], lost[lost.len() - 1] + 1] {
            let expected: Vec<u64> = found.iter().copied().filter(|n| *n >= from).collect();
            assert_eq!(positions(&store, from), expected, "{fifth}: from {from}");
        }
        let end = store.commit(one(100, 10));
        assert!(end > 61);
        assert_eq!(positions(&store, 1).len(), found.len() + 1);
        assert_eq!(store.damage(), [("log", 1)], "told once");
        store.close();
        assert!(quarantined(dir.path()).contains("cannot be read in"));
    }
}

/// Two parts of two tables, the higher one met first: what lies between them is still found.
#[test]
fn damage_below_what_is_known() {
    // What is sealed is not read when the store is opened.
    let segment = SegmentLimits { messages: 10, ..SegmentLimits::default() };
    let options = Options { segment, ..Options::default() };
    let dir = TempDir::new().unwrap();
    for half in 0..2 {
        let store = try_open_with(dir.path(), &options).unwrap();
        for n in 0..60 {
            store.commit(one(60 * half + n, 8000));
        }
        assert!(!positions_of(&store, 1, "t/x").is_empty());
        store.close();
        flush(dir.path());
    }
    let files = tables(dir.path(), FAMILY);
    assert_eq!(files.len(), 2);
    for file in files {
        flip(&file, file.metadata().unwrap().len() as usize / 2);
    }
    let store = open(dir.path());
    let expected = positions(&store, 1);
    assert!((60..120).contains(&expected.len()), "{expected:?}");
    store.close();
    let store = open(dir.path());
    positions(&store, 61);
    assert_eq!(positions(&store, 1), expected);
    assert_eq!(store.damage(), [("log", 2)]);
}

/// A message must not get a position that a session passes over.
#[test]
fn missing_blocks_before_a_subscription() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let mut record = session("me");
    record.subscriptions[0].start = Start::InBatch(0);
    let put = |record: &SessionRecord| Batch {
        writes: vec![Write::PutSession(Box::new(record.clone()))],
        ..Batch::default()
    };
    store.commit(put(&record));
    for n in 0..5 {
        store.commit(one(n, 100));
    }
    record.revision = 2;
    store.commit(put(&record));
    store.close();
    for _ in 1..5 {
        change(dir.path(), 1, |db, key, _| {
            db.delete_cf(&db.cf_handle(FAMILY).unwrap(), key).unwrap();
        });
    }
    let store = open(dir.path());
    assert_eq!((store.recovered.end.0, store.damage()), (6, vec![("log", 1)]));
}

/// What can be made again is made again.
#[test]
fn damaged_accounts_and_pages_of_the_index() {
    let dir = filled(30, 100);
    tamper(dir.path(), |db| {
        for family in ["segments", "index"] {
            let family = db.cf_handle(family).unwrap();
            db.put_cf(&family, [0, 0, 0, 0, 0, 0, 0, 1], "not a segment").unwrap();
        }
    });
    let report = verify_closed(dir.path(), &|_| true).unwrap();
    let kinds: Vec<&str> = report.damaged.iter().map(|it| &*it.kind).collect();
    assert_eq!(kinds, ["index", "segments"]);
    let store = open(dir.path());
    assert_eq!(positions(&store, 1), (1..=30).collect::<Vec<u64>>());
}
