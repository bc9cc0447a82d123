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
    fails_sync: bool,
    syncs: Option<Sender<()>>,
}

impl Storage for Scripted {
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

    fn commit(&mut self, _: bool) -> Result<Position, Error> {
        if self.fails_commit {
            return Err(Error::Poisoned { reason: "write".into() });
        }
        Ok(Position(self.next + 1))
    }

    fn sync(&mut self) -> Result<(), Error> {
        if let Some(syncs) = &self.syncs {
            let _ = syncs.send(());
        }
        if self.fails_sync { Err(Error::Poisoned { reason: "sync".into() }) } else { Ok(()) }
    }
}

#[derive(Debug, PartialEq)]
enum Told {
    Committed(Vec<u64>, u64),
    Refused(u64),
    Poisoned(Error),
}

struct Telling(Sender<Told>);

impl CommitSink for Telling {
    fn committed(&mut self, group: Vec<(Batch, Position)>, end: Position) {
        let tickets = group.iter().map(|(batch, _)| batch.ticket.0).collect();
        let _ = self.0.send(Told::Committed(tickets, end.0));
    }

    fn refused(&mut self, batch: Batch) {
        let _ = self.0.send(Told::Refused(batch.ticket.0));
    }

    fn poisoned(&mut self, error: Error) {
        let _ = self.0.send(Told::Poisoned(error));
    }
}

fn start(storage: Scripted, sync: Sync) -> (Committer, Receiver<Told>) {
    let (sender, told) = channel();
    (Committer::start(storage, sync, Telling(sender)).unwrap(), told)
}

fn batch(ticket: u64) -> Batch {
    Batch { ticket: Ticket(ticket), barrier: true, ..Batch::default() }
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
    let (committer, told) = start(storage, Sync::Always);
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

fn assert_poisoned(storage: Scripted, sync: Sync, error: Error) {
    let (committer, told) = start(storage, sync);
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
    assert_poisoned(storage, Sync::Always, Error::Poisoned { reason: "write".into() });
}

#[test]
fn a_failed_read_while_staging_poisons() {
    let storage = Scripted { fails_stage: Some(1), ..Scripted::default() };
    assert_poisoned(storage, Sync::Never, Error::Unreadable { reason: "stage".into() });
}

#[test]
fn a_failed_sync_poisons_at_the_interval() {
    let storage = Scripted { fails_sync: true, ..Scripted::default() };
    let (committer, told) = start(storage, Sync::Every(Duration::from_millis(1)));
    committer.submit(batch(1));
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::Committed(vec![1], 2)));
    let error = Error::Poisoned { reason: "sync".into() };
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::Poisoned(error.clone())));
    assert_eq!(committer.close(), Err(error));
}

#[test]
fn a_failed_sync_poisons_at_the_close() {
    let storage = Scripted { fails_sync: true, ..Scripted::default() };
    let (committer, told) = start(storage, Sync::Never);
    committer.submit(batch(1));
    let error = Error::Poisoned { reason: "sync".into() };
    assert_eq!(committer.close(), Err(error.clone()));
    drop(committer);
    assert_eq!(all(&told), [Told::Committed(vec![1], 2), Told::Poisoned(error)]);
}

#[test]
fn an_interval_syncs_once_after_the_last_write() {
    let (syncs, synced) = channel();
    let storage = Scripted { syncs: Some(syncs), ..Scripted::default() };
    let (committer, told) = start(storage, Sync::Every(Duration::from_millis(5)));
    committer.submit(batch(1));
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::Committed(vec![1], 2)));
    assert_eq!(synced.recv_timeout(DEADLINE), Ok(()));
    committer.close().unwrap();
    drop(committer);
    assert_eq!(synced.iter().count(), 0, "nothing was written since");
}

#[test]
fn a_group_is_bounded() {
    let (committer, told) = start(Scripted::default(), Sync::Always);
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
