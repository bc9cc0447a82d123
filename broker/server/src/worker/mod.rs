//! A worker: one thread with one shard.
//!
//! Each connection is a task that reads and hands what it read to the shard; one more task, the
//! turn, then does what came of it. The runtime runs tasks in the order in which they were woken,
//! so the turn, woken by the first connection that read, comes after all connections that were
//! ready at the same time (docs/adr/0004-worker-and-turn.md).

mod carry;
mod connection;
mod report;
#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    rc::Rc,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll, Waker},
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
use tokio::{
    runtime::{Builder, LocalOptions},
    task::{coop, spawn_local},
    time::Sleep,
};

use crate::{
    auth::Checker,
    clock::Clock,
    crew::Crew,
    net::{
        listener::Accepted,
        mailbox::{Inbound, Mailbox},
    },
    ops::shutdown::Alarm,
};
use connection::{Attached, serve};
pub(crate) use report::Report;

/// Bytes read from one socket before others have their turn, and the size of the one buffer that
/// all sockets of a worker are read into.
const READ_MAX: usize = 64 * 1024;
/// How long a worker that ends waits for peers to take their last bytes.
const DRAIN_TIME: Duration = Duration::from_secs(3);
/// Rounds of one turn: what carrying out a turn makes necessary is done at once, up to here.
const ROUNDS_MAX: usize = 8;
/// Bytes that are read before a turn ends although more sockets are ready: what came of them is
/// routed and encoded while it is still in the processor's cache.
const TURN_BYTES_MAX: usize = 256 * 1024;

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
    /// From the accepted socket to the end of the TLS handshake.
    pub(crate) handshake_time: Duration,
    /// The same for all.
    pub(crate) clock: Clock,
}

/// A shard with its sockets.
struct Worker {
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    shard: Shard,
    turn: Turn,
    /// By the whole key: within one turn the shard can end a connection and open another in its slot.
    sockets: HashMap<ConnectionKey, Attached>,
    /// Sockets of connections that the shard has ended, until their tasks take them.
    leaving: HashMap<ConnectionKey, Attached>,
    /// Connections whose socket is gone.
    ended: Vec<ConnectionKey>,
    /// Sockets whose connection has ended, while they send their last bytes.
    farewells: usize,
    scratch: Box<[u8]>,
    inbox: Vec<Inbound>,
    outboxes: Vec<Vec<Inbound>>,
    accepted: Vec<Accepted>,
    /// Batches that were handed to the engine, and when.
    uncommitted: VecDeque<(Ticket, Instant)>,
    /// What the clocks said when this turn began; `None` between turns.
    now: Option<Now>,
    /// Bytes that were read since the last turn ended.
    turn_bytes: usize,
    turn_waker: Option<Waker>,
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
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return alarm.raise(format!("worker {number} cannot run: {error}")),
        };
        let worker = Rc::new(RefCell::new(Worker::new(number, shard, shared)));
        // The turn must not stop in the middle because it has used up a task's share. It is a task
        // of its own because what `block_on` runs is not in the queue: it waits for another look
        // at the sockets, or runs after 61 tasks although more are ready.
        let turns = runtime.spawn_local(coop::unconstrained(take_turns(worker)));
        if let Err(error) = runtime.block_on(turns) {
            alarm.raise(format!("worker {number} has ended: {error}"));
        }
    })
}

/// Takes turns until the worker has drained.
async fn take_turns(worker: Rc<RefCell<Worker>>) {
    let far = Duration::from_secs(24 * 3600);
    let mut timer = pin!(tokio::time::sleep(far));
    poll_fn(|context| {
        let mut this = worker.borrow_mut();
        let is_due = this.take_turn(context);
        for accepted in this.accepted.drain(..) {
            spawn_local(serve(Rc::clone(&worker), accepted));
        }
        if this.is_drained() {
            return Poll::Ready(());
        }
        let due = this.due().unwrap_or_else(|| Instant::now() + far);
        sleep_until(timer.as_mut(), due, is_due, context);
        Poll::Pending
    })
    .await;
}

