//! One way through the log, upward, for all replays that it passes.

use std::collections::VecDeque;

use flotilla_core::id::Position;
use flotilla_core::turn::Page;

use super::blocks::{Blocks, damaged};
use super::plan::{Planner, Range, Wish};
use super::reader::{Reader, State};
use super::unreadable;
use crate::block::{Block, Entry, MalformedBlock};
use crate::error::Error;
use crate::keys;
use crate::recover::family;
use crate::wanted::Wanted;

/// Bytes of blocks that are read for one page at most: it bounds how long a reader is held up by a
/// filter that matches little. Some 10 ms.
const SCAN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A sweep for many replays reads so many times as much at most.
const SHARED_MAX: usize = 8;
/// What a block costs besides its bytes: finding and checking it.
const BLOCK_COST: usize = 512;

/// Why a block is set aside that is not there.
const MISSING: &str = "another block or the index names it, and it is not there";

/// One answer a replay.
pub(super) type Answers = [Option<Result<Page, Error>>];

/// Goes from the lowest position upward until what it may read is read, or nobody reads any more.
pub(super) struct Sweep<'a, 'p> {
    planner: &'p Planner<'p>,
    /// Whether replays that need much are left to another sweep.
    is_light: bool,
    wanted: Wanted<'a>,
    /// Those that it has reached.
    readers: Vec<Reader<'a>>,
    /// How many of them are reading.
    reading: usize,
    /// Those of them that took something since they were last looked at, or are nearly full.
    filled: Vec<u32>,
    /// By partition: how many of them read all its blocks in this range.
    scanning: Vec<usize>,
    /// By partition: its blocks, and up to where they were passed.
    sources: Vec<Option<(Blocks<'p>, Position)>>,
    began: Position,
    /// All below was read for all of them.
    at: Position,
    scanned: usize,
}

/// The next block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    first: Position,
    partition: usize,
}

impl<'a, 'p> Sweep<'a, 'p> {
    pub(super) fn new(planner: &'p Planner<'p>, is_light: bool) -> Self {
        Self {
            planner,
            is_light,
            wanted: Wanted::default(),
            readers: Vec::new(),
            reading: 0,
            filled: Vec::new(),
            scanning: vec![0; planner.partitions.len()],
            sources: planner.partitions.iter().map(|_| None).collect(),
            began: Position::ZERO,
            at: Position::ZERO,
            scanned: 0,
        }
    }

    /// Reads for the first of those that wait, in the order of where they begin, and for all that
    /// come on the way. Answers at least one, or leaves it to the `heavy`.
    pub(super) fn run(
        mut self,
        waiting: &mut VecDeque<Reader<'a>>,
        heavy: &mut Vec<Reader<'a>>,
        answers: &mut Answers,
    ) {
        let end = self.planner.end;
        self.began = waiting.front().map_or(end, |reader| reader.from);
        self.at = self.began;
        while self.at < end && !self.is_exhausted(self.at) {
            let range = self.planner.range(self.at);
            while let Some(reader) = waiting.pop_front_if(|reader| reader.from < range.end) {
                self.join(reader);
            }
            if self.reading == 0 {
                break;
            }
            let plan = self.planner.plan(&range, self.at, &mut self.readers, &mut self.scanned);
            let Some(wishes) = plan else { continue };
            self.defer_heavy(&range, &wishes);
            self.at = self.read(&range, &wishes);
            if self.at < range.end {
                break;
            }
        }
        self.answer(waiting, heavy, answers);
    }

    fn join(&mut self, reader: Reader<'a>) {
        let number = u32::try_from(self.readers.len()).expect("replays are bounded");
        self.wanted.add(number, reader.replay);
        self.readers.push(reader);
        self.reading += 1;
    }

    fn defer_heavy(&mut self, range: &Range, wishes: &[Wish]) {
        if !self.is_light {
            return;
        }
        let mut counts = vec![0; self.readers.len()];
        for (_, _, reader) in wishes {
            counts[*reader as usize] += 1;
        }
        for (number, count) in counts.into_iter().enumerate() {
            let reader = &self.readers[number];
            if reader.state == State::Reading && Planner::is_heavy(range, reader, count) {
                self.leave(number, State::Deferred(self.at));
            }
        }
    }

    /// Reads a range, and says up to where.
    fn read(&mut self, range: &Range, wishes: &[Wish]) -> Position {
        self.begin_scans(range);
        let mut wishes = wishes;
        loop {
            let scanned = self.lowest_source(range.end);
            let wished = wishes.first().map(|&(first, partition, _)| Next { first, partition });
            let Some(next) = [scanned, wished].into_iter().flatten().min() else {
                break range.end;
            };
            self.dismiss_full(next.first);
            if self.reading == 0 || self.is_exhausted(next.first) {
                break next.first.max(self.at);
            }
            let for_whom = |wish: &&Wish| (wish.0, wish.1) == (next.first, next.partition);
            let (these, later) = wishes.split_at(wishes.iter().take_while(for_whom).count());
            wishes = later;
            if scanned == Some(next) {
                self.visit_scanned(next, these, range.end);
            } else if self.scanning[next.partition] == 0 || !self.is_passed(next) {
                self.visit_wished(next, these, range.end);
            }
        }
    }

