//! An engine that keeps everything in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use flotilla_core::id::{ClientId, Position, ShardId, Ticket};
use flotilla_core::message::Message;
use flotilla_core::record::{OutboundRecord, SessionRecord, StoredSession};
use flotilla_core::turn::{Batch, Page, Replay, Write};
use flotilla_mqtt::PacketId;

use crate::batch::Revisions;
use crate::engine::{CommitSink, Counters, Engine, FIRST, LogSize, Recovered};
use crate::error::Error;
use crate::hash::topic_hash;
use crate::page::Filling;
use crate::state as store;
use crate::wanted::Wanted;

/// An engine that keeps everything in memory: for tests and the simulator. It has no thread, reads
/// no clock, and loses everything when it is dropped; its log is never cleaned.
///
/// A commit happens when [`Memory::commit`] is called, or, if it was made by
/// [`Memory::immediate`], within [`Engine::submit`]. The sink is called on the thread that commits.
pub struct Memory {
    state: Mutex<State>,
    sink: Mutex<Box<dyn CommitSink>>,
    is_immediate: bool,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Batch>,
    uncommitted_bytes: usize,
    is_closed: bool,
    counters: Counters,
    stored: Stored,
}

/// What would survive.
#[derive(Clone, Debug, Default)]
struct Stored {
    /// The message at position 1 comes first.
    log: Vec<Message>,
    sessions: BTreeMap<ClientId, Session>,
    retained: BTreeMap<Box<str>, Message>,
}

#[derive(Clone, Debug)]
struct Session {
    record: SessionRecord,
    cursor: Position,
    inbound: BTreeSet<PacketId>,
    outbound: BTreeMap<Position, OutboundRecord>,
}

/// What the sink is to be told.
enum Report {
    Committed(Vec<(Batch, Position)>, Position),
    Synced(Vec<(ShardId, Ticket)>),
    Refused(Batch),
}

impl Memory {
    /// Commits when told.
    pub fn new(sink: impl CommitSink) -> Self {
        Self::with(Stored::default(), sink, false)
    }

    /// Commits each batch within [`Engine::submit`], which calls the sink before it returns: this
    /// sink must not submit.
    pub fn immediate(sink: impl CommitSink) -> Self {
        Self::with(Stored::default(), sink, true)
    }

    /// An engine as it would be after a crash of this one at this instant: what was committed is
    /// there, what was only submitted is not.
    pub fn reopened(&self, sink: impl CommitSink) -> (Self, Recovered) {
        let stored = self.lock().stored.clone();
        let recovered = stored.recover();
        (Self::with(stored, sink, self.is_immediate), recovered)
    }

    /// Commits everything submitted so far as one group. Returns the number of batches that were
    /// taken off the queue.
    pub fn commit(&self) -> usize {
        self.commit_first(usize::MAX)
    }

