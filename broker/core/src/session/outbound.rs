//! Messages on their way to the client.
//!
//! A durable session's messages stand in the log. While it keeps up they come from memory at each
//! commit; when it does not, or was away, they are read from the log page by page:
//!
//! ```text
//!            offered at commit                 ┌───────────┐  PUBACK
//!  Memory ───────────────────────▶ waiting ───▶│ in flight │─────────▶ done
//!    ▲ │ too many wait, or offline    ▲        └───────────┘  PUBCOMP
//!    │ ▼                              │ pages
//!   Log ──────────────────────────────┘
//! ```

mod left;
mod pages;
mod waiting;

pub(crate) use waiting::{Source, Waiting};

use std::collections::{BTreeSet, HashSet, VecDeque};

use flotilla_mqtt::{PacketId, QoS};

use crate::id::{GroupKey, Position, Ticket};
use crate::limits::{Limits, Room};
use crate::message::Message;
use crate::rare::Rare;
use crate::record::{OutboundRecord, StoredSession};
use crate::session::in_flight::{Acknowledged, InFlight, Resend, State, Stored};
use crate::session::packet_ids::PacketIds;
use crate::subscription::Terms;

/// What a session still has to send, and what it sent and is not acknowledged.
#[derive(Debug)]
pub(crate) struct Outbound {
    /// May be sent as soon as the quota allows; ascending positions.
    waiting: VecDeque<Waiting>,
    /// Bytes of these messages.
    waiting_bytes: usize,
    /// Bytes of QoS 2 messages that leave as soon as their identifiers are stored.
    storing_bytes: usize,
    /// Ascending positions, which is the order of sending ([MQTT-4.4.0-1]).
    in_flight: VecDeque<InFlight>,
    /// How many of these were sent on this connection: they use up the send quota.
    on_wire: u32,
    packet_ids: PacketIds,
    feed: Feed,
    /// Everything in the log below is done unless it is in flight.
    frontier: Position,
    /// QoS 2 messages that are done while their record is still stored: it goes when the cursor
    /// has passed it, so that a restart does not take them for unsent.
    finished: Rare<BTreeSet<Position>>,
    /// Messages done since the cursor was written.
    done_since_cursor: u32,
    cursor_written: Position,
    /// After a crash: messages below may have been sent before, without a trace.
    maybe_sent_below: Position,
    /// Pages asked for so far; the last one is on its way if one is.
    requests: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feed {
    /// Every commit is offered; what is below `from` was read from the log already.
    Memory { from: Position },
    /// Read on from `read_from`; messages below `skipped_to` were offered and not taken.
    Log { read_from: Position, skipped_to: Position, is_reading: bool },
}

impl Outbound {
    /// Of a new session: nothing before `from` concerns it.
    pub(crate) fn new(from: Position) -> Self {
        Self {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            storing_bytes: 0,
            in_flight: VecDeque::new(),
            on_wire: 0,
            packet_ids: PacketIds::after(PacketId::MAX),
            feed: Feed::Memory { from },
            frontier: from,
            finished: Rare::default(),
            done_since_cursor: 0,
            cursor_written: from,
            maybe_sent_below: Position::ZERO,
            requests: 0,
        }
    }

