//! Damaged records: set aside, told, counted; everything else is served.

use flotilla_core::id::{ClientId, Position};
use flotilla_core::message::Message;
use flotilla_core::record::Start;
use flotilla_core::turn::{Batch, Write};
use flotilla_mqtt::PacketId;
use flotilla_store::Engine;

use crate::bench::{
    CLIENTS, batch, client, flip, flip_record, full, open, quarantined, session, tables, tamper,
};

/// Opening again finds nothing more: what was damaged is out of the store.
#[track_caller]
fn assert_clean(dir: &std::path::Path) {
    let store = open(dir);
    assert_eq!(store.damage(), []);
    store.close();
}

#[test]
fn a_damaged_session_is_lost_alone() {
    let dir = full(10);
    flip_record(dir.path(), "sessions", client(4).as_bytes());
    let store = open(dir.path());
    assert_eq!(store.damage(), [("session", 1)]);
    let expected: Vec<String> = (0..10).filter(|n| *n != 4).map(client).collect();
    assert_eq!(store.clients(), expected);
    assert_eq!(store.recovered.retained.len(), 10);
    assert_eq!(store.recovered.end, Position(11));
    let told = quarantined(dir.path());
    assert_eq!(told.lines().count(), 1, "{told}");
    for part in ["\"kind\":\"session\"", "client-00004", "begin anew", "checksum", "bytes_hex"] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    // The client comes back: its session begins anew, and nothing of the old one is left.
    let mut again = session(&client(4));
    again.subscriptions[0].start = Start::InBatch(0);
    let again = Write::PutSession(Box::new(again));
    store.commit(Batch { writes: vec![again], ..Batch::default() });
    store.close();
    let store = open(dir.path());
    assert_eq!((store.damage(), store.clients().len()), (vec![], 10));
    assert_eq!(store.recovered.sessions[4].inbound, []);
    assert_eq!(store.recovered.sessions[4].outbound, []);
}

/// The session goes on at the highest position that it has certainly read up to.
#[test]
fn a_damaged_cursor_goes_back_and_not_away() {
    let dir = full(10);
    // Client 3 was disconnected in order, client 4 was not.
    let store = open(dir.path());
    let mut record = session(&client(3));
    record.revision = 2;
    record.subscriptions[0].start = Start::InBatch(0);
    record.disconnected_at_ms = Some(1);
    record.sent_up_to = Position(9);
    record.unacknowledged = vec![(PacketId::new(1).unwrap(), Position(7))];
    let write = Write::PutSession(Box::new(record));
    store.commit(Batch { writes: vec![write], ..Batch::default() });
    store.close();
    for n in [3, 4] {
        flip_record(dir.path(), "cursors", client(n).as_bytes());
    }
    tamper(dir.path(), |db| {
        db.delete_cf(&db.cf_handle("cursors").unwrap(), client(5)).unwrap();
    });
    let store = open(dir.path());
    assert_eq!(store.damage(), [("cursor", 3)]);
    let cursors: Vec<u64> = store.recovered.sessions.iter().map(|it| it.cursor.0).collect();
    // Start of the subscription: behind the message of its batch.
    assert_eq!(cursors, [1, 2, 3, 7, 6, 7, 7, 8, 9, 10]);
    assert!(quarantined(dir.path()).contains("again"));
    store.commit(Batch {
        writes: vec![Write::PutCursor(ClientId::from(&*client(4)), Position(8))],
        ..Batch::default()
    });
    store.close();
    let store = open(dir.path());
    assert_eq!((store.damage(), store.recovered.sessions[4].cursor), (vec![], Position(8)));
}

#[test]
fn other_damaged_records() {
    let dir = full(10);
    let mut outbound = client(2).into_bytes();
    outbound.push(0);
    outbound.extend(3_u64.to_be_bytes());
    flip_record(dir.path(), "outbound", &outbound);
    flip_record(dir.path(), "retained", b"kept/00006");
    tamper(dir.path(), |db| {
        let inbound = db.cf_handle("inbound").unwrap();
        db.put_cf(&inbound, format!("{}\0x", client(1)), b"").unwrap();
        db.put_cf(&inbound, "client-00003", b"").unwrap();
        let outbound = db.cf_handle("outbound").unwrap();
        db.put_cf(&outbound, format!("{}\0short", client(8)), b"").unwrap();
        db.put_cf(&db.cf_handle("overtaken").unwrap(), client(9), b"x").unwrap();
    });
    let store = open(dir.path());
    assert_eq!(
        store.damage(),
        [("inbound", 2), ("outbound", 2), ("overtaken", 1), ("retained", 1)]
    );
    assert_eq!(store.clients().len(), 10);
    let of = |n: usize| &store.recovered.sessions[n];
    assert_eq!((of(2).outbound.len(), of(8).outbound.len(), of(3).outbound.len()), (0, 1, 1));
    assert!(store.recovered.sessions.iter().all(|it| it.inbound.len() == 1));
    let topics: Vec<&str> = store.recovered.retained.iter().map(Message::topic).collect();
    assert!(topics.len() == 9 && !topics.contains(&"kept/00006"));
    store.close();
    assert_clean(dir.path());
}

