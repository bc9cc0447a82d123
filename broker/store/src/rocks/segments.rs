//! Follows the commits: indexes what is new, seals segments.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use flotilla_core::id::Position;
use rocksdb::{DB, WriteBatch};

use super::Store;
use super::background::Background;
use super::blocks::Blocks;
use crate::block::Block;
use crate::engine::FIRST;
use crate::error::Error;
use crate::growing::Growing;
use crate::keys;
use crate::recover::family;
use crate::segment::{Segment, Share};

/// The thread is woken when so many messages are not indexed…
const BEHIND_MAX: u64 = 8192;
/// …and looks now and then without being woken.
const LOOKS_EVERY: Duration = Duration::from_secs(10);
/// How long after it could not be written a segment is tried again.
const RETRIES_EVERY: Duration = Duration::from_secs(1);
/// A segment that cannot be written grows to so many times its size before its index is given up.
const OVERDUE: u64 = 4;

/// When a segment is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentLimits {
    /// It has so many messages, or as many as the commit that fills it brings.
    pub messages: u64,
    /// Its blocks have so many bytes.
    pub bytes: u64,
    /// It began so long ago.
    pub age: Duration,
}

impl Default for SegmentLimits {
    fn default() -> Self {
        Self { messages: 65_536, bytes: 32 * 1024 * 1024, age: Duration::from_secs(3600) }
    }
}

/// The end of the log that is not sealed.
pub(super) struct Tail {
    limits: SegmentLimits,
    open: Mutex<Open>,
    /// Where it begins: all below is sealed.
    sealed: AtomicU64,
    /// How many were sealed since the store was opened.
    segments: AtomicU64,
    /// All below is indexed.
    indexed: AtomicU64,
    thread: OnceLock<Thread>,
    is_woken: AtomicBool,
}

/// What whoever indexes holds.
pub(super) struct Open {
    pub(super) growing: Growing,
    began: Instant,
    /// When it could last not be sealed.
    failed: Option<Instant>,
}

impl Open {
    fn new(growing: Growing) -> Self {
        Self { growing, began: Instant::now(), failed: None }
    }
}

impl Tail {
    /// Behind the last segment of a database.
    pub(super) fn take_up(db: &DB, limits: SegmentLimits) -> Self {
        let first = sealed_end(db);
        Self {
            limits,
            open: Mutex::new(Open::new(Growing::new(first))),
            sealed: AtomicU64::new(first.0),
            segments: AtomicU64::new(0),
            indexed: AtomicU64::new(first.0),
            thread: OnceLock::new(),
            is_woken: AtomicBool::new(false),
        }
    }

    /// Where it begins: all below is sealed.
    pub(super) fn first(&self) -> Position {
        Position(self.sealed.load(Ordering::Acquire))
    }

    /// How many segments were sealed since the store was opened.
    pub(super) fn segments_sealed(&self) -> u64 {
        self.segments.load(Ordering::Relaxed)
    }

