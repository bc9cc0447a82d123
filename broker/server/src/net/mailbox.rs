//! What other threads tell a worker.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use flotilla_core::{
    connection::Identification,
    id::{ConnectionKey, SessionKey, Ticket},
    mail::{Commit, Mail},
    turn::Page,
};
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
    /// From the main thread: end.
    ShutDown,
}

/// Things for one worker, in the order in which they came. The worker is woken by the first one
/// that it has not yet taken.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: Vec<Inbound>,
    waker: Option<Waker>,
}

impl Mailbox {
    /// Adds one thing.
    pub(crate) fn push(&self, inbound: Inbound) {
        self.push_all([inbound]);
    }

    /// Adds several things under one lock.
    pub(crate) fn push_all(&self, inbound: impl IntoIterator<Item = Inbound>) {
        let mut inner = self.lock();
        let was_empty = inner.waiting.is_empty();
        inner.waiting.extend(inbound);
        let waker = if was_empty { inner.waker.take() } else { None };
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Swaps `taken`, which must be empty, for everything that waits; `waker` is woken when more
    /// comes.
    pub(crate) fn take(&self, taken: &mut Vec<Inbound>, waker: &Waker) {
        debug_assert!(taken.is_empty(), "what was taken would be put back");
        let mut inner = self.lock();
        mem::swap(&mut inner.waiting, taken);
        match &mut inner.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn woken_once_for_many() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mailbox = Mailbox::default();
        let mut taken = Vec::new();
        mailbox.push(Inbound::ShutDown);
        mailbox.take(&mut taken, &waker);
        assert_eq!((taken.drain(..).count(), count.0.load(Ordering::Relaxed)), (1, 0));
        mailbox.push(Inbound::ShutDown);
        mailbox.push_all([Inbound::ShutDown, Inbound::ShutDown]);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        mailbox.take(&mut taken, &waker);
        assert_eq!(taken.len(), 3);
    }
}