/// A part of a table that RocksDB cannot read: what is above and below it is there, the family is
/// written anew, and the file is kept.
#[test]
fn a_damaged_table_of_each_family() {
    for family in ["sessions", "cursors", "inbound", "outbound", "retained"] {
        for third in [0, 1, 2] {
            let dir = full(CLIENTS);
            let files = tables(dir.path(), family);
            let len = files[0].metadata().unwrap().len() as usize;
            // The records are in the first part of the file.
            flip(&files[0], len * third / 5 + 100);
            let store = open(dir.path());
            let damage = store.rocks.damage();
            assert_eq!(damage.get("table"), Some(&1), "{family} {third}: {damage:?}");
            let sessions = store.recovered.sessions.len() as u64;
            let retained = store.recovered.retained.len() as u64;
            let lost = damage.get("session").copied().unwrap_or(0);
            assert_eq!(sessions, CLIENTS - lost, "{family} {third}: each is there or lost by name");
            assert!(lost < CLIENTS / 2 && (lost > 0) == (family == "sessions"), "{damage:?}");
            assert!(retained == CLIENTS || family == "retained" && retained > CLIENTS / 2);
            let cursors = damage.get("cursor").copied().unwrap_or(0);
            assert!((cursors > 0) == (family == "cursors"), "{damage:?}");
            let kept = std::fs::read_dir(dir.path().join("quarantine")).unwrap();
            let kept = kept.map(|entry| entry.unwrap().path());
            assert_eq!(kept.filter(|it| it.extension().is_some_and(|it| it == "sst")).count(), 1);
            let found = store.clients();
            store.commit(batch(CLIENTS));
            store.close();

            let store = open(dir.path());
            assert_eq!(store.damage(), [], "{family} {third}");
            assert_eq!(store.clients()[..found.len()], found);
            assert_eq!(store.recovered.retained.len() as u64, retained + 1);
            store.close();
            // No file of the store has the damage any more.
            tamper(dir.path(), |db| {
                db.compact_range_cf(&db.cf_handle(family).unwrap(), None::<&[u8]>, None::<&[u8]>);
                db.put_cf(&db.cf_handle(family).unwrap(), "zzz", "").unwrap();
            });
        }
    }
}

/// A kill in the middle of writing a family anew.
#[test]
fn a_family_that_was_half_written() {
    for is_complete in [false, true] {
        let dir = full(50);
        tamper(dir.path(), |db| {
            db.create_cf("cursors.rebuilt", &rocksdb::Options::default()).unwrap();
            let (from, to) =
                (db.cf_handle("cursors").unwrap(), db.cf_handle("cursors.rebuilt").unwrap());
            for row in db.iterator_cf(&from, rocksdb::IteratorMode::Start) {
                let (key, value) = row.unwrap();
                db.put_cf(&to, key, value).unwrap();
            }
            if is_complete {
                db.put_cf(&db.cf_handle("meta").unwrap(), "rebuilt/cursors", "").unwrap();
                // What stood in the family was dropped, and it was filled in part.
                db.drop_cf("cursors").unwrap();
            } else {
                db.delete_cf(&to, client(3)).unwrap();
            }
        });
        for _ in 0..2 {
            let store = open(dir.path());
            assert_eq!((store.damage(), store.clients().len()), (vec![], 50));
            assert_eq!(store.recovered.sessions[7].cursor, Position(8));
            store.close();
        }
        let families = rocksdb::DB::list_cf(&rocksdb::Options::default(), dir.path()).unwrap();
        assert!(!families.iter().any(|name| name.ends_with(".rebuilt")), "{families:?}");
    }
}

/// Messages that a session has read are not there: no position is given twice.
#[test]
fn the_end_of_the_log_is_missing() {
    let dir = full(10);
    tamper(dir.path(), |db| {
        let log = db.cf_handle("log/to").unwrap();
        let last = db.iterator_cf(&log, rocksdb::IteratorMode::End).next().unwrap().unwrap();
        db.delete_cf(&log, last.0).unwrap();
        db.put_cf(&log, b"", b"").unwrap();
        db.delete_cf(&log, b"").unwrap();
    });
    let store = open(dir.path());
    assert_eq!(store.recovered.end, Position(11));
    assert_eq!(store.damage(), [("log", 1)]);
    assert_eq!(store.commit(batch(100)), 12);
}
