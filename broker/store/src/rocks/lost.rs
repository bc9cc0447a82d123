//! What of a partition of the log cannot be read: told once, then passed over.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flotilla_core::id::Position;
use rocksdb::{DB, WriteOptions};

use crate::error::Error;
use crate::keys;
use crate::quarantine::{Damaged, Quarantine};
use crate::recover::family;
use crate::scan::{Hole, holes_in};

/// Of one partition.
#[derive(Debug)]
pub(super) struct Lost {
    family: Box<str>,
    quarantine: Arc<Quarantine>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Blocks that were set aside since the store was opened.
    blocks: BTreeSet<Position>,
    /// First and last positions of blocks that RocksDB cannot read, told; by their last.
    holes: BTreeSet<(Position, Position)>,
    /// Table files that were read for that.
    files: BTreeSet<String>,
}

impl Lost {
    pub(super) fn new(family: &str, quarantine: Arc<Quarantine>) -> Self {
        Self { family: Box::from(family), quarantine, known: Mutex::default() }
    }

    /// Sets a block aside that is not what was written, or not there. Something empty stands in its
    /// place from now on, so that nobody misses it again.
    ///
    /// # Errors
    /// When it cannot be kept; it stays where it is.
    pub(super) fn set_aside(
        &self,
        db: &DB,
        first: Position,
        bytes: &[u8],
        reason: &impl ToString,
    ) -> Result<(), Error> {
        let mut known = self.lock();
        if known.blocks.contains(&first) {
            return Ok(());
        }
        // Not named by its successor does not mean missing: what is there must not be overwritten.
        if bytes.is_empty() && self.is_there(db, first) {
            return Ok(());
        }
        let what = if bytes.is_empty() { "a missing" } else { "a damaged" };
        let lost = format!(
            "messages of {} from position {} on are lost with {what} block",
            self.family, first.0
        );
        self.tell(&first.0.to_string(), bytes, reason.to_string(), lost)?;
        known.blocks.insert(first);
        let mut durably = WriteOptions::default();
        durably.set_sync(true);
        // If it cannot be written, it is told again after the next start.
        let _ = db.put_cf_opt(&family(db, &self.family), keys::first(first), b"", &durably);
        Ok(())
    }

    /// RocksDB cannot read what stands at `at` or next above: where that ends. `None` if no file
    /// says so.
    ///
    /// # Errors
    /// When it cannot be told.
    pub(super) fn hole_behind(&self, db: &DB, at: Position) -> Result<Option<Position>, Error> {
        let mut known = self.lock();
        let mut files = db.live_files().map_err(super::unreadable)?;
        files.retain(|file| file.column_family_name == *self.family);
        files.sort_by(|one, other| one.start_key.cmp(&other.start_key));
        let place = |key: &Option<Vec<u8>>| key.as_deref().and_then(keys::position);
        for file in files.iter().filter(|file| place(&file.end_key) >= Some(at)) {
            // One that is known may be far above the next: between them lies what can be read.
            if known.behind(at).is_some_and(|up_to| place(&file.start_key) > Some(up_to)) {
                break;
            }
            if known.files.contains(&file.name) {
                continue;
            }
            for hole in holes_in(db, file)? {
                let (from, up_to) = (position(&hole.from), position(&hole.up_to));
                self.tell_hole(&hole, from, up_to)?;
                known.holes.insert((up_to, from));
            }
            known.files.insert(file.name.clone());
        }
        Ok(known.behind(at))
    }

    /// Whether something stands there. What cannot be read does: whoever reads it says so.
    fn is_there(&self, db: &DB, first: Position) -> bool {
        !matches!(db.get_pinned_cf(&family(db, &self.family), keys::first(first)), Ok(None))
    }

    fn tell_hole(&self, hole: &Hole, from: Position, up_to: Position) -> Result<(), Error> {
        self.quarantine.keep(&hole.file)?;
        let file = hole.file.file_name().unwrap_or_default().to_string_lossy();
        let lost = format!(
            "messages of {} are lost: the blocks from position {} to {} cannot be read in {file}",
            self.family, from.0, up_to.0
        );
        self.tell(&from.0.to_string(), &[], hole.reason.clone(), lost)
    }

    fn tell(&self, key: &str, bytes: &[u8], reason: String, lost: String) -> Result<(), Error> {
        let key = format!("{} {key}", self.family);
        let key = key.as_bytes();
        self.quarantine.set_aside(&Damaged { kind: "log", key, bytes, reason, lost })?;
        self.quarantine.sync()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn behind(&self, at: Position) -> Option<Position> {
        self.holes.range((at, Position::ZERO)..).next().map(|&(up_to, _)| up_to)
    }
}

/// Of a key that may be shortened.
fn position(key: &[u8]) -> Position {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(key) {
        *to = *from;
    }
    Position(u64::from_be_bytes(bytes))
}
