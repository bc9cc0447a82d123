//! What the commit thread promises, over a storage that does what it is told.

mod groups;

use std::mem;
use std::sync::mpsc::{Receiver, Sender, channel};

use flotilla_core::id::Ticket;

use super::write::GROUP_BATCHES_MAX;
use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

/// Does what it is told to, and remembers what it holds.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    refuses: Vec<u64>,
    /// What fails next, in this order; nothing more when it is empty.
    faults: VecDeque<Fault>,
    free_bytes: u64,
    staged: Vec<u64>,
    /// Tickets of what is in it.
    stored: Vec<u64>,
    heals: usize,
    /// Hears of each sync that begins.
    sync_begins: Option<Sender<()>>,
    /// A sync ends when something comes, or when nobody can send any more.
    gate: Option<Arc<Mutex<Receiver<()>>>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Stage,
    Damage,
    /// Nothing of the group is in the storage.
    Commit,
    /// All of it is, although it was said to fail.
    CommitAfterAll,
    Sync,
    Heal,
}

impl Scripted {
    fn script(&self) -> MutexGuard<'_, Script> {
        lock(&self.0)
    }

    fn failing(faults: impl IntoIterator<Item = Fault>) -> Self {
        let this = Self::default();
        this.script().faults = faults.into_iter().collect();
        this
    }
}

impl Script {
    fn fails(&mut self, fault: Fault) -> bool {
        let fails = self.faults.front() == Some(&fault);
        if fails {
            self.faults.pop_front();
        }
        fails
    }
}

fn fault(fault: Fault) -> Error {
    Error::Unwritable { reason: format!("{fault:?}") }
}

impl Storage for Scripted {
    type Syncer = Self;

    fn stage(&mut self, batch: &Batch) -> Result<Option<Position>, Error> {
        let mut script = self.script();
        if script.fails(Fault::Stage) {
            return Err(fault(Fault::Stage));
        }
        if script.fails(Fault::Damage) {
            return Err(damage());
        }
        if script.refuses.contains(&batch.ticket.0) {
            return Ok(None);
        }
        script.staged.push(batch.ticket.0);
        Ok(Some(Position((script.stored.len() + script.staged.len()) as u64)))
    }

    fn commit(&mut self) -> Result<Position, Error> {
        let mut script = self.script();
        if script.fails(Fault::Commit) {
            return Err(fault(Fault::Commit));
        }
        let staged = mem::take(&mut script.staged);
        script.stored.extend(staged);
        if script.fails(Fault::CommitAfterAll) {
            script.staged = vec![u64::MAX];
            return Err(fault(Fault::CommitAfterAll));
        }
        Ok(Position(script.stored.len() as u64 + 1))
    }

    fn heal(&mut self) -> Result<Option<Position>, Error> {
        let mut script = self.script();
        script.heals += 1;
        if script.fails(Fault::Heal) {
            return Err(fault(Fault::Heal));
        }
        let is_in = mem::take(&mut script.staged) == [u64::MAX];
        Ok(is_in.then(|| Position(script.stored.len() as u64 + 1)))
    }

    fn syncer(&self) -> Self {
        self.clone()
    }

    fn space(&self) -> Option<Space> {
        Some(Space { free_bytes: self.script().free_bytes, reserve_bytes: 0 })
            .filter(|space| space.free_bytes > 0)
            .map(|space| Space { reserve_bytes: 100, ..space })
    }
}

impl Syncer for Scripted {
    fn sync(&mut self) -> Result<(), Error> {
        let begins = self.script().sync_begins.clone();
        let gate = self.script().gate.clone();
        if let Some(begins) = begins {
            let _ = begins.send(());
        }
        if let Some(gate) = gate {
            let _ = lock(&gate).recv();
        }
        if self.script().fails(Fault::Sync) { Err(fault(Fault::Sync)) } else { Ok(()) }
    }
}

fn damage() -> Error {
    Error::DamagedRecord { kind: "session", key: "a".into(), reason: "it is".into() }
}

