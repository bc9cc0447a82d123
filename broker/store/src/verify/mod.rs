//! Checks a store: every byte of every file, every record; counts what is there.

mod files;
mod records;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rocksdb::DB;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::rocks::{ClosedStore, Rocks, open_read_only};

/// A report lists so much damage one by one, and counts the rest.
const FINDINGS_MAX: usize = 1000;
/// How often whoever waits is told how far it has come.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Records by kind: session, subscription, cursor, inbound, outbound, overtaken, retained, ….
    pub records: BTreeMap<String, Count>,
    /// The log, by partition; "" is the one without a name.
    pub log: BTreeMap<String, LogCount>,
    /// Files by kind: table, write-ahead log, manifest, ….
    pub files: BTreeMap<String, Count>,
    /// What does not hold, the first [`Report::damaged_count`] up to a limit.
    pub damaged: Vec<Finding>,
    /// How many there are.
    pub damaged_count: u64,
    /// What an operator may want to know, and is no damage.
    pub notes: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// So many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How many.
    pub count: u64,
    /// Their bytes; of records, with keys.
    pub bytes: u64,
}

/// What lies in a partition of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCount {
    /// Blocks.
    pub blocks: u64,
    /// Messages in blocks that are not damaged.
    pub messages: u64,
    /// Bytes of blocks.
    pub bytes: u64,
    /// Blocks that were damaged, and set aside: something stands in their place.
    pub lost: u64,
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is: session, log, table, ….
    pub kind: String,
    /// Under which key.
    pub key: Option<String>,
    /// In which file, where that is known.
    pub file: Option<String>,
    /// What does not hold.
    pub reason: String,
}

/// Checks a store that no broker has open; nothing is changed. `told` hears how far it has come, and
/// says whether to go on.
///
/// # Errors
/// When there is no store, when a broker uses it, when it cannot be read at all, or is newer than
/// this program.
pub fn verify_closed(dir: &Path, told: &dyn Fn(&str) -> bool) -> Result<Report, Error> {
    let _closed = ClosedStore::hold(dir)?;
    let check = Check::new(dir, told, false);
    let skips_damage = check.logs()?;
    let opened = open_read_only(dir, skips_damage);
    let db = match opened {
        Ok(db) => Some(db),
        Err(error @ (Error::NewerFormat { .. } | Error::OlderFormat { .. })) => return Err(error),
        Err(Error::DamagedFile { file, reason, .. }) => {
            check.find_once("file", &file, reason);
            None
        }
        Err(error) => {
            check.find("store", None, None, error.to_string());
            None
        }
    };
    match &db {
        Some(db) => {
            let lend = |with: &mut dyn FnMut(&DB)| {
                with(db);
                Ok(())
            };
            check.tables(Some(&lend))?;
            check.records(&lend)?;
        }
        None => check.tables(None)?,
    }
    Ok(check.finish())
}

impl Rocks {
    /// Checks the store while it is in use; otherwise as [`verify_closed`]. What is written
    /// meanwhile may be looked at or not.
    ///
    /// # Errors
    /// When a file cannot be read, or when `told` says not to go on.
    pub fn verify(&self, told: &dyn Fn(&str) -> bool) -> Result<Report, Error> {
        let check = Check::new(self.dir(), told, true);
        check.logs()?;
        check.tables(Some(&|with| self.with_db(|db| with(db))))?;
        check.records(&|with| self.with_db(|db| with(db)))?;
        Ok(check.finish())
    }
}

/// Lets something be done with the open database; another thread may wait for it in between.
type Lend<'a> = &'a dyn Fn(&mut dyn FnMut(&DB)) -> Result<(), Error>;

/// A check under way.
struct Check<'a> {
    dir: &'a Path,
    told: &'a dyn Fn(&str) -> bool,
    /// The store is in use: what is written last may be half there.
    is_open: bool,
    began: Instant,
    last_told: RefCell<Instant>,
    report: RefCell<Report>,
}

impl<'a> Check<'a> {
    fn new(dir: &'a Path, told: &'a dyn Fn(&str) -> bool, is_open: bool) -> Self {
        let began = Instant::now();
        Self {
            dir,
            told,
            is_open,
            began,
            last_told: RefCell::new(began),
            report: RefCell::default(),
        }
    }

    fn finish(self) -> Report {
        let mut report = self.report.into_inner();
        report.seconds = self.began.elapsed().as_secs_f64();
        report
    }

    fn find(&self, kind: &str, key: Option<String>, file: Option<&str>, reason: String) {
        let mut report = self.report.borrow_mut();
        report.damaged_count += 1;
        if report.damaged.len() < FINDINGS_MAX {
            let file = file.map(str::to_owned);
            report.damaged.push(Finding { kind: kind.to_owned(), key, file, reason });
        }
    }

    /// Unless something is known of that file already.
    fn find_once(&self, kind: &str, file: &str, reason: String) {
        let report = self.report.borrow();
        if !report.damaged.iter().any(|finding| finding.file.as_deref() == Some(file)) {
            drop(report);
            self.find(kind, None, Some(file), reason);
        }
    }

    fn note(&self, note: String) {
        self.report.borrow_mut().notes.push(note);
    }

    fn count_file(&self, kind: &str, bytes: u64) {
        let mut report = self.report.borrow_mut();
        let count = report.files.entry(kind.to_owned()).or_default();
        count.count += 1;
        count.bytes += bytes;
    }

    /// Tells how far it has come, now and then.
    fn tell(&self, what: impl FnOnce() -> String) -> Result<(), Error> {
        let mut last = self.last_told.borrow_mut();
        if last.elapsed() < TELL_INTERVAL {
            return Ok(());
        }
        *last = Instant::now();
        if (self.told)(&what()) { Ok(()) } else { Err(Error::GivenUp) }
    }
}

impl Report {
    /// Whether everything is as it was written.
    pub fn is_whole(&self) -> bool {
        self.damaged_count == 0
    }
}
