//! The checker: decides from the clients' histories whether the broker kept its word.
//!
//! A pure function. It is exact about what cannot be known: an operation that was under way when
//! a connection ended may have happened or not. So a rule holds what certainly was against what
//! possibly was, never a guess against a guess.

mod deliveries;
mod fault;
mod prefix;
mod publications;
mod retained;
mod sessions;
#[cfg(test)]
mod tests;
mod windows;

pub use fault::{Fault, Kind};

use deliveries::Deliveries;
use publications::Publications;

use crate::history::Record;

/// What the checker found.
#[derive(Clone, Default, Debug)]
pub struct Verdict {
    /// What is wrong. Empty: the broker kept its word.
    pub faults: Vec<Fault>,
    /// Messages that were sent at least once.
    pub messages: u64,
    /// Of these, acknowledged and not refused.
    pub acknowledged: u64,
    /// Of these, refused by Reason Code.
    pub refused: u64,
    /// Acknowledged messages that a client had a right to, over all clients.
    pub owed: u64,
    /// PUBLISH packets that came to clients.
    pub received: u64,
    /// Of these, with DUP.
    pub redelivered: u64,
    /// CONNACKs that said Session Present.
    pub resumed: u64,
    /// Messages that were acknowledged, and lost in a cut that may lose what was not synced.
    pub lost_unsynced: u64,
}

/// Decides.
pub fn check(record: &Record) -> Verdict {
    let mut verdict = Verdict::default();
    let publications = Publications::of(&record.clients);
    publications.count(&mut verdict);
    let survivors = prefix::survivors(record, &publications);
    for history in &record.clients {
        sessions::judge(history, &record.cuts, &survivors, &mut verdict);
        Deliveries::new(history, &publications, record).judge(&survivors, &mut verdict);
    }
    retained::judge(record, &publications, &survivors, &mut verdict.faults);
    verdict
}
