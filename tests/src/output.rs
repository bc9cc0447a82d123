//! What a program writes to stderr, collected line by line.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStderr},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::Instant,
};

/// The lines until now; whoever waits for one is woken.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: Mutex<Lines>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    has_ended: bool,
}

impl Log {
    pub(crate) fn follow(child: &mut Child) -> Arc<Self> {
        let stderr: ChildStderr = child.stderr.take().expect("stderr is piped");
        let log = Arc::new(Self::default());
        let writer = Arc::clone(&log);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                writer.locked().lines.push(line);
                writer.grown.notify_all();
            }
            writer.locked().has_ended = true;
            writer.grown.notify_all();
        });
        log
    }

    fn locked(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().expect("nobody panics while holding the log")
    }

    pub(crate) fn text(&self) -> String {
        self.locked().lines.join("\n")
    }

    /// The first line that contains `part`; `None` at the deadline or the end of the log.
    pub(crate) fn find(&self, part: &str, until: Instant) -> Option<String> {
        let mut lines = self.locked();
        loop {
            if let Some(line) = lines.lines.iter().find(|line| line.contains(part)) {
                return Some(line.clone());
            }
            let left = until.saturating_duration_since(Instant::now());
            if lines.has_ended || left.is_zero() {
                return None;
            }
            lines = self.grown.wait_timeout(lines, left).expect("nobody panics holding it").0;
        }
    }

    /// Whether nothing more can come.
    pub(crate) fn has_ended(&self) -> bool {
        self.locked().has_ended
    }

    pub(crate) fn await_end(&self, until: Instant) {
        let mut lines = self.locked();
        while !lines.has_ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            lines = self.grown.wait_timeout(lines, left).expect("nobody panics holding it").0;
        }
    }
}