    /// Of a stored session. `maybe_sent_below`: where the log ended when the broker crashed while
    /// the client was connected.
    pub(crate) fn recovered(stored: &StoredSession, maybe_sent_below: Position) -> Self {
        let StoredSession { cursor, ref outbound, ref record, .. } = *stored;
        let unacknowledged = &record.unacknowledged;
        let mut this = Self::new(cursor);
        this.frontier = record.sent_up_to.max(cursor);
        this.feed = Feed::Log { read_from: cursor, skipped_to: cursor, is_reading: false };
        this.maybe_sent_below = maybe_sent_below;
        let mut in_flight = Vec::new();
        let released = |record: &OutboundRecord| match record.released {
            true => State::Released,
            false => State::Sent(QoS::ExactlyOnce),
        };
        let mut used: HashSet<_> = unacknowledged.iter().map(|&(packet_id, _)| packet_id).collect();
        for record in outbound.iter().rev() {
            if used.insert(record.packet_id) {
                in_flight.push((record.packet_id, record.position, released(record)));
            } else {
                // The identifier was used again, so this one was done before the crash.
                this.finished.need().insert(record.position);
            }
        }
        // The cursor of a session that has ended has passed what other members of groups got of it.
        let has_ended = record.expiry_interval_s == 0;
        let is_open = |&&(_, position): &&(PacketId, Position)| !has_ended || position >= cursor;
        for &(packet_id, position) in unacknowledged.iter().filter(is_open) {
            in_flight.push((packet_id, position, State::Sent(QoS::AtLeastOnce)));
        }
        in_flight.sort_by_key(|&(_, position, _)| position);
        if let Some(&(packet_id, _, _)) = in_flight.last() {
            this.packet_ids = PacketIds::after(packet_id);
        }
        this.in_flight = in_flight
            .into_iter()
            .map(|(packet_id, position, state)| InFlight {
                packet_id,
                source: Source::Log(position),
                state,
                was_sent: true,
                is_on_wire: false,
                message: None,
                terms: None,
            })
            .collect();
        this
    }

    /// Whether one more message may wait in memory for a session without a log.
    pub(crate) fn has_room(&self, message: &Message, room: Room) -> bool {
        let bytes = self.waiting_bytes + message.as_bytes().len();
        self.waiting.is_empty() || (self.waiting.len() < room.messages && bytes <= room.bytes)
    }

    /// A message that is not in the log. `group`: as whose member the session gets it.
    pub(crate) fn offer(&mut self, message: Message, terms: Terms, group: Option<GroupKey>) {
        let source = group.map_or(Source::Memory, Source::Group);
        self.wait(Waiting { source, message, terms });
    }

    fn wait(&mut self, waiting: Waiting) {
        self.waiting_bytes += waiting.bytes();
        self.waiting.push_back(waiting);
    }

    /// A message that was committed. When too many wait already, the session goes over to reading
    /// the log.
    pub(crate) fn offer_committed(
        &mut self,
        position: Position,
        message: &Message,
        terms: Terms,
        limits: &Limits,
    ) {
        let is_full = self.waiting.len() >= limits.tail_messages_max
            || self.waiting_bytes >= limits.tail_bytes_max;
        match &mut self.feed {
            Feed::Log { skipped_to, .. } => *skipped_to = position.plus(1),
            Feed::Memory { from } if position < *from => {}
            Feed::Memory { .. } if is_full => {
                let skipped_to = position.plus(1);
                self.feed = Feed::Log { read_from: position, skipped_to, is_reading: false };
            }
            Feed::Memory { .. } => {
                let source = Source::Log(position);
                self.wait(Waiting { source, message: message.clone(), terms });
            }
        }
    }

    /// Whether what is committed comes from memory: it need not read the log first.
    pub(crate) fn keeps_up(&self) -> bool {
        matches!(self.feed, Feed::Memory { .. })
    }

    /// The connection is gone. Says how many messages are lost with it: those not in the log.
    pub(crate) fn suspend(&mut self, log_end: Position) -> usize {
        let cursor = self.cursor(log_end);
        let lost = self.waiting.iter().filter(|w| w.source.position().is_none()).count();
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.storing_bytes = 0;
        for entry in &mut self.in_flight {
            entry.is_on_wire = false;
            (entry.message, entry.terms) = (None, None);
        }
        self.on_wire = 0;
        self.feed = Feed::Log { read_from: cursor, skipped_to: cursor, is_reading: false };
        lost
    }

