//! What is left after a cut that loses what was not synced must be a prefix.

use super::publications::Publications;
use crate::history::{Cut, Record, What};

/// For each cut: until when, at least, everything was on the disk. `None` for a cut that loses
/// nothing.
#[derive(Debug)]
pub(super) struct Survivors(Vec<(Cut, u64)>);

/// Finds, for each cut that may lose something, the latest message that was sent before it and
/// first came to a client after it: all that had been acknowledged before this message was sent
/// must be there, too.
pub(super) fn survivors(record: &Record, publications: &Publications) -> Survivors {
    let lossy = record.cuts.iter().filter(|cut| cut.takes_acknowledged());
    let mut survivors: Vec<(Cut, u64)> = lossy.map(|cut| (*cut, 0)).collect();
    if survivors.is_empty() {
        return Survivors(survivors);
    }
    for history in &record.clients {
        let mut seen = std::collections::HashSet::new();
        for (at, what) in &history.events {
            let What::Received { serial, retain: false, .. } = what else { continue };
            let Some(publication) = publications.all.get(serial) else { continue };
            if !seen.insert(*serial) {
                continue;
            }
            for (cut, until) in &mut survivors {
                if publication.last() < cut.from && *at > cut.until {
                    *until = publication.first().max(*until);
                }
            }
        }
    }
    Survivors(survivors)
}

impl Survivors {
    /// Whether something that was done at `done`, and needed until `missed`, may be gone.
    pub(super) fn may_lack(&self, done: u64, missed: u64) -> bool {
        self.cuts_between(done, missed).any(|(_, until)| *until <= done)
    }

    /// Whether there was a cut that could take it.
    pub(super) fn is_after_a_cut(&self, done: u64, missed: u64) -> bool {
        self.cuts_between(done, missed).next().is_some()
    }

    fn cuts_between(&self, done: u64, missed: u64) -> impl Iterator<Item = &(Cut, u64)> {
        self.0.iter().filter(move |(cut, _)| done < cut.until && cut.from < missed)
    }
}
