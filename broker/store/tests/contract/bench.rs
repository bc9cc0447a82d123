//! One engine under test, with what its sink was told.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use flotilla_core::id::{ClientId, Position, SessionKey, ShardId, Ticket};
use flotilla_core::message::{Message, MessageParts};
use flotilla_core::record::SessionRecord;
use flotilla_core::turn::{Append, Batch, Page, Replay, Write};
use flotilla_mqtt::{Forwarded, PacketId, QoS};
use flotilla_store::{
    CommitSink, Engine, Error, Faults, Faulty, Memory, Options, Recovered, Rocks, SegmentLimits,
    State,
};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(20);

/// Runs each test of a file against each engine.
macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        contract!(@ memory, Memory, $($test),*);
        contract!(@ immediate_memory, ImmediateMemory, $($test),*);
        contract!(@ faulty_memory, FaultyMemory, $($test),*);
        contract!(@ rocks, Rocks, $($test),*);
        contract!(@ relaxed_rocks, RelaxedRocks, $($test),*);
        contract!(@ faulty_rocks, FaultyRocks, $($test),*);
        contract!(@ rocks_in_pieces, RocksInPieces, $($test),*);
    };
    (@ $engine:ident, $kind:ident, $($test:ident),*) => {
        mod $engine {
            $(
                #[test]
                fn $test() {
                    super::$test(crate::bench::Bench::new(crate::bench::Kind::$kind));
                }
            )*
        }
    };
}
pub(crate) use contract;

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    ImmediateMemory,
    FaultyMemory,
    Rocks,
    /// Nobody waits for a sync.
    RelaxedRocks,
    FaultyRocks,
    /// With few partitions, each of two levels, and small segments.
    RocksInPieces,
}

/// What the sink was told.
#[derive(Debug, PartialEq)]
pub(crate) enum Told {
    /// Shard and ticket of each batch, its first position; the end.
    Committed(Vec<(u16, u64, u64)>, u64),
    /// Shard and ticket.
    Synced(Vec<(u16, u64)>),
    Refused(u16, u64),
    State(State),
}

struct Telling(Sender<Told>);

impl CommitSink for Telling {
    fn committed(&mut self, group: Vec<(Batch, Position)>, end: Position) {
        let group = group.iter().map(|(b, first)| (b.shard.0, b.ticket.0, first.0)).collect();
        let _ = self.0.send(Told::Committed(group, end.0));
    }

    fn synced(&mut self, up_to: &[(ShardId, Ticket)]) {
        let up_to = up_to.iter().map(|(shard, ticket)| (shard.0, ticket.0)).collect();
        let _ = self.0.send(Told::Synced(up_to));
    }

    fn refused(&mut self, batch: Batch) {
        let _ = self.0.send(Told::Refused(batch.shard.0, batch.ticket.0));
    }

    fn state_changed(&mut self, state: &State) {
        let _ = self.0.send(Told::State(state.clone()));
    }
}

enum Subject {
    Memory(Memory),
    Rocks(Rocks),
    FaultyMemory(Faulty<Memory>),
    FaultyRocks(Faulty<Rocks>),
}

pub(crate) struct Bench {
    pub(crate) kind: Kind,
    dir: TempDir,
    pub(crate) faults: Faults,
    subject: Option<Subject>,
    told: Receiver<Told>,
    /// Batches submitted whose fate was not told yet.
    open: usize,
    next_ticket: u64,
    /// Shard and ticket of all batches that were reported committed.
    committed: HashSet<(u16, u64)>,
    /// The highest ticket that was reported synced.
    synced: u64,
    pub(crate) recovered: Recovered,
}

