//! Log lines while a large store is being opened.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use flotilla_store::Progress;
use tracing::info;

/// A start that takes less says nothing.
const PAUSE: Duration = Duration::from_secs(1);

/// Logs how far opening has come, once a second, until it is dropped.
pub(crate) struct OpeningLog {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl OpeningLog {
    /// Starts to watch.
    ///
    /// # Errors
    /// When the operating system has no thread left.
    pub(crate) fn start(progress: Arc<Progress>) -> io::Result<Self> {
        let (end, ended) = channel();
        let thread = thread::Builder::new().name("opening".to_owned()).spawn(move || {
            while ended.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                info!("{}", line(&progress));
            }
        })?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for OpeningLog {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It cannot panic; and if it did, the process would have ended.
            let _ = thread.join();
        }
    }
}

fn line(progress: &Progress) -> String {
    let (phase, done, expected) = (progress.phase().name(), progress.done(), progress.expected());
    match expected {
        0 => format!("opening: {phase}"),
        _ => format!("opening: {phase}, {done} of about {expected}"),
    }
}

#[cfg(test)]
mod tests {
    use flotilla_store::Phase;

    use super::*;

    #[test]
    fn says_what_is_known() {
        let progress = Progress::default();
        progress.begin(Phase::Opening, 0);
        assert_eq!(line(&progress), "opening: opening the database");
        progress.begin(Phase::ReadingSessions, 3);
        progress.step();
        assert_eq!(line(&progress), "opening: reading sessions, 1 of about 3");
    }
}