    /// Opens the partitions that are to be read from here on.
    fn begin_scans(&mut self, range: &Range) {
        self.scanning.fill(0);
        for reader in self.readers.iter().filter(|reader| reader.state == State::Reading) {
            for (scanning, scans) in self.scanning.iter_mut().zip(&reader.scans) {
                *scanning += usize::from(*scans);
            }
        }
        for partition in 0..self.scanning.len() {
            if self.scanning[partition] == 0 {
                continue;
            }
            let known = self.sources[partition].take().filter(|(_, passed)| *passed == self.at);
            let source = match known {
                Some((blocks, _)) => Ok(blocks),
                None => {
                    let Planner { db, partitions, .. } = self.planner;
                    Blocks::around(db, &partitions[partition], self.at)
                }
            };
            match source {
                Ok(blocks) => self.sources[partition] = Some((blocks, range.end)),
                Err(error) => self.lose(partition, &[], &error),
            }
        }
    }

    /// The next block of the partitions that are read as a whole.
    fn lowest_source(&self, end: Position) -> Option<Next> {
        let sources = self.sources.iter().zip(&self.scanning).enumerate();
        let ready = sources.filter_map(|(partition, (source, scanning))| {
            let first = source.as_ref().filter(|_| *scanning > 0)?.0.next()?;
            (first < end).then_some(Next { first, partition })
        });
        ready.min()
    }

    /// Whether the block lies before what is read of its partition: it ends before that, too.
    fn is_passed(&self, block: Next) -> bool {
        let source = self.sources[block.partition].as_ref();
        source.is_some_and(|(blocks, _)| block.first < blocks.begins)
    }

    fn visit_scanned(&mut self, next: Next, wishes: &[Wish], end: Position) {
        let Some((mut blocks, passed)) = self.sources[next.partition].take() else { return };
        let checked = match self.check_chain(next, &blocks) {
            Err(Error::Gap { missing, .. }) => {
                self.set_aside(next.partition, missing, &[], &MISSING)
            }
            checked => checked,
        };
        match checked {
            Ok(()) => self.visit(next, blocks.bytes(), wishes, end),
            Err(error) => self.lose(next.partition, wishes, &error),
        }
        match blocks.pass() {
            Ok(()) => self.sources[next.partition] = Some((blocks, passed)),
            Err(error) => self.lose(next.partition, &[], &error),
        }
    }

    /// Each block names the one before it, so none can be missing without being missed.
    fn check_chain(&self, next: Next, blocks: &Blocks<'_>) -> Result<(), Error> {
        let Some(before) = blocks.previous else { return Ok(()) };
        // What is no block, or another one, is met when it is read.
        let Ok(block) = Block::peek(blocks.bytes()) else { return Ok(()) };
        let previous = block.previous();
        if block.first() != next.first
            || previous == before
            || self.is_cleaned(previous, next.partition)?
        {
            return Ok(());
        }
        Err(Error::Gap { missing: previous, found: next.first })
    }

    fn is_cleaned(&self, first: Position, partition: usize) -> Result<bool, Error> {
        let Planner { db, partitions, .. } = self.planner;
        Ok(first < partitions[partition].begin(db)?)
    }

    fn visit_wished(&mut self, next: Next, wishes: &[Wish], end: Position) {
        let is_reading = |wish: &Wish| self.readers[wish.2 as usize].state == State::Reading;
        if !wishes.iter().any(is_reading) {
            return;
        }
        let Planner { db, partitions, .. } = self.planner;
        let family = family(db, &partitions[next.partition].family);
        match db.get_pinned_cf(&family, keys::first(next.first)) {
            Ok(Some(bytes)) => self.visit(next, &bytes, wishes, end),
            Ok(None) => match self.is_cleaned(next.first, next.partition) {
                Ok(true) => {}
                Ok(false) => {
                    if let Err(error) = self.set_aside(next.partition, next.first, &[], &MISSING) {
                        self.lose(next.partition, wishes, &error);
                    }
                }
                Err(error) => self.lose(next.partition, wishes, &error),
            },
            Err(error) => {
                let told = match error.kind() {
                    rocksdb::ErrorKind::Corruption => {
                        let hole = partitions[next.partition].lost.hole_behind(db, next.first);
                        hole.and_then(|hole| hole.ok_or_else(|| damaged(next.first, &error)))
                    }
                    _ => Err(unreadable(error)),
                };
                if let Err(error) = told {
                    self.lose(next.partition, wishes, &error);
                }
            }
        }
    }

