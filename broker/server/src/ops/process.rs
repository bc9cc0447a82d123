//! This process, as the operating system sees it.

use std::fs;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Numbers of `/proc/self`; 0 where it is not there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Process {
    /// Time on a core, user and system, seconds.
    pub(crate) cpu_seconds: f64,
    /// Memory that is not swapped out, bytes.
    pub(crate) resident_bytes: u64,
    /// Open file descriptors.
    pub(crate) open_files: u64,
    /// The most there may be.
    pub(crate) open_files_max: u64,
}

impl Process {
    /// Reads the numbers of now.
    pub(crate) fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let open_files = fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64);
        Self {
            cpu_seconds: cpu_ticks(&stat) as f64 / rustix::param::clock_ticks_per_second() as f64,
            resident_bytes: resident_pages(&statm) * rustix::param::page_size() as u64,
            open_files,
            open_files_max: open_files_max(),
        }
    }
}

/// Takes as many file descriptors as the operating system allows. The lower limit that most
/// programs start with, 1024, is there for those that use select(2).
pub(crate) fn raise_open_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Who may not is told when there are none left.
    let _ =
        setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit });
}

/// The most file descriptors there may be.
pub(crate) fn open_files_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Keeps the operating system from giving memory in pages of 2 MiB, of which each counts as a whole
/// although little of it may be used: the allocator would ask for them (docs/performance.md).
pub(crate) fn use_small_pages() {
    // Where it cannot be said, more memory is used.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Fields 14 and 15 of proc_pid_stat(5); the name in field 2 may hold anything but ends with the
/// last parenthesis.
fn cpu_ticks(stat: &str) -> u64 {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum()
}

/// The second field of proc_pid_statm(5).
fn resident_pages(statm: &str) -> u64 {
    statm.split_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_kernel_writes_it() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 3 0 150 50 0 0 20 0 4 0 99 1 2 3";
        assert_eq!(cpu_ticks(stat), 200);
        assert_eq!(resident_pages("1000 250 100 5 0 300 0"), 250);
        let this = Process::read();
        assert!(this.resident_bytes > 100_000 && this.open_files >= 3 && this.open_files_max > 0);
    }
}
