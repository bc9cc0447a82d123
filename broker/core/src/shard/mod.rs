//! One shard: its connections, its sessions, its part of the directory.

mod authenticating;
mod backlog;
pub mod census;
mod commits;
pub(crate) mod desk;
mod directory;
pub(crate) mod dissolving;
mod ending;
pub(crate) mod fanout;
mod idle;
mod intake;
mod overdue;
mod overtaken;
mod records;
mod retaining;
mod sessions;
mod sharing;
pub(crate) mod steps;
mod subscribing;
mod takeover;
mod timers;

use std::collections::HashMap;
use std::sync::Arc;

use flotilla_mqtt::{Forwarded, QoS, ReasonCode};
use slotmap::SlotMap;

use crate::connection::{Connection, Identification, deliver};
use crate::counters::Counters;
use crate::durability::Durability;
use crate::id::{ClientId, ConnectionKey, Position, SessionKey, ShardId, Ticket};
use crate::limits::Limits;
use crate::mail::Mail;
use crate::message::{Message, MessageParts};
use crate::record::StoredSession;
use crate::router::Router;
use crate::session::Session;
use crate::shard::desk::Desk;
use crate::shard::directory::Directory;
use crate::shard::ending::Ending;
use crate::shard::fanout::Scratch;
use crate::shard::sessions::Sessions;
use crate::shard::steps::{PublishStep, RouterAccess, Step};
use crate::shard::timers::Timer;
use crate::time::Now;
use crate::turn::{Page, Send, Turn};
use crate::words::Words;

/// Timers that ring in one turn.
const TIMERS_A_TURN_MAX: usize = 4096;

/// The logic of one worker. Every method but the first two reports what happened, in the past
/// tense; what must be done about it is in the `Turn` after `end_turn`. A key that the shard has
/// forgotten does nothing.
#[derive(Debug)]
pub struct Shard {
    connections: SlotMap<ConnectionKey, Connection>,
    sessions: Sessions,
    directory: Directory,
    desk: Desk,
    scratch: Scratch,
    /// Sessions that have ended and are still on the disk, until these batches are committed.
    ending: HashMap<ClientId, Ticket>,
}

impl Shard {
    /// A shard, one of `shards`. `seed`: for the Client Identifiers it assigns; from the operating
    /// system's random source in a broker, from the test in a simulator.
    pub fn new(
        id: ShardId,
        shards: u16,
        limits: Arc<Limits>,
        durability: Arc<Durability>,
        seed: u64,
    ) -> Self {
        assert!(limits.packet_size_max <= Limits::PACKET_SIZE_MAX, "a topic must still fit in");
        let mut desk = Desk::new(id, shards, limits, durability, seed);
        if id == ShardId(0) {
            // Some that are stored may have expired.
            desk.timers.set(Now::default(), 0, Timer::Retained);
        }
        Self {
            connections: SlotMap::with_key(),
            sessions: Sessions::default(),
            directory: Directory::default(),
            desk,
            scratch: Scratch::default(),
            ending: HashMap::new(),
        }
    }

    /// With what the configuration has it tell its clients.
    #[must_use]
    pub fn with_words(mut self, words: Arc<Words>) -> Self {
        self.desk.words = words;
        self
    }

    /// Takes a stored session up, before the first turn. The right shard is
    /// `client_id.home(shards)`. `log_end`: the position the next message will get.
    pub fn recover(
        &mut self,
        stored: StoredSession,
        log_end: Position,
        router: &mut Router,
        now: Now,
    ) {
        self.desk.now = now;
        self.desk.log_end = log_end;
        let overtaken = stored.overtaken;
        let session = Session::recovered(stored, log_end, now);
        let client_id = session.client_id.clone();
        self.directory.recover(client_id.clone(), self.desk.id, overtaken);
        self.desk.counters.sessions_disconnected += 1;
        self.desk.counters.subscriptions += session.subscriptions.len() as u64;
        let is_stale = session.record.is_stale;
        let key = self.sessions.insert(Box::new(session));
        let session = &mut self.sessions[key];
        if !session.subscriptions.is_empty() {
            let shard = self.desk.id;
            let subscriber = router.add(session.subscriber_in(shard, key));
            for (filter, subscription) in session.subscriptions.iter() {
                router.subscribe(subscriber, &session.client_id, filter, subscription);
            }
            session.subscriber = Some(subscriber);
        }
        self.set_session_timer(key);
        if is_stale {
            self.mark_stale(key);
        }
    }

