//! The sockets of clients that all listeners together may have open.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// File descriptors that stay for everything else: the store has up to 256 files open and makes new
/// ones as messages come, and operations are asked most when there is a crowd.
const OTHER_FILES: u64 = 512;

/// Without this limit a crowd of connections would take the file descriptors that the store needs to
/// keep what others publish.
#[derive(Debug)]
pub(crate) struct Sockets {
    open: AtomicUsize,
    max: usize,
}

/// One of [`Sockets`] until it is dropped.
#[derive(Debug)]
pub(crate) struct Taken(Arc<Sockets>);

impl Sockets {
    /// For a process that may have so many files open. Where that is little, half of it is sockets.
    pub(crate) fn within(open_files_max: u64) -> Arc<Self> {
        let others = OTHER_FILES.min(open_files_max / 2);
        let max = usize::try_from(open_files_max - others).unwrap_or(usize::MAX);
        Arc::new(Self { open: AtomicUsize::new(0), max })
    }

    /// The most there may be.
    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// One more, if it may be.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Taken> {
        let open = self.open.fetch_add(1, Ordering::Relaxed);
        let taken = Taken(Arc::clone(self));
        (open < self.max).then_some(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_for_others() {
        assert_eq!(Sockets::within(20_000).max(), 20_000 - 512);
        assert_eq!(Sockets::within(600).max(), 300);
    }

    #[test]
    fn no_more_than_there_may_be() {
        let sockets = Sockets::within(4);
        let first = sockets.take().unwrap();
        let _second = sockets.take().unwrap();
        assert!(sockets.take().is_none());
        drop(first);
        assert!(sockets.take().is_some());
    }
}
