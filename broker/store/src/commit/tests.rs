//! What the commit thread promises, over a storage that does what it is told.

use std::sync::mpsc::{Receiver, Sender, channel};

use flotilla_core::id::Ticket;

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

/// Does what it is told to, and tells what it did.
#[derive(Default)]
struct Scripted {
    next: u64,
    refuses: Vec<u64>,
    fails_stage: Option<u64>,
    fails_commit: bool,
    syncer: Syncing,
}

impl Storage for Scripted {
    type Syncer = Syncing;

    fn stage(&mut self, batch: &Batch) -> Result<Option<Position>, Error> {
        let ticket = batch.ticket.0;
        if self.fails_stage == Some(ticket) {
            return Err(Error::Unreadable { reason: "stage".into() });
        }
        if self.refuses.contains(&ticket) {
            return Ok(None);
        }
        self.next += 1;
        Ok(Some(Position(self.next)))
    }

    fn commit(&mut self) -> Result<Position, Error> {
        if self.fails_commit {
            return Err(Error::Poisoned { reason: "write".into() });
        }
        Ok(Position(self.next + 1))
    }

    fn syncer(&self) -> Syncing {
        self.syncer.clone()
    }
}

/// Its other side.
#[derive(Clone, Default)]
struct Syncing {
    fails: bool,
    /// Hears of each sync that begins.
    begun: Option<Sender<()>>,
    /// A sync ends when something comes, or when nobody can send any more.
    gate: Option<Arc<Mutex<Receiver<()>>>>,
}

impl Syncer for Syncing {
    fn sync(&mut self) -> Result<(), Error> {
        if let Some(begun) = &self.begun {
            let _ = begun.send(());
        }
        if let Some(gate) = &self.gate {
            let _ = gate.lock().unwrap().recv();
        }
        if self.fails { Err(Error::Poisoned { reason: "sync".into() }) } else { Ok(()) }
    }
}

#[derive(Debug, PartialEq)]
enum Told {
    Committed(Vec<u64>, u64),
    Synced(Vec<(u16, u64)>),
    Refused(u64),
    Poisoned(Error),
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

    fn poisoned(&mut self, error: Error) {
        let _ = self.0.send(Told::Poisoned(error));
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
    let storage = Scripted { refuses: vec![1, 3, 4], ..Scripted::default() };
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

fn assert_poisoned(storage: Scripted, error: Error) {
    let (committer, told) = start(storage, None);
    committer.submit(batch(1));
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::Poisoned(error.clone())));
    committer.submit(batch(2));
    assert_eq!(committer.uncommitted_bytes(), 0);
    assert_eq!(committer.close(), Err(error.clone()));
    assert_eq!(committer.close(), Err(error));
    assert!(told.recv().is_err(), "nothing is reported behind it");
}

#[test]
fn a_failed_write_poisons() {
    let storage = Scripted { fails_commit: true, ..Scripted::default() };
    assert_poisoned(storage, Error::Poisoned { reason: "write".into() });
}

#[test]
fn a_failed_read_while_staging_poisons() {
    let storage = Scripted { fails_stage: Some(1), ..Scripted::default() };
    assert_poisoned(storage, Error::Unreadable { reason: "stage".into() });
}

#[test]
fn a_failed_sync_poisons_at_the_interval() {
    let storage =
        Scripted { syncer: Syncing { fails: true, ..Syncing::default() }, ..Scripted::default() };
    let (committer, told) = start(storage, Some(Duration::from_millis(1)));
    committer.submit(batch(1));
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::Committed(vec![1], 2)));
    let error = Error::Poisoned { reason: "sync".into() };
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::Poisoned(error.clone())));
    assert_eq!(committer.close(), Err(error));
}

#[test]
fn a_failed_sync_poisons_at_the_close() {
    let storage =
        Scripted { syncer: Syncing { fails: true, ..Syncing::default() }, ..Scripted::default() };
    let (committer, told) = start(storage, None);
    committer.submit(batch(1));
    let error = Error::Poisoned { reason: "sync".into() };
    assert_eq!(committer.close(), Err(error.clone()));
    drop(committer);
    assert_eq!(all(&told), [Told::Committed(vec![1], 2), Told::Poisoned(error)]);
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

fn telling_syncs(begun: Sender<()>, gate: Option<Receiver<()>>) -> Scripted {
    let gate = gate.map(|gate| Arc::new(Mutex::new(gate)));
    Scripted { syncer: Syncing { fails: false, begun: Some(begun), gate }, ..Scripted::default() }
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

#[test]
fn a_sync_is_reported_to_each_shard_behind_its_commits() {
    let (committer, told) = start(Scripted::default(), None);
    for ticket in 1..=300 {
        committer.submit(Batch { shard: ShardId(ticket as u16 % 3), ..urgent(ticket) });
    }
    committer.close().unwrap();
    drop(committer);
    let (mut committed, mut synced) = (0, [0; 3]);
    for told in told {
        match told {
            Told::Committed(group, _) => committed = group[group.len() - 1],
            Told::Synced(up_to) => {
                for (shard, ticket) in up_to {
                    assert!(synced[usize::from(shard)] < ticket && ticket <= committed);
                    synced[usize::from(shard)] = ticket;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((committed, synced), (300, [300, 298, 299]));
}

#[test]
fn a_failed_sync_poisons_and_nothing_is_reported_behind() {
    let syncer = Syncing { fails: true, ..Syncing::default() };
    let (committer, told) = start(Scripted { syncer, ..Scripted::default() }, None);
    committer.submit(urgent(1));
    let error = Error::Poisoned { reason: "sync".into() };
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::Committed(vec![1], 2)));
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::Poisoned(error.clone())));
    committer.submit(urgent(2));
    assert_eq!(committer.close(), Err(error));
    drop(committer);
    assert_eq!(all(&told), []);
}

#[test]
fn a_group_is_bounded() {
    let (committer, told) = start(Scripted::default(), None);
    let batches = 3 * GROUP_BATCHES_MAX as u64;
    for ticket in 0..batches {
        committer.submit(batch(ticket));
    }
    committer.close().unwrap();
    drop(committer);
    let mut reported = 0;
    for told in told {
        let Told::Committed(tickets, _) = told else { panic!("{told:?}") };
        assert!(tickets.len() <= GROUP_BATCHES_MAX);
        reported += tickets.len() as u64;
    }
    assert_eq!(reported, batches);
}