    /// A socket was accepted (and its TLS handshake is done).
    pub fn opened(&mut self, now: Now, _: &mut Turn) -> ConnectionKey {
        self.desk.now = now;
        self.desk.counters.connections_open += 1;
        let key = self.connections.insert(Connection::new(now.monotonic_ms));
        let due_ms = now.monotonic_ms + self.desk.limits.connect_timeout_ms;
        self.desk.timers.set(now, due_ms, Timer::Connect(key));
        key
    }

    /// Bytes came. Says how many were consumed; the rest must be offered again with what follows,
    /// or first thing when the connection is resumed.
    pub fn received(
        &mut self,
        connection: ConnectionKey,
        bytes: &[u8],
        now: Now,
        out: &mut Turn,
    ) -> usize {
        self.desk.now = now;
        let consumed = self.consume(connection, bytes, out);
        self.desk.counters.bytes_received += consumed as u64;
        self.take_own_mail(out);
        consumed
    }

    /// The socket took so many bytes of a [`Send`].
    pub fn written(&mut self, connection: ConnectionKey, bytes: usize, now: Now, out: &mut Turn) {
        self.desk.now = now;
        self.desk.spare.take_over(&mut out.spare);
        let key = connection;
        let Some(connection) = self.connections.get_mut(key) else { return };
        let unsent_bytes = &mut connection.outbox.unsent_bytes;
        *unsent_bytes = unsent_bytes.saturating_sub(bytes);
        if connection.is_stuffed
            && connection.outbox.backlog_bytes() <= self.desk.limits.unsent_bytes_max / 2
        {
            connection.is_stuffed = false;
            if !self.desk.backlog.paused.contains(&key) && !self.desk.held.contains(&key) {
                connection.is_paused = false;
                out.resumed.push(key);
            }
        }
        let Some((connected, outbox)) = connection.connected() else { return };
        let Some(session) = self.sessions.get_mut(connected.session) else { return };
        if session.connection() == Some(connected.key) {
            deliver::pump(session, connected, outbox, &mut self.desk, out);
        }
    }

    /// A [`crate::turn::Question`] was answered.
    pub fn identified(
        &mut self,
        connection: ConnectionKey,
        answer: Identification,
        now: Now,
        out: &mut Turn,
    ) {
        self.desk.now = now;
        self.answered(connection, answer, out);
        self.take_own_mail(out);
    }

    /// The socket is gone: end of stream, error. Not to be called for [`Turn::closes`].
    pub fn closed(&mut self, connection: ConnectionKey, now: Now, out: &mut Turn) {
        self.desk.now = now;
        self.end(connection, Ending::GONE, out);
        self.take_own_mail(out);
    }

    /// Mail came from another shard.
    pub fn mailed(&mut self, mail: Mail, now: Now, out: &mut Turn) {
        self.desk.now = now;
        self.open_mail(mail, out);
        self.take_own_mail(out);
    }

    /// The disk is full, or has room again. While it is full nothing is taken that must be stored.
    pub fn store_changed(&mut self, is_full: bool, now: Now, out: &mut Turn) {
        self.desk.now = now;
        self.desk.is_store_full = is_full;
        if is_full {
            return;
        }
        for key in std::mem::take(&mut self.desk.held) {
            if let Some(connection) = self.connections.get_mut(key)
                && !connection.is_stuffed
            {
                connection.resume(now.monotonic_ms);
                out.resumed.push(key);
            }
        }
        for key in std::mem::take(&mut self.desk.held_sessions) {
            self.read_dissolving(key, out);
        }
    }

    /// A page of the log was read.
    pub fn replayed(&mut self, page: Page, now: Now, out: &mut Turn) {
        self.desk.now = now;
        let Some(session) = self.sessions.get_mut(page.session) else { return };
        if session.dissolving.is_some() {
            self.pass_page_on(page, out);
            self.take_own_mail(out);
            return;
        }
        // A page that was asked for on an earlier connection is asked for again.
        let Some(key) = session.connection() else { return };
        session.take_page(page);
        let connection = self.connections.get_mut(key);
        if let Some((connected, outbox)) = connection.and_then(Connection::connected) {
            deliver::pump(session, connected, outbox, &mut self.desk, out);
        }
    }

    /// A page could not be read. The session keeps its cursor; its connection ends, so that the
    /// client does not wait for messages that cannot come.
    pub fn replay_failed(&mut self, session: SessionKey, now: Now, out: &mut Turn) {
        self.desk.now = now;
        let connection = self.sessions.get(session).and_then(Session::connection);
        if let Some(connection) = connection {
            let reason = "the broker cannot read the log";
            self.end(connection, Ending::told(ReasonCode::UnspecifiedError, reason), out);
        }
        // Nobody else would get what cannot be read either.
        self.finish_dissolving(session, out);
        self.take_own_mail(out);
    }

