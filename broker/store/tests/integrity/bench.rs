//! A store that is filled, damaged behind its back, opened again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use flotilla_core::id::{ClientId, Position, SessionKey, Ticket};
use flotilla_core::message::{Message, MessageParts};
use flotilla_core::record::{OutboundRecord, SessionRecord, Start, SubscriptionRecord};
use flotilla_core::turn::{Append, Batch, Replay, Write};
use flotilla_mqtt::{Forwarded, PacketId, QoS, SubscriptionOptions};
use flotilla_store::{Engine, Error, Options, Recovered, Rocks};
use rocksdb::DB;
use tempfile::TempDir;

use crate::ends::Ends;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
/// Clients of a full store, and its messages.
pub(crate) const CLIENTS: u64 = 500;

/// An open store.
pub(crate) struct Open {
    pub(crate) rocks: Rocks,
    pub(crate) recovered: Recovered,
    ends: Receiver<u64>,
}

pub(crate) fn try_open(dir: &Path) -> Result<Open, Error> {
    try_open_with(dir, &Options::default())
}

pub(crate) fn try_open_with(dir: &Path, options: &Options) -> Result<Open, Error> {
    let (sender, ends) = channel();
    let (rocks, recovered) = Rocks::open(dir, options, Ends(sender))?;
    Ok(Open { rocks, recovered, ends })
}

pub(crate) fn open(dir: &Path) -> Open {
    try_open(dir).expect("the store opens")
}

impl Open {
    /// Submits and waits until it is committed.
    pub(crate) fn commit(&self, batch: Batch) -> u64 {
        self.rocks.submit(batch);
        self.ends.recv_timeout(DEADLINE).expect("committed within the deadline")
    }

    pub(crate) fn close(self) {
        self.rocks.close().expect("it closes");
    }

    pub(crate) fn damage(&self) -> Vec<(&'static str, u64)> {
        self.rocks.damage().into_iter().collect()
    }

    pub(crate) fn clients(&self) -> Vec<String> {
        self.recovered.sessions.iter().map(|it| it.record.client_id.to_string()).collect()
    }
}

pub(crate) fn message(topic: &str, payload: &[u8]) -> Message {
    let parts = MessageParts {
        qos: QoS::AtLeastOnce,
        retain: false,
        topic,
        publisher: "publisher",
        addressee: "",
        received_at_ms: 1,
        expires_at_ms: None,
        forwarded: Forwarded::EMPTY,
        payload,
    };
    Message::new(&parts, &mut Vec::new())
}

pub(crate) fn client(n: u64) -> String {
    format!("client-{n:05}")
}

pub(crate) fn session(name: &str) -> SessionRecord {
    SessionRecord {
        client_id: ClientId::from(name),
        revision: 1,
        expiry_interval_s: u32::MAX,
        disconnected_at_ms: None,
        subscriptions: vec![SubscriptionRecord {
            filter: format!("to/{name}/#").into(),
            options: SubscriptionOptions::default(),
            id: None,
            start: Start::InBatch(1),
            until: None,
        }],
        will: None,
        unacknowledged: Vec::new(),
        sent_up_to: Position::ZERO,
        maybe_sent_below: Position::ZERO,
    }
}

/// A message, a session with all that belongs to it, a retained message.
pub(crate) fn batch(n: u64) -> Batch {
    let name = client(n);
    let id = ClientId::from(&*name);
    let packet_id = PacketId::new(7).expect("it is not 0");
    let outbound = OutboundRecord { position: Position(n + 1), packet_id, released: false };
    Batch {
        ticket: Ticket(n),
        appends: vec![Append {
            message: message(&format!("to/{name}/x"), &n.to_be_bytes().repeat(20)),
            targets: Vec::new(),
        }],
        writes: vec![
            Write::PutSession(Box::new(session(&name))),
            Write::PutCursor(id.clone(), Position(n + 1)),
            Write::PutInbound(id.clone(), packet_id),
            Write::PutOutbound(id, outbound),
            Write::PutRetained(message(&format!("kept/{n:05}"), b"kept")),
        ],
        ..Batch::default()
    }
}