/// A timer that rings too early is cheaper than one that is set anew in each turn.
fn sleep_until(
    mut timer: Pin<&mut Sleep>,
    due: Instant,
    has_ticked: bool,
    context: &mut Context<'_>,
) {
    let due = due.into();
    if timer.deadline() > due || timer.is_elapsed() || has_ticked {
        timer.as_mut().reset(due);
    }
    while timer.as_mut().poll(context).is_ready() {
        // Due already: an instant later, so that sockets are looked at in between.
        let later = tokio::time::Instant::now() + Duration::from_millis(1);
        timer.as_mut().reset(due.max(later));
    }
}

impl Worker {
    fn new(number: usize, shard: Shard, shared: Arc<Shared>) -> Self {
        let outboxes = shared.mailboxes.iter().map(|_| Vec::new()).collect();
        let mailbox = shared.mailboxes.get(number).map(Arc::clone);
        Self {
            mailbox: mailbox.expect("each worker has a mailbox"),
            shared,
            shard,
            turn: Turn::default(),
            sockets: HashMap::new(),
            leaving: HashMap::new(),
            ended: Vec::new(),
            farewells: 0,
            scratch: vec![0; READ_MAX].into_boxed_slice(),
            inbox: Vec::new(),
            outboxes,
            accepted: Vec::new(),
            uncommitted: VecDeque::new(),
            now: None,
            turn_bytes: 0,
            turn_waker: None,
            is_turn_wanted: false,
            drain_until: None,
            report: Report::default(),
        }
    }

    /// One turn; says whether the shard has ticked.
    fn take_turn(&mut self, context: &mut Context<'_>) -> bool {
        match &mut self.turn_waker {
            Some(known) => known.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        let now = self.now();
        self.report.turns += 1;
        self.take_mail(now, context);
        let is_due = self.shard.next_due_ms().is_some_and(|due_ms| due_ms <= now.monotonic_ms);
        if is_due {
            self.shard.ticked(now, &mut self.turn);
        }
        self.is_turn_wanted = false;
        self.finish_turn(now);
        is_due
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
                self.want_turn();
                break;
            }
        }
        self.now = None;
    }

    fn take_mail(&mut self, now: Now, context: &Context<'_>) {
        let mut inbox = std::mem::take(&mut self.inbox);
        self.mailbox.take(&mut inbox, context.waker());
        for inbound in inbox.drain(..) {
            match inbound {
                Inbound::Accepted(accepted) if self.drain_until.is_none() => {
                    self.accepted.push(accepted);
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
                    if self.sockets.contains_key(&connection) {
                        self.shard.identified(connection, answer, now, &mut self.turn);
                    }
                }
                Inbound::Asked(answer) => {
                    let core = self.shard.counters().clone();
                    // Whoever asked may have given up.
                    let _ = answer.send(Report { core, ..self.report.clone() });
                }
                Inbound::ShutDown => {
                    self.drain_until = Some(Instant::now() + DRAIN_TIME);
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

    fn want_turn(&mut self) {
        if !self.is_turn_wanted {
            self.is_turn_wanted = true;
            if let Some(waker) = &self.turn_waker {
                waker.wake_by_ref();
            }
        }
    }

    /// When there must be a turn, whatever happens.
    fn due(&self) -> Option<Instant> {
        let shard = self.shard.next_due_ms().map(|due_ms| self.shared.clock.at(due_ms));
        shard.into_iter().chain(self.drain_until).min()
    }

    fn is_drained(&self) -> bool {
        self.drain_until.is_some_and(|until| {
            let is_idle = self.sockets.is_empty() && self.leaving.is_empty() && self.farewells == 0;
            (is_idle && self.shard.is_settled()) || until <= Instant::now()
        })
    }
}
