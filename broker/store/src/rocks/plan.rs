//! What has to be read of a range of the log, and for whom.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use flotilla_core::id::Position;
use rocksdb::DB;

use super::Store;
use super::blocks::Blocks;
use super::partitions::Partition;
use super::reader::{Reader, State};
use crate::block::Block;
use crate::error::Error;
use crate::keys;
use crate::recover::family;
use crate::segment::{BlockRef, IndexPage, Listed, Segment, Share};

/// A replay that has to read more blocks of a segment than this, and more than one of
/// [`HEAVY_SHARE`] of them, is not read together with those that need few.
const HEAVY_BLOCKS: usize = 16;
const HEAVY_SHARE: usize = 8;
/// What a look into a page of an index costs, as bytes that are read.
const LOOKUP_COST: usize = 1024;

/// A run of positions.
pub(super) struct Range {
    first: Position,
    pub(super) end: Position,
    kind: Kind,
}

enum Kind {
    /// A segment that is sealed.
    Sealed(Segment),
    /// Nothing is known about it.
    Unlisted,
    /// The end of the log.
    Tail,
}

/// A block that has to be read for a replay: first position, partition, which replay.
pub(super) type Wish = (Position, usize, u32);

/// Plans what is read for many replays.
pub(super) struct Planner<'a> {
    pub(super) store: &'a Store,
    pub(super) db: &'a DB,
    pub(super) partitions: &'a [Arc<Partition>],
    pub(super) end: Position,
}

