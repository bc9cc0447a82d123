//! One replay among those that are read together.

use std::sync::Arc;

use flotilla_core::id::Position;
use flotilla_core::turn::{Page, Replay};

use super::partitions::Partition;
use crate::engine::FIRST;
use crate::error::Error;
use crate::hash::{addressee_hash, filter_hash};
use crate::page::Filling;
use crate::partition;

/// One replay, and how far its page is.
pub(super) struct Reader<'a> {
    /// Which of those that were asked for.
    pub(super) number: usize,
    pub(super) replay: &'a Replay,
    pub(super) from: Position,
    pub(super) filling: Filling,
    /// Whether the page has to be looked at.
    pub(super) is_filled: bool,
    pub(super) state: State,
    /// The hashes under which the index lists what it wants. Empty if it wants everything.
    pub(super) hashes: Vec<u32>,
    /// By partition: whether it has a filter that the index knows nothing about.
    wide: Vec<bool>,
    /// By partition: whether all its blocks have to be read for it, in the range that is being read.
    pub(super) scans: Vec<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Reading,
    /// Its page is full.
    Full,
    /// From here on it is read with others.
    Deferred(Position),
    Failed(Error),
}

impl<'a> Reader<'a> {
    pub(super) fn new(number: usize, replay: &'a Replay, partitions: &[Arc<Partition>]) -> Self {
        let mut wide = vec![false; partitions.len()];
        let mut hashes = vec![addressee_hash(replay.client_id.as_str())];
        for (filter, _) in &replay.filters[..] {
            match filter_hash(filter) {
                Some(hash) => hashes.push(hash),
                None => reach(filter, partitions, &mut wide),
            }
        }
        if wide.iter().all(|is_wide| *is_wide) {
            hashes.clear();
        }
        hashes.sort_unstable();
        hashes.dedup();
        let from = replay.from.max(FIRST);
        Self {
            number,
            replay,
            from,
            filling: Filling::new(replay, from),
            is_filled: false,
            state: State::Reading,
            hashes,
            scans: wide.clone(),
            wide,
        }
    }

    /// Whether it has a filter that the index knows nothing about.
    pub(super) fn is_wide(&self) -> bool {
        self.wide.contains(&true)
    }

    /// Whether it reads all there is.
    pub(super) fn scans_everything(&self) -> bool {
        self.scans.iter().all(|scans| *scans)
    }

    /// A new range begins.
    pub(super) fn scan_as_needed(&mut self) {
        self.scans.clone_from(&self.wide);
    }

    /// The index does not help in this range.
    pub(super) fn scan_everything(&mut self) {
        self.scans.fill(true);
    }

    /// What it wants under this hash may be in any block.
    pub(super) fn scan_for(&mut self, hash: u32, partitions: &[Arc<Partition>]) {
        if hash == addressee_hash(self.replay.client_id.as_str()) {
            return self.scan_everything();
        }
        for (filter, _) in &self.replay.filters[..] {
            if filter_hash(filter) == Some(hash) {
                reach(filter, partitions, &mut self.scans);
            }
        }
    }

    /// The positions that it wants whatever their topic, from `from` to before `end`.
    pub(super) fn positions(&self, from: Position, end: Position) -> &'a [Position] {
        let positions = &self.replay.positions;
        let from = positions.partition_point(|position| *position < from.max(self.from));
        let end = positions.partition_point(|position| *position < end).max(from);
        &positions[from..end]
    }

    /// As it was before anything was read.
    pub(super) fn again(mut self) -> Self {
        self.filling = Filling::new(self.replay, self.from);
        self.is_filled = false;
        self.state = State::Reading;
        self
    }

    /// Everything below `next` was read for it, in a log that ends at `end`.
    pub(super) fn finish(self, next: Position, end: Position) -> Result<Page, Error> {
        match self.state {
            State::Failed(error) => Err(error),
            _ => Ok(self.filling.finish(next, end)),
        }
    }
}

/// Marks the partitions that a filter can match.
fn reach(filter: &str, partitions: &[Arc<Partition>], reached: &mut [bool]) {
    for (partition, reached) in partitions.iter().zip(reached) {
        *reached = *reached || partition::can_match(filter, partition.name.as_deref());
    }
}
