//! Measures the cleaning of the log: `cleaning sessions|stream [DIR]`, in release.
//!
//! `sessions`: what it costs to read what a million sessions want, and to count what all of them lose.
//! `stream`: messages a second with and without cleaning, and what is left on the disk when all are
//! consumed. DIR (default: a temporary directory) must be empty.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use flotilla_core::id::{ClientId, Position, ShardId, Ticket};
use flotilla_core::message::{Message, MessageParts};
use flotilla_core::record::{SessionRecord, Start, SubscriptionRecord};
use flotilla_core::turn::{Append, Batch, Write};
use flotilla_mqtt::{Forwarded, QoS, SubscriptionOptions};
use flotilla_store::{Cleaned, CommitSink, Engine, Error, Options, Reason, Rocks, State};

const MILLION: u64 = 1_000_000;
/// Batches that are not yet synced.
const WINDOW: u64 = 64;
/// Messages of a batch.
const BATCH: u64 = 50;
const PAYLOAD_BYTES: usize = 1000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = arguments.next().map_or_else(|| temporary.path().to_path_buf(), PathBuf::from);
    match what.as_str() {
        "sessions" => sessions(&dir),
        "stream" => stream(&dir),
        _ => {
            eprintln!("usage: cleaning sessions|stream [DIR]");
            std::process::exit(2);
        }
    }
}

struct Told {
    synced: Sender<u64>,
    cleaned: Sender<Cleaned>,
}

impl CommitSink for Told {
    fn committed(&mut self, _: Vec<(Batch, Position)>, _: Position) {}

    fn synced(&mut self, up_to: &[(ShardId, Ticket)]) {
        for (_, ticket) in up_to {
            let _ = self.synced.send(ticket.0);
        }
    }

    fn refused(&mut self, batch: Batch) {
        panic!("refused: {batch:?}");
    }

    fn cleaned(&mut self, outcome: Result<Cleaned, Error>) {
        let _ = self.cleaned.send(outcome.unwrap_or_else(|error| panic!("{error}")));
    }

    fn state_changed(&mut self, state: &State) {
        assert!(!matches!(state, State::Failing { .. }), "{state}");
    }
}

struct Store {
    rocks: Rocks,
    synced: Receiver<u64>,
    cleaned: Receiver<Cleaned>,
    last: u64,
    stored: u64,
}

impl Store {
    fn open(dir: &Path, options: &Options) -> Self {
        let ((synced, told_synced), (cleaned, told_cleaned)) = (channel(), channel());
        let opened = Rocks::open(dir, options, Told { synced, cleaned });
        let (rocks, _) = opened.unwrap_or_else(|error| panic!("{error}"));
        Self { rocks, synced: told_synced, cleaned: told_cleaned, last: 0, stored: 0 }
    }

    fn submit(&mut self, mut batch: Batch) {
        self.last += 1;
        batch.ticket = Ticket(self.last);
        batch.needs_sync = true;
        self.rocks.submit(batch);
        self.wait(WINDOW - 1);
    }

    fn wait(&mut self, open: u64) {
        while self.last - self.stored > open {
            self.stored = self.synced.recv().expect("the engine runs");
        }
    }
}

fn session(client_id: &str, filter: String) -> Write {
    let subscription = SubscriptionRecord {
        filter: filter.into(),
        options: SubscriptionOptions::new(QoS::AtLeastOnce),
        id: None,
        start: Start::InBatch(0),
        until: None,
    };
    Write::PutSession(Box::new(SessionRecord {
        client_id: ClientId::from(client_id),
        revision: 1,
        expiry_interval_s: u32::MAX,
        disconnected_at_ms: Some(1),
        subscriptions: vec![subscription],
        will: None,
        unacknowledged: Vec::new(),
        sent_up_to: Position::ZERO,
        maybe_sent_below: Position::ZERO,
    }))
}

