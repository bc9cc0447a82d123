//! What other threads tell a worker.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use flotilla_core::{
    connection::Identification,
    id::{ConnectionKey, SessionKey, Ticket},
    mail::{Commit, Mail},
    turn::Page,
};
use mio::Waker;
use tokio::sync::oneshot;

use super::listener::Accepted;
use crate::worker::Report;

/// One thing for a worker.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// From an acceptor: a socket.
    Accepted(Accepted),
    /// From another shard.
    Mail(Mail),
    /// From the engine's commit thread.
    Committed(Commit),
    /// From the engine's sync thread: all up to this batch.
    Synced(Ticket),
    /// From the engine's commit thread: whether the disk has room.
    StoreChanged {
        /// It has not: nothing must be taken that has to be stored.
        is_full: bool,
    },
    /// From a thread that reads the log.
    Replayed(Page),
    /// From a thread that reads the log: it could not, for this session.
    Unreadable(SessionKey),
    /// From a thread that checks passwords.
    Identified(ConnectionKey, Identification),
    /// From the operations listener: what was counted?
    Asked(oneshot::Sender<Report>),
    /// From the main thread: what is to be said below `$SYS`.
    Announced(Vec<(String, String)>),
    /// From the main thread: end.
    ShutDown,
}

/// Things for one worker, in the order in which they came. A worker that sleeps is woken by the
/// first one; one that is awake looks before it sleeps.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: Vec<Inbound>,
    waker: Option<Arc<Waker>>,
    is_asleep: bool,
}

impl Mailbox {
    /// Adds one thing.
    pub(crate) fn push(&self, inbound: Inbound) {
        self.push_all([inbound]);
    }

    /// Adds several things under one lock.
    pub(crate) fn push_all(&self, inbound: impl IntoIterator<Item = Inbound>) {
        let mut inner = self.lock();
        inner.waiting.extend(inbound);
        if !mem::take(&mut inner.is_asleep) {
            return;
        }
        let waker = inner.waker.clone();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake().expect("a waker takes any number of wakes");
        }
    }

    /// Who is to be woken from now on.
    pub(crate) fn wake_with(&self, waker: Arc<Waker>) {
        self.lock().waker = Some(waker);
    }

    /// Whether the worker may sleep: nothing waits. Then it is woken when something comes.
    pub(crate) fn may_sleep(&self) -> bool {
        let mut inner = self.lock();
        inner.is_asleep = inner.waiting.is_empty();
        inner.is_asleep
    }

    /// Swaps `taken`, which must be empty, for everything that waits. The worker is awake.
    pub(crate) fn take(&self, taken: &mut Vec<Inbound>) {
        debug_assert!(taken.is_empty(), "what was taken would be put back");
        let mut inner = self.lock();
        mem::swap(&mut inner.waiting, taken);
        inner.is_asleep = false;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    #[test]
    fn woken_once_for_many_and_only_from_sleep() {
        let mut poll = Poll::new().unwrap();
        let mut events = Events::with_capacity(8);
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let mut wakes = || {
            poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            events.iter().count()
        };
        let mailbox = Mailbox::default();
        // Before the worker runs.
        mailbox.push(Inbound::ShutDown);
        mailbox.wake_with(waker);
        assert!(!mailbox.may_sleep());
        let mut taken = Vec::new();
        mailbox.take(&mut taken);
        assert_eq!((taken.drain(..).count(), wakes()), (1, 0));
        mailbox.push(Inbound::ShutDown);
        assert_eq!(wakes(), 0);
        mailbox.take(&mut taken);
        taken.clear();
        assert!(mailbox.may_sleep());
        mailbox.push(Inbound::ShutDown);
        mailbox.push_all([Inbound::ShutDown, Inbound::ShutDown]);
        assert_eq!(wakes(), 1);
        mailbox.push(Inbound::ShutDown);
        mailbox.take(&mut taken);
        assert_eq!((taken.len(), wakes()), (4, 0));
    }
}
