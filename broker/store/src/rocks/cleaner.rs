//! The thread that cleans the log.
//!
//! It looks at a moment of the store, decides what goes, counts who loses what, and then deletes, in
//! one write with what it has counted. Meanwhile the others go on, and that is safe:
//!
//! * *Commits.* Only sealed segments go, and nothing is appended to these. What nobody wanted at the
//!   moment nobody will want later (see [`crate::clean`]). A session that ended meanwhile is left
//!   out, or a new one of its name would be told of what it never had; so is one whose cursor has
//!   passed what goes. The commit thread notes such changes and makes them visible under one lock,
//!   which the cleaner holds for its last look and its write.
//! * *Replays.* An iterator keeps the files it reads. Whoever misses a block asks where the partition
//!   begins: that is written with the deletion, so it is there when the block is not.
//! * *A crash.* Before the write everything is there; after it, everything is counted. It is synced
//!   before files are dropped: these do not come back, and a log that begins before its first block
//!   would have lost some. Files that were not dropped are empty ranges that compaction removes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flotilla_core::id::{ClientId, Position};
use flotilla_core::mail::Overtaken;
use rocksdb::{DB, DBPinnableSlice, WriteBatch, WriteOptions};

use super::background::Background;
use super::heal::mark_unsynced;
use super::{Store, unreadable};
use crate::clean::backlog::{self, Backlog};
use crate::clean::plan::{NOBODY, Reason, Taken};
use crate::clean::{self, Allowed, Area, Cut, Floor, Floors, Moment, Survey, plan};
use crate::encode;
use crate::engine::{Cleaned, CommitSink, LogSize};
use crate::error::Error;
use crate::keys;
use crate::recover::family;

/// It looks at least so often whether much was sealed…
const LOOKS_EVERY: Duration = Duration::from_secs(1);
/// …so many segments.
const SEALED_MAX: u64 = 2;

/// What the operator allows the log to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) age_max: Option<Duration>,
    pub(super) bytes_max: Option<u64>,
    /// `None`: never.
    pub(super) cleans_every: Option<Duration>,
    /// It rests so many times as long as it has worked.
    pub(super) rest: u32,
}

impl Rules {
    pub(super) fn at(self, unix_ms: u64) -> Allowed {
        let age_ms = self.age_max.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let since_ms = age_ms.map_or(0, |age_ms| unix_ms.saturating_sub(age_ms));
        Allowed { since_ms, bytes_max: self.bytes_max }
    }
}

/// What the cleaner shares with the commit thread and with those who ask.
#[derive(Debug, Default)]
pub(super) struct Cleaning {
    /// Held by the commit thread while it writes, by the cleaner while it deletes.
    touched: Mutex<Touched>,
    known: Mutex<Known>,
}

/// What commits have done to sessions since the cleaner began to look.
#[derive(Debug, Default)]
pub(super) struct Touched {
    is_watched: bool,
    ended: HashSet<ClientId>,
    moved: HashSet<ClientId>,
}

/// What is told to those who ask.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    size: LogSize,
    cleaned: [Taken; Reason::ALL.len()],
}

/// What a commit does to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    Ended,
    Moved,
}

