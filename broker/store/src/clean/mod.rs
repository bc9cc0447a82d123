//! Cleaning of the log: what is there, who still wants it, what goes, who loses by it.
//!
//! What is decided here is decided for a moment, from what the disk had then. Cursors only rise, a
//! new session or subscription begins at the end of the log, and the end of the log is never sealed;
//! so what nobody wanted at that moment nobody will want later.

pub(crate) mod backlog;
mod floors;
mod loss;
pub(crate) mod plan;
mod reach;
mod sessions;
mod survey;

use flotilla_core::id::Position;
use flotilla_core::mail::Overtaken;
use rocksdb::{DB, DBRawIteratorWithThreadMode, ErrorKind, ReadOptions, SnapshotWithThreadMode};

use crate::block::Block;
use crate::error::Error;
use crate::keys;
use crate::recover::family;
use crate::rocks::unreadable;

pub(crate) use floors::{Floor, Floors};
use loss::{Loser, Losses};
pub(crate) use plan::{Allowed, Cut, plan};
use reach::Reach;
pub(crate) use survey::{Area, Survey};

/// So many sessions that are overtaken are taken up at a time…
const LOSERS_MAX: usize = 64 * 1024;
/// …or with so many filters; then what goes is read for these.
const FILTERS_MAX: usize = 256 * 1024;
/// Bytes read ahead of a scan.
const READAHEAD_BYTES: usize = 1024 * 1024;

/// A moment of an open store.
pub(crate) struct Moment<'a> {
    pub(crate) db: &'a DB,
    pub(crate) snapshot: SnapshotWithThreadMode<'a, DB>,
}

impl<'a> Moment<'a> {
    /// Now.
    pub(crate) fn of(db: &'a DB) -> Self {
        Self { db, snapshot: db.snapshot() }
    }

    /// The rows of a family, from nowhere on.
    fn rows(&self, name: &str) -> DBRawIteratorWithThreadMode<'a, DB> {
        let mut options = ReadOptions::default();
        // A scan would throw out of the cache what others need.
        options.fill_cache(false);
        options.set_readahead_size(READAHEAD_BYTES);
        options.set_snapshot(&self.snapshot);
        self.db.raw_iterator_cf_opt(&family(self.db, name), options)
    }
}

/// What all sessions want of the partitions. `is_over`: whether to give up.
pub(crate) fn floors(
    moment: &Moment<'_>,
    survey: &Survey,
    is_over: impl Fn() -> bool,
) -> Result<Floors, Error> {
    let mut floors = Floors::new(survey.areas.len());
    let mut reach = Reach::new(survey.names());
    sessions::for_each(moment, |session| {
        if is_over() {
            return Err(Error::Closed);
        }
        floors.add(session, &mut reach);
        Ok(())
    })?;
    Ok(floors)
}

/// What is lost, and to whom.
#[derive(Debug, Default)]
pub(crate) struct Loss {
    /// In the order of their names.
    pub(crate) overtaken: Vec<Overtaken>,
    /// Blocks that could not be read, so that nobody knows who has lost what was in them.
    pub(crate) unread_blocks: u64,
}

/// Who loses what by these cuts. Reads what goes once for many sessions.
pub(crate) fn losses(
    moment: &Moment<'_>,
    survey: &Survey,
    floors: &Floors,
    cuts: &[Cut],
    unix_ms: u64,
    is_over: impl Fn() -> bool,
) -> Result<Loss, Error> {
    let doomed = survey.doomed(floors, cuts);
    let mut loss = Loss::default();
    if doomed.is_empty() {
        return Ok(loss);
    }
    let mut reach = Reach::new(survey.names());
    let mut losers = Vec::new();
    let mut filters = 0;
    sessions::for_each(moment, |session| {
        if is_over() {
            return Err(Error::Closed);
        }
        let mut is_overtaken = false;
        floors::for_each_want(session, &mut reach, cuts.len(), |partition, from| {
            is_overtaken |= from < cuts[partition].begin;
        });
        if is_overtaken {
            filters += session.interest.wishes.len();
            losers.push(Loser::new(session));
        }
        if losers.len() == LOSERS_MAX || filters >= FILTERS_MAX {
            count(moment, &doomed, &losers, unix_ms, &mut loss, &is_over)?;
            losers.clear();
            filters = 0;
        }
        Ok(())
    })?;
    count(moment, &doomed, &losers, unix_ms, &mut loss, &is_over)?;
    Ok(loss)
}

/// Positions of one partition that go while somebody wants some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doomed {
    family: Box<str>,
    from: Position,
    end: Position,
}

fn count(
    moment: &Moment<'_>,
    doomed: &[Doomed],
    losers: &[Loser],
    unix_ms: u64,
    loss: &mut Loss,
    is_over: &impl Fn() -> bool,
) -> Result<(), Error> {
    if losers.is_empty() {
        return Ok(());
    }
    let mut losses = Losses::of(losers, unix_ms);
    loss.unread_blocks = 0;
    for Doomed { family, from, end } in doomed {
        let mut blocks = moment.rows(family);
        // A block may begin before and reach into the range.
        blocks.seek_for_prev(keys::first(*from));
        if !blocks.valid() {
            blocks.seek(keys::first(*from));
        }
        while let Some((key, bytes)) = blocks.item() {
            if is_over() {
                return Err(Error::Closed);
            }
            if key >= keys::first(*end).as_slice() {
                break;
            }
            let counted = Block::decode(bytes).and_then(|block| {
                block
                    .entries(*from)
                    .try_for_each(|(position, entry)| losses.count(position, &entry?))
            });
            loss.unread_blocks += u64::from(counted.is_err());
            blocks.next();
        }
        match blocks.status() {
            // A table is damaged: what cannot be read cannot be kept from going.
            Err(error) if error.kind() == ErrorKind::Corruption => loss.unread_blocks += 1,
            status => status.map_err(unreadable)?,
        }
    }
    loss.overtaken.append(&mut losses.finish());
    Ok(())
}