    /// Commits the first `batches` of those submitted as one group. Returns the number of batches
    /// that were taken off the queue.
    pub fn commit_first(&self, batches: usize) -> usize {
        // Taken first, so that two threads that commit report in the order they commit.
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, reports) = self.lock().commit_first(batches);
        for report in reports {
            match report {
                Report::Committed(group, end) => sink.committed(group, end),
                Report::Synced(up_to) => sink.synced(&up_to),
                Report::Refused(batch) => sink.refused(batch),
            }
        }
        taken
    }

    /// Batches submitted, neither committed nor refused.
    pub fn waiting(&self) -> usize {
        self.lock().queue.len()
    }

    fn with(stored: Stored, sink: impl CommitSink, is_immediate: bool) -> Self {
        let state = State { stored, ..State::default() };
        Self { state: Mutex::new(state), sink: Mutex::new(Box::new(sink)), is_immediate }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for Memory {
    fn submit(&self, batch: Batch) {
        let mut state = self.lock();
        if state.is_closed {
            return;
        }
        state.uncommitted_bytes += batch.bytes();
        state.queue.push_back(batch);
        drop(state);
        if self.is_immediate {
            self.commit();
        }
    }

    fn replay(&self, replays: &[Replay]) -> Vec<Result<Page, Error>> {
        let state = self.lock();
        let answer = |replay| {
            if state.is_closed { Err(Error::Closed) } else { state.stored.replay(replay) }
        };
        replays.iter().map(answer).collect()
    }

    fn uncommitted_bytes(&self) -> usize {
        self.lock().uncommitted_bytes
    }

    fn log_size(&self) -> LogSize {
        let state = self.lock();
        let log = &state.stored.log;
        LogSize {
            bytes: log.iter().map(|message| message.as_bytes().len() as u64).sum(),
            oldest_ms: log.first().map(Message::received_at_ms),
            partitions: usize::from(!log.is_empty()),
            segments: 0,
        }
    }

    fn state(&self) -> store::State {
        store::State::Healthy
    }

    fn counters(&self) -> Counters {
        self.lock().counters
    }

    fn close(&self) -> Result<(), Error> {
        self.commit();
        self.lock().is_closed = true;
        Ok(())
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("state", &self.state).finish_non_exhaustive()
    }
}

impl State {
    /// Takes batches off the queue. How many, and what to report, in order: a refused batch ends
    /// the group before it. What is committed counts as synced.
    fn commit_first(&mut self, batches: usize) -> (usize, Vec<Report>) {
        let taken = batches.min(self.queue.len());
        let mut reports: Vec<Report> = Vec::new();
        let mut synced: BTreeMap<ShardId, Ticket> = BTreeMap::new();
        for batch in self.queue.drain(..taken) {
            self.uncommitted_bytes -= batch.bytes();
            if self.stored.is_stale(&batch) {
                self.counters.refused += 1;
                reports.push(Report::Refused(batch));
                continue;
            }
            let first = self.stored.end();
            self.stored.apply(&batch, first);
            self.counters.batches += 1;
            self.counters.messages += batch.appends.len() as u64;
            self.counters.message_bytes += batch.message_bytes() as u64;
            if batch.needs_sync {
                synced.insert(batch.shard, batch.ticket);
            }
            let committed = (batch, first);
            match reports.last_mut() {
                Some(Report::Committed(group, end)) => {
                    group.push(committed);
                    *end = self.stored.end();
                }
                _ => {
                    self.counters.commits += 1;
                    reports.push(Report::Committed(vec![committed], self.stored.end()));
                }
            }
        }
        if !synced.is_empty() {
            reports.push(Report::Synced(synced.into_iter().collect()));
        }
        (taken, reports)
    }
}

impl Stored {
    fn end(&self) -> Position {
        FIRST.plus(self.log.len() as u64)
    }

    fn is_stale(&self, batch: &Batch) -> bool {
        let revision = |id: &ClientId| self.sessions.get(id).map(|session| session.record.revision);
        let Ok(is_taken) = Revisions::default().take(batch, |id| Ok::<_, Infallible>(revision(id)));
        !is_taken
    }

    fn apply(&mut self, batch: &Batch, first: Position) {
        self.log.extend(batch.appends.iter().map(|append| append.message.clone()));
        for write in &batch.writes {
            match write {
                Write::PutSession(record) => self.put_session(record, first),
                Write::EndSession(id) => {
                    self.sessions.remove(id);
                }
                Write::PutRetained(message) => {
                    self.retained.insert(Box::from(message.topic()), message.clone());
                }
                Write::DeleteRetained(topic) => {
                    self.retained.remove(topic);
                }
                Write::PutCursor(id, ..)
                | Write::PutInbound(id, ..)
                | Write::DeleteInbound(id, ..)
                | Write::PutOutbound(id, ..)
                | Write::DeleteOutbound(id, ..)
                | Write::ClearOvertaken(id, ..) => {
                    if let Some(session) = self.sessions.get_mut(id) {
                        session.apply(write);
                    }
                }
            }
        }
    }

    fn put_session(&mut self, record: &SessionRecord, first: Position) {
        let mut record = record.clone();
        record.resolve(first);
        match self.sessions.get_mut(&record.client_id) {
            Some(session) => session.record = record,
            None => {
                let session = Session {
                    cursor: first,
                    inbound: BTreeSet::new(),
                    outbound: BTreeMap::new(),
                    record,
                };
                self.sessions.insert(session.record.client_id.clone(), session);
            }
        }
    }

    fn recover(&self) -> Recovered {
        Recovered {
            sessions: self.sessions.values().map(Session::recover).collect(),
            retained: self.retained.values().cloned().collect(),
            end: self.end(),
            unclean_stop: None,
        }
    }

    fn replay(&self, replay: &Replay) -> Result<Page, Error> {
        let end = self.end();
        let from = replay.from.max(FIRST);
        if from > end {
            return Err(Error::PastEnd { from, end });
        }
        let mut wanted = Wanted::default();
        wanted.add(0, replay);
        let mut page = Filling::new(replay, from);
        for (offset, message) in self.log.iter().enumerate().skip((from.0 - FIRST.0) as usize) {
            let position = FIRST.plus(offset as u64);
            if page.is_full_at(position) {
                break;
            }
            let mut is_wanted = !wanted.addressed(message.addressee()).is_empty();
            if message.addressee().is_empty() {
                let topic = message.topic();
                is_wanted = false;
                wanted
                    .each(position, topic.as_bytes(), topic_hash(topic), |_| is_wanted = true)
                    .expect("a message's topic is text");
            }
            if is_wanted {
                page.push(position, message.clone());
                page.settle();
            }
        }
        Ok(page.finish(end, end))
    }
}

impl Session {
    fn apply(&mut self, write: &Write) {
        match write {
            Write::PutCursor(_, cursor) => self.cursor = self.cursor.max(*cursor),
            Write::PutInbound(_, packet_id) => {
                self.inbound.insert(*packet_id);
            }
            Write::DeleteInbound(_, packet_id) => {
                self.inbound.remove(packet_id);
            }
            Write::PutOutbound(_, record) => {
                self.outbound.insert(record.position, *record);
            }
            Write::DeleteOutbound(_, position) => {
                self.outbound.remove(position);
            }
            // Its log is never cleaned.
            Write::ClearOvertaken(..) => {}
            Write::PutSession(_)
            | Write::EndSession(_)
            | Write::PutRetained(_)
            | Write::DeleteRetained(_) => unreachable!("not a write to a session's exchanges"),
        }
    }

    fn recover(&self) -> StoredSession {
        StoredSession {
            record: self.record.clone(),
            cursor: self.cursor,
            inbound: self.inbound.iter().copied().collect(),
            outbound: self.outbound.range(self.cursor..).map(|(_, record)| *record).collect(),
            overtaken: 0,
        }
    }
}
