//! What the index of the log promises: it spares reading, and never hides a message.

mod ends;

use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use flotilla_core::id::{ClientId, Position, SessionKey};
use flotilla_core::message::{Message, MessageParts};
use flotilla_core::turn::{Append, Batch, Replay};
use flotilla_mqtt::{Forwarded, QoS, topic};
use flotilla_store::{Engine, Options, Rocks, SegmentLimits};
use rocksdb::{DB, IteratorMode};
use tempfile::TempDir;

use ends::Ends;

const DEADLINE: Duration = Duration::from_secs(20);

/// With segments of 40 messages; nothing is cleaned, although no session wants anything.
fn open(dir: &Path) -> (Rocks, Receiver<u64>, u64) {
    let (sender, ends) = channel();
    let segment = SegmentLimits { messages: 40, ..SegmentLimits::default() };
    let options = Options { segment, cleans_every: None, ..Options::default() };
    let (rocks, recovered) = Rocks::open(dir, &options, Ends(sender)).expect("the store opens");
    (rocks, ends, recovered.end.0)
}

fn topic_of(n: u64) -> String {
    format!("{}/d{}/t", ["a", "b", "c"][(n % 3) as usize], n % 25)
}

fn message(n: u64) -> Message {
    let parts = MessageParts {
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: &topic_of(n),
        publisher: "publisher",
        addressee: "",
        received_at_ms: n,
        expires_at_ms: None,
        forwarded: Forwarded::EMPTY,
        payload: &n.to_be_bytes(),
    };
    Message::new(&parts, &mut Vec::new())
}

/// Commits the messages of these positions, seven at a time.
fn commit(rocks: &Rocks, ends: &Receiver<u64>, positions: std::ops::Range<u64>) {
    for first in positions.clone().step_by(7) {
        let end = positions.end.min(first + 7);
        let append = |n| Append { message: message(n), targets: Vec::new() };
        let appends = (first..end).map(append).collect();
        rocks.submit(Batch { appends, ..Batch::default() });
        while ends.recv_timeout(DEADLINE).expect("committed within the deadline") < end {}
    }
}

/// Where the messages are that a filter matches.
fn positions(rocks: &Rocks, filter: &str) -> Vec<u64> {
    let mut replay = Replay {
        session: SessionKey::default(),
        number: 0,
        client_id: ClientId::from("me"),
        from: Position::ZERO,
        filters: [(Box::from(filter), Position::ZERO)].into(),
        positions: Vec::new(),
        messages_max: 30,
        bytes_max: 1 << 20,
    };
    let mut found = Vec::new();
    loop {
        let mut pages = rocks.replay(std::slice::from_ref(&replay));
        let page = pages.remove(0).expect("the log is readable");
        found.extend(page.messages.iter().map(|(position, _)| position.0));
        if page.reached_end {
            return found;
        }
        replay.from = page.next;
    }
}

/// Every filter finds what it matches in a log that ends at `end`.
fn assert_finds_all(rocks: &Rocks, end: u64, when: &str) {
    let filters = ["#", "+/d7/t", "a/#", "b/+/t", "b/d1/t", "c/d2/#", "a/d24", "none/#"];
    for filter in filters {
        let expected: Vec<u64> =
            (1..end).filter(|n| topic::matches(filter, &topic_of(*n))).collect();
        assert_eq!(positions(rocks, filter), expected, "{filter} {when}");
    }
}

/// A closed store with 500 messages, nearly all of them in sealed segments.
fn store() -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    let (rocks, ends, _) = open(dir.path());
    commit(&rocks, &ends, 1..501);
    assert_finds_all(&rocks, 501, "at first");
    assert_eq!(rocks.counters().index_faults, 0);
    dir
}

/// Changes a closed store behind the back of the engine.
fn tamper(dir: &Path, change: impl FnOnce(&DB)) {
    let mut options = rocksdb::Options::default();
    let families = DB::list_cf(&options, dir).expect("there is a store");
    options.set_merge_operator_associative("flotilla.highest-cursor", |_, stored, written| {
        written.into_iter().last().or(stored).map(<[u8]>::to_vec)
    });
    let families = families.into_iter().map(|name| (name, options.clone()));
    change(&DB::open_cf_with_opts(&options, dir, families).expect("it is closed"));
}

type Row = (Box<[u8]>, Box<[u8]>);

fn rows(db: &DB, family: &str) -> Vec<Row> {
    let family = db.cf_handle(family).expect("there is the family");
    let rows = db.iterator_cf(&family, IteratorMode::Start);
    rows.map(|row| row.expect("it is readable")).collect()
}

fn put(db: &DB, family: &str, (key, value): &Row) {
    let family = db.cf_handle(family).expect("there is the family");
    db.put_cf(&family, key, value).expect("it is written");
}

fn delete(db: &DB, family: &str, (key, _): &Row) {
    let family = db.cf_handle(family).expect("there is the family");
    db.delete_cf(&family, key).expect("it is written");
}

fn flip(row: &mut Row) {
    let middle = row.1.len() / 2;
    row.1[middle] ^= 1;
}

