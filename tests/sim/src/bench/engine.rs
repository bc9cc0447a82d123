//! An engine in memory whose commits and losses the test decides.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flotilla_core::id::{ClientId, Position, ShardId, Ticket};
use flotilla_core::mail::Overtaken;
use flotilla_core::message::Message;
use flotilla_core::record::{OutboundRecord, SessionRecord, StoredSession};
use flotilla_core::turn::{Batch, Page, Replay, Write};
use flotilla_mqtt::{PacketId, topic};

/// What has been submitted, what is written, and what of it is synced.
#[derive(Debug, Default)]
pub struct TestEngine {
    submitted: VecDeque<Batch>,
    written: Stored,
    /// Batches that a power cut takes, in order.
    unsynced: VecDeque<Batch>,
    synced: Stored,
    /// Sessions that were to hear of a commit, over all messages.
    pub targets: usize,
    /// What was cleaned.
    gone: BTreeSet<Position>,
    /// Syncs that somebody asked for.
    pub syncs: usize,
}

/// What a store holds.
#[derive(Clone, Debug, Default)]
struct Stored {
    log: Vec<Message>,
    sessions: BTreeMap<ClientId, StoredSession>,
    retained: BTreeMap<String, Message>,
}

impl TestEngine {
    /// Takes a batch.
    pub fn submit(&mut self, batch: Batch) {
        self.submitted.push_back(batch);
    }

    /// Batches that are not written.
    pub fn submissions(&self) -> usize {
        self.submitted.len()
    }

    /// Everything that is written, from position 1.
    pub fn log(&self) -> &[Message] {
        &self.written.log
    }

    /// Cleans the log below `begin`; so many messages were owed to these sessions. That is synced.
    pub fn clean(&mut self, begin: Position, owed: &[Overtaken]) {
        self.take_away(begin, |_| true, owed);
    }

    /// As [`TestEngine::clean`], but only what `goes` says: cleaning takes the beginning of some
    /// partitions.
    pub(super) fn take_away(
        &mut self,
        end: Position,
        goes: impl Fn(&Message) -> bool,
        owed: &[Overtaken],
    ) {
        let all = (1..end.0).map(Position).zip(&self.written.log);
        self.gone.extend(all.filter(|(_, message)| goes(message)).map(|(at, _)| at));
        for overtaken in owed {
            for stored in [&mut self.written, &mut self.synced] {
                if let Some(stored) = stored.sessions.get_mut(&overtaken.client_id) {
                    stored.overtaken += overtaken.messages;
                }
            }
        }
    }

    /// Whether the message at this position was cleaned.
    pub fn is_gone(&self, at: Position) -> bool {
        self.gone.contains(&at)
    }

    /// Messages that were cleaned.
    pub fn cleaned(&self) -> usize {
        self.gone.len()
    }

    /// Batches that are written and not synced.
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Every session as it is written.
    pub fn sessions(&self) -> impl Iterator<Item = &StoredSession> {
        self.written.sessions.values()
    }

    /// What of it is synced.
    pub fn synced_log(&self) -> &[Message] {
        &self.synced.log
    }

    /// A session as it is synced.
    pub fn synced_session(&self, client_id: &str) -> Option<&StoredSession> {
        self.synced.sessions.get(client_id)
    }

    /// The position the next message will get.
    pub fn end(&self) -> Position {
        self.written.end()
    }

    /// Writes up to `batches` batches as one group.
    pub fn commit(&mut self, batches: usize) -> Vec<(Batch, Position)> {
        let count = batches.min(self.submitted.len());
        let group: Vec<_> = self.submitted.drain(..count).collect();
        let write = |batch: Batch| {
            let targets = batch.appends.iter().flat_map(|append| &append.targets);
            self.targets += targets.map(|(_, targets)| targets.len()).sum::<usize>();
            let first = self.written.apply(&batch);
            self.unsynced.push_back(batch.clone());
            (batch, first)
        };
        group.into_iter().map(write).collect()
    }

    /// Whether somebody waits for a sync.
    pub fn needs_sync(&self) -> bool {
        self.unsynced.iter().any(|batch| batch.needs_sync)
    }

    /// Syncs the first `batches` of those that are written. For each shard with a batch among them
    /// that asks for it, the last such batch.
    pub fn sync(&mut self, batches: usize) -> BTreeMap<ShardId, Ticket> {
        let mut told = BTreeMap::new();
        let count = batches.min(self.unsynced.len());
        for batch in self.unsynced.drain(..count) {
            self.synced.apply(&batch);
            if batch.needs_sync {
                told.insert(batch.shard, batch.ticket);
            }
        }
        self.syncs += usize::from(!told.is_empty());
        told
    }

    /// The end of the process: what was not written is gone.
    pub fn crash(&mut self) -> (Vec<StoredSession>, Vec<Message>) {
        self.submitted.clear();
        // The next start syncs what it finds.
        self.sync(usize::MAX);
        self.recover()
    }

