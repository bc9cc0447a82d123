//! Measures the store: `measure commits|cost|open|sessions|replay|resume|storm|backlog|verify [DIR]`, in
//! release.
//!
//! The figures in `docs/performance.md` come from here. DIR (default: a temporary directory) decides
//! which disk is measured; it must be empty.

mod cost;
mod resume;
mod verify;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use flotilla_core::id::{ClientId, Position, SessionKey, ShardId, Ticket};
use flotilla_core::message::{Message, MessageParts};
use flotilla_core::record::{SessionRecord, Start, SubscriptionRecord};
use flotilla_core::turn::{Append, Batch, Page, Replay, Write};
use flotilla_mqtt::{Forwarded, QoS, SubscriptionOptions};
use flotilla_store::{CommitSink, Engine, Options, Recovered, Rocks, State};

const MILLION: u64 = 1_000_000;
/// Batches submitted but not yet reported, as with so many busy shards or publishers.
const WINDOW: u64 = 64;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = arguments.next().map_or_else(|| temporary.path().to_path_buf(), PathBuf::from);
    match what.as_str() {
        "commits" => commits(&dir),
        "open" => opening(&dir),
        "sessions" => sessions(&dir),
        "replay" => replays(&dir),
        "cost" => cost::costs(&dir),
        "resume" => resume::resumes(&dir),
        "storm" => resume::storms(&dir),
        "backlog" => resume::backlog(&dir),
        "verify" => verify::verifies(&dir),
        // What `open` starts and kills.
        "fill" => fill_and_wait(&dir, arguments.next().as_deref() == Some("1")),
        "fill-backlog" => resume::fill_backlog(&dir),
        _ => {
            eprintln!(
                "usage: measure commits|cost|open|sessions|replay|resume|storm|backlog|verify \
                 [DIR]"
            );
            std::process::exit(2);
        }
    }
}

/// Tells up to which batch all are stored: those that ask for it synced, others committed.
struct Reported(Sender<u64>);

impl CommitSink for Reported {
    fn committed(&mut self, group: Vec<(Batch, Position)>, _: Position) {
        if let Some((last, _)) = group.last().filter(|(last, _)| !last.needs_sync) {
            let _ = self.0.send(last.ticket.0);
        }
    }

    fn synced(&mut self, up_to: &[(ShardId, Ticket)]) {
        for (_, ticket) in up_to {
            let _ = self.0.send(ticket.0);
        }
    }

    fn refused(&mut self, batch: Batch) {
        panic!("refused: {batch:?}");
    }

    fn state_changed(&mut self, state: &State) {
        assert!(!matches!(state, State::Failing { .. }), "{state}");
    }
}

struct Store {
    rocks: Rocks,
    reported: Receiver<u64>,
    last: u64,
    stored: u64,
}

impl Store {
    fn open(dir: &Path) -> (Self, Recovered) {
        let (sender, reported) = channel();
        // Otherwise cleaning takes what no session wants.
        let options = Options { cleans_every: None, ..Options::default() };
        let (rocks, recovered) =
            Rocks::open(dir, &options, Reported(sender)).unwrap_or_else(|error| panic!("{error}"));
        (Self { rocks, reported, last: 0, stored: 0 }, recovered)
    }

    /// Submits, with at most `window` batches on their way.
    fn submit(&mut self, mut batch: Batch, window: u64) {
        self.last += 1;
        batch.ticket = Ticket(self.last);
        self.rocks.submit(batch);
        self.wait(window - 1);
    }

    /// Waits until at most so many batches are on their way.
    fn wait(&mut self, open: u64) {
        while self.last - self.stored > open {
            self.stored = self.reported.recv().expect("the engine runs");
        }
    }

    fn page(&self, replay: &Replay) -> Page {
        let mut pages = self.rocks.replay(std::slice::from_ref(replay));
        pages.remove(0).unwrap_or_else(|error| panic!("{error}"))
    }

    fn settle(&mut self) {
        self.wait(0);
    }
}