impl Cleaning {
    /// To be held while a commit is written that does this to sessions.
    pub(super) fn commit(&self, touches: Vec<(ClientId, Touch)>) -> MutexGuard<'_, Touched> {
        let mut touched = lock(&self.touched);
        if touched.is_watched {
            for (client_id, touch) in touches {
                match touch {
                    Touch::Ended => touched.ended.insert(client_id),
                    Touch::Moved => touched.moved.insert(client_id),
                };
            }
        }
        touched
    }

    /// How large the log is, as of a few seconds ago.
    pub(super) fn size(&self) -> LogSize {
        lock(&self.known).size
    }

    /// What was taken, by [`Reason`].
    pub(super) fn cleaned(&self) -> [Taken; Reason::ALL.len()] {
        lock(&self.known).cleaned
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the thread. What it has begun and not deleted when it is ended stays.
pub(super) fn start(
    store: &Arc<Store>,
    rules: Rules,
    sink: impl CommitSink,
) -> std::io::Result<Background> {
    let store = Arc::clone(store);
    Background::start("store-clean", move |is_closed| {
        let (holders, began, failed) = (Vec::new(), Instant::now(), None);
        Work { store, rules, sink, is_closed, holders, began, failed }.run();
    })
}

/// What the thread owns.
struct Work<K> {
    store: Arc<Store>,
    rules: Rules,
    sink: K,
    is_closed: Arc<AtomicBool>,
    /// Who held the partitions when all sessions were last read, by column family.
    holders: Vec<(Box<str>, Floor)>,
    /// When it began to work.
    began: Instant,
    /// What went wrong last time, which need not be told again.
    failed: Option<Error>,
}

impl<K: CommitSink> Work<K> {
    fn run(mut self) {
        if let Err(error) = self.look() {
            self.tell(Err(error));
        }
        let (mut last, mut rests_until) = (Instant::now(), Instant::now());
        let mut sealed = 0;
        let Some(every) = self.rules.cleans_every else { return };
        while !self.is_closed.load(Ordering::Acquire) {
            let began = Instant::now();
            let segments = self.store.tail.segments_sealed();
            let is_due = began.duration_since(last) >= every || segments >= sealed + SEALED_MAX;
            if is_due && began >= rests_until {
                (last, sealed) = (began, segments);
                let outcome = self.pass();
                let done = Instant::now();
                rests_until = done + done.duration_since(self.began) * self.rules.rest;
                self.tell(outcome);
            }
            thread::park_timeout(LOOKS_EVERY.min(every));
        }
    }

    fn tell(&mut self, outcome: Result<Option<Cleaned>, Error>) {
        let failed = match &outcome {
            Err(error) => Some(error.clone()),
            Ok(_) => None,
        };
        let is_known = failed.is_some() && failed == self.failed;
        self.failed = failed;
        match outcome {
            // The store is being closed, or opened anew.
            Err(Error::Closed) => {}
            Err(error) if !is_known => self.sink.cleaned(Err(error)),
            Ok(Some(cleaned)) => self.sink.cleaned(Ok(cleaned)),
            Ok(None) | Err(_) => {}
        }
    }

    /// What is there when the store was opened.
    fn look(&self) -> Result<(), Error> {
        let db = self.store.db()?;
        let moment = Moment::of(&db);
        let survey = survey(&self.store, &moment)?;
        lock(&self.store.cleaning.known).size = size(&moment, &survey)?;
        Ok(())
    }

    /// Cleans, if there is something to clean.
    fn pass(&mut self) -> Result<Option<Cleaned>, Error> {
        self.began = Instant::now();
        let store = Arc::clone(&self.store);
        let _watch = Watch::begin(&store.cleaning);
        let db = store.db()?;
        let moment = Moment::of(&db);
        let survey = survey(&store, &moment)?;
        // It may have waited for those who index.
        self.began = Instant::now();
        lock(&store.cleaning.known).size = size(&moment, &survey)?;
        let unix_ms = unix_ms();
        let allowed = self.rules.at(unix_ms);
        let is_over = || self.is_closed.load(Ordering::Relaxed) || store.database.is_wanted();
        if !self.is_worth_it(&moment, &survey, allowed)? {
            return Ok(None);
        }
        let floors = clean::floors(&moment, &survey, is_over)?;
        let cuts = plan(&survey.holdings, &floors.positions(), allowed);
        let loss = clean::losses(&moment, &survey, &floors, &cuts, unix_ms, is_over)?;
        self.remember(&survey, &floors);
        if survey.holdings.iter().zip(&cuts).all(|(holding, cut)| holding.begin == cut.begin) {
            return Ok(None);
        }
        let overtaken = delete(&store, &db, &survey, &cuts, loss.overtaken)?;
        let mut taken = [Taken::default(); Reason::ALL.len()];
        for cut in &cuts {
            for (sum, of) in taken.iter_mut().zip(cut.taken) {
                *sum += of;
            }
        }
        let mut known = lock(&store.cleaning.known);
        for (sum, of) in known.cleaned.iter_mut().zip(taken) {
            *sum += of;
        }
        known.size.bytes -= taken.iter().map(|of| of.bytes).sum::<u64>().min(known.size.bytes);
        drop(known);
        let unread_blocks = loss.unread_blocks;
        Ok(Some(Cleaned { taken, overtaken, unread_blocks, took: self.began.elapsed() }))
    }

    /// Whether anything can go. To know it for sure all sessions must be read, a million of them
    /// perhaps; but as long as those who held the partitions last time still do, none does less.
    fn is_worth_it(
        &self,
        moment: &Moment<'_>,
        survey: &Survey,
        allowed: Allowed,
    ) -> Result<bool, Error> {
        let mut floors = Vec::with_capacity(survey.areas.len());
        for area in &survey.areas {
            let known = self.holders.iter().find(|(family, _)| *family == area.family);
            let floor = match known {
                Some((_, floor)) if stands(moment, floor)? => floor.position,
                // Nobody knows: perhaps all of it can go.
                _ => NOBODY,
            };
            floors.push(floor);
        }
        let cuts = plan(&survey.holdings, &floors, allowed);
        Ok(survey.holdings.iter().zip(&cuts).any(|(holding, cut)| holding.begin != cut.begin))
    }

    fn remember(&mut self, survey: &Survey, floors: &Floors) {
        let families = survey.areas.iter().map(|area| area.family.clone());
        self.holders =
            families.enumerate().map(|(at, family)| (family, floors.of(at).clone())).collect();
    }
}

/// Whether the session still stands where it stood.
fn stands(moment: &Moment<'_>, floor: &Floor) -> Result<bool, Error> {
    // A subscription that is new since then begins above what was sealed.
    let Some(holder) = &floor.holder else { return Ok(false) };
    let cursors = family(moment.db, keys::CURSORS);
    let sealed = moment.snapshot.get_pinned_cf(&cursors, holder.client_id.as_str());
    Ok(cursor(&holder.client_id, sealed)? == Some(holder.cursor))
}

/// What was read as the cursor of a client; `None`: there is none, or it is damaged.
fn cursor(
    client_id: &ClientId,
    sealed: Result<Option<DBPinnableSlice<'_>>, rocksdb::Error>,
) -> Result<Option<Position>, Error> {
    let sealed = sealed.map_err(unreadable)?;
    Ok(sealed.and_then(|sealed| encode::cursor(client_id.as_str().as_bytes(), &sealed).ok()))
}

/// The time in which commits note what they do to sessions.
struct Watch<'a>(&'a Cleaning);

