//! What only the engine on RocksDB promises.

mod ends;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use flotilla_core::id::{ClientId, Position, SessionKey, Ticket};
use flotilla_core::message::{Message, MessageParts};
use flotilla_core::record::SessionRecord;
use flotilla_core::turn::{Append, Batch, Page, Replay, Write};
use flotilla_mqtt::{Forwarded, QoS};
use flotilla_store::{Engine, Error, Options, Recovered, Rocks, copy_closed};
use rocksdb::{DB, IteratorMode};
use tempfile::TempDir;

use ends::Ends;

const DEADLINE: Duration = Duration::from_secs(20);

fn try_open(
    dir: &Path,
    sync_interval: Option<Duration>,
) -> Result<(Rocks, Recovered, Receiver<u64>), Error> {
    let (sender, ends) = channel();
    let options = Options { sync_interval, ..Options::default() };
    let (rocks, recovered) = Rocks::open(dir, &options, Ends(sender))?;
    Ok((rocks, recovered, ends))
}

fn open(dir: &Path) -> (Rocks, Recovered, Receiver<u64>) {
    try_open(dir, None).expect("the store opens")
}

fn refused(dir: &Path) -> Error {
    try_open(dir, None).map(|_| ()).expect_err("the store does not open")
}

fn message(n: u64) -> Message {
    Message::new(&MessageParts { payload: &n.to_be_bytes(), ..parts(n) }, &mut Vec::new())
}

/// All but the payload.
fn parts(n: u64) -> MessageParts<'static> {
    MessageParts {
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: "t",
        publisher: "publisher",
        addressee: "",
        received_at_ms: n,
        expires_at_ms: None,
        forwarded: Forwarded::EMPTY,
        payload: &[],
    }
}

fn session(client_id: &str) -> SessionRecord {
    SessionRecord {
        client_id: ClientId::from(client_id),
        revision: 1,
        expiry_interval_s: 1,
        disconnected_at_ms: None,
        subscriptions: Vec::new(),
        will: None,
        unacknowledged: Vec::new(),
        sent_up_to: Position::ZERO,
        maybe_sent_below: Position::ZERO,
    }
}

/// A batch with the message of its number, and a session of that name.
fn batch(n: u64) -> Batch {
    Batch {
        ticket: Ticket(n),
        appends: vec![Append { message: message(n), targets: Vec::new() }],
        writes: vec![Write::PutSession(Box::new(session(&n.to_string())))],
        ..Batch::default()
    }
}

/// Submits these batches and waits until all are reported.
fn commit(rocks: &Rocks, ends: &Receiver<u64>, batches: std::ops::Range<u64>) {
    let last = batches.end;
    for n in batches {
        rocks.submit(batch(n));
    }
    while ends.recv_timeout(DEADLINE).expect("committed within the deadline") < last {}
}

fn replay(rocks: &Rocks, request: &Replay) -> Result<Page, Error> {
    rocks.replay(std::slice::from_ref(request)).remove(0)
}

fn everything(from: u64) -> Replay {
    Replay {
        session: SessionKey::default(),
        number: 0,
        client_id: ClientId::from("me"),
        from: Position(from),
        filters: [(Box::from("#"), Position::ZERO)].into(),
        positions: Vec::new(),
        messages_max: 10_000,
        bytes_max: 100 << 20,
    }
}

/// A store with messages 1 to 9 in nine blocks, closed.
fn small_store() -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    let (rocks, _, ends) = open(dir.path());
    for n in 1..10 {
        commit(&rocks, &ends, n..n + 1);
    }
    rocks.close().expect("it closes");
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
    let db = DB::open_cf_with_opts(&options, dir, families).expect("it is closed");
    change(&db);
}

