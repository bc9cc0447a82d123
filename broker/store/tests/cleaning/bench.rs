//! A store with small segments, and words to fill it with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use flotilla_core::id::{ClientId, Position, SessionKey, ShardId, Ticket};
use flotilla_core::message::{Message, MessageParts};
use flotilla_core::record::{SessionRecord, Start, SubscriptionRecord};
use flotilla_core::turn::{Append, Batch, Replay, Write};
use flotilla_mqtt::{Forwarded, QoS, SubscriptionOptions};
use flotilla_store::{
    Cleaned, CommitSink, Engine, Error, Options, PartitionBacklog, Recovered, Rocks, SegmentLimits,
    State,
};
use tempfile::TempDir;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
/// In the year 2100: nothing is too old.
pub(crate) const YOUNG: u64 = 4_102_444_800_000;

struct Telling {
    ends: Sender<u64>,
    cleaned: Sender<Result<Cleaned, Error>>,
}

impl CommitSink for Telling {
    fn committed(&mut self, _: Vec<(Batch, Position)>, end: Position) {
        let _ = self.ends.send(end.0);
    }

    fn synced(&mut self, _: &[(ShardId, Ticket)]) {}

    fn refused(&mut self, batch: Batch) {
        panic!("refused: {batch:?}");
    }

    fn cleaned(&mut self, outcome: Result<Cleaned, Error>) {
        let _ = self.cleaned.send(outcome);
    }

    fn state_changed(&mut self, state: &State) {
        assert!(!matches!(state, State::Failing { .. }), "{state}");
    }
}

pub(crate) struct Bench {
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) rocks: Option<Arc<Rocks>>,
    pub(crate) recovered: Recovered,
    ends: Receiver<u64>,
    cleaned: Receiver<Result<Cleaned, Error>>,
    /// Where the log ends.
    pub(crate) end: u64,
    /// The next batch gets these.
    pub(crate) next: Batch,
    /// Goes last.
    _dir: Option<TempDir>,
}

/// Segments of `messages` messages, cleaned at once.
pub(crate) fn options(messages: u64) -> Options {
    let segment = SegmentLimits { messages, ..SegmentLimits::default() };
    Options {
        segment,
        cleans_every: Some(Duration::from_millis(5)),
        cleaner_rest: 0,
        ..Options::default()
    }
}

impl Bench {
    pub(crate) fn new(options: Options) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let path = dir.path().to_path_buf();
        Self { _dir: Some(dir), ..Self::at(&path, options) }
    }

    /// In a directory that somebody else keeps.
    pub(crate) fn at(dir: &Path, options: Options) -> Self {
        let (rocks, recovered, ends, cleaned) = open(dir, &options);
        let (end, rocks, dir) = (recovered.end.0, Some(rocks), dir.to_path_buf());
        let next = Batch::default();
        Self { _dir: None, dir, options, rocks, recovered, ends, cleaned, end, next }
    }

    pub(crate) fn rocks(&self) -> &Arc<Rocks> {
        self.rocks.as_ref().expect("it is open")
    }

    pub(crate) fn close(&mut self) {
        self.rocks.take().expect("it is open").close().expect("it closes");
    }

    /// Closes and opens it again; what it gave back is in `recovered`.
    pub(crate) fn reopen(&mut self) {
        if self.rocks.is_some() {
            self.close();
        }
        let (rocks, recovered, ends, cleaned) = open(&self.dir, &self.options);
        self.end = recovered.end.0;
        (self.rocks, self.recovered) = (Some(rocks), recovered);
        (self.ends, self.cleaned) = (ends, cleaned);
    }

    pub(crate) fn publish(&mut self, message: Message) {
        self.next.appends.push(Append { message, targets: Vec::new() });
    }

    pub(crate) fn write(&mut self, write: Write) {
        self.next.writes.push(write);
    }

    /// Publishes this many messages to a topic, and commits them.
    pub(crate) fn publish_many(&mut self, topic: &str, messages: usize) {
        for _ in 0..messages {
            self.publish(message(topic, |_| {}));
        }
        self.commit();
    }

    /// Submits what was collected and waits until it is reported.
    pub(crate) fn commit(&mut self) {
        let batch = std::mem::take(&mut self.next);
        self.end += batch.appends.len() as u64;
        self.rocks().submit(batch);
        loop {
            let end = self.ends.recv_timeout(DEADLINE).expect("committed within the deadline");
            if end >= self.end {
                break;
            }
        }
    }

    /// Has everything indexed, so that what is full is sealed.
    pub(crate) fn seal(&self) {
        let replay = Replay {
            filters: [(Box::from("of/nobody"), Position::ZERO)].into(),
            ..everything("nobody", self.end.saturating_sub(1).max(1))
        };
        let page = self.rocks().replay(&[replay]).remove(0).expect("the log is in order");
        assert!(page.messages.is_empty());
    }

    /// What the next cleaning says.
    pub(crate) fn cleaned(&self) -> Cleaned {
        self.seal();
        let outcome = self.cleaned.recv_timeout(DEADLINE).expect("cleaned within the deadline");
        outcome.expect("it can be cleaned")
    }

    /// Cleans until nothing more can go.
    pub(crate) fn clean_all(&self) -> Vec<Cleaned> {
        self.seal();
        let mut all = Vec::new();
        let until = Instant::now() + DEADLINE;
        while Instant::now() < until {
            let backlog = self.rocks().backlog(Some(0)).expect("it can be read");
            let going =
                |partition: &PartitionBacklog| partition.going.iter().any(|of| of.messages > 0);
            let is_clean = !backlog.partitions.iter().any(going);
            // It is told a moment after it is done.
            let pause = Duration::from_millis(if is_clean { 300 } else { 10 });
            match self.cleaned.recv_timeout(pause) {
                Ok(outcome) => all.push(outcome.expect("it can be cleaned")),
                Err(RecvTimeoutError::Timeout) if is_clean => return all,
                Err(_) => {}
            }
        }
        panic!("it is not cleaned within the deadline: {all:?}");
    }

    /// The positions of all messages that are left, from `from` on.
    pub(crate) fn positions(&self, from: u64) -> Vec<u64> {
        let mut positions = Vec::new();
        let mut replay = everything("me", from);
        loop {
            let page = self.rocks().replay(std::slice::from_ref(&replay)).remove(0);
            let page = page.expect("the log is in order");
            positions.extend(page.messages.iter().map(|(position, _)| position.0));
            if page.reached_end {
                return positions;
            }
            replay.from = page.next;
        }
    }
}