impl Bench {
    pub(crate) fn new(kind: Kind) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let faults = Faults::new();
        let (sender, told) = channel();
        let (subject, recovered) = open(kind, &dir, &faults, Telling(sender));
        Self {
            kind,
            dir,
            faults,
            subject: Some(subject),
            told,
            open: 0,
            next_ticket: 1,
            committed: HashSet::new(),
            synced: 0,
            recovered,
        }
    }

    pub(crate) fn engine(&self) -> &dyn Engine {
        match self.subject.as_ref().expect("open") {
            Subject::Memory(engine) => engine,
            Subject::Rocks(engine) => engine,
            Subject::FaultyMemory(engine) => engine,
            Subject::FaultyRocks(engine) => engine,
        }
    }

    /// Closes the engine and opens what it has left behind.
    pub(crate) fn reopen(&mut self) {
        self.faults = Faults::new();
        let (sender, told) = channel();
        self.told = told;
        self.open = 0;
        let sink = Telling(sender);
        let subject = self.subject.take().expect("open");
        let (subject, recovered) = match subject {
            Subject::Memory(memory) => {
                let (memory, recovered) = memory.reopened(sink);
                (Subject::Memory(memory), recovered)
            }
            Subject::FaultyMemory(faulty) => {
                let (memory, recovered) = Faulty::new(self.faults.clone(), sink, |between| {
                    Ok(faulty.inner().reopened(between))
                })
                .expect("memory opens");
                (Subject::FaultyMemory(memory), recovered)
            }
            rocks @ (Subject::Rocks(_) | Subject::FaultyRocks(_)) => {
                drop(rocks);
                open(self.kind, &self.dir, &self.faults, sink)
            }
        };
        self.subject = Some(subject);
        self.recovered = recovered;
    }

    /// Submits a batch of shard 0.
    pub(crate) fn submit(&mut self, appends: &[Message], writes: Vec<Write>) -> u64 {
        self.submit_of(0, appends, writes)
    }

    /// Submits a batch; gives back its ticket.
    pub(crate) fn submit_of(&mut self, shard: u16, appends: &[Message], writes: Vec<Write>) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let append = |message: &Message| Append { message: message.clone(), targets: Vec::new() };
        self.engine().submit(Batch {
            shard: ShardId(shard),
            ticket: Ticket(ticket),
            appends: appends.iter().map(append).collect(),
            writes,
            barrier: false,
            needs_sync: self.kind != Kind::RelaxedRocks,
        });
        self.open += 1;
        ticket
    }

    /// Lets everything submitted be committed. What was told, neighbouring groups as one; of syncs
    /// only that each is of something that was committed.
    pub(crate) fn settle(&mut self) -> Vec<Told> {
        self.step();
        let mut all = Vec::new();
        let began = Instant::now();
        while self.open > 0 {
            let told = self
                .told
                .recv_timeout(DEADLINE.saturating_sub(began.elapsed()))
                .expect("every batch has a fate within the deadline");
            match &told {
                Told::Committed(group, _) => self.open -= group.len(),
                Told::Refused(..) => self.open -= 1,
                Told::Synced(_) | Told::State(_) => {}
            }
            self.push(&mut all, told);
        }
        all
    }

    /// Commits and asserts that nothing was refused. The end of the log.
    pub(crate) fn commit(&mut self) -> u64 {
        match self.settle().pop() {
            Some(Told::Committed(_, end)) => end,
            told => panic!("not committed but {told:?}"),
        }
    }

    /// Everything that is told until the engine is gone.
    pub(crate) fn told_to_the_end(&mut self) -> Vec<Told> {
        self.subject = None;
        let mut all = Vec::new();
        while let Ok(told) = self.told.recv() {
            self.push(&mut all, told);
        }
        all
    }

    /// The engines in memory commit when told.
    fn step(&self) {
        match self.subject.as_ref().expect("open") {
            Subject::Memory(memory) => {
                memory.commit();
            }
            Subject::FaultyMemory(memory) => {
                memory.inner().commit();
            }
            Subject::Rocks(_) | Subject::FaultyRocks(_) => {}
        }
    }

    /// What is told next, of batches and states.
    pub(crate) fn next_told(&mut self) -> Told {
        self.step();
        let mut all = Vec::new();
        while all.is_empty() {
            let told = self.told.recv_timeout(DEADLINE).expect("told within the deadline");
            if let Told::Committed(group, _) = &told {
                self.open -= group.len();
            }
            self.push(&mut all, told);
        }
        all.remove(0)
    }

    /// Waits until this batch is synced.
    pub(crate) fn wait_for_sync(&mut self, ticket: u64) {
        self.settle();
        let began = Instant::now();
        while self.synced < ticket {
            let left = DEADLINE.saturating_sub(began.elapsed());
            let told = self.told.recv_timeout(left).expect("synced within the deadline");
            self.push(&mut Vec::new(), told);
        }
    }

    fn push(&mut self, all: &mut Vec<Told>, told: Told) {
        match (all.last_mut(), told) {
            (_, Told::Synced(up_to)) => {
                for (shard, ticket) in up_to {
                    assert!(self.committed.contains(&(shard, ticket)), "synced before committed");
                    self.synced = self.synced.max(ticket);
                }
            }
            (last, Told::Committed(group, later)) => {
                self.committed.extend(group.iter().map(|&(shard, ticket, _)| (shard, ticket)));
                match last {
                    Some(Told::Committed(run, end)) => {
                        run.extend(group);
                        *end = later;
                    }
                    _ => all.push(Told::Committed(group, later)),
                }
            }
            (_, told) => all.push(told),
        }
    }

    pub(crate) fn replay(&self, replay: &Replay) -> Page {
        self.try_replay(replay).expect("the log is readable")
    }

    pub(crate) fn try_replay(&self, replay: &Replay) -> Result<Page, Error> {
        let mut pages = self.engine().replay(std::slice::from_ref(replay));
        assert_eq!(pages.len(), 1, "one answer a replay");
        pages.remove(0)
    }

    /// All pages up to the end.
    pub(crate) fn replay_all(&self, mut replay: Replay) -> Vec<(u64, Message)> {
        let mut all = Vec::new();
        loop {
            let page = self.replay(&replay);
            assert_eq!((page.session, page.number), (replay.session, replay.number));
            all.extend(page.messages.into_iter().map(|(at, message)| (at.0, message)));
            if page.reached_end {
                return all;
            }
            assert!(page.next > replay.from, "a page moves on");
            replay.from = page.next;
        }
    }

    /// All pages up to the end of each, those that are not there yet asked for together.
    pub(crate) fn replay_all_together(&self, replays: Vec<Replay>) -> Vec<Vec<(u64, Message)>> {
        let mut all = vec![Vec::new(); replays.len()];
        let mut open: Vec<(usize, Replay)> = replays.into_iter().enumerate().collect();
        while !open.is_empty() {
            let asked: Vec<Replay> = open.iter().map(|(_, replay)| replay.clone()).collect();
            let mut pages = self.engine().replay(&asked).into_iter();
            open.retain_mut(|(whose, replay)| {
                let page = pages.next().expect("one answer each").expect("the log is readable");
                assert_eq!((page.session, page.number), (replay.session, replay.number));
                all[*whose].extend(page.messages.into_iter().map(|(at, m)| (at.0, m)));
                assert!(page.reached_end || page.next > replay.from, "a page moves on");
                replay.from = page.next;
                !page.reached_end
            });
        }
        all
    }

    /// Where the messages are that a filter matches, from the beginning.
    pub(crate) fn positions(&self, filter: &str) -> Vec<u64> {
        self.replay_all(replay(&[filter])).into_iter().map(|(at, _)| at).collect()
    }
}