impl Planner<'_> {
    /// The range in which `at` lies, which is below the end.
    pub(super) fn range(&self, at: Position) -> Range {
        let sealed = self.store.tail.first();
        if at >= sealed {
            return Range { first: at, end: self.end, kind: Kind::Tail };
        }
        let mut rows = self.db.raw_iterator_cf(&family(self.db, keys::SEGMENTS));
        rows.seek_for_prev(keys::first(at));
        if let Some((key, value)) = rows.item() {
            match (keys::position(key), Segment::decode(key, value)) {
                (Some(first), Ok(segment)) if segment.end > at => {
                    let end = segment.end.min(self.end);
                    return Range { first, end, kind: Kind::Sealed(segment) };
                }
                (Some(_), Ok(_)) => {}
                _ => self.fault(),
            }
        }
        rows.seek(keys::first(at.plus(1)));
        let next = rows.key().and_then(keys::position).unwrap_or(sealed);
        Range { first: at, end: next.min(sealed).min(self.end), kind: Kind::Unlisted }
    }

    /// What has to be read from `at` on in a range for those that are reading: which of them read
    /// all blocks of which partitions is in their `scans`; the others' blocks are given back, in
    /// order. `None`: the range was sealed meanwhile. Adds to `cost` what it has cost.
    pub(super) fn plan(
        &self,
        range: &Range,
        at: Position,
        readers: &mut [Reader<'_>],
        cost: &mut usize,
    ) -> Option<Vec<Wish>> {
        let mut wishes = Vec::new();
        for reader in readers.iter_mut() {
            reader.scan_as_needed();
        }
        match &range.kind {
            Kind::Unlisted => scan_all(readers),
            Kind::Sealed(segment) => {
                self.look_up(range.first, segment, readers, &mut wishes);
                *cost += readers.len() * LOOKUP_COST;
            }
            Kind::Tail if readers.iter().all(|r| !is_asking(r)) => {}
            Kind::Tail => match self.store.tail.up_to(self.store, self.db, self.end) {
                Ok(open) => {
                    let growing = &open.growing;
                    if growing.first() > at {
                        return None;
                    }
                    let ordinals = self.ordinals(growing.shares());
                    for (number, reader) in (0..).zip(readers.iter_mut()) {
                        for hash in asked(reader) {
                            let found = growing.find(hash);
                            let first = growing.first();
                            self.wish(number, reader, hash, found, first, &ordinals, &mut wishes);
                        }
                    }
                }
                Err(_) => {
                    self.fault();
                    scan_all(readers);
                }
            },
        }
        self.locate(range, at, readers, &mut wishes);
        wishes.retain(|(first, ..)| *first < range.end);
        wishes.sort_unstable();
        wishes.dedup();
        Some(self.without_passed(wishes, readers))
    }

    /// Whether a replay has to read so much of the range that others should not wait for it.
    pub(super) fn is_heavy(range: &Range, reader: &Reader<'_>, wishes: usize) -> bool {
        let blocks = match &range.kind {
            Kind::Sealed(segment) => segment.blocks as usize,
            Kind::Unlisted | Kind::Tail => 0,
        };
        reader.scans.contains(&true) || wishes > HEAVY_BLOCKS.max(blocks / HEAVY_SHARE)
    }

    fn look_up(
        &self,
        first: Position,
        segment: &Segment,
        readers: &mut [Reader<'_>],
        wishes: &mut Vec<Wish>,
    ) {
        if segment.pages == 0 {
            return scan_all(readers);
        }
        let ordinals = self.ordinals(&segment.shares);
        let mut questions: Vec<(u16, u32, u32)> = Vec::new();
        for (number, reader) in (0..).zip(readers.iter()) {
            let asked = asked(reader).into_iter();
            questions.extend(asked.map(|hash| (segment.page_of(hash), hash, number)));
        }
        questions.sort_unstable();
        let index = family(self.db, keys::INDEX);
        for questions in questions.chunk_by(|a, b| a.0 == b.0) {
            let key = keys::index_page(first, questions.first().map_or(0, |(page, ..)| *page));
            let stored = self.db.get_pinned_cf(&index, key).ok().flatten();
            let page = stored.as_deref().and_then(|page| IndexPage::decode(&key, page).ok());
            if page.is_none() {
                self.fault();
            }
            for &(_, hash, number) in questions {
                let reader = &mut readers[number as usize];
                match page {
                    Some(page) => {
                        let found = page.find(hash);
                        self.wish(number, reader, hash, found, first, &ordinals, wishes);
                    }
                    None => reader.scan_everything(),
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the one place where an answer is taken up")]
    fn wish(
        &self,
        number: u32,
        reader: &mut Reader<'_>,
        hash: u32,
        found: Listed,
        first: Position,
        ordinals: &[Option<usize>],
        wishes: &mut Vec<Wish>,
    ) {
        let Listed::In(blocks) = found else {
            return reader.scan_for(hash, self.partitions);
        };
        for block in blocks {
            match ordinals.get(block.share()).copied().flatten() {
                Some(partition) => {
                    wishes.push((first.plus(BlockRef::distance(block)), partition, number));
                }
                // Of a partition that is not there: what can be found is found by reading all.
                None => {
                    self.fault();
                    reader.scan_everything();
                }
            }
        }
    }

    /// By number of a segment's partition: that of the store.
    fn ordinals(&self, shares: &[Share]) -> Vec<Option<usize>> {
        let known: HashMap<Option<&str>, usize> =
            self.partitions.iter().enumerate().map(|(at, p)| (p.name.as_deref(), at)).collect();
        shares.iter().map(|share| known.get(&share.name.as_deref()).copied()).collect()
    }

    /// Finds the blocks of positions that are wanted whatever their topic.
    fn locate(
        &self,
        range: &Range,
        at: Position,
        readers: &mut [Reader<'_>],
        wishes: &mut Vec<Wish>,
    ) {
        let mut positions: Vec<(Position, u32)> = Vec::new();
        for (number, reader) in (0..).zip(readers.iter()) {
            if reader.state == State::Reading && !reader.scans_everything() {
                let wanted = reader.positions(at, range.end);
                positions.extend(wanted.iter().map(|position| (*position, number)));
            }
        }
        if positions.is_empty() {
            return;
        }
        positions.sort_unstable();
        for (number, partition) in self.partitions.iter().enumerate() {
            if self.locate_in(number, partition, &positions, wishes).is_err() {
                // Reading all meets what cannot be read.
                for &(_, reader) in &positions {
                    readers[reader as usize].scan_everything();
                }
            }
        }
    }

    fn locate_in(
        &self,
        number: usize,
        partition: &Partition,
        positions: &[(Position, u32)],
        wishes: &mut Vec<Wish>,
    ) -> Result<(), Error> {
        let Some((lowest, _)) = positions.first() else { return Ok(()) };
        let mut blocks = Blocks::around(self.db, partition, *lowest)?;
        let (mut first, mut last) = (Position::ZERO, Position::ZERO);
        for &(position, reader) in positions {
            if position > last {
                blocks.seek(position)?;
                let Some(next) = blocks.next() else { continue };
                first = next;
                // What is no block is met when it is read.
                last = Block::peek(blocks.bytes()).map_or(position, |block| block.last());
            }
            if (first..=last).contains(&position) {
                wishes.push((first, number, reader));
            }
        }
        Ok(())
    }

    /// Leaves out blocks that end before their replay begins: all but the last of each partition
    /// that begins before it.
    fn without_passed(&self, wishes: Vec<Wish>, readers: &[Reader<'_>]) -> Vec<Wish> {
        let mut last: HashMap<(usize, u32), Position> = HashMap::new();
        for &(first, partition, reader) in &wishes {
            if first <= readers[reader as usize].from {
                last.insert((partition, reader), first);
            }
        }
        let is_needed = |&(first, partition, reader): &Wish| {
            last.get(&(partition, reader)).is_none_or(|last| *last <= first)
        };
        wishes.into_iter().filter(is_needed).collect()
    }

    fn fault(&self) {
        self.store.index_faults.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether a reader needs the index.
fn is_asking(reader: &Reader<'_>) -> bool {
    reader.state == State::Reading && !reader.hashes.is_empty()
}

/// What a reader asks the index.
fn asked(reader: &Reader<'_>) -> Vec<u32> {
    if is_asking(reader) { reader.hashes.clone() } else { Vec::new() }
}

fn scan_all(readers: &mut [Reader<'_>]) {
    readers.iter_mut().for_each(Reader::scan_everything);
}