    /// What is not sealed, as far as it is indexed.
    pub(super) fn open_shares(&self) -> Vec<Share> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.growing.shares().to_vec()
    }

    /// The log ends at `end` now.
    pub(super) fn committed(&self, end: Position) {
        let behind = end.0.saturating_sub(self.indexed.load(Ordering::Relaxed));
        if behind >= BEHIND_MAX
            && let Some(thread) = self.thread.get()
            && !self.is_woken.swap(true, Ordering::AcqRel)
        {
            thread.unpark();
        }
    }

    /// The index of everything below `end`, which is between two commits.
    pub(super) fn up_to(
        &self,
        store: &Store,
        db: &DB,
        end: Position,
    ) -> Result<MutexGuard<'_, Open>, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.growing.end() < end {
            let caught_up = self.catch_up(&mut open, store, db, end);
            if caught_up.is_err() {
                // Blocks of other partitions may be missing that lie before what was indexed.
                open.growing.lose();
            }
            caught_up?;
        }
        Ok(open)
    }

    fn catch_up(
        &self,
        open: &mut Open,
        store: &Store,
        db: &DB,
        end: Position,
    ) -> Result<(), Error> {
        let partitions = store.partitions.all();
        let from = open.growing.end();
        let mut sources = Vec::new();
        for partition in partitions.iter().filter(|partition| partition.newest() >= from) {
            sources.push((partition, Blocks::above(db, partition, from)?));
        }
        loop {
            let ready = sources.iter_mut().filter_map(|(partition, blocks)| {
                blocks.next().filter(|next| *next < end).map(|next| (next, partition, blocks))
            });
            let Some((next, partition, blocks)) = ready.min_by_key(|(next, ..)| *next) else {
                break;
            };
            // No block lies across it.
            if next >= open.growing.end() {
                open.growing.extend_to(next);
                self.seal_if_full(open, store, db);
            }
            // What is empty was set aside: there is nothing to find.
            let added = match blocks.bytes() {
                [] => {
                    open.growing.extend_to(next.plus(1));
                    Ok(())
                }
                bytes => Block::decode(bytes)
                    .and_then(|block| open.growing.add(partition.name.as_deref(), &block)),
            };
            if added.is_err() {
                open.growing.lose();
                open.growing.extend_to(next.plus(1));
            }
            blocks.pass()?;
            self.indexed.store(open.growing.end().0, Ordering::Relaxed);
        }
        open.growing.extend_to(end);
        self.indexed.store(end.0, Ordering::Relaxed);
        self.seal_if_full(open, store, db);
        Ok(())
    }

    fn seal_if_full(&self, open: &mut Open, store: &Store, db: &DB) {
        let (messages, bytes) = (open.growing.messages(), open.growing.bytes());
        let SegmentLimits { messages: messages_max, bytes: bytes_max, age } = self.limits;
        let is_full = messages >= messages_max || bytes >= bytes_max || open.began.elapsed() >= age;
        let is_retried = open.failed.is_none_or(|failed| failed.elapsed() >= RETRIES_EVERY);
        if messages == 0 || !is_full || !is_retried {
            return;
        }
        let sealed = open.growing.seal();
        let (segments, index) = (family(db, keys::SEGMENTS), family(db, keys::INDEX));
        let mut changes = WriteBatch::default();
        let key = keys::first(sealed.first);
        changes.put_cf(&segments, key, sealed.segment.encode(&key));
        for (key, page) in &sealed.pages {
            changes.put_cf(&index, key, page);
        }
        // Behind the blocks in the write-ahead log: what survives of it, its blocks survive, too.
        if db.write(changes).is_err() {
            store.index_faults.fetch_add(1, Ordering::Relaxed);
            open.failed = Some(Instant::now());
            if messages >= OVERDUE * messages_max || bytes >= OVERDUE * bytes_max {
                open.growing.lose();
            }
            return;
        }
        *open = Open::new(open.growing.next());
        self.sealed.store(sealed.segment.end.0, Ordering::Release);
        self.segments.fetch_add(1, Ordering::Relaxed);
    }
}

/// Where the last segment ends that can be read; what follows is indexed again.
pub(super) fn sealed_end(db: &DB) -> Position {
    let mut rows = db.raw_iterator_cf(&family(db, keys::SEGMENTS));
    rows.seek_to_last();
    while let Some((key, sealed)) = rows.item() {
        if let Ok(segment) = Segment::decode(key, sealed) {
            return segment.end;
        }
        rows.prev();
    }
    FIRST
}

/// Starts the thread that follows the commits. What it has not indexed the next start will.
pub(super) fn start_follower(store: &Arc<Store>) -> std::io::Result<Background> {
    let following = Arc::clone(store);
    let follower = Background::start("store-index", move |is_closed| {
        while !is_closed.load(Ordering::Acquire) {
            follow(&following);
            thread::park_timeout(LOOKS_EVERY);
        }
    })?;
    if let Some(thread) = follower.thread() {
        let _ = store.tail.thread.set(thread);
    }
    Ok(follower)
}

/// Indexes what is there now.
fn follow(store: &Store) {
    let tail = &store.tail;
    tail.is_woken.store(false, Ordering::Release);
    let Ok(db) = store.db() else { return };
    match tail.up_to(store, &db, store.end()) {
        // Also when nothing came for an hour.
        Ok(mut open) => tail.seal_if_full(&mut open, store, &db),
        // Replays read the blocks themselves, and say what cannot be read.
        Err(_) => {
            store.index_faults.fetch_add(1, Ordering::Relaxed);
        }
    }
}