type Opened = (Arc<Rocks>, Recovered, Receiver<u64>, Receiver<Result<Cleaned, Error>>);

fn open(dir: &Path, options: &Options) -> Opened {
    let ((ends, told_ends), (cleaned, told_cleaned)) = (channel(), channel());
    let sink = Telling { ends, cleaned };
    let (rocks, recovered) = Rocks::open(dir, options, sink).expect("the store opens");
    (Arc::new(rocks), recovered, told_ends, told_cleaned)
}

pub(crate) fn everything(client_id: &str, from: u64) -> Replay {
    Replay {
        session: SessionKey::default(),
        number: 0,
        client_id: ClientId::from(client_id),
        from: Position(from),
        filters: [(Box::from("#"), Position::ZERO)].into(),
        positions: Vec::new(),
        messages_max: 512,
        bytes_max: 1 << 20,
    }
}

/// A message that is never too old.
pub(crate) fn message<'a>(topic: &'a str, change: impl FnOnce(&mut MessageParts<'a>)) -> Message {
    let mut parts = MessageParts {
        qos: QoS::AtLeastOnce,
        retain: false,
        topic,
        publisher: "publisher",
        addressee: "",
        received_at_ms: YOUNG,
        expires_at_ms: None,
        forwarded: Forwarded::EMPTY,
        payload: b"payload",
    };
    change(&mut parts);
    Message::new(&parts, &mut Vec::new())
}

/// A new session that is away, with these filters at QoS 1, from the position of its batch on.
pub(crate) fn session(client_id: &str, filters: &[&str]) -> SessionRecord {
    let subscription = |filter: &&str| SubscriptionRecord {
        filter: Box::from(*filter),
        options: SubscriptionOptions::new(QoS::AtLeastOnce),
        id: None,
        start: Start::InBatch(0),
        until: None,
    };
    SessionRecord {
        client_id: ClientId::from(client_id),
        revision: 1,
        expiry_interval_s: 3600,
        disconnected_at_ms: Some(5),
        subscriptions: filters.iter().map(subscription).collect(),
        will: None,
        unacknowledged: Vec::new(),
        sent_up_to: Position::ZERO,
        maybe_sent_below: Position::ZERO,
    }
}

pub(crate) fn put(record: SessionRecord) -> Write {
    Write::PutSession(Box::new(record))
}

pub(crate) fn cursor(client_id: &str, position: u64) -> Write {
    Write::PutCursor(ClientId::from(client_id), Position(position))
}