fn open(kind: Kind, dir: &TempDir, faults: &Faults, sink: Telling) -> (Subject, Recovered) {
    let dir = dir.path().join("store");
    let mut options = Options::default();
    if kind == Kind::RocksInPieces {
        (options.partition_levels, options.partitions_max) = (2, 4);
        options.segment = SegmentLimits { messages: 10, ..SegmentLimits::default() };
        // There are no sessions: nobody would want anything.
        options.cleans_every = None;
    }
    match kind {
        Kind::Memory => (Subject::Memory(Memory::new(sink)), Recovered::default()),
        Kind::ImmediateMemory => (Subject::Memory(Memory::immediate(sink)), Recovered::default()),
        Kind::FaultyMemory => {
            let (memory, recovered) = Faulty::new(faults.clone(), sink, |between| {
                Ok((Memory::new(between), Recovered::default()))
            })
            .expect("memory opens");
            (Subject::FaultyMemory(memory), recovered)
        }
        Kind::Rocks | Kind::RelaxedRocks | Kind::RocksInPieces => {
            let (rocks, recovered) = Rocks::open(&dir, &options, sink).expect("the store opens");
            (Subject::Rocks(rocks), recovered)
        }
        Kind::FaultyRocks => {
            let (rocks, recovered) =
                Faulty::new(faults.clone(), sink, |between| Rocks::open(&dir, &options, between))
                    .expect("the store opens");
            (Subject::FaultyRocks(rocks), recovered)
        }
    }
}

/// A message for whoever subscribes.
pub(crate) fn message(topic: &str, payload: &[u8]) -> Message {
    addressed(topic, "", payload)
}

/// A message for one session.
pub(crate) fn addressed(topic: &str, addressee: &str, payload: &[u8]) -> Message {
    let parts = MessageParts {
        qos: QoS::AtLeastOnce,
        retain: false,
        topic,
        publisher: "publisher",
        addressee,
        received_at_ms: 1_700_000_000_000,
        expires_at_ms: None,
        forwarded: Forwarded::EMPTY,
        payload,
    };
    Message::new(&parts, &mut Vec::new())
}

/// A request of session "me" for everything that one of the filters matches.
pub(crate) fn replay(filters: &[&str]) -> Replay {
    Replay {
        session: SessionKey::default(),
        number: 7,
        client_id: ClientId::from("me"),
        from: Position::ZERO,
        filters: filters.iter().map(|&filter| (Box::from(filter), Position::ZERO)).collect(),
        positions: Vec::new(),
        messages_max: 100,
        bytes_max: 1024 * 1024,
    }
}

pub(crate) fn id(client_id: &str) -> ClientId {
    ClientId::from(client_id)
}

pub(crate) fn packet_id(value: u16) -> PacketId {
    PacketId::new(value).expect("not zero")
}

/// A record without anything.
pub(crate) fn session(client_id: &str, revision: u64) -> SessionRecord {
    SessionRecord {
        client_id: id(client_id),
        revision,
        expiry_interval_s: 3600,
        disconnected_at_ms: None,
        subscriptions: Vec::new(),
        will: None,
        unacknowledged: Vec::new(),
        sent_up_to: Position::ZERO,
        maybe_sent_below: Position::ZERO,
    }
}

pub(crate) fn put(record: SessionRecord) -> Write {
    Write::PutSession(Box::new(record))
}