/// A QoS 1 message of a device, one of `topics`; noise, so that compression does not help.
fn message(n: u64, topics: u64, payload: usize, scratch: &mut Vec<u8>) -> Message {
    let mut state = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let payload: Vec<u8> = (0..payload.div_ceil(8))
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .take(payload)
        .collect();
    let device = n % topics;
    let parts = MessageParts {
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: &format!("fleet/r{}/d{device:07}/temperature", device % 10),
        publisher: &format!("d{device:07}"),
        addressee: "",
        received_at_ms: n,
        expires_at_ms: None,
        forwarded: Forwarded::EMPTY,
        payload: &payload,
    };
    Message::new(&parts, scratch)
}

fn batch(messages: impl Iterator<Item = Message>) -> Batch {
    let appends = messages.map(|message| Append { message, targets: Vec::new() }).collect();
    Batch { appends, ..Batch::default() }
}

/// How often this disk syncs 512 bytes behind a file: no engine commits more often.
fn syncs_per_second(dir: &Path) -> f64 {
    use std::io::Write as _;
    let mut file = std::fs::File::create(dir.join("raw")).expect("a file");
    let (began, mut syncs) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(3) {
        file.write_all(&[0; 512]).and_then(|()| file.sync_data()).expect("a sync");
        syncs += 1;
    }
    f64::from(syncs) / began.elapsed().as_secs_f64()
}

fn commits(dir: &Path) {
    std::fs::create_dir_all(dir).expect("a directory");
    println!("the disk alone syncs {:.0} times a second", syncs_per_second(dir));
    println!("256-byte payloads; batches on their way: 1, or {WINDOW}");
    println!("class   in a batch  under way   commits/s    syncs/s  batches/s   messages/s");
    for (name, needs_sync) in [("fsync", true), ("os", false)] {
        for in_a_batch in [1, 10, 1000] {
            for window in [1, WINDOW] {
                let dir = dir.join(format!("{name}-{in_a_batch}-{window}"));
                let (mut store, _) = Store::open(&dir);
                let mut scratch = Vec::new();
                let messages: Vec<Message> =
                    (0..20_000).map(|n| message(n, 1000, 256, &mut scratch)).collect();
                let mut next = messages.iter().cycle().cloned();
                let began = Instant::now();
                let mut batches = 0_u64;
                while began.elapsed() < Duration::from_secs(3) {
                    let batch = batch(next.by_ref().take(in_a_batch));
                    store.submit(Batch { needs_sync, ..batch }, window);
                    batches += 1;
                }
                store.settle();
                let seconds = began.elapsed().as_secs_f64();
                let per_second = |count: u64| (count as f64 / seconds).round();
                println!(
                    "{name:7} {in_a_batch:10} {window:10} {:11} {:10} {:10} {:12}",
                    per_second(store.rocks.counters().commits),
                    per_second(store.rocks.counters().syncs.count()),
                    per_second(batches),
                    per_second(batches * in_a_batch as u64),
                );
                drop(store);
                let _ = std::fs::remove_dir_all(dir);
            }
        }
    }
}

/// One million messages of 1 KB, then says so and waits to be killed.
fn fill_and_wait(dir: &Path, one_by_one: bool) {
    fill(dir, MILLION, 1024, 100_000, if one_by_one { 1 } else { 100 }, |_| {
        println!("filled");
        let _ = std::io::stdin().read(&mut [0]);
    });
}

fn fill(
    dir: &Path,
    messages: u64,
    payload: usize,
    topics: u64,
    in_a_batch: u64,
    then: impl FnOnce(&mut Store),
) {
    let (mut store, _) = Store::open(dir);
    let mut scratch = Vec::new();
    for first in (0..messages).step_by(in_a_batch as usize) {
        let batch =
            batch((first..first + in_a_batch).map(|n| message(n, topics, payload, &mut scratch)));
        // One by one, each is a commit of its own.
        store.submit(batch, if in_a_batch == 1 { 1 } else { WINDOW });
    }
    store.settle();
    then(&mut store);
}

/// Runs this program with these arguments until it has said that it is done, and kills it.
fn fill_and_kill(arguments: &[&OsStr]) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let stdout = child.stdout.take().expect("piped");
    BufReader::new(stdout).lines().next().expect("filled").expect("text");
    child.kill().expect("SIGKILL");
    child.wait().expect("gone");
}

