//! A worker: one thread with one shard.
//!
//! It looks at all sockets that are ready, hands what it read to the shard, and then does what came
//! of it: a turn (docs/adr/0004-worker-and-turn.md).

mod attached;
mod carry;
mod deadlines;
mod farewell;
mod greeting;
mod ready;
mod report;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, PoisonError, RwLock},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use flotilla_core::{
    id::{ConnectionKey, Ticket},
    router::Router,
    shard::Shard,
    time::Now,
    turn::{Replay, Turn},
};
use flotilla_store::Engine;
use hashbrown::HashMap;
use mio::{Events, Poll, Token, Waker};
use slotmap::SlotMap;

use crate::{
    auth::Checker,
    clock::Clock,
    crew::Crew,
    net::{
        mailbox::{Inbound, Mailbox},
        socket::Scratch,
    },
    ops::shutdown::Alarm,
};
use attached::{Attached, SocketKey};
use deadlines::Deadlines;
use farewell::FAREWELL_TIME;
pub(crate) use report::Report;

/// How long a worker that ends waits for peers to take their last bytes.
const DRAIN_TIME: Duration = Duration::from_secs(3);
/// Rounds of one turn: what carrying out a turn makes necessary is done at once, up to here.
const ROUNDS_MAX: usize = 8;
/// Bytes that are read before a turn ends although more sockets are ready: what came of them is
/// routed and encoded while it is still in the processor's cache.
const TURN_BYTES_MAX: usize = 256 * 1024;
/// Events that the operating system tells at once; more come with the next question.
const EVENTS_MAX: usize = 1024;
/// The event of a mailbox. No socket has this number.
const MAIL: Token = Token(usize::MAX);

/// What all workers share.
pub(crate) struct Shared {
    /// Who gets a message.
    pub(crate) router: RwLock<Router>,
    /// By shard.
    pub(crate) mailboxes: Arc<[Arc<Mailbox>]>,
    /// The log.
    pub(crate) engine: Arc<dyn Engine>,
    /// Threads that read the log.
    pub(crate) readers: Crew<(Replay, Arc<Mailbox>)>,
    /// Threads that check passwords.
    pub(crate) checker: Checker,
    /// From the accepted socket to the end of the handshakes of TLS and WebSocket.
    pub(crate) handshake_time: Duration,
    /// Of the request for a WebSocket.
    pub(crate) request_bytes_max: usize,
    /// The same for all.
    pub(crate) clock: Clock,
}

/// A shard with its sockets.
struct Worker {
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    shard: Shard,
    turn: Turn,
    poll: Poll,
    /// From the accepted socket to the last byte.
    sockets: SlotMap<SocketKey, Attached>,
    /// Those that the shard knows. By the whole key: within one turn the shard can end a connection
    /// and open another in its slot.
    by_connection: HashMap<ConnectionKey, SocketKey>,
    /// Sockets to be looked at, each once, in this order.
    ready: VecDeque<SocketKey>,
    /// Handshakes.
    greetings: Deadlines,
    /// Sockets whose connection has ended, while they send their last bytes.
    farewells: Deadlines,
    /// Connections whose socket is gone.
    ended: Vec<ConnectionKey>,
    scratch: Scratch,
    inbox: Vec<Inbound>,
    outboxes: Vec<Vec<Inbound>>,
    /// Batches that were handed to the engine, and when.
    uncommitted: VecDeque<(Ticket, Instant)>,
    /// What the clocks said when this turn began; `None` between turns.
    now: Option<Now>,
    /// Bytes that were read since the last turn ended.
    turn_bytes: usize,
    /// Whether the shard was told something since then.
    is_turn_wanted: bool,
    /// Until when it drains; `None`: it does not.
    drain_until: Option<Instant>,
    report: Report,
}

/// Starts the thread of a shard that has taken up its stored sessions.
///
/// # Errors
/// When the operating system has no thread left.
pub(crate) fn start(
    number: usize,
    shard: Shard,
    shared: Arc<Shared>,
    alarm: Alarm,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        let end = Worker::new(number, shard, shared).and_then(|mut worker| worker.run());
        if let Err(error) = end {
            alarm.raise(format!("worker {number} cannot wait for its sockets: {error}"));
        }
    })
}

impl Worker {
    fn new(number: usize, shard: Shard, shared: Arc<Shared>) -> io::Result<Self> {
        let outboxes = shared.mailboxes.iter().map(|_| Vec::new()).collect();
        let mailbox = shared.mailboxes.get(number).map(Arc::clone);
        let mailbox = mailbox.expect("each worker has a mailbox");
        let poll = Poll::new()?;
        mailbox.wake_with(Arc::new(Waker::new(poll.registry(), MAIL)?));
        Ok(Self {
            mailbox,
            greetings: Deadlines::new(shared.handshake_time),
            farewells: Deadlines::new(FAREWELL_TIME),
            shared,
            shard,
            turn: Turn::default(),
            poll,
            sockets: SlotMap::with_key(),
            by_connection: HashMap::new(),
            ready: VecDeque::new(),
            ended: Vec::new(),
            scratch: Scratch::default(),
            inbox: Vec::new(),
            outboxes,
            uncommitted: VecDeque::new(),
            now: None,
            turn_bytes: 0,
            is_turn_wanted: false,
            drain_until: None,
            report: Report::default(),
        })
    }