impl<'a> Watch<'a> {
    fn begin(cleaning: &'a Cleaning) -> Self {
        *lock(&cleaning.touched) = Touched { is_watched: true, ..Touched::default() };
        Self(cleaning)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        *lock(&self.0.touched) = Touched::default();
    }
}

fn survey(store: &Store, moment: &Moment<'_>) -> Result<Survey, Error> {
    let partitions = store.partitions.all();
    let areas = partitions
        .iter()
        .map(|partition| Area { name: partition.name.clone(), family: partition.family.clone() });
    Survey::take(moment, areas.collect(), &store.tail.open_shares())
}

fn size(moment: &Moment<'_>, survey: &Survey) -> Result<LogSize, Error> {
    let mut oldest_ms = None;
    let mut partitions = 0;
    for (at, holding) in survey.holdings.iter().enumerate() {
        if holding.bytes() == 0 {
            continue;
        }
        partitions += 1;
        let of = survey.oldest_ms(moment, at)?;
        oldest_ms = [oldest_ms, of].into_iter().flatten().min();
    }
    let (bytes, segments) = (survey.bytes(), survey.segments.len());
    Ok(LogSize { bytes, oldest_ms, partitions, segments })
}

/// Deletes, and says who has lost what.
fn delete(
    store: &Store,
    db: &DB,
    survey: &Survey,
    cuts: &[Cut],
    overtaken: Vec<Overtaken>,
) -> Result<Vec<Overtaken>, Error> {
    let mut changes = WriteBatch::default();
    let mut ranges = Vec::new();
    for ((area, holding), cut) in survey.areas.iter().zip(&survey.holdings).zip(cuts) {
        if cut.begin > holding.begin {
            let log = family(db, &area.family);
            changes.delete_range_cf(&log, keys::first(holding.begin), keys::first(cut.begin));
            let begin = keys::begin(&area.family);
            changes.put_cf(&family(db, keys::META), begin, keys::first(cut.begin));
            // From the start: a file may have been kept by what has gone now.
            ranges.push((&*area.family, Position::ZERO, cut.begin));
        }
    }
    for (first, end) in runs(&survey.empty_segments(cuts)) {
        for name in [keys::SEGMENTS, keys::INDEX] {
            changes.delete_range_cf(&family(db, name), keys::first(first), keys::first(end));
            ranges.push((name, first, end));
        }
    }
    let (touched, overtaken) = still_overtaken(store, db, cuts, overtaken)?;
    let mut record = Vec::new();
    for one in overtaken.iter().filter(|one| one.messages > 0) {
        let key = one.client_id.as_str();
        let messages = i64::try_from(one.messages).unwrap_or(i64::MAX);
        encode::put_overtaken(key.as_bytes(), messages, &mut record);
        changes.merge_cf(&family(db, keys::OVERTAKEN), key, &record);
    }
    let mut durably = WriteOptions::default();
    durably.set_sync(true);
    db.write_opt(changes, &durably).map_err(|error| {
        // It may have been the sync. RocksDB takes no more, so the next commit heals the store.
        mark_unsynced(store.database.dir());
        Error::NotCleaned { reason: error.into_string() }
    })?;
    drop(touched);
    for (name, first, end) in ranges {
        // The last key belongs to what goes.
        let last = keys::first(Position(end.0 - 1));
        // A file that cannot be dropped now can be the next time, or goes with compaction.
        let _ = db.delete_file_in_range_cf(&family(db, name), keys::first(first), last);
    }
    Ok(overtaken)
}