/// A message and a session, wherever the log ends.
pub(crate) fn new_session(n: u64) -> Batch {
    let mut batch = batch(n);
    batch.writes.truncate(1);
    batch
}

/// A closed store with so many of each, in tables.
pub(crate) fn full(count: u64) -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    let store = open(dir.path());
    for n in 0..count {
        store.rocks.submit(batch(n));
    }
    while store.ends.recv_timeout(DEADLINE).expect("committed within the deadline") <= count {}
    store.close();
    flush(dir.path());
    dir
}

/// Writes what is in the write-ahead log to tables.
pub(crate) fn flush(dir: &Path) {
    tamper(dir, |db| {
        for family in DB::list_cf(&rocksdb::Options::default(), dir).expect("the store is there") {
            db.flush_cf(&db.cf_handle(&family).expect("the store is there"))
                .expect("the store is there");
        }
    });
}

/// Changes a closed store behind the back of the engine.
pub(crate) fn tamper(dir: &Path, change: impl FnOnce(&DB)) {
    let options = rocksdb::Options::default();
    let mut of_family = options.clone();
    of_family.set_compression_type(rocksdb::DBCompressionType::Lz4);
    of_family.set_merge_operator_associative("flotilla.highest-cursor", |_, stored, written| {
        written.into_iter().last().or(stored).map(<[u8]>::to_vec)
    });
    let families = DB::list_cf(&options, dir).expect("there is a store");
    let families = families.into_iter().map(|name| (name, of_family.clone()));
    let db = DB::open_cf_with_opts(&options, dir, families).expect("it is closed");
    change(&db);
}

/// Flips a bit of a record's value.
pub(crate) fn flip_record(dir: &Path, family: &str, key: &[u8]) {
    tamper(dir, |db| {
        let records = db.cf_handle(family).expect("the store is there");
        let mut value = db.get_cf(&records, key).expect("the store is there").expect("it is there");
        value[3] ^= 0x40;
        db.put_cf(&records, key, value).expect("the store is there");
    });
}

/// The table files of a family.
pub(crate) fn tables(dir: &Path, family: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    tamper(dir, |db| {
        let files = db.live_files().expect("the store is there");
        let files = files.into_iter().filter(|file| file.column_family_name == family);
        paths.extend(files.map(|file| dir.join(file.name.trim_start_matches('/'))));
    });
    paths
}

/// Flips a bit of a file.
pub(crate) fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).expect("the store is there");
    bytes[at] ^= 1 << (at % 8);
    // A copy of the store may share the file.
    fs::remove_file(file).expect("the store is there");
    fs::write(file, bytes).expect("the store is there");
}

/// What is in quarantine, all lines of all files.
pub(crate) fn quarantined(dir: &Path) -> String {
    let Ok(entries) = fs::read_dir(dir.join("quarantine")) else { return String::new() };
    entries
        .map(|entry| entry.expect("the store is there").path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .map(|path| fs::read_to_string(path).expect("the store is there"))
        .collect()
}

/// The positions of all messages in the log, from `from` on, page by page.
pub(crate) fn positions(store: &Open, from: u64) -> Vec<u64> {
    positions_of(store, from, "#")
}

/// Those of the messages that a filter matches.
pub(crate) fn positions_of(store: &Open, from: u64, filter: &str) -> Vec<u64> {
    let mut replay = Replay {
        session: SessionKey::default(),
        number: 0,
        client_id: ClientId::from("me"),
        from: Position(from),
        filters: vec![(Box::from(filter), Position::ZERO)].into(),
        positions: Vec::new(),
        messages_max: 1000,
        bytes_max: 1 << 20,
    };
    let mut found = Vec::new();
    loop {
        let page = store.rocks.replay(std::slice::from_ref(&replay)).remove(0);
        let page = page.expect("what can be read is read");
        found.extend(page.messages.iter().map(|(position, _)| position.0));
        if page.reached_end {
            return found;
        }
        replay.from = page.next;
    }
}