#[derive(Debug, PartialEq)]
enum Told {
    Committed(Vec<u64>, u64),
    Synced(Vec<(u16, u64)>),
    Refused(u64),
    State(&'static str),
}

struct Telling(Sender<Told>);

impl CommitSink for Telling {
    fn committed(&mut self, group: Vec<(Batch, Position)>, end: Position) {
        let tickets = group.iter().map(|(batch, _)| batch.ticket.0).collect();
        let _ = self.0.send(Told::Committed(tickets, end.0));
    }

    fn synced(&mut self, up_to: &[(ShardId, Ticket)]) {
        let up_to = up_to.iter().map(|(shard, ticket)| (shard.0, ticket.0)).collect();
        let _ = self.0.send(Told::Synced(up_to));
    }

    fn refused(&mut self, batch: Batch) {
        let _ = self.0.send(Told::Refused(batch.ticket.0));
    }

    fn state_changed(&mut self, state: &State) {
        let _ = self.0.send(Told::State(state.name()));
    }
}

fn start(storage: Scripted, interval: Option<Duration>) -> (Committer, Receiver<Told>) {
    let (sender, told) = channel();
    (Committer::start(storage, interval, Telling(sender)).unwrap(), told)
}

fn batch(ticket: u64) -> Batch {
    Batch { ticket: Ticket(ticket), barrier: true, ..Batch::default() }
}

/// Somebody waits for its sync.
fn urgent(ticket: u64) -> Batch {
    Batch { needs_sync: true, ..batch(ticket) }
}

/// Everything that was told, the committed tickets as one run.
fn all(told: &Receiver<Told>) -> Vec<Told> {
    let mut all: Vec<Told> = Vec::new();
    for told in told {
        match (all.last_mut(), told) {
            (Some(Told::Committed(run, end)), Told::Committed(tickets, later)) => {
                run.extend(tickets);
                *end = later;
            }
            (_, told) => all.push(told),
        }
    }
    all
}

#[test]
fn everything_is_reported_in_the_order_of_submission() {
    let storage = Scripted::default();
    storage.script().refuses = vec![1, 3, 4];
    let (committer, told) = start(storage, None);
    for ticket in 1..=6 {
        committer.submit(batch(ticket));
    }
    committer.close().unwrap();
    assert_eq!(committer.uncommitted_bytes(), 0);
    let counters = committer.counters();
    assert_eq!((counters.batches, counters.refused), (3, 3));
    drop(committer);
    assert_eq!(
        all(&told),
        [
            Told::Refused(1),
            Told::Committed(vec![2], 2),
            Told::Refused(3),
            Told::Refused(4),
            Told::Committed(vec![5, 6], 4),
        ]
    );
}

/// What is told of everything up to batch 6, synced, when these faults come in between.
fn story(faults: impl IntoIterator<Item = Fault>) -> (Vec<Told>, Scripted) {
    let storage = Scripted::failing(faults);
    let (committer, told) = start(storage.clone(), None);
    let mut all = Vec::new();
    for ticket in 1..=6 {
        // The third is refused, wherever it stands.
        storage.script().refuses = vec![3];
        committer.submit(urgent(ticket));
    }
    // Closing would not wait for the storage to heal.
    let is_last = |told: &Told| *told == Told::Synced(vec![(0, 6)]);
    while !all.last().is_some_and(is_last) {
        all.push(told.recv_timeout(DEADLINE).unwrap());
    }
    committer.close().unwrap();
    assert_eq!(committer.uncommitted_bytes(), 0);
    assert_eq!(committer.state(), State::Healthy);
    drop(committer);
    all.extend(told);
    assert_eq!(storage.script().stored, [1, 2, 4, 5, 6], "once each, in order");
    (all, storage)
}

/// Every batch has one fate; in order; synced behind committed.
fn assert_honest(told: &[Told]) {
    let (mut next, mut is_failing, mut committed) = (1, false, 0);
    for told in told {
        match told {
            Told::Committed(group, _) => {
                for ticket in group {
                    assert_eq!(*ticket, next);
                    next += 1;
                    committed = *ticket;
                }
            }
            Told::Refused(ticket) => {
                assert_eq!((*ticket, next), (3, 3));
                next += 1;
            }
            Told::Synced(up_to) => {
                assert!(up_to.iter().all(|(_, ticket)| *ticket <= committed));
            }
            Told::State(name) => {
                // Failing can be told again, for another reason.
                is_failing = *name == "failing";
            }
        }
    }
    assert_eq!((next, is_failing), (7, false));
}

#[test]
fn whatever_fails_each_batch_is_reported_once_and_in_order() {
    use Fault::{Commit, CommitAfterAll, Heal, Stage, Sync};
    for faults in [
        &[][..],
        &[Stage],
        &[Commit],
        &[CommitAfterAll],
        &[Sync],
        &[Commit, Commit],
        &[Commit, Heal, Stage],
        &[CommitAfterAll, Heal],
        &[Sync, Heal],
        &[Stage, Sync],
        &[CommitAfterAll, Sync],
    ] {
        let (told, storage) = story(faults.iter().copied());
        assert_honest(&told);
        let script = storage.script();
        assert!(script.faults.is_empty(), "{faults:?}: {:?} did not happen", script.faults);
        assert_eq!(script.heals > 0, !faults.is_empty(), "{faults:?}");
        assert_eq!(told.contains(&Told::State("failing")), !faults.is_empty(), "{faults:?}");
    }
}

#[test]
fn what_is_damaged_stays_failing_until_the_end() {
    let storage = Scripted::failing([Fault::Damage]);
    let (committer, told) = start(storage.clone(), None);
    committer.submit(urgent(1));
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::State("failing")));
    committer.submit(urgent(2));
    assert!(committer.uncommitted_bytes() > 0, "what waits counts as back-pressure");
    let State::Failing { reason, is_full: false } = committer.state() else { panic!() };
    assert!(reason.contains("is damaged"), "{reason}");
    assert_eq!(committer.close(), Err(damage()));
    assert_eq!((committer.close(), storage.script().heals), (Err(damage()), 0));
    drop(committer);
    assert_eq!(all(&told), []);
}