    /// A new connection stands and all that was submitted is committed. Gives the Packet
    /// Identifiers for which PUBREL is owed ([MQTT-4.4.0-1]).
    pub(crate) fn resume(&mut self) -> Vec<PacketId> {
        let mut owed = Vec::new();
        for entry in &mut self.in_flight {
            match entry.state {
                State::Storing(_) => entry.state = State::Sent(QoS::ExactlyOnce),
                State::Releasing(_) | State::Released => {
                    entry.state = State::Released;
                    // It keeps its place in the quota: else a client that never sends PUBCOMP
                    // would get new messages with each connection, without end.
                    entry.is_on_wire = true;
                    self.on_wire += 1;
                    owed.push(entry.packet_id);
                }
                State::Sent(_) => {}
            }
        }
        owed
    }

    /// The next message to send, if the quota allows one ([MQTT-4.9.0-2]).
    pub(crate) fn next(&mut self, quota: usize, finished_max: usize) -> Option<Waiting> {
        let is_enough = self.finished() > finished_max && self.leads_on();
        if self.on_wire as usize >= quota || is_enough {
            return None;
        }
        let waiting = self.waiting.pop_front()?;
        self.waiting_bytes -= waiting.bytes();
        Some(waiting)
    }

    /// The message at this position, the next one, goes out again: its Packet Identifier, and whether
    /// it left before. `None`: it is a new one.
    pub(crate) fn send_again(&mut self, position: Option<Position>) -> Option<Resend> {
        let position = position?;
        let is_known = position < self.frontier || self.is_finished(position);
        self.frontier = self.frontier.max(position.plus(1));
        let found = self.in_flight.binary_search_by_key(&Some(position), InFlight::position);
        let Ok(at) = found else { return is_known.then_some(Resend::NoMore) };
        let entry = &mut self.in_flight[at];
        if !entry.must_be_sent() {
            return Some(Resend::NoMore);
        }
        entry.is_on_wire = true;
        self.on_wire += 1;
        Some(Resend::Under(entry.packet_id, std::mem::replace(&mut entry.was_sent, true)))
    }

    /// Puts a message in flight that leaves now. Says whether it must carry DUP.
    pub(crate) fn send(&mut self, source: Source, qos: QoS) -> (PacketId, bool) {
        // QoS 2 leaves a trace: the record that was stored before.
        let is_dup = qos == QoS::AtLeastOnce
            && source.position().is_some_and(|position| position < self.maybe_sent_below);
        (self.put(source, State::Sent(qos), true), is_dup)
    }

    /// Keeps a message that was put in flight last, until it is acknowledged.
    pub(crate) fn keep(&mut self, message: Message) {
        let entry = self.in_flight.back_mut().expect("it was put there");
        entry.message = Some(message);
    }

    /// Puts a QoS 2 message in flight that leaves when `ticket` is as durable as exchanges are.
    pub(crate) fn store(
        &mut self,
        position: Position,
        ticket: Ticket,
        message: Message,
        terms: Terms,
    ) -> PacketId {
        self.storing_bytes += message.as_bytes().len();
        let packet_id = self.put(Source::Log(position), State::Storing(ticket), false);
        let entry = self.in_flight.iter_mut().rfind(|entry| entry.packet_id == packet_id);
        let entry = entry.expect("it was put there");
        (entry.message, entry.terms) = (Some(message), Some(Box::new(terms)));
        packet_id
    }

    /// Counts a message that needs no acknowledgement.
    pub(crate) fn skip(&mut self) {
        self.done_since_cursor = self.done_since_cursor.saturating_add(1);
    }

    /// A message that was in flight cannot be sent any more: it is done. Says whether it is a QoS 2
    /// message whose record must say so.
    pub(crate) fn give_up(&mut self, packet_id: PacketId) -> Option<Position> {
        let at = self.find(packet_id)?;
        let entry = &self.in_flight[at];
        let (state, position) = (entry.state, entry.position());
        self.remove(at);
        let position = position.filter(|_| state == State::Sent(QoS::ExactlyOnce))?;
        self.finished.need().insert(position);
        Some(position)
    }

