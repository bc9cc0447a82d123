//! The file descriptors of a broker, as the kernel lists them.

use std::{fs, path::Path};

use crate::Broker;

/// How many there are of each kind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Descriptors {
    /// Listeners, connections of clients, of the operations, of the control socket.
    pub sockets: usize,
    /// Directories of the data: the store has one for each of its families.
    pub directories: usize,
    /// Files of the data.
    pub files: usize,
    /// Files that are in no directory any more: their place on the disk is not free until they are
    /// closed.
    pub deleted: usize,
    /// What the program has from its start on: standard streams, what its threads wait with.
    pub others: usize,
}

impl Broker {
    /// What is open now.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn descriptors(&self) -> Descriptors {
        let (of, data) = (self.running.child.id(), self.data());
        let mut found = Descriptors::default();
        for entry in fs::read_dir(format!("/proc/{of}/fd")).expect("the broker runs") {
            // One that was closed meanwhile is no more.
            let Some(target) = entry.ok().and_then(|entry| fs::read_link(entry.path()).ok()) else {
                continue;
            };
            *found.of(&target, &data) += 1;
        }
        found
    }
}

impl Descriptors {
    fn of(&mut self, target: &Path, data: &Path) -> &mut usize {
        let name = target.to_string_lossy();
        match target {
            _ if name.starts_with("socket:") => &mut self.sockets,
            _ if name.ends_with(" (deleted)") => &mut self.deleted,
            _ if !target.starts_with(data) => &mut self.others,
            _ if target.is_dir() => &mut self.directories,
            _ => &mut self.files,
        }
    }
}
