//! Whether a store can take what it is given.
//!
//! ```text
//!              the disk has less than its reserve left
//!           ┌──────────────────────────────────────────▶ Full
//! Healthy ◀─┤◀──────────────────────────────────────────
//!           └───▶ Failing: a write or a sync failed; opened anew until that works
//! ```

use std::fmt;

/// Whether a store can take what it is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It can.
    #[default]
    Healthy,
    /// The disk has less than its reserve left. What is submitted is still written: that is what
    /// the reserve is for. So nobody should submit more than must be.
    Full {
        /// Bytes left.
        free_bytes: u64,
        /// Bytes that should be.
        reserve_bytes: u64,
    },
    /// A write or a sync failed. Nothing is reported until the store has been opened anew and what
    /// failed is in it.
    Failing {
        /// What the operating system or RocksDB says.
        reason: String,
        /// Whether the disk also has less than its reserve left.
        is_full: bool,
    },
}

impl State {
    /// All names, in the order of the states.
    pub const NAMES: [&'static str; 3] = ["healthy", "full", "failing"];

    /// In one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Healthy => Self::NAMES[0],
            Self::Full { .. } => Self::NAMES[1],
            Self::Failing { .. } => Self::NAMES[2],
        }
    }

    /// Whether the disk has less than its reserve left.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Healthy => false,
            Self::Full { .. } => true,
            Self::Failing { is_full, .. } => *is_full,
        }
    }

    /// Whether an operator would want to be told the difference.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Full { .. }, Self::Full { .. }) => true,
            _ => self == other,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: u64 = 1024 * 1024;
        match self {
            Self::Healthy => f.write_str("the store takes what it is given"),
            Self::Full { free_bytes, reserve_bytes } => write!(
                f,
                "the disk of the store is full: {} MiB are left, {} MiB are kept as a reserve \
                 ([store] disk_reserve); messages that must be stored are refused until there is \
                 room",
                free_bytes / MIB,
                reserve_bytes / MIB
            ),
            Self::Failing { reason, .. } => write!(
                f,
                "{reason}; nothing that waits for it is acknowledged, and it is tried again each \
                 second"
            ),
        }
    }
}

/// Room on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) free_bytes: u64,
    pub(crate) reserve_bytes: u64,
}

impl Space {
    /// Once full, there must be an eighth more than the reserve, so that it does not come and go.
    pub(crate) fn is_full(self, was_full: bool) -> bool {
        let more = if was_full { self.reserve_bytes / 8 } else { 0 };
        self.free_bytes < self.reserve_bytes + more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_until_there_is_more_than_the_reserve() {
        let space = |free_bytes| Space { free_bytes, reserve_bytes: 800 };
        assert!(!space(800).is_full(false) && space(799).is_full(false));
        assert!(space(899).is_full(true) && !space(900).is_full(true));
    }

    #[test]
    fn a_person_reads_what_is_wrong() {
        let full = State::Full { free_bytes: 3 << 20, reserve_bytes: 512 << 20 };
        assert!(full.to_string().contains("3 MiB are left, 512 MiB"));
        assert!(full.is_as(&State::Full { free_bytes: 1, reserve_bytes: 2 }));
        let failing = State::Failing { reason: "no disk".into(), is_full: false };
        assert!(failing.to_string().starts_with("no disk;") && !failing.is_as(&State::Healthy));
    }
}