    /// Takes turns until the worker has drained.
    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.is_drained() {
            self.look(&mut events)?;
            self.take_turn();
        }
        Ok(())
    }

    /// Waits until something is ready.
    fn look(&mut self, events: &mut Events) -> io::Result<()> {
        let patience = self.patience();
        match self.poll.poll(events, patience) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Err(_) | Ok(()) => {}
        }
        for event in events.iter().filter(|event| event.token() != MAIL) {
            self.note(event);
        }
        Ok(())
    }

    /// How long the worker may sleep.
    fn patience(&self) -> Option<Duration> {
        if self.is_turn_wanted || !self.ready.is_empty() || !self.mailbox.may_sleep() {
            return Some(Duration::ZERO);
        }
        let shard = self.shard.next_due_ms().map(|due_ms| self.shared.clock.at(due_ms));
        let own = [self.drain_until, self.greetings.next(), self.farewells.next()];
        let due = shard.into_iter().chain(own.into_iter().flatten()).min();
        due.map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// All sockets that are ready, all mail, what is due; then what came of it.
    fn take_turn(&mut self) {
        self.now = None;
        for _ in 0..self.ready.len() {
            let Some(key) = self.ready.pop_front() else { break };
            self.serve(key);
            if self.turn_bytes >= TURN_BYTES_MAX {
                let now = self.now();
                self.finish_turn(now);
            }
        }
        self.take_mail();
        self.end_greetings();
        self.end_farewells();
        if let Some(due_ms) = self.shard.next_due_ms() {
            let now = self.now();
            if due_ms <= now.monotonic_ms {
                self.shard.ticked(now, &mut self.turn);
                self.is_turn_wanted = true;
            }
        }
        if std::mem::take(&mut self.is_turn_wanted) {
            self.report.turns += 1;
            let now = self.now();
            self.finish_turn(now);
        }
    }

    /// Ends the turn and does what came of it.
    fn finish_turn(&mut self, now: Now) {
        self.turn_bytes = 0;
        let mut rounds = 0;
        loop {
            self.end_turn(now);
            let has_told_shard = self.carry_out(now) | self.end_connections(now);
            rounds += 1;
            if !has_told_shard && self.turn.is_empty() {
                break;
            }
            if rounds == ROUNDS_MAX {
                self.is_turn_wanted = true;
                break;
            }
        }
        self.now = None;
    }

    fn take_mail(&mut self) {
        let mut inbox = std::mem::take(&mut self.inbox);
        self.mailbox.take(&mut inbox);
        if inbox.is_empty() {
            self.inbox = inbox;
            return;
        }
        self.is_turn_wanted = true;
        let now = self.now();
        for inbound in inbox.drain(..) {
            match inbound {
                Inbound::Accepted(accepted) if self.drain_until.is_none() => {
                    self.greet(accepted);
                }
                Inbound::Accepted(_too_late) => {}
                Inbound::Mail(mail) => self.shard.mailed(mail, now, &mut self.turn),
                Inbound::Committed(commit) => {
                    if let Some((ticket, _)) = commit.tickets.last() {
                        self.count_commits(*ticket);
                    }
                    self.shard.committed(commit, now, &mut self.turn);
                }
                Inbound::StoreChanged { is_full } => {
                    self.shard.store_changed(is_full, now, &mut self.turn);
                }
                Inbound::Synced(up_to) => self.shard.synced(up_to, now, &mut self.turn),
                Inbound::Replayed(page) => self.shard.replayed(page, now, &mut self.turn),
                Inbound::Unreadable(session) => {
                    self.report.unreadable_pages += 1;
                    self.shard.replay_failed(session, now, &mut self.turn);
                }
                Inbound::Identified(connection, answer) => {
                    if self.by_connection.contains_key(&connection) {
                        self.shard.identified(connection, answer, now, &mut self.turn);
                    }
                }
                Inbound::Asked(answer) => {
                    let core = self.shard.counters().clone();
                    // Whoever asked may have given up.
                    let _ = answer.send(Report { core, ..self.report.clone() });
                }
                Inbound::Announced(facts) => self.shard.announced(&facts, now, &mut self.turn),
                Inbound::ShutDown => {
                    self.drain_until = Some(Instant::now() + DRAIN_TIME);
                    self.sockets.retain(|_, attached| !attached.is_greeting());
                    self.shard.shut_down(now, &mut self.turn);
                }
            }
        }
        self.inbox = inbox;
    }

    /// Ends the turn in the core. The batch is with the engine before the router is free for the
    /// next worker, so messages commit in the order in which they were routed.
    fn end_turn(&mut self, now: Now) {
        let Self { shared, shard, turn, uncommitted, .. } = self;
        let mut submit = |turn: &mut Turn| {
            if !turn.batch.is_empty() {
                let batch = std::mem::take(&mut turn.batch);
                uncommitted.push_back((batch.ticket, Instant::now()));
                shared.engine.submit(batch);
            }
        };
        if shard.changes_router() {
            let mut router = shared.router.write().unwrap_or_else(PoisonError::into_inner);
            shard.end_turn_changing(&mut router, now, turn);
            submit(turn);
        } else {
            let router = shared.router.read().unwrap_or_else(PoisonError::into_inner);
            shard.end_turn(&router, now, turn);
            submit(turn);
        }
    }

    fn count_commits(&mut self, up_to: Ticket) {
        while let Some((ticket, since)) = self.uncommitted.front()
            && *ticket <= up_to
        {
            self.report.commits.add_duration(since.elapsed());
            self.uncommitted.pop_front();
        }
    }

    /// The same for everything that happens in one turn.
    fn now(&mut self) -> Now {
        *self.now.get_or_insert_with(|| self.shared.clock.now())
    }

    fn is_drained(&self) -> bool {
        self.drain_until.is_some_and(|until| {
            (self.sockets.is_empty() && self.shard.is_settled()) || until <= Instant::now()
        })
    }
}
