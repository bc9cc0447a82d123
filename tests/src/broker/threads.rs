//! What the threads of a broker do, as the kernel sees them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{Broker, DEADLINE};

impl Broker {
    /// Stops all threads where they are, between two system calls: what was being written to the
    /// disk is written, and none of them can say so.
    ///
    /// # Panics
    /// When a thread still runs at the deadline.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let until = Instant::now() + DEADLINE;
        while !self.is_frozen() {
            assert!(Instant::now() < until, "it runs on:\n{}", waits(&self.running.child));
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn is_frozen(&self) -> bool {
        let is_stopped = |task: PathBuf| {
            let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
            // PID (NAME) STATE …; a name may contain anything.
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
        };
        tasks(&self.running.child).is_ok_and(|tasks| tasks.into_iter().all(is_stopped))
    }
}

/// What each thread of a process waits for, as far as the kernel says: a lock, or the disk.
pub(super) fn waits(process: &Child) -> String {
    let read = |task: &Path, file| fs::read_to_string(task.join(file)).unwrap_or_default();
    let of = |task: &Path| {
        let stack = read(task, "stack").lines().take(5).collect::<Vec<_>>().join(" ");
        let (name, waits) = (read(task, "comm"), read(task, "wchan"));
        format!("{}: {waits} {stack}\n", name.trim())
    };
    tasks(process).map_or_else(
        |error| format!("{error}\n"),
        |tasks| tasks.iter().map(|task| of(task)).collect(),
    )
}

fn tasks(process: &Child) -> io::Result<Vec<PathBuf>> {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.id()))?;
    tasks.map(|task| task.map(|task| task.path())).collect()
}