#[test]
fn a_copy_of_a_running_store_is_what_a_crash_leaves() {
    for interval in [None, Some(Duration::from_secs(3600))] {
        let dir = TempDir::new().unwrap();
        let (rocks, _, ends) = try_open(dir.path(), interval).unwrap();
        commit(&rocks, &ends, 1..500);
        // Nothing is flushed, nothing closed; only what was given to the operating system counts.
        let copy = TempDir::new().unwrap();
        for file in fs::read_dir(dir.path()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        let (copied, recovered, ends) = open(copy.path());
        assert_eq!(recovered.end, Position(500), "{interval:?}");
        assert_eq!(recovered.sessions.len(), 499);
        let page = replay(&copied, &everything(1)).unwrap();
        let expected = (1..500).map(|n| (Position(n), message(n)));
        assert!(page.messages.into_iter().eq(expected));
        commit(&copied, &ends, 500..501);
    }
}

#[test]
fn each_way_to_sync_survives_a_close() {
    for interval in [None, Some(Duration::from_millis(1))] {
        let dir = TempDir::new().unwrap();
        for round in 0..3 {
            let (rocks, recovered, _) = try_open(dir.path(), interval).unwrap();
            assert_eq!(recovered.end, Position(1 + round * 100), "{interval:?}");
            for n in round * 100..(round + 1) * 100 {
                rocks.submit(batch(n));
            }
        }
    }
}

#[test]
fn memory_is_what_was_written_until_it_is_in_tables() {
    let dir = TempDir::new().unwrap();
    let (rocks, _, ends) = open(dir.path());
    let before = rocks.memory();
    commit(&rocks, &ends, 1..2000);
    let block_bytes = rocks.counters().block_bytes;
    let written = rocks.memory().written - before.written;
    assert!(block_bytes > 50_000 && written >= block_bytes, "{written} of {block_bytes}");
    // More than stays in memory.
    let large = Message::new(&MessageParts { payload: &[7; 1 << 20], ..parts(0) }, &mut Vec::new());
    let appends = vec![Append { message: large, targets: Vec::new() }; 4];
    for end in [2004, 2008, 2012] {
        rocks.submit(Batch { appends: appends.clone(), ..Batch::default() });
        assert_eq!(ends.recv_timeout(DEADLINE), Ok(end));
    }
    let until = Instant::now() + DEADLINE;
    while rocks.memory().tables == before.tables || rocks.memory().written > 8 << 20 {
        assert!(Instant::now() < until, "{:?}", rocks.memory());
        replay(&rocks, &everything(1)).unwrap();
    }
}

#[test]
fn blocks_grow_with_the_load() {
    let dir = TempDir::new().unwrap();
    let (rocks, _, ends) = open(dir.path());
    let appends = (0..3000).map(|n| Append { message: message(n), targets: Vec::new() }).collect();
    rocks.submit(Batch { appends, ..Batch::default() });
    assert_eq!(ends.recv_timeout(DEADLINE), Ok(3001));
    drop(rocks);
    tamper(dir.path(), |db| {
        let log = db.cf_handle("log/t").unwrap();
        assert_eq!(db.iterator_cf(&log, IteratorMode::Start).count(), 3);
    });
}

#[test]
fn a_second_open_in_this_process_is_refused() {
    let dir = TempDir::new().unwrap();
    let first = open(dir.path());
    assert_eq!(refused(dir.path()), Error::InUse { dir: dir.path().to_path_buf() });
    drop(first);
    open(dir.path());
}

/// Runs itself in a second process that holds the store open.
#[test]
fn a_second_process_is_refused() {
    const HELD: &str = "FLOTILLA_STORE_TEST_HELD";
    if let Some(dir) = std::env::var_os(HELD) {
        let _held = open(Path::new(&dir));
        println!("held");
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        return;
    }
    let dir = TempDir::new().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_second_process_is_refused", "--nocapture"])
        .env(HELD, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("held")));

    let error = refused(dir.path());
    assert_eq!(error, Error::InUse { dir: dir.path().to_path_buf() });
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");

    // Killed, not closed: the lock goes with the process.
    holder.kill().unwrap();
    holder.wait().unwrap();
    open(dir.path());
}

#[test]
fn a_newer_format_is_refused() {
    let dir = small_store();
    tamper(dir.path(), |db| {
        db.put_cf(&db.cf_handle("meta").unwrap(), "format", 3_u32.to_be_bytes()).unwrap();
    });
    let newer = Error::NewerFormat { dir: dir.path().to_path_buf(), found: 3, known: 2 };
    assert_eq!(refused(dir.path()), newer);
    // Also when it has families that this program has never heard of.
    let mut options = rocksdb::Options::default();
    options.create_missing_column_families(true);
    let mut families = DB::list_cf(&options, dir.path()).unwrap();
    families.push("future".into());
    drop(DB::open_cf(&options, dir.path(), families).unwrap());
    assert_eq!(refused(dir.path()), newer);
}