    /// Gives the messages of a block to all who want them.
    fn visit(&mut self, next: Next, bytes: &[u8], wishes: &[Wish], end: Position) {
        // Set aside before.
        if bytes.is_empty() || Block::peek(bytes).is_ok_and(|block| block.last() < self.at) {
            return;
        }
        self.scanned += bytes.len() + BLOCK_COST;
        let offered = match Block::decode(bytes) {
            Ok(block) if block.first() != next.first => {
                Err((next.first, MalformedBlock::MISPLACED))
            }
            Ok(block) => self.offer(&block, end),
            Err(error) => Err((next.first, error)),
        };
        // The position is for a message that is damaged within a block whose checksum fits.
        if let Err((_, reason)) = offered
            && let Err(error) = self.set_aside(next.partition, next.first, bytes, &reason)
        {
            self.lose(next.partition, wishes, &error);
        }
    }

    /// What cannot be read is told once, and all go on behind it.
    fn set_aside(
        &self,
        partition: usize,
        first: Position,
        bytes: &[u8],
        reason: &impl ToString,
    ) -> Result<(), Error> {
        let Planner { db, partitions, .. } = self.planner;
        partitions[partition].lost.set_aside(db, first, bytes, reason)
    }

    fn offer(
        &mut self,
        block: &Block<'_>,
        end: Position,
    ) -> Result<(), (Position, MalformedBlock)> {
        let Self { wanted, readers, filled, .. } = self;
        for (position, entry) in block.entries(self.at) {
            if position >= end {
                break;
            }
            let entry = entry.map_err(|error| (position, error))?;
            let mut message = None;
            let mut failed = false;
            let mut take = |number: u32| {
                let reader = &mut readers[number as usize];
                let is_for_it = reader.state == State::Reading && reader.from <= position;
                if failed || !is_for_it || !reader.filling.is_open_at(position) {
                    return;
                }
                if message.is_none() {
                    message = entry.message().ok();
                }
                let Some(message) = &message else {
                    failed = true;
                    return;
                };
                reader.filling.push(position, message.clone());
                if !std::mem::replace(&mut reader.is_filled, true) {
                    filled.push(number);
                }
            };
            if entry.is_addressed {
                let addressed = addressed(&entry).map_err(|error| (position, error))?;
                wanted.addressed(addressed.addressee()).iter().copied().for_each(&mut take);
            } else {
                let given = wanted.each(position, entry.topic, entry.topic_hash, &mut take);
                given.map_err(|error| (position, error))?;
            }
            if failed {
                return Err((position, MalformedBlock::NO_MESSAGE));
            }
        }
        Ok(())
    }

    /// A block of a partition cannot be read, or is not there: those that need it get the error.
    /// The others go on.
    fn lose(&mut self, partition: usize, wishes: &[Wish], error: &Error) {
        for number in 0..self.readers.len() {
            let reader = &self.readers[number];
            let is_wished = wishes.iter().any(|(_, _, reader)| *reader as usize == number);
            if reader.state == State::Reading && (reader.scans[partition] || is_wished) {
                self.leave(number, State::Failed(error.clone()));
            }
        }
    }

    /// Everything below `position` was read: whose page is full?
    fn dismiss_full(&mut self, position: Position) {
        let mut filled = std::mem::take(&mut self.filled);
        filled.retain(|&number| {
            let reader = &mut self.readers[number as usize];
            reader.filling.settle();
            reader.is_filled = reader.filling.is_limited() && reader.state == State::Reading;
            if reader.is_filled && reader.filling.is_full_at(position) {
                self.leave(number as usize, State::Full);
                return false;
            }
            reader.is_filled
        });
        self.filled = filled;
    }

    fn leave(&mut self, number: usize, state: State) {
        let reader = &mut self.readers[number];
        reader.state = state;
        self.reading -= 1;
        for (scanning, scans) in self.scanning.iter_mut().zip(&reader.scans) {
            // What was planned for the next range is not counted before that begins.
            *scanning = scanning.saturating_sub(usize::from(*scans));
        }
    }

    /// Whether it has read what it may, and has come further than where it began.
    fn is_exhausted(&self, at: Position) -> bool {
        at > self.began && self.scanned >= SCAN_BYTES_MAX * self.readers.len().clamp(1, SHARED_MAX)
    }

    fn answer(
        self,
        waiting: &mut VecDeque<Reader<'a>>,
        heavy: &mut Vec<Reader<'a>>,
        answers: &mut Answers,
    ) {
        let end = self.planner.end;
        for reader in self.readers.into_iter().rev() {
            let next = match reader.state {
                State::Deferred(at) => at,
                _ => self.at,
            };
            match &reader.state {
                // It has not been served at all.
                State::Deferred(_) if next <= reader.from => heavy.push(reader.again()),
                State::Reading if next <= reader.from => waiting.push_front(reader.again()),
                _ => {
                    let number = reader.number;
                    answers[number] = Some(reader.finish(next, end));
                }
            }
        }
    }
}

/// A message that is for one session only, with its name.
fn addressed(entry: &Entry<'_>) -> Result<flotilla_core::message::Message, MalformedBlock> {
    entry.message().map_err(|_| MalformedBlock::NO_MESSAGE)
}
