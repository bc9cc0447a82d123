//! A family read from its first key to its last, past whatever cannot be read.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use rocksdb::{DB, DBRawIteratorWithThreadMode, ErrorKind, LiveFile, ReadOptions};

use crate::error::Error;
use crate::files::table::{self, DamagedBlock, Part};
use crate::recover::family;
use crate::rocks::unreadable;

/// Key and value.
pub(crate) type Row<'a> = (&'a [u8], &'a [u8]);

/// Bytes read ahead.
const READAHEAD_BYTES: usize = 1024 * 1024;

/// Stands at a row, or at the end.
pub(crate) struct Scan<'a> {
    db: &'a DB,
    name: &'static str,
    rows: DBRawIteratorWithThreadMode<'a, DB>,
    /// What cannot be read, in the order of the last keys; found when it is first met.
    holes: Option<Vec<Hole>>,
    /// Where it stood last.
    last: Vec<u8>,
    passed: Vec<Hole>,
}

/// Keys that cannot be read, because a part of a table file is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    /// The first one, or one below it.
    pub(crate) from: Vec<u8>,
    /// The last one, or one above it.
    pub(crate) up_to: Vec<u8>,
    /// Whose part.
    pub(crate) file: PathBuf,
    /// What does not hold.
    pub(crate) reason: String,
}

impl Hole {
    /// Whether the key may be among them.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.from.as_slice() <= key && key <= self.up_to.as_slice()
    }
}

impl<'a> Scan<'a> {
    /// At the first row.
    pub(crate) fn new(db: &'a DB, name: &'static str) -> Self {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(READAHEAD_BYTES);
        let mut rows = db.raw_iterator_cf_opt(&family(db, name), options);
        rows.seek_to_first();
        Self { db, name, rows, holes: None, last: Vec::new(), passed: Vec::new() }
    }

    /// Key and value where the scan stands; `None` at the end.
    ///
    /// # Errors
    /// When the disk cannot be read at all.
    pub(crate) fn row(&mut self) -> Result<Option<Row<'_>>, Error> {
        // Asked again below: a borrow that is given back in one branch would last for the others.
        while !self.rows.valid() {
            match self.rows.status() {
                Ok(()) => return Ok(None),
                Err(error) => self.pass(error)?,
            }
        }
        Ok(self.rows.item())
    }

    /// To the next row.
    pub(crate) fn step(&mut self) {
        if let Some(key) = self.rows.key() {
            self.last.clear();
            self.last.extend_from_slice(key);
            self.rows.next();
        }
    }

    /// What could not be read so far.
    pub(crate) fn passed(&self) -> &[Hole] {
        &self.passed
    }

    /// A row that is read by its key: above damage there may be a newer one.
    ///
    /// # Errors
    /// When there is none above it.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, rocksdb::Error> {
        self.db.get_cf(&family(self.db, self.name), key)
    }

    /// To the first row whose key is not below `key`.
    pub(crate) fn seek(&mut self, key: &[u8]) {
        self.rows.seek(key);
        self.last = key.to_vec();
    }

    /// Its family.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Goes on behind the next keys that cannot be read.
    fn pass(&mut self, error: rocksdb::Error) -> Result<(), Error> {
        if !matches!(error.kind(), ErrorKind::Corruption | ErrorKind::NotFound | ErrorKind::IOError)
        {
            return Err(unreadable(error));
        }
        if self.holes.is_none() {
            self.holes = Some(holes(self.db, self.name)?);
        }
        let holes = self.holes.as_mut().expect("it was just filled");
        let behind = holes.iter().position(|hole| hole.up_to >= self.last);
        let Some(at) = behind else { return Err(unreadable(error)) };
        let hole = holes.remove(at);
        self.last.clone_from(&hole.up_to);
        let mut next = hole.up_to.clone();
        next.push(0);
        self.rows.seek(next);
        self.passed.push(hole);
        Ok(())
    }
}

/// What cannot be read in the table files of a family, in the order of the last keys.
pub(crate) fn holes(db: &DB, name: &str) -> Result<Vec<Hole>, Error> {
    let files = db.live_files().map_err(unreadable)?;
    let of_family = files.iter().filter(|file| file.column_family_name == name);
    let mut holes = Vec::new();
    for file in of_family {
        holes.append(&mut holes_in(db, file)?);
    }
    holes.sort_by(|one, other| one.up_to.cmp(&other.up_to));
    Ok(holes)
}

/// What cannot be read in a table file, because it is not what was written.
///
/// # Errors
/// When the disk does not give it: it may do so again, so nothing must be taken for lost.
pub(crate) fn holes_in(db: &DB, file: &LiveFile) -> Result<Vec<Hole>, Error> {
    let path = db.path().join(file.name.trim_start_matches('/'));
    let first = file.start_key.clone().unwrap_or_default();
    let last = file.end_key.clone().unwrap_or_default();
    let hole = |from: Vec<u8>, up_to: Vec<u8>, reason: &str| Hole {
        from,
        up_to,
        file: path.clone(),
        reason: reason.to_owned(),
    };
    let table = match table::read(&path) {
        Ok(table) => table,
        // Compaction has replaced it since.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_live(db, file)? => {
            return Ok(Vec::new());
        }
        Err(error) => {
            let reason = format!("'{}': {error}", path.display());
            return Err(Error::Unreadable { reason });
        }
    };
    let of_block = |block: DamagedBlock| match block.part {
        // The key above the last records of a file may be above anything.
        Part::Records(above, up_to) => {
            let up_to = up_to.min(last.clone());
            Some(hole(above.unwrap_or_else(|| first.clone()), up_to, block.reason))
        }
        // RocksDB reads on without it.
        Part::Filter => None,
        Part::Index | Part::Frame => Some(hole(first.clone(), last.clone(), block.reason)),
    };
    Ok(table.damaged.into_iter().filter_map(of_block).collect())
}

fn is_live(db: &DB, file: &LiveFile) -> Result<bool, Error> {
    let files = db.live_files().map_err(unreadable)?;
    Ok(files.iter().any(|live| live.name == file.name))
}

/// The files that the holes are in.
pub(crate) fn files_of(holes: &[Hole]) -> BTreeSet<&PathBuf> {
    holes.iter().map(|hole| &hole.file).collect()
}