fn opening(dir: &Path) {
    for (how, one_by_one) in [("100 a batch", "0"), ("each a commit", "1")] {
        let dir = dir.join(how.replace(' ', "-"));
        fill_and_kill(&["fill".as_ref(), dir.as_os_str(), one_by_one.as_ref()]);
        for after in ["SIGKILL", "a close", "a close"] {
            let began = Instant::now();
            let (store, recovered) = Store::open(&dir);
            let took = began.elapsed();
            assert_eq!(recovered.end, Position(MILLION + 1));
            println!("1,000,000 messages of 1 KB ({how}), open after {after}: {took:.0?}");
            store.rocks.close().expect("it closes");
        }
    }
}

fn sessions(dir: &Path) {
    let (mut store, _) = Store::open(dir);
    let began = Instant::now();
    for first in (0..MILLION).step_by(100) {
        let writes = (first..first + 100)
            .map(|n| {
                Write::PutSession(Box::new(SessionRecord {
                    client_id: ClientId::from(format!("device-{n:07}").as_str()),
                    revision: 1,
                    expiry_interval_s: u32::MAX,
                    disconnected_at_ms: Some(n),
                    subscriptions: vec![SubscriptionRecord {
                        filter: format!("fleet/r{}/d{n:07}/cmd/#", n % 10).into(),
                        options: SubscriptionOptions::default(),
                        id: None,
                        start: Start::InBatch(0),
                        until: None,
                    }],
                    will: None,
                    unacknowledged: Vec::new(),
                    sent_up_to: Position::ZERO,
                    maybe_sent_below: Position::ZERO,
                }))
            })
            .collect();
        store.submit(Batch { writes, ..Batch::default() }, WINDOW);
    }
    store.settle();
    println!("1,000,000 sessions written: {:.1?}", began.elapsed());
    let began = Instant::now();
    for first in (0..MILLION).step_by(100) {
        let writes = (first..first + 100)
            .map(|n| {
                Write::PutCursor(ClientId::from(format!("device-{n:07}").as_str()), Position(n))
            })
            .collect();
        store.submit(Batch { writes, ..Batch::default() }, WINDOW);
    }
    store.settle();
    println!("1,000,000 cursors moved: {:.1?}", began.elapsed());
    drop(store);
    let began = Instant::now();
    let (_, recovered) = Store::open(dir);
    assert_eq!(recovered.sessions.len() as u64, MILLION);
    println!("1,000,000 sessions of one subscription, open: {:.1?}", began.elapsed());
}

fn replays(dir: &Path) {
    for (payload, topics) in [(256, 1000), (1024, 1000), (1024, 100_000)] {
        let dir = dir.join(format!("{payload}-{topics}"));
        fill(&dir, MILLION, payload, topics, 100, |_| {});
        let (store, _) = Store::open(&dir);
        let narrow: Vec<String> = (0..topics / 1000)
            .map(|n| format!("fleet/r{}/d{:07}/#", n * 1000 % 10, n * 1000))
            .collect();
        let narrow: Vec<&str> = narrow.iter().map(String::as_str).collect();
        for (what, filters) in [("all", &["#"][..]), ("1 in 1000", &narrow)] {
            let mut request = Replay {
                session: SessionKey::default(),
                number: 0,
                client_id: ClientId::from("subscriber"),
                from: Position::ZERO,
                filters: filters.iter().map(|&f| (Box::from(f), Position::ZERO)).collect(),
                positions: Vec::new(),
                messages_max: 1000,
                bytes_max: 1024 * 1024,
            };
            let (mut found, mut pages, mut longest) = (0, 0, Duration::ZERO);
            let began = Instant::now();
            loop {
                let page_began = Instant::now();
                let page = store.page(&request);
                longest = longest.max(page_began.elapsed());
                found += page.messages.len();
                pages += 1;
                if page.reached_end {
                    break;
                }
                request.from = page.next;
            }
            let took = began.elapsed();
            println!(
                "1,000,000 messages of {payload} bytes on {topics} topics, {what}: {found} found in \
                 {took:.0?} ({:.0} a second looked at), {pages} pages, longest {longest:.1?}",
                MILLION as f64 / took.as_secs_f64(),
            );
        }
        drop(store);
        let _ = std::fs::remove_dir_all(dir);
    }
}
