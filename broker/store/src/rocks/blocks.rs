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
    db: &'a DB,
    partition: &'a Partition,
    rows: DBRawIteratorWithThreadMode<'a, DB>,
    next: Option<Position>,
    /// Where it began.
    pub(super) begins: Position,
    /// The block before the next one, once one was passed.
    pub(super) previous: Option<Position>,
}

impl<'a> Blocks<'a> {
    fn new(db: &'a DB, partition: &'a Partition) -> Self {
        let mut options = ReadOptions::default();
        options.set_readahead_size(READAHEAD_BYTES);
        // A scan would throw out of the cache what others need.
        options.fill_cache(false);
        let rows = db.raw_iterator_cf_opt(&family(db, &partition.family), options);
        Self { db, partition, rows, next: None, begins: Position::ZERO, previous: None }
    }

    /// From the block on that begins at `from` or next above.
    pub(super) fn above(
        db: &'a DB,
        partition: &'a Partition,
        from: Position,
    ) -> Result<Self, Error> {
        let mut blocks = Self::new(db, partition);
        blocks.rows.seek(keys::first(from));
        blocks.begins = from;
        blocks.look(from)?;
        Ok(blocks)
    }

    /// From the block on in which `from` would be: that which begins there or next below.
    pub(super) fn around(
        db: &'a DB,
        partition: &'a Partition,
        from: Position,
    ) -> Result<Self, Error> {
        let mut blocks = Self::new(db, partition);
        blocks.seek(from)?;
        if blocks.next.is_none() {
            blocks.rows.seek_to_first();
            blocks.look(Position::ZERO)?;
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
        self.look(self.previous.map_or(Position::ZERO, |previous| previous.plus(1)))
    }

    /// Goes to the block in which `position` would be; if that cannot be read, to the next above.
    pub(super) fn seek(&mut self, position: Position) -> Result<(), Error> {
        self.rows.seek_for_prev(keys::first(position));
        if self.rows.status().is_err() {
            self.rows.seek(keys::first(position));
        }
        self.look(position)
    }

    /// `at`: what is looked for is not below.
    fn look(&mut self, mut at: Position) -> Result<(), Error> {
        self.next = None;
        loop {
            if let Some(key) = self.rows.key() {
                let key = keys::position(key);
                let key = key.ok_or_else(|| damaged(Position::ZERO, &"a key is no position"))?;
                self.next = Some(key);
                return Ok(());
            }
            let Err(error) = self.rows.status() else { return Ok(()) };
            if error.kind() != ErrorKind::Corruption {
                return Err(unreadable(error));
            }
            let hole = self.partition.lost.hole_behind(self.db, at)?;
            at = hole.ok_or_else(|| damaged(at, &error))?.plus(1);
            self.rows.seek(keys::first(at));
            // Which block comes before the next one is not known.
            self.previous = None;
        }
    }
}

pub(super) fn damaged(position: Position, reason: &impl ToString) -> Error {
    Error::Damaged { position, reason: reason.to_string() }
}
