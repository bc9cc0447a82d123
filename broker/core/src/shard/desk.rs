//! What every event of a turn writes on.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::connection::outbox::Outbox;
use crate::connection::refusal::Refusal;
use crate::counters::Counters;
use crate::durability::{Class, Durability, Reached};
use crate::id::{ClientId, ConnectionKey, Position, SessionKey, ShardId, Ticket};
use crate::limits::Limits;
use crate::mail::Mail;
use crate::shard::backlog::Backlog;
use crate::shard::steps::Step;
use crate::shard::timers::Timers;
use crate::spare::Spare;
use crate::time::Now;
use crate::turn::Turn;
use crate::words::Words;

/// The part of a shard that is neither connection nor session, so that both can use it while they
/// are borrowed.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) id: ShardId,
    pub(crate) shards: u16,
    pub(crate) limits: Arc<Limits>,
    pub(crate) durability: Arc<Durability>,
    pub(crate) words: Arc<Words>,
    pub(crate) counters: Counters,
    pub(crate) now: Now,
    /// What the router is needed for, in the order in which it was asked.
    pub(crate) steps: Vec<Step>,
    pub(crate) changes_router: bool,
    pub(crate) timers: Timers,
    /// Who waits until a batch is committed; ascending tickets.
    pub(crate) commit_waiters: VecDeque<(Ticket, Waiter)>,
    /// Who waits until a batch is synced; ascending tickets.
    pub(crate) sync_waiters: VecDeque<(Ticket, Waiter)>,
    /// The batch of this turn, if there will be one.
    pub(crate) ticket: Ticket,
    /// Whether the disk has so little room left that nothing is taken that must be stored.
    pub(crate) is_store_full: bool,
    /// Connections that are not read because of it: their clients could not be told.
    pub(crate) held: BTreeSet<ConnectionKey>,
    /// Sessions that have ended and wait because of it with what they have to pass on.
    pub(crate) held_sessions: Vec<SessionKey>,
    /// How far the engine has come.
    pub(crate) reached: Reached,
    /// All commits below this position were seen.
    pub(crate) log_end: Position,
    /// Connections whose outbox is not empty.
    pub(crate) touched: Vec<ConnectionKey>,
    /// Sessions whose record is to be written at the end of the turn.
    pub(crate) stale_records: Vec<SessionKey>,
    /// Sessions whose cursor has moved since it was written.
    pub(crate) moved_cursors: Vec<SessionKey>,
    /// Durable sessions that are connected, with the time from which on their cursors are to follow
    /// the log, monotonic milliseconds; the next one first.
    pub(crate) idle: VecDeque<(u64, SessionKey)>,
    /// When the engine was last asked where the log ends, monotonic milliseconds.
    pub(crate) asked_end_ms: u64,
    /// Connections to end when the steps are done.
    pub(crate) refused: Vec<(ConnectionKey, Refusal)>,
    pub(crate) backlog: Backlog,
    /// Mail from this shard to itself.
    pub(crate) own_mail: VecDeque<Mail>,
    pub(crate) scratch: Vec<u8>,
    pub(crate) spare: Spare,
    random: u64,
}

/// Who waits for a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// A client, for acknowledgements.
    Connection(ConnectionKey),
    /// A session, for its record or its QoS 2 exchanges.
    Session(SessionKey),
    /// Nobody: the session has ended.
    Ended(ClientId),
    /// Another connection, for a session that is still being written.
    Claimant(Claimant),
}

/// Another connection that wants a session, as the home shard said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claimant {
    pub(crate) client_id: ClientId,
    pub(crate) shard: ShardId,
    pub(crate) connection: ConnectionKey,
    /// What cleaning took from the session.
    pub(crate) overtaken: u64,
}

impl Desk {
    pub(crate) fn new(
        id: ShardId,
        shards: u16,
        limits: Arc<Limits>,
        durability: Arc<Durability>,
        seed: u64,
    ) -> Self {
        Self {
            id,
            shards,
            limits,
            durability,
            words: Arc::default(),
            counters: Counters::default(),
            now: Now::default(),
            steps: Vec::new(),
            changes_router: false,
            timers: Timers::default(),
            commit_waiters: VecDeque::new(),
            sync_waiters: VecDeque::new(),
            ticket: Ticket(1),
            is_store_full: false,
            held: BTreeSet::new(),
            held_sessions: Vec::new(),
            reached: Reached::default(),
            log_end: Position::ZERO,
            touched: Vec::new(),
            stale_records: Vec::new(),
            moved_cursors: Vec::new(),
            idle: VecDeque::new(),
            asked_end_ms: 0,
            refused: Vec::new(),
            backlog: Backlog::default(),
            own_mail: VecDeque::new(),
            scratch: Vec::new(),
            spare: Spare::default(),
            random: seed,
        }
    }

    /// Queues something for the end of the turn.
    pub(crate) fn step(&mut self, step: Step) {
        self.changes_router |= step.changes_router();
        self.steps.push(step);
    }

    /// Calls the waiter when this turn's batch is as durable as that, at least committed.
    pub(crate) fn wait(&mut self, class: Class, waiter: Waiter) {
        let waiters = match class {
            Class::Memory | Class::Os => &mut self.commit_waiters,
            Class::Fsync => &mut self.sync_waiters,
        };
        let entry = (self.ticket, waiter);
        // A connection that pipelines asks many times in one turn.
        if waiters.back() != Some(&entry) {
            waiters.push_back(entry);
        }
    }

    /// The buffer for what the connection sends in this turn.
    pub(crate) fn buffer<'o>(&mut self, outbox: &'o mut Outbox) -> &'o mut Vec<u8> {
        if outbox.bytes.capacity() == 0 {
            outbox.bytes = self.spare.take();
        }
        &mut outbox.bytes
    }

    /// Remembers that the connection has something for its socket.
    pub(crate) fn touch(&mut self, connection: ConnectionKey, outbox: &mut Outbox) {
        if !outbox.is_touched && !outbox.bytes.is_empty() {
            outbox.is_touched = true;
            self.touched.push(connection);
        }
    }

    pub(crate) fn mail(&mut self, shard: ShardId, mail: Mail, out: &mut Turn) {
        if shard == self.id {
            self.own_mail.push_back(mail);
        } else {
            out.mail.push((shard, mail));
        }
    }

    /// A Client Identifier that no client has, by all likelihood: 128 random bits.
    pub(crate) fn assign_client_id(&mut self) -> ClientId {
        ClientId::from(format!("flotilla-{:016x}{:016x}", self.random(), self.random()).as_str())
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