    /// What must leave now that all up to `up_to` is as durable as exchanges are.
    pub(crate) fn stored(&mut self, up_to: Ticket) -> Vec<Stored> {
        let mut stored = Vec::new();
        for entry in &mut self.in_flight {
            match entry.state {
                State::Storing(ticket) if ticket <= up_to => {
                    entry.state = State::Sent(QoS::ExactlyOnce);
                    if let (Some(message), Some(terms)) = (entry.message.take(), entry.terms.take())
                    {
                        entry.was_sent = true;
                        self.storing_bytes -= message.as_bytes().len();
                        stored.push(Stored::Publish(entry.packet_id, message, terms));
                    }
                }
                State::Releasing(ticket) if ticket <= up_to => {
                    entry.state = State::Released;
                    stored.push(Stored::Pubrel(entry.packet_id));
                }
                _ => {}
            }
        }
        stored
    }

    /// PUBACK came.
    pub(crate) fn puback(&mut self, packet_id: PacketId) -> Acknowledged {
        match self.find(packet_id) {
            Some(at) if self.in_flight[at].state == State::Sent(QoS::AtLeastOnce) => {
                self.remove(at);
                Acknowledged::Done
            }
            _ => Acknowledged::Unknown,
        }
    }

    /// PUBREC came. `ticket`: of the batch that stores it, for a durable session. A refused
    /// message is done without PUBREL ([MQTT-4.3.3-4]).
    pub(crate) fn pubrec(
        &mut self,
        packet_id: PacketId,
        is_refused: bool,
        ticket: Option<Ticket>,
    ) -> Acknowledged {
        let Some(at) = self.find(packet_id) else { return Acknowledged::Unknown };
        let entry = &mut self.in_flight[at];
        match (entry.state, is_refused) {
            (State::Sent(QoS::ExactlyOnce), true) => {
                let position = entry.position();
                self.remove(at);
                self.finish(position);
                Acknowledged::Refused(position)
            }
            (State::Sent(QoS::ExactlyOnce), false) => {
                entry.state = ticket.map_or(State::Released, State::Releasing);
                Acknowledged::Release(entry.position())
            }
            (State::Released, _) => Acknowledged::ReleaseAgain,
            // PUBREL leaves at the commit anyway.
            (State::Releasing(_), _) => Acknowledged::Done,
            (State::Storing(_) | State::Sent(_), _) => Acknowledged::Unknown,
        }
    }

    /// PUBCOMP came.
    pub(crate) fn pubcomp(&mut self, packet_id: PacketId) -> Acknowledged {
        match self.find(packet_id) {
            Some(at) if self.in_flight[at].state == State::Released => {
                let position = self.in_flight[at].position();
                self.remove(at);
                self.finish(position);
                Acknowledged::Done
            }
            _ => Acknowledged::Unknown,
        }
    }

    /// Everything in the log below is done. `log_end`: all commits below were offered.
    pub(crate) fn cursor(&self, log_end: Position) -> Position {
        let fed = match self.feed {
            Feed::Memory { from } => from.max(log_end),
            Feed::Log { read_from, .. } => read_from,
        };
        let in_flight = self.in_flight.front().and_then(InFlight::position);
        let waiting = self.waiting.iter().find_map(|w| w.source.position());
        [in_flight, waiting].into_iter().flatten().fold(fed, Position::min)
    }

    /// Whether so much is done that the cursor should be written now: always if nothing more leaves
    /// before.
    pub(crate) fn is_cursor_behind(&self, lag_max: usize, finished_max: usize) -> bool {
        self.done_since_cursor as usize >= lag_max || self.finished() > finished_max
    }

