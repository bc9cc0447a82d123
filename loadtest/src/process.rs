//! What the kernel says of a process: CPU, memory.

use std::{fs, io};

use crate::error::Error;

/// A process that is watched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pid: u32,
}

/// Resident memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// The most there ever was.
    pub(crate) peak: u64,
    /// Now.
    pub(crate) now: u64,
}

impl Process {
    /// # Errors
    /// When there is no such process.
    pub(crate) fn new(pid: u32) -> Result<Self, Error> {
        let process = Self { pid };
        process.cpu_s()?;
        Ok(process)
    }

    /// This program.
    pub(crate) fn own() -> Self {
        Self { pid: std::process::id() }
    }

    /// Seconds of CPU that it has used, user and system together.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn cpu_s(self) -> Result<f64, Error> {
        let stat = self.read("stat")?;
        let ticks = cpu_ticks(&stat).ok_or_else(|| self.unreadable())?;
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// # Errors
    /// When it has ended.
    pub(crate) fn memory(self) -> Result<Memory, Error> {
        let status = self.read("status")?;
        let peak = status_bytes(&status, "VmHWM:").ok_or_else(|| self.unreadable())?;
        let now = status_bytes(&status, "VmRSS:").ok_or_else(|| self.unreadable())?;
        Ok(Memory { peak, now })
    }

    fn read(self, name: &str) -> Result<String, Error> {
        let text = fs::read_to_string(format!("/proc/{}/{name}", self.pid));
        text.map_err(|source| Error::Process { pid: self.pid, source })
    }

    fn unreadable(self) -> Error {
        let source = io::Error::from(io::ErrorKind::InvalidData);
        Error::Process { pid: self.pid, source }
    }
}

/// Fields 14 and 15 of /proc/PID/stat: user and system time. The second field is a name in
/// parentheses, in which anything may stand.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// A line of /proc/PID/status that is in KiB.
fn status_bytes(status: &str, label: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(label))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "1 (a) b 7) S 2 3 4 5 6 7 8 9 10 11 120 30 0 0 20 0";
        assert_eq!(cpu_ticks(stat), Some(150));
        assert_eq!(cpu_ticks("1 (a"), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        let status = "VmPeak:\t 9 kB\nVmHWM:\t  2048 kB\nVmRSS:\t 1024 kB\n";
        assert_eq!(status_bytes(status, "VmHWM:"), Some(2 << 20));
        assert_eq!(status_bytes(status, "VmSwap:"), None);
    }

    #[test]
    fn this_program_has_memory() {
        let memory = Process::own().memory().unwrap();
        assert!(memory.peak >= memory.now && memory.now > 0);
    }
}
