//! What the log holds: its partitions, what is sealed of them, where they begin.

use std::collections::HashMap;

use flotilla_core::id::Position;

use super::plan::{Cut, Holding, Part};
use super::{Doomed, Floors, Moment};
use crate::block::Block;
use crate::error::Error;
use crate::keys;
use crate::rocks::unreadable;
use crate::segment::{Segment, Share};

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    /// `None`: that of everything without a partition of its own.
    pub(crate) name: Option<Box<str>>,
    /// Its column family.
    pub(crate) family: Box<str>,
}

/// The log at a moment. All lists are in the order of the partitions.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) areas: Vec<Area>,
    pub(crate) holdings: Vec<Holding>,
    /// Messages that are not sealed.
    pub(crate) open_messages: Vec<u64>,
    /// By their first positions, ascending.
    pub(crate) segments: Vec<(Position, Segment)>,
}

impl Survey {
    /// Of these partitions. `open`: what is not sealed; it may have been sealed a moment ago, so it
    /// has to be asked for after the moment: what is counted twice would be too much.
    pub(crate) fn take(
        moment: &Moment<'_>,
        areas: Vec<Area>,
        open: &[Share],
    ) -> Result<Self, Error> {
        let mut holdings = Vec::with_capacity(areas.len());
        for area in &areas {
            let begin = begin(moment, &area.family)?;
            holdings.push(Holding { begin, ..Holding::default() });
        }
        let names = areas.iter().enumerate().map(|(at, area)| (area.name.as_deref(), at));
        let by_name: HashMap<Option<&str>, usize> = names.collect();
        let segments = segments(moment)?;
        for (_, segment) in &segments {
            for share in &segment.shares {
                let Some(&at) = by_name.get(&share.name.as_deref()) else { continue };
                let Share { messages, bytes, newest_ms, .. } = *share;
                if segment.end > holdings[at].begin {
                    let part = Part { end: segment.end, messages, bytes, newest_ms };
                    holdings[at].parts.push(part);
                }
            }
        }
        let mut open_messages = vec![0; areas.len()];
        for share in open {
            if let Some(&at) = by_name.get(&share.name.as_deref()) {
                holdings[at].open_bytes += share.bytes;
                open_messages[at] += share.messages;
            }
        }
        Ok(Self { areas, holdings, open_messages, segments })
    }

    /// What lies behind what is sealed, read from the blocks. For a store that nobody writes.
    pub(crate) fn open_shares(
        moment: &Moment<'_>,
        areas: &[Area],
        sealed_end: Position,
    ) -> Result<Vec<Share>, Error> {
        let mut shares = Vec::new();
        for area in areas {
            let (mut messages, mut bytes, mut newest_ms) = (0, 0, 0);
            let mut blocks = moment.rows(&area.family);
            blocks.seek(keys::first(sealed_end));
            while let Some(value) = blocks.value() {
                // What is damaged is counted by its size.
                bytes += value.len() as u64;
                if let Ok(block) = Block::decode(value) {
                    messages += block.count() as u64;
                    newest_ms = block.newest_ms().max(newest_ms);
                }
                blocks.next();
            }
            blocks.status().map_err(unreadable)?;
            shares.push(Share { name: area.name.clone(), messages, bytes, newest_ms });
        }
        Ok(shares)
    }

    pub(crate) fn names(&self) -> Vec<Option<Box<str>>> {
        self.areas.iter().map(|area| area.name.clone()).collect()
    }

    /// Bytes of all blocks.
    pub(crate) fn bytes(&self) -> u64 {
        self.holdings.iter().map(Holding::bytes).sum()
    }

    /// When the oldest message came, Unix milliseconds: of one partition, or `None` if it is empty.
    pub(crate) fn oldest_ms(&self, moment: &Moment<'_>, at: usize) -> Result<Option<u64>, Error> {
        let mut blocks = moment.rows(&self.areas[at].family);
        blocks.seek(keys::first(self.holdings[at].begin));
        let oldest = blocks.value().and_then(|bytes| Block::decode(bytes).ok());
        let oldest_ms = oldest.map(|block| block.newest_ms());
        blocks.status().map_err(unreadable)?;
        Ok(oldest_ms)
    }

    /// What goes while somebody wants it.
    pub(super) fn doomed(&self, floors: &Floors, cuts: &[Cut]) -> Vec<Doomed> {
        let mut doomed = Vec::new();
        for (at, cut) in cuts.iter().enumerate() {
            let from = floors.of(at).position.max(self.holdings[at].begin);
            if from < cut.begin && cut.begin > self.holdings[at].begin {
                let family = self.areas[at].family.clone();
                doomed.push(Doomed { family, from, end: cut.begin });
            }
        }
        doomed
    }

    /// The segments of which nothing is left after these cuts. The newest one stays: where it ends,
    /// the log ends if there is no block behind it.
    pub(crate) fn empty_segments(&self, cuts: &[Cut]) -> Vec<(Position, Position)> {
        let begins: HashMap<Option<&str>, Position> = self
            .areas
            .iter()
            .map(|area| area.name.as_deref())
            .zip(cuts.iter().map(|c| c.begin))
            .collect();
        let older = self.segments.split_last().map_or(&[][..], |(_, older)| older);
        let is_empty = |segment: &Segment| {
            segment.shares.iter().all(|share| {
                begins.get(&share.name.as_deref()).is_some_and(|begin| *begin >= segment.end)
            })
        };
        let empty = older.iter().filter(|(_, segment)| is_empty(segment));
        empty.map(|(first, segment)| (*first, segment.end)).collect()
    }
}

fn begin(moment: &Moment<'_>, family: &str) -> Result<Position, Error> {
    let mut rows = moment.rows(keys::META);
    let key = keys::begin(family);
    rows.seek(&key);
    rows.status().map_err(unreadable)?;
    let begin = rows.item().filter(|(found, _)| *found == key.as_slice());
    Ok(begin.and_then(|(_, begin)| keys::position(begin)).unwrap_or(Position::ZERO))
}

/// What a damaged record says of its segment is not known; its blocks are read and go all the same.
fn segments(moment: &Moment<'_>) -> Result<Vec<(Position, Segment)>, Error> {
    let mut segments = Vec::new();
    let mut rows = moment.rows(keys::SEGMENTS);
    rows.seek_to_first();
    while let Some((key, sealed)) = rows.item() {
        if let (Some(first), Ok(segment)) = (keys::position(key), Segment::decode(key, sealed)) {
            segments.push((first, segment));
        }
        rows.next();
    }
    rows.status().map_err(unreadable)?;
    Ok(segments)
}