#[test]
fn a_storage_that_fails_at_the_close_is_tried_once_more() {
    for (faults, outcome) in [
        (&[Fault::Commit][..], Ok(())),
        (&[Fault::Commit, Fault::Heal], Err(fault(Fault::Heal))),
        (&[Fault::Commit, Fault::Commit], Err(fault(Fault::Commit))),
    ] {
        let (committer, told) = start(Scripted::default(), None);
        drop((committer, told));
        let storage = Scripted::failing(faults.iter().copied());
        let (committer, told) = start(storage, None);
        committer.shared.lock().is_closed = true;
        committer.shared.lock().batches.push_back(batch(1));
        committer.shared.lock().uncommitted_bytes += batch(1).bytes();
        assert_eq!(committer.close(), outcome, "{faults:?}");
        drop(committer);
        let told = all(&told);
        assert_eq!(told.contains(&Told::Committed(vec![1], 2)), outcome.is_ok(), "{told:?}");
    }
}

#[test]
fn a_sync_that_fails_at_the_close_is_told_to_who_closes() {
    let storage = Scripted::failing([Fault::Sync]);
    let (committer, told) = start(storage, None);
    committer.submit(batch(1));
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::Committed(vec![1], 2)));
    assert_eq!(committer.close(), Err(fault(Fault::Sync)));
}

#[test]
fn a_failed_sync_at_the_interval_heals() {
    let storage = Scripted::failing([Fault::Sync]);
    let (committer, told) = start(storage, Some(Duration::from_millis(1)));
    committer.submit(batch(1));
    for expected in [Told::Committed(vec![1], 2), Told::State("failing"), Told::State("healthy")] {
        assert_eq!(told.recv_timeout(DEADLINE), Ok(expected));
    }
    committer.close().unwrap();
}

