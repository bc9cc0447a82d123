//! The partitions of the open store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use flotilla_core::id::Position;
use rocksdb::DB;

use super::lost::Lost;
use super::{unreadable, unwritable};
use crate::block::{Block, MalformedBlock};
use crate::engine::FIRST;
use crate::error::Error;
use crate::files::sums;
use crate::quarantine::Quarantine;
use crate::recover::family;
use crate::{keys, partition};

/// More positions than the messages of one commit, and so of one block, can have: each takes some
/// bytes of memory, and a commit a few MiB.
const BLOCK_POSITIONS_MAX: u64 = 1 << 20;

/// A partition of the log: a column family.
#[derive(Debug)]
pub(super) struct Partition {
    /// `None`: that of everything without a partition of its own.
    pub(super) name: Option<Box<str>>,
    /// Its column family.
    pub(super) family: Box<str>,
    /// Where the first message of its newest committed block is; 0: it has none.
    newest: AtomicU64,
    /// What of it cannot be read.
    pub(super) lost: Lost,
}

impl Partition {
    fn new(name: Option<&str>, newest: Position, quarantine: &Arc<Quarantine>) -> Self {
        let family: Box<str> =
            name.map_or_else(|| keys::LOG.into(), |name| partition::family(name).into());
        Self {
            name: name.map(Box::from),
            lost: Lost::new(&family, Arc::clone(quarantine)),
            family,
            newest: AtomicU64::new(newest.0),
        }
    }

    /// Where the first message of its newest committed block is; 0: it has none.
    pub(super) fn newest(&self) -> Position {
        Position(self.newest.load(Ordering::Acquire))
    }

    /// A block was committed.
    pub(super) fn committed(&self, newest: Position) {
        self.newest.store(newest.0, Ordering::Release);
    }

    /// Below which position its blocks were cleaned.
    pub(super) fn begin(&self, db: &DB) -> Result<Position, Error> {
        let meta = family(db, keys::META);
        let begin = db.get_pinned_cf(&meta, keys::begin(&self.family)).map_err(unreadable)?;
        Ok(begin.and_then(|begin| keys::position(&begin)).unwrap_or(Position::ZERO))
    }
}

/// All partitions. They come and never go; each keeps its number.
pub(super) struct Partitions {
    all: RwLock<Arc<Vec<Arc<Partition>>>>,
    /// How a new one is set up.
    setup: rocksdb::Options,
    quarantine: Arc<Quarantine>,
}

impl Partitions {
    /// Takes up those of a database that was opened with these families, the one without a name
    /// first, and says where the last block of all ends.
    pub(super) fn take_up(
        db: &DB,
        families: &[String],
        setup: rocksdb::Options,
        quarantine: &Arc<Quarantine>,
    ) -> Result<(Self, Position), Error> {
        let mut found = Vec::new();
        let mut end = FIRST;
        let named = families.iter().filter_map(|family| partition::name_in(family).flatten());
        for name in [None].into_iter().chain(named.map(Some)) {
            let partition = Partition::new(name, Position::ZERO, quarantine);
            // What was cleaned had positions, too.
            end = end.max(partition.begin(db)?);
            if let Some((newest, behind)) = last_block(db, &partition)? {
                partition.committed(newest);
                end = end.max(behind);
            }
            found.push(Arc::new(partition));
        }
        let quarantine = Arc::clone(quarantine);
        Ok((Self { all: RwLock::new(Arc::new(found)), setup, quarantine }, end))
    }

    /// All of them, now.
    pub(super) fn all(&self) -> Arc<Vec<Arc<Partition>>> {
        Arc::clone(&self.all.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes one. Only the commit thread does.
    pub(super) fn make(&self, db: &DB, name: &str) -> Result<Arc<Partition>, Error> {
        let partition = Arc::new(Partition::new(Some(name), Position::ZERO, &self.quarantine));
        // It may be there after an attempt that was said to fail.
        if db.cf_handle(&partition.family).is_none() {
            db.create_cf(&*partition.family, &self.setup).map_err(unwritable)?;
        }
        // RocksDB has written its settings anew; without this they are only not checked.
        let _ = sums::write(db.path());
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut all).push(Arc::clone(&partition));
        Ok(partition)
    }
}

/// Where the last block of a partition begins, and the position behind it. Where that block is lost,
/// nobody knows how many messages it had: no position may be given twice, so it is far behind.
fn last_block(db: &DB, partition: &Partition) -> Result<Option<(Position, Position)>, Error> {
    let mut blocks = db.raw_iterator_cf(&family(db, &partition.family));
    blocks.seek_to_last();
    let (first, value) = match blocks.item() {
        Some((key, value)) => (keys::position(key).unwrap_or_default(), value),
        None => {
            let Err(error) = blocks.status() else { return Ok(None) };
            let mut last = None;
            let mut at = Position::ZERO;
            while let Some(up_to) = partition.lost.hole_behind(db, at)? {
                last = Some(up_to);
                at = up_to.plus(1);
            }
            let last = last.ok_or_else(|| unreadable(error))?;
            return Ok(Some((last, last.plus(BLOCK_POSITIONS_MAX))));
        }
    };
    match Block::decode(value) {
        Ok(block) if block.first() == first => return Ok(Some((first, block.last().plus(1)))),
        _ if value.is_empty() => {}
        Ok(_) => partition.lost.set_aside(db, first, value, &MalformedBlock::MISPLACED)?,
        Err(error) => partition.lost.set_aside(db, first, value, &error)?,
    }
    Ok(Some((first, first.plus(BLOCK_POSITIONS_MAX))))
}