/// Leaves out those that have ended meanwhile, and those that have passed all that goes. Until the
/// lock is let go nothing changes.
fn still_overtaken<'a>(
    store: &'a Store,
    db: &DB,
    cuts: &[Cut],
    mut overtaken: Vec<Overtaken>,
) -> Result<(MutexGuard<'a, Touched>, Vec<Overtaken>), Error> {
    let touched = lock(&store.cleaning.touched);
    let end = cuts.iter().map(|cut| cut.begin).max().unwrap_or_default();
    let cursors = family(db, keys::CURSORS);
    let mut has_passed = HashSet::new();
    for one in overtaken.iter().filter(|one| touched.moved.contains(&one.client_id)) {
        let sealed = db.get_pinned_cf(&cursors, one.client_id.as_str());
        if cursor(&one.client_id, sealed)?.is_some_and(|cursor| cursor >= end) {
            has_passed.insert(one.client_id.clone());
        }
    }
    overtaken.retain(|one| {
        !touched.ended.contains(&one.client_id) && !has_passed.contains(&one.client_id)
    });
    Ok((touched, overtaken))
}

/// Segments that follow each other as one range of positions.
fn runs(segments: &[(Position, Position)]) -> Vec<(Position, Position)> {
    let mut runs: Vec<(Position, Position)> = Vec::new();
    for &(first, end) in segments {
        match runs.last_mut() {
            Some((_, last)) if *last == first => *last = end,
            _ => runs.push((first, end)),
        }
    }
    runs
}

/// What lies in the log of an open store.
pub(super) fn backlog(store: &Store, rules: Rules, most: Option<usize>) -> Result<Backlog, Error> {
    let db = store.db()?;
    let moment = Moment::of(&db);
    let survey = survey(store, &moment)?;
    let unix_ms = unix_ms();
    backlog::report(&moment, &survey, rules.at(unix_ms), unix_ms, most, || false)
}

pub(super) fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
