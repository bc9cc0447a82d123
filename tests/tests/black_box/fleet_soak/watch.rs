//! Looks at a broker again and again: memory, descriptors, bytes on the disk.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use flotilla_tests::{Broker, Descriptors};

use super::figures::Page;

/// How often memory is looked at.
const EACH: Duration = Duration::from_millis(500);
/// How many times of these until the others are.
const OTHERS_EACH: u32 = 8;
/// So often it is tried to see descriptors and connections of the same moment.
const TRIES: u32 = 200;

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// When, how many bytes.
    resident: Vec<(Duration, u64)>,
    /// The most bytes of the log, of the directory.
    pub(crate) log_bytes_max: u64,
    pub(crate) disk_bytes_max: u64,
    /// The most descriptors, the most connections, how often they were looked at…
    pub(crate) descriptors_max: usize,
    pub(crate) connections_max: u64,
    pub(crate) looks: u64,
    /// …and when they could not be told from each other.
    pub(crate) unaccounted: Vec<String>,
}

impl Seen {
    /// The median of the memory between these times since the beginning.
    pub(crate) fn resident_bytes(&self, from: Duration, until: Duration) -> u64 {
        let within = self.resident.iter().filter(|(at, _)| (from..=until).contains(at));
        let mut bytes: Vec<u64> = within.map(|(_, bytes)| *bytes).collect();
        bytes.sort_unstable();
        *bytes.get(bytes.len() / 2).expect("it was looked at in this time")
    }
}

/// Looks until `is_over`. `idle`: what is open without connections.
pub(crate) fn watch(broker: &Broker, idle: &Descriptors, is_over: &AtomicBool) -> Seen {
    let (began, mut seen, mut round) = (Instant::now(), Seen::default(), 0);
    while !is_over.load(Ordering::Relaxed) {
        seen.resident.push((began.elapsed(), broker.resident_bytes()));
        if round % OTHERS_EACH == 0 {
            let page = Page::of(broker);
            let log_bytes = page.sum("flotilla_store_log_bytes", "");
            seen.log_bytes_max = seen.log_bytes_max.max(log_bytes);
            seen.disk_bytes_max = seen.disk_bytes_max.max(bytes_in(&broker.data()));
            account(broker, idle, &mut seen);
        }
        round += 1;
        thread::sleep(EACH);
    }
    seen
}

/// At some moment there are as many sockets as connections and those of an idle broker.
fn account(broker: &Broker, idle: &Descriptors, seen: &mut Seen) {
    seen.looks += 1;
    let connections = || Page::of(broker).sum("flotilla_listener_connections", "");
    let mut before = connections();
    let mut last = String::new();
    for _ in 0..TRIES {
        let open = broker.descriptors();
        let after = connections();
        let Descriptors { sockets, directories, files, deleted, others } = open;
        seen.descriptors_max =
            seen.descriptors_max.max(sockets + directories + files + deleted + others);
        seen.connections_max = seen.connections_max.max(after);
        if before == after && sockets as u64 == idle.sockets as u64 + after && others == idle.others
        {
            return;
        }
        last = format!("{open:?} with {before}, then {after} connections");
        before = after;
    }
    seen.unaccounted.push(last);
}

/// Bytes of all files below a directory.
pub(crate) fn bytes_in(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(of) if of.is_dir() => bytes_in(&entry.path()),
        Ok(of) => of.len(),
        // It was deleted meanwhile.
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