/// Noise, so that compression does not help.
fn message(n: u64, received_at_ms: u64, scratch: &mut Vec<u8>) -> Message {
    let mut state = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let noise = (0..PAYLOAD_BYTES / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let parts = MessageParts {
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: &format!("fleet/d{:07}/temperature", n % MILLION),
        publisher: "publisher",
        addressee: "",
        received_at_ms,
        expires_at_ms: None,
        forwarded: Forwarded::EMPTY,
        payload: &noise.collect::<Vec<u8>>(),
    };
    Message::new(&parts, scratch)
}

fn publish(store: &mut Store, numbers: std::ops::Range<u64>, at_ms: u64, reader: Option<&str>) {
    let mut scratch = Vec::new();
    for first in numbers.step_by(BATCH as usize) {
        let messages = (first..first + BATCH).map(|n| message(n, at_ms, &mut scratch));
        let appends = messages.map(|message| Append { message, targets: Vec::new() });
        // The reader keeps up, but for what is on its way.
        let done = Position((first + 1).saturating_sub(BATCH * WINDOW));
        let writes = reader.map(|name| Write::PutCursor(ClientId::from(name), done));
        let (appends, writes) = (appends.collect(), writes.into_iter().collect());
        store.submit(Batch { appends, writes, ..Batch::default() });
    }
    store.wait(0);
}

fn sessions(dir: &Path) {
    let age_max = Some(Duration::from_secs(3600));
    let mut store =
        Store::open(dir, &Options { age_max, cleans_every: None, ..Options::default() });
    for first in (0..MILLION).step_by(100) {
        let writes = (first..first + 100)
            .map(|n| session(&format!("device-{n:07}"), format!("fleet/d{n:07}/#")));
        store.submit(Batch { writes: writes.collect(), ..Batch::default() });
    }
    store.wait(0);
    // Received in 1970, so that all of it is too old.
    publish(&mut store, 0..200_000, 1, None);
    store.rocks.close().unwrap_or_else(|error| panic!("{error}"));
    drop(store);
    // The index of what is left is made anew.
    let options = Options { age_max, cleans_every: None, ..Options::default() };
    let store = Store::open(dir, &options);
    while store.rocks.log_size().segments < 2 && store.rocks.backlog(None).is_err() {}
    for _ in 0..3 {
        let began = Instant::now();
        let backlog = store.rocks.backlog(None).unwrap_or_else(|error| panic!("{error}"));
        let messages: u64 = backlog.partitions.iter().map(|one| one.messages).sum();
        println!("what 1,000,000 sessions want of {messages} messages: {:.2?}", began.elapsed());
    }
    let began = Instant::now();
    let backlog = store.rocks.backlog(Some(0)).unwrap_or_else(|error| panic!("{error}"));
    let plan = backlog.plan.unwrap_or_default();
    println!(
        "with what {} sessions would lose, {} messages: {:.2?}",
        plan.sessions,
        plan.messages,
        began.elapsed()
    );
    drop(store);
    let store = Store::open(dir, &Options { age_max, ..Options::default() });
    let cleaned = store.cleaned.recv().expect("it is cleaned");
    println!(
        "a cleaning that takes {} messages from {} sessions: {:.2?}",
        cleaned.taken[Reason::Age as usize].messages,
        cleaned.overtaken.len(),
        cleaned.took
    );
}

fn stream(dir: &Path) {
    for (round, cleans) in [false, true, false, true].into_iter().enumerate() {
        let dir = dir.join(round.to_string());
        let cleans_every = cleans.then_some(Duration::from_secs(10));
        let mut store = Store::open(&dir, &Options { cleans_every, ..Options::default() });
        store.submit(Batch {
            writes: vec![session("reader", "fleet/#".into())],
            ..Batch::default()
        });
        let began = Instant::now();
        publish(&mut store, 0..MILLION, 1, Some("reader"));
        let took = began.elapsed();
        let word = if cleans { "with" } else { "without" };
        println!(
            "1,000,000 messages of {PAYLOAD_BYTES} B {word} cleaning: {:.0} messages/s, {} MiB on the disk",
            MILLION as f64 / took.as_secs_f64(),
            bytes_in(&dir) >> 20
        );
        if round == 3 {
            let done = Write::PutCursor(ClientId::from("reader"), Position(MILLION + 1));
            store.submit(Batch { writes: vec![done], ..Batch::default() });
            store.wait(0);
            for seconds in [5, 15, 30, 60] {
                while began.elapsed() < took + Duration::from_secs(seconds) {
                    std::thread::sleep(Duration::from_millis(50));
                }
                let cleaned = store.rocks.counters().cleaned[Reason::Consumed as usize].messages;
                let left = bytes_in(&dir) >> 20;
                println!(
                    "{seconds} s after the last one was consumed: {cleaned} messages cleaned, {left} MiB on the disk"
                );
            }
        }
    }
}

fn bytes_in(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).expect("it is there");
    files.filter_map(|file| file.ok()?.metadata().ok()).map(|file| file.len()).sum()
}