#[test]
fn a_full_disk_is_told_and_still_written_to() {
    let storage = Scripted::default();
    storage.script().free_bytes = 99;
    let (committer, told) = start(storage.clone(), None);
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::State("full")));
    assert_eq!(committer.state(), State::Full { free_bytes: 99, reserve_bytes: 100 });
    committer.submit(batch(1));
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::Committed(vec![1], 2)));
    storage.script().free_bytes = 200;
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::State("healthy")));
}

#[test]
fn a_storage_is_not_opened_anew_while_the_disk_is_full() {
    let storage = Scripted::failing([Fault::Commit]);
    storage.script().free_bytes = 50;
    let (committer, told) = start(storage.clone(), None);
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::State("full")));
    committer.submit(batch(1));
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::State("failing")));
    assert!(committer.state().is_full());
    assert_eq!(storage.script().heals, 0);
    storage.script().free_bytes = 200;
    // That there is room is news, too.
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::State("failing")));
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::Committed(vec![1], 2)));
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::State("healthy")));
}

#[test]
fn an_interval_syncs_once_after_the_last_write() {
    let (syncs, synced) = channel();
    let storage = telling_syncs(syncs, None);
    let (committer, told) = start(storage, Some(Duration::from_millis(5)));
    committer.submit(batch(1));
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::Committed(vec![1], 2)));
    assert_eq!(synced.recv_timeout(DEADLINE), Ok(()));
    committer.close().unwrap();
    drop(committer);
    assert_eq!(synced.iter().count(), 0, "nothing was written since");
}

fn telling_syncs(begins: Sender<()>, gate: Option<Receiver<()>>) -> Scripted {
    let storage = Scripted::default();
    storage.script().sync_begins = Some(begins);
    storage.script().gate = gate.map(|gate| Arc::new(Mutex::new(gate)));
    storage
}

#[test]
fn nothing_is_synced_that_nobody_waits_for() {
    let (syncs, synced) = channel();
    let (committer, told) = start(telling_syncs(syncs, None), None);
    for ticket in 1..=100 {
        committer.submit(batch(ticket));
    }
    while !matches!(told.recv_timeout(DEADLINE), Ok(Told::Committed(group, _)) if group.contains(&100))
    {
    }
    assert_eq!(synced.try_iter().count(), 0);
    committer.close().unwrap();
    drop(committer);
    assert_eq!(synced.iter().count(), 1, "at the end");
    assert_eq!(all(&told), []);
}

#[test]
fn commits_go_on_while_a_sync_runs_and_one_sync_serves_all_of_them() {
    let ((syncs, begun), (open, gate)) = (channel(), channel());
    let (committer, told) = start(telling_syncs(syncs, Some(gate)), None);
    committer.submit(urgent(1));
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::Committed(vec![1], 2)));
    begun.recv_timeout(DEADLINE).unwrap();
    for ticket in 2..=4 {
        committer.submit(if ticket == 3 { batch(3) } else { urgent(ticket) });
        assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::Committed(vec![ticket], ticket + 1)));
    }
    assert!(told.try_recv().is_err(), "nothing is synced yet");
    open.send(()).unwrap();
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::Synced(vec![(0, 1)])));
    begun.recv_timeout(DEADLINE).unwrap();
    open.send(()).unwrap();
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::Synced(vec![(0, 4)])));
    committer.close().unwrap();
    drop(committer);
    assert_eq!((begun.iter().count(), all(&told)), (0, vec![]));
}

/// What was synced may be a storage that was opened anew, and has less.
#[test]
fn nothing_is_reported_synced_while_the_storage_fails() {
    let ((syncs, begun), (open, gate)) = (channel(), channel());
    let storage = telling_syncs(syncs, Some(gate));
    let (committer, told) = start(storage.clone(), None);
    committer.submit(urgent(1));
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::Committed(vec![1], 2)));
    begun.recv_timeout(DEADLINE).unwrap();
    storage.script().faults.push_back(Fault::Damage);
    committer.submit(batch(2));
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::State("failing")));
    drop(open);
    assert_eq!(committer.close(), Err(damage()));
    drop(committer);
    assert_eq!(all(&told), []);
}
