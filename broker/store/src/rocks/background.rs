//! A thread that works beside the commits until the store is closed.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};

/// The thread. Dropped, it is ended.
pub(super) struct Background {
    is_closed: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Background {
    /// Starts `work`, which ends soon after what it is given is true; it is unparked then.
    pub(super) fn start(
        name: &str,
        work: impl FnOnce(Arc<AtomicBool>) + Send + 'static,
    ) -> io::Result<Self> {
        let is_closed = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_closed);
        let thread = thread::Builder::new().name(name.into()).spawn(move || work(ends))?;
        Ok(Self { is_closed, thread: Mutex::new(Some(thread)) })
    }

    /// To unpark it with; `None`: it has been ended.
    pub(super) fn thread(&self) -> Option<Thread> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().map(|thread| thread.thread().clone())
    }

    /// Ends the thread. What it has begun and not written stays for the next start.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            thread.thread().unpark();
            // It has nothing to say, and whoever opens the store anew needs it gone.
            let _ = thread.join();
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.close();
    }
}