    /// The broker has something to say itself: Topic Names below `$SYS`, with payloads, at QoS 0.
    pub fn announced(&mut self, facts: &[(String, String)], now: Now, _: &mut Turn) {
        self.desk.now = now;
        for (topic, payload) in facts {
            let parts = MessageParts {
                qos: QoS::AtMostOnce,
                retain: true,
                topic,
                publisher: "",
                addressee: "",
                received_at_ms: now.unix_ms,
                expires_at_ms: None,
                forwarded: Forwarded::EMPTY,
                payload: payload.as_bytes(),
            };
            let message = Message::new(&parts, &mut self.desk.scratch);
            let step = PublishStep { message, session: None, acknowledge: None };
            self.desk.step(Step::Announce(step));
        }
    }

    /// Time passed: at [`Shard::next_due_ms`] at the latest.
    pub fn ticked(&mut self, now: Now, out: &mut Turn) {
        self.desk.now = now;
        // What is left is due at once: sockets are looked at in between.
        for _ in 0..TIMERS_A_TURN_MAX {
            let Some(timer) = self.desk.timers.pop_due(now.monotonic_ms) else { break };
            self.fire(timer, out);
        }
        self.take_own_mail(out);
    }

    /// When `ticked` is wanted next, on the monotonic clock.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.desk.timers.next_due_ms()
    }

    /// The broker stops: every client gets DISCONNECT 0x8B, or 0x9C with another server when there
    /// is one (sections 4.11, 4.13), and every session is written. Done when the turn's batch is committed and its sends are written.
    pub fn shut_down(&mut self, now: Now, out: &mut Turn) {
        self.desk.now = now;
        let all: Vec<_> = self.connections.keys().collect();
        let reason_code = match self.desk.words.server_reference {
            Some(_) => ReasonCode::UseAnotherServer,
            None => ReasonCode::ServerShuttingDown,
        };
        for connection in all {
            let reason = "the broker is shutting down";
            self.end(connection, Ending::told(reason_code, reason), out);
        }
        let moved: Vec<_> = self.desk.moved_cursors.drain(..).collect();
        self.write_cursors(&moved, out);
        self.take_own_mail(out);
    }

    /// Whether everything that somebody waits for is as durable as it must be. After [`Shard::shut_down`]: whether
    /// the shard can go.
    pub fn is_settled(&self) -> bool {
        self.desk.commit_waiters.is_empty()
            && self.desk.sync_waiters.is_empty()
            && self.desk.stale_records.is_empty()
    }

    /// Whether this turn changes the router, so that [`Shard::end_turn_changing`] must be called.
    pub fn changes_router(&self) -> bool {
        self.desk.changes_router
    }

    /// Ends a turn in which only messages are routed.
    ///
    /// # Panics
    /// When [`Shard::changes_router`] is true.
    pub fn end_turn(&mut self, router: &Router, now: Now, out: &mut Turn) {
        self.finish(RouterAccess::Shared(router), now, out);
    }

    /// Ends a turn that also subscribes, retains or moves sessions.
    pub fn end_turn_changing(&mut self, router: &mut Router, now: Now, out: &mut Turn) {
        self.finish(RouterAccess::Exclusive(router), now, out);
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.desk.counters
    }

    fn finish(&mut self, mut router: RouterAccess<'_>, now: Now, out: &mut Turn) {
        self.desk.now = now;
        loop {
            self.take_steps(&mut router, out);
            let refused = std::mem::take(&mut self.desk.refused);
            if refused.is_empty() {
                break;
            }
            for (key, refusal) in refused {
                let connection = self.connections.get_mut(key).and_then(Connection::connected);
                let session = connection.and_then(|(c, _)| self.sessions.get(c.session));
                let client_id = session.map(|session| session.client_id.clone());
                self.break_off(key, client_id, &refusal, out);
            }
        }
        self.write_records(out);
        self.submit(out);
        let mut touched = std::mem::take(&mut self.desk.touched);
        for key in touched.drain(..) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            let outbox = &mut connection.outbox;
            outbox.is_touched = false;
            let bytes = std::mem::take(&mut outbox.bytes);
            outbox.unsent_bytes += bytes.len();
            self.desk.counters.bytes_sent += bytes.len() as u64;
            out.sends.push(Send { connection: key, bytes });
        }
        self.desk.touched = touched;
    }

    fn take_own_mail(&mut self, out: &mut Turn) {
        while let Some(mail) = self.desk.own_mail.pop_front() {
            self.open_mail(mail, out);
        }
    }
}
