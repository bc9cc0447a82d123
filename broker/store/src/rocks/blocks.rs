//! The blocks of one partition, one behind the other.

use flotilla_core::id::Position;
use rocksdb::{DB, DBRawIteratorWithThreadMode, ErrorKind, ReadOptions};

use super::partitions::Partition;
use super::unreadable;
use crate::error::Error;
use crate::keys;
use crate::recover::family;

/// Bytes read ahead of a scan.
const READAHEAD_BYTES: usize = 1024 * 1024;

/// A partition's blocks in order. Sees what was committed before it was made.
pub(super) struct Blocks<'a> {
    rows: DBRawIteratorWithThreadMode<'a, DB>,
    next: Option<Position>,
    /// Where it began.
    pub(super) begins: Position,
    /// The block before the next one, once one was passed.
    pub(super) previous: Option<Position>,
}

impl<'a> Blocks<'a> {
    fn new(db: &'a DB, partition: &Partition) -> Self {
        let mut options = ReadOptions::default();
        options.set_readahead_size(READAHEAD_BYTES);
        // A scan would throw out of the cache what others need.
        options.fill_cache(false);
        let rows = db.raw_iterator_cf_opt(&family(db, &partition.family), options);
        Self { rows, next: None, begins: Position::ZERO, previous: None }
    }

    /// From the block on that begins at `from` or next above.
    pub(super) fn above(db: &'a DB, partition: &Partition, from: Position) -> Result<Self, Error> {
        let mut blocks = Self::new(db, partition);
        blocks.rows.seek(keys::first(from));
        blocks.begins = from;
        blocks.look()?;
        Ok(blocks)
    }

    /// From the block on in which `from` would be: that which begins there or next below.
    pub(super) fn around(db: &'a DB, partition: &Partition, from: Position) -> Result<Self, Error> {
        let mut blocks = Self::new(db, partition);
        blocks.rows.seek_for_prev(keys::first(from));
        blocks.look()?;
        if blocks.next.is_none() {
            blocks.rows.seek_to_first();
            blocks.look()?;
            blocks.previous = Some(Position::ZERO);
        }
        blocks.begins = blocks.next.map_or(from, |next| next.min(from));
        Ok(blocks)
    }

    /// Where the next block begins; `None`: there is no more.
    pub(super) fn next(&self) -> Option<Position> {
        self.next
    }

    /// The next block's bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.rows.value().unwrap_or_default()
    }

    /// Passes the next block.
    pub(super) fn pass(&mut self) -> Result<(), Error> {
        self.previous = self.next;
        self.rows.next();
        self.look()
    }

    /// Goes to the block in which `position` would be.
    pub(super) fn seek(&mut self, position: Position) -> Result<(), Error> {
        self.rows.seek_for_prev(keys::first(position));
        self.look()
    }

    fn look(&mut self) -> Result<(), Error> {
        self.next = None;
        if let Some(key) = self.rows.key() {
            let key = keys::position(key);
            self.next = Some(key.ok_or_else(|| damaged(Position::ZERO, &"a key is no position"))?);
            return Ok(());
        }
        let behind = self.previous.unwrap_or_default();
        self.rows.status().map_err(|error| match error.kind() {
            ErrorKind::Corruption => damaged(behind, &error),
            _ => unreadable(error),
        })
    }
}

pub(super) fn damaged(position: Position, reason: &impl ToString) -> Error {
    Error::Damaged { position, reason: reason.to_string() }
}