#[test]
fn an_older_format_is_refused() {
    let dir = small_store();
    tamper(dir.path(), |db| {
        db.put_cf(&db.cf_handle("meta").unwrap(), "format", 1_u32.to_be_bytes()).unwrap();
    });
    let older = Error::OlderFormat { dir: dir.path().to_path_buf(), found: 1, known: 2 };
    assert_eq!(refused(dir.path()), older);
}

#[test]
fn a_path_that_cannot_be_a_store_is_refused_with_a_reason() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "text").unwrap();
    assert_eq!(refused(&file), Error::NotADirectory { path: file.clone() });
    assert_eq!(refused(&file.join("below/it")), Error::NotADirectory { path: file });
    // Where not even root may make a directory; a chroot can be without it.
    let sys = Path::new("/sys/flotilla-store");
    if Path::new("/sys/kernel").is_dir() {
        assert!(matches!(refused(sys), Error::Denied { dir, .. } if dir == sys));
    }
}

/// A filter that matches nothing does not hold the reader up until the end of the log.
#[test]
fn a_page_scans_a_bounded_part_of_the_log() {
    let dir = TempDir::new().unwrap();
    let (rocks, _, ends) = open(dir.path());
    for chunk in 0..30 {
        let large = |n| {
            let payload = vec![0; 10_000];
            let parts = MessageParts {
                qos: QoS::AtLeastOnce,
                retain: false,
                topic: "large",
                publisher: "publisher",
                addressee: "",
                received_at_ms: n,
                expires_at_ms: None,
                forwarded: Forwarded::EMPTY,
                payload: &payload,
            };
            Append { message: Message::new(&parts, &mut Vec::new()), targets: Vec::new() }
        };
        let appends = (0..100).map(large).collect();
        rocks.submit(Batch { appends, ..Batch::default() });
        while ends.recv_timeout(DEADLINE).unwrap() < (chunk + 1) * 100 {}
    }
    let mut nothing = everything(1);
    nothing.filters = [(Box::from("+/other"), Position::ZERO)].into();
    let mut pages = 0;
    loop {
        let page = replay(&rocks, &nothing).unwrap();
        assert_eq!(page.messages, []);
        assert!(page.next > nothing.from);
        assert!(page.next.0 - nothing.from.0 <= 1000, "at most about 8 MiB: {:?}", page.next);
        pages += 1;
        if page.reached_end {
            break;
        }
        nothing.from = page.next;
    }
    assert!(pages >= 3, "{pages} pages");
}

/// Of an open store and of a closed one; tables are shared, what is still written is not.
#[test]
fn a_copy_is_a_store() {
    let dir = TempDir::new().unwrap();
    let (rocks, _, ends) = open(dir.path());
    commit(&rocks, &ends, 1..50);
    let copies = TempDir::new().unwrap();
    rocks.copy(&copies.path().join("open")).unwrap();
    commit(&rocks, &ends, 50..100);
    rocks.close().unwrap();
    drop(rocks);
    copy_closed(dir.path(), &copies.path().join("closed")).unwrap();
    for (name, end) in [("open", 50), ("closed", 100)] {
        let (copied, recovered, ends) = open(&copies.path().join(name));
        assert_eq!(recovered.end, Position(end), "{name}");
        assert_eq!(recovered.sessions.len() as u64, end - 1);
        commit(&copied, &ends, end..end + 10);
    }
    assert_eq!(open(dir.path()).1.end, Position(100));

    let exists = open(dir.path()).0.copy(&copies.path().join("open"));
    assert!(matches!(exists, Err(Error::NoCopy { .. })), "{exists:?}");
    let none = copies.path().join("none");
    assert_eq!(copy_closed(&none, &copies.path().join("x")), Err(Error::NoStore { dir: none }));
}