    /// The cursor to write, with the QoS 2 records it has passed; `None`: it has not moved.
    pub(crate) fn take_cursor(&mut self, log_end: Position) -> Option<(Position, Vec<Position>)> {
        let cursor = self.cursor(log_end);
        self.done_since_cursor = 0;
        if cursor <= self.cursor_written {
            return None;
        }
        self.cursor_written = cursor;
        let passed = self.finished.get_mut().map(|finished| {
            let above = finished.split_off(&cursor);
            std::mem::replace(finished, above).into_iter().collect()
        });
        Some((cursor, passed.unwrap_or_default()))
    }

    /// QoS 1 messages that were sent and not acknowledged.
    pub(crate) fn unacknowledged(&self) -> Vec<(PacketId, Position)> {
        let sent = self.in_flight.iter().filter(|e| e.state == State::Sent(QoS::AtLeastOnce));
        sent.filter_map(|entry| Some((entry.packet_id, entry.position()?))).collect()
    }

    /// Everything in the log below is done unless it is in flight.
    pub(crate) fn maybe_sent_below(&self) -> Position {
        self.maybe_sent_below
    }

    pub(crate) fn frontier(&self) -> Position {
        self.frontier
    }

    /// Bytes of messages that leave when the disk has their identifiers, whatever waits for the
    /// socket.
    pub(crate) fn storing_bytes(&self) -> usize {
        self.storing_bytes
    }

    /// Messages that wait or are in flight.
    pub(crate) fn held(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }

    /// Messages that wait, their bytes, and how many are on the wire.
    pub(crate) fn waits(&self) -> (usize, usize, usize) {
        (self.waiting.len(), self.waiting_bytes, self.on_wire as usize)
    }

    /// Messages of these that never left, for a session without a connection: what waits has come
    /// since then, and nothing of it is in flight.
    pub(crate) fn unsent(&self) -> usize {
        self.waiting.len() + self.in_flight.iter().filter(|entry| !entry.was_sent).count()
    }

    fn put(&mut self, source: Source, state: State, was_sent: bool) -> PacketId {
        let packet_id = self.packet_ids.next(self.in_flight.iter().map(|entry| entry.packet_id));
        self.on_wire += 1;
        let (message, terms) = (None, None);
        let is_on_wire = true;
        let entry = InFlight { packet_id, source, state, was_sent, is_on_wire, message, terms };
        // After a crash what was in flight at QoS 1 is not known, and what was at QoS 2 is: then a
        // message can come in between.
        let position = source.position();
        if position.is_some()
            && self.in_flight.back().is_some_and(|last| last.position() > position)
        {
            let at = self.in_flight.partition_point(|before| before.position() < position);
            self.in_flight.insert(at, entry);
        } else {
            self.in_flight.push_back(entry);
        }
        packet_id
    }

    fn finish(&mut self, position: Option<Position>) {
        if let Some(position) = position {
            self.finished.need().insert(position);
        }
    }

    fn is_finished(&self, position: Position) -> bool {
        self.finished.get().is_some_and(|finished| finished.contains(&position))
    }

    fn finished(&self) -> usize {
        self.finished.get().map_or(0, BTreeSet::len)
    }

    /// Whether what waits first stands behind all that is done: it would only add to that. What stands
    /// before is what the cursor, and so all that is done, waits for.
    fn leads_on(&self) -> bool {
        let first = self.waiting.front().and_then(|waiting| waiting.source.position());
        let last = self.finished.get().and_then(BTreeSet::last);
        first.as_ref() > last
    }

    fn find(&self, packet_id: PacketId) -> Option<usize> {
        // Clients acknowledge in order, so it is nearly always the first.
        self.in_flight.iter().position(|entry| entry.packet_id == packet_id)
    }

    fn remove(&mut self, at: usize) {
        let entry = self.in_flight.remove(at).expect("the caller found it there");
        self.packet_ids.freed(entry.packet_id);
        self.on_wire -= u32::from(entry.is_on_wire);
        self.done_since_cursor = self.done_since_cursor.saturating_add(1);
    }
}