#[test]
fn a_damaged_or_missing_page_of_the_index_is_read_around() {
    type Change = fn(&DB, &mut Row);
    let changes: [(&str, Change); 2] = [
        ("damaged", |db, row| {
            flip(row);
            put(db, "index", row);
        }),
        ("missing", |db, row| delete(db, "index", row)),
    ];
    for (what, change) in changes {
        for only in [None, Some(3)] {
            let dir = store();
            tamper(dir.path(), |db| {
                let mut rows = rows(db, "index");
                assert!(rows.len() >= 10, "segments were sealed");
                let these = rows.iter_mut().enumerate();
                for (_, row) in these.filter(|(at, _)| only.is_none_or(|only| only == *at)) {
                    change(db, row);
                }
            });
            let (rocks, _, end) = open(dir.path());
            assert_finds_all(&rocks, end, what);
            assert!(rocks.counters().index_faults > 0, "it is counted");
        }
    }
}

#[test]
fn a_damaged_or_missing_segment_is_read_around() {
    for only in [0, 5, usize::MAX] {
        for is_missing in [true, false] {
            let dir = store();
            tamper(dir.path(), |db| {
                let mut rows = rows(db, "segments");
                assert!(rows.len() >= 10, "segments were sealed");
                let at = only.min(rows.len() - 1);
                if is_missing {
                    delete(db, "segments", &rows[at]);
                } else {
                    flip(&mut rows[at]);
                    put(db, "segments", &rows[at]);
                }
            });
            let (rocks, ends, end) = open(dir.path());
            assert_eq!(end, 501);
            assert_finds_all(&rocks, end, "without a segment");
            commit(&rocks, &ends, 501..620);
            assert_finds_all(&rocks, 620, "later");
        }
    }
}

#[test]
fn a_block_that_the_index_names_is_missed() {
    let dir = store();
    let mut missing = Vec::new();
    tamper(dir.path(), |db| {
        let blocks = rows(db, "log/b");
        let [block, behind] = &blocks[blocks.len() / 2..][..2] else { panic!("there are more") };
        delete(db, "log/b", block);
        let first = |row: &Row| u64::from_be_bytes(*row.0.first_chunk().expect("a position"));
        let lost = first(block)..first(behind);
        missing.extend(lost.filter(|n| topic_of(*n).starts_with("b/")));
    });
    assert!((1..=3).contains(&missing.len()), "{missing:?}");
    // Narrow filters find it missing through the index alone.
    let (rocks, _, end) = open(dir.path());
    assert!(rocks.damage().is_empty());
    for n in &missing {
        assert!(!positions(&rocks, &topic_of(*n)).contains(n));
    }
    assert_eq!(rocks.damage().values().sum::<u64>(), 1, "told once");
    for filter in ["#", "a/#", "b/+/t", "b/d1/t"] {
        let expected: Vec<u64> = (1..end)
            .filter(|n| topic::matches(filter, &topic_of(*n)) && !missing.contains(n))
            .collect();
        assert_eq!(positions(&rocks, filter), expected, "{filter}");
    }
}

fn copy(from: &Path) -> TempDir {
    let copy = TempDir::new().expect("a temporary directory");
    for file in fs::read_dir(from).expect("a directory") {
        let path = file.expect("a file").path();
        if path.is_file() {
            let name = path.file_name().expect("a name");
            fs::copy(&path, copy.path().join(name)).expect("a copy");
        }
    }
    copy
}

/// A kill before or after each write, also between blocks and the index of them.
#[test]
fn a_crash_at_any_time_leaves_an_index_that_fits() {
    let dir = TempDir::new().unwrap();
    let (rocks, ends, _) = open(dir.path());
    let mut next = 1;
    for step in [1, 30, 45, 90, 7] {
        commit(&rocks, &ends, next..next + step);
        next += step;
        let before = copy(dir.path());
        // Indexes, and seals what is full.
        assert_finds_all(&rocks, next, "while it runs");
        let after = copy(dir.path());
        for (copied, when) in [(before, "before"), (after, "after")] {
            let (copied, ends, end) = open(copied.path());
            assert_eq!(end, next, "{when}");
            assert_finds_all(&copied, end, when);
            commit(&copied, &ends, end..end + 50);
            assert_finds_all(&copied, end + 50, when);
        }
    }
    // The write-ahead log cut off anywhere.
    let whole = copy(dir.path());
    let wal = |dir: &Path| {
        let mut files: Vec<_> =
            fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|end| end == "log"));
        files.into_iter().max().expect("a write-ahead log")
    };
    let len = fs::metadata(wal(whole.path())).unwrap().len();
    for cut in 1..=12 {
        let part = copy(whole.path());
        let file = fs::File::options().write(true).open(wal(part.path())).unwrap();
        file.set_len(len * cut / 13).unwrap();
        let (part, ends, end) = open(part.path());
        assert!(end <= next);
        assert_finds_all(&part, end, "cut off");
        commit(&part, &ends, end..end + 60);
        assert_finds_all(&part, end + 60, "cut off, and gone on");
    }
}