    /// Of what was not synced only the first `kept` batches are left.
    pub fn power_cut(&mut self, kept: usize) -> (Vec<StoredSession>, Vec<Message>) {
        self.submitted.clear();
        self.sync(kept);
        self.unsynced.clear();
        self.written = self.synced.clone();
        self.recover()
    }

    fn recover(&mut self) -> (Vec<StoredSession>, Vec<Message>) {
        for stored in [&mut self.written, &mut self.synced] {
            stored.forget_passed();
        }
        let Stored { sessions, retained, .. } = &self.written;
        (sessions.values().cloned().collect(), retained.values().cloned().collect())
    }

    /// Reads a page of what is written.
    pub fn replay(&self, replay: &Replay) -> Page {
        let mut page = Page {
            session: replay.session,
            number: replay.number,
            messages: Vec::new(),
            next: replay.from.max(Position(1)),
            reached_end: false,
        };
        let mut bytes = 0;
        while page.next < self.end() && page.messages.len() < replay.messages_max {
            let message = &self.written.log[page.next.0 as usize - 1];
            let addressee = message.addressee();
            let is_wanted = replay.positions.contains(&page.next)
                || addressee == replay.client_id.as_str()
                || addressee.is_empty()
                    && replay.filters.iter().any(|(filter, start)| {
                        *start <= page.next && topic::matches(filter, message.topic())
                    });
            if is_wanted && !self.is_gone(page.next) {
                bytes += message.as_bytes().len();
                if bytes > replay.bytes_max && !page.messages.is_empty() {
                    return page;
                }
                page.messages.push((page.next, message.clone()));
            }
            page.next = page.next.plus(1);
        }
        page.reached_end = page.next >= self.end();
        page
    }

    /// A session as it is written.
    pub fn session(&self, client_id: &str) -> Option<&StoredSession> {
        self.written.sessions.get(client_id)
    }
}

impl Stored {
    fn end(&self) -> Position {
        Position(self.log.len() as u64 + 1)
    }

    fn forget_passed(&mut self) {
        for stored in self.sessions.values_mut() {
            let cursor = stored.cursor;
            stored.outbound.retain(|record| record.position >= cursor);
            stored.outbound.sort_by_key(|record| record.position);
        }
    }

    /// Where its first message stands.
    fn apply(&mut self, batch: &Batch) -> Position {
        let first = self.end();
        self.log.extend(batch.appends.iter().map(|append| append.message.clone()));
        for write in &batch.writes {
            self.write(write, first);
        }
        first
    }

    fn write(&mut self, write: &Write, first: Position) {
        match write {
            Write::PutSession(record) => self.put_session(record, first),
            Write::EndSession(client_id) => {
                self.sessions.remove(client_id);
            }
            Write::PutCursor(client_id, cursor) => {
                let Some(stored) = self.sessions.get_mut(client_id) else { return };
                stored.cursor = stored.cursor.max(*cursor);
            }
            Write::PutInbound(client_id, packet_id) => {
                let Some(stored) = self.sessions.get_mut(client_id) else { return };
                stored.inbound.push(*packet_id);
            }
            Write::DeleteInbound(client_id, packet_id) => {
                let Some(stored) = self.sessions.get_mut(client_id) else { return };
                let inbound: &mut Vec<PacketId> = &mut stored.inbound;
                inbound.retain(|taken| taken != packet_id);
            }
            Write::PutOutbound(client_id, record) => {
                let Some(stored) = self.sessions.get_mut(client_id) else { return };
                let outbound: &mut Vec<OutboundRecord> = &mut stored.outbound;
                outbound.retain(|known| known.position != record.position);
                outbound.push(*record);
            }
            Write::DeleteOutbound(client_id, position) => {
                let Some(stored) = self.sessions.get_mut(client_id) else { return };
                stored.outbound.retain(|known| known.position != *position);
            }
            Write::ClearOvertaken(client_id, told) => {
                let Some(stored) = self.sessions.get_mut(client_id) else { return };
                stored.overtaken = stored.overtaken.saturating_sub(*told);
            }
            Write::PutRetained(message) => {
                self.retained.insert(message.topic().to_owned(), message.clone());
            }
            Write::DeleteRetained(topic) => {
                self.retained.remove(&**topic);
            }
        }
    }

    fn put_session(&mut self, record: &SessionRecord, first: Position) {
        let mut record = record.clone();
        record.resolve(first);
        let known = self.sessions.get_mut(&record.client_id);
        let revision = known.as_ref().map_or(0, |known| known.record.revision);
        assert_eq!(record.revision, revision + 1, "compare and set");
        match known {
            Some(known) => known.record = record,
            None => {
                let (inbound, outbound) = (Vec::new(), Vec::new());
                let client_id = record.client_id.clone();
                let (cursor, overtaken) = (first, 0);
                let stored = StoredSession { record, cursor, inbound, outbound, overtaken };
                self.sessions.insert(client_id, stored);
            }
        }
    }
}
