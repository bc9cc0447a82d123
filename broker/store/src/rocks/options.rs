//! How RocksDB is set up.

use std::path::PathBuf;
use std::sync::Arc;

use std::time::Duration;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, LogLevel,
    MergeOperands,
};

use super::cleaner::Rules;
use super::segments::SegmentLimits;
use crate::progress::Progress;
use crate::{encode, keys};

const MIB: usize = 1024 * 1024;
/// A family that has so many bytes of writes in memory writes them to a table. Larger buffers save
/// no work: tables of the log are never merged, and those of records are merged in the background.
const BUFFER_BYTES: usize = 4 * MIB;
/// So many buffers of a family may wait for the disk, the one that is being filled included.
const BUFFERS_MAX: i32 = 4;

/// How to run the store.
#[derive(Clone, Debug)]
pub struct Options {
    /// What nobody waits for ([`Batch::needs_sync`]) is synced at least so often; `None`: when the
    /// operating system likes, and when the engine is closed.
    ///
    /// [`Batch::needs_sync`]: flotilla_core::turn::Batch::needs_sync
    pub sync_interval: Option<Duration>,
    /// Bytes of the disk that stay free: with less, the store is full ([`State::Full`]). Of a small
    /// disk it is the twentieth part.
    ///
    /// [`State::Full`]: crate::State::Full
    pub disk_reserve_bytes: u64,
    /// Bytes of memory for what was read from the disk.
    pub cache_bytes_max: usize,
    /// Bytes of memory for writes that are not yet in tables, over all families.
    pub write_buffer_bytes_max: usize,
    /// Bytes of write-ahead log: what is written again after an unclean end, so it bounds how long
    /// opening takes.
    pub wal_bytes_max: u64,
    /// Files that are held open.
    pub open_files_max: u16,
    /// Threads that flush and compact in the background.
    pub background_threads: u8,
    /// Where damaged records are kept; `None`: in `quarantine` within the store's directory.
    pub quarantine_dir: Option<PathBuf>,
    /// So many of a topic's first levels name its partition.
    pub partition_levels: usize,
    /// At most so many partitions have a name; what would need one more lies in the one without.
    pub partitions_max: usize,
    /// When a segment of the log is full and sealed.
    pub segment: SegmentLimits,
    /// Messages that are older go, whoever wants them; `None`: they stay.
    pub age_max: Option<Duration>,
    /// Bytes of the log, before it is compressed: what is more goes, whoever wants it, from the
    /// largest partition first; `None`: no limit.
    pub disk_bytes_max: Option<u64>,
    /// The log is cleaned so often, or when much was sealed, if there is something to clean and the
    /// cleaner has rested; `None`: never.
    pub cleans_every: Option<Duration>,
    /// The cleaner rests so many times as long as it has worked.
    pub cleaner_rest: u32,
    /// Where the one who opens says how far it has come.
    pub progress: Arc<Progress>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sync_interval: None,
            disk_reserve_bytes: 512 * MIB as u64,
            cache_bytes_max: 64 * MIB,
            write_buffer_bytes_max: 64 * MIB,
            wal_bytes_max: 128 * MIB as u64,
            open_files_max: 256,
            background_threads: 2,
            quarantine_dir: None,
            partition_levels: 1,
            partitions_max: 32,
            segment: SegmentLimits::default(),
            age_max: None,
            disk_bytes_max: None,
            cleans_every: Some(Duration::from_secs(10)),
            cleaner_rest: 19,
            progress: Arc::default(),
        }
    }
}

impl Options {
    /// Options of the database.
    pub(crate) fn database(&self) -> rocksdb::Options {
        // Opening after an unclean end need not wait for tables to be written. This one option has
        // no setter.
        let mut options = rocksdb::Options::default()
            .get_options_from_string("avoid_flush_during_recovery=true")
            .expect("RocksDB knows the option");
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_max_open_files(i32::from(self.open_files_max));
        options.set_max_background_jobs(i32::from(self.background_threads.max(1)));
        options.set_db_write_buffer_size(self.write_buffer_bytes_max);
        options.set_max_total_wal_size(self.wal_bytes_max);
        options.set_writable_file_max_buffer_size(MIB as u64 / 4);
        // After a power cut what was not synced may have holes: everything
        // up to the first one is a state that was, and the rest is given up.
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        // A synced write-ahead log that is missing altogether is an error, not an empty store.
        options.set_track_and_verify_wals_in_manifest(true);
        // Tables are written out evenly, so that the sync of a commit does not wait for them.
        options.set_bytes_per_sync(MIB as u64);
        options.set_log_level(LogLevel::Warn);
        options.set_max_log_file_size(MIB);
        options.set_keep_log_file_num(2);
        options
    }

    /// What the log may hold.
    pub(super) fn rules(&self) -> Rules {
        let Self { age_max, disk_bytes_max, cleans_every, cleaner_rest, .. } = *self;
        Rules { age_max, bytes_max: disk_bytes_max, cleans_every, rest: cleaner_rest }
    }

    /// How families are set up that share the memory for what was read.
    pub(crate) fn families(&self) -> Families {
        Families { cache: Cache::new_lru_cache(self.cache_bytes_max) }
    }

    /// Options of a family of records that is made while the database is open.
    pub(super) fn family(&self, name: &str) -> rocksdb::Options {
        records(name, &Cache::new_lru_cache(self.cache_bytes_max))
    }
}

/// How column families are set up, each for what it holds.
pub(crate) struct Families {
    cache: Cache,
}

impl Families {
    /// Those that every store has.
    pub(crate) fn of_every_store(&self) -> Vec<ColumnFamilyDescriptor> {
        let family = |&name: &&str| match name {
            keys::LOG => self.log(),
            name => records(name, &self.cache),
        };
        let families = keys::FAMILIES.iter();
        families.map(|name| ColumnFamilyDescriptor::new(*name, family(name))).collect()
    }

    /// A partition of the log.
    pub(super) fn log(&self) -> rocksdb::Options {
        log(&self.cache)
    }
}

/// Blocks come in the order of their keys and are never written again, so tables of the log never
/// overlap: as long as every level compresses alike, compaction moves files and copies nothing.
fn log(cache: &Cache) -> rocksdb::Options {
    let mut options = rocksdb::Options::default();
    options.set_write_buffer_size(BUFFER_BYTES);
    options.set_max_write_buffer_number(BUFFERS_MAX);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_target_file_size_base(64 * MIB as u64);
    // Files can be dropped on lower levels only, and moving them there copies nothing.
    options.set_level_zero_file_num_compaction_trigger(1);
    options.set_max_bytes_for_level_base(512 * MIB as u64);
    let mut table = tables(cache);
    // Small blocks of a quiet broker are read and compressed together.
    table.set_block_size(64 * 1024);
    options.set_block_based_table_factory(&table);
    options
}

fn records(name: &str, cache: &Cache) -> rocksdb::Options {
    let mut options = rocksdb::Options::default();
    options.set_write_buffer_size(BUFFER_BYTES);
    options.set_max_write_buffer_number(BUFFERS_MAX);
    options.set_compression_type(DBCompressionType::Lz4);
    let mut table = tables(cache);
    // Most sessions that are asked for by name exist, most new ones do not.
    table.set_bloom_filter(10.0, false);
    options.set_block_based_table_factory(&table);
    if name == keys::OVERTAKEN {
        // Only from the beginning on: what never falls below 0 cannot be added up in parts.
        let not_in_parts = |_: &[u8], _: Option<&[u8]>, _: &MergeOperands| None;
        options.set_merge_operator("flotilla.sum-overtaken", sum_overtaken, not_in_parts);
    }
    if name == keys::CURSORS {
        options.set_merge_operator_associative("flotilla.highest-cursor", highest_cursor);
    }
    options
}

fn tables(cache: &Cache) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_format_version(6);
    table
}

/// A cursor never goes back: of all that were written, the highest counts. A merge needs no read.
fn highest_cursor(key: &[u8], stored: Option<&[u8]>, written: &MergeOperands) -> Option<Vec<u8>> {
    let mut highest: Option<(u64, &[u8])> = None;
    for sealed in stored.into_iter().chain(written) {
        // A merge that fails would stop whoever reads over it, so damage is handed on as it is.
        let Ok(cursor) = encode::cursor(key, sealed) else { return Some(sealed.to_vec()) };
        if highest.is_none_or(|(so_far, _)| so_far <= cursor.0) {
            highest = Some((cursor.0, sealed));
        }
    }
    highest.map(|(_, sealed)| sealed.to_vec())
}

/// Cleaning adds to what it took before; so neither it nor the commit thread has to read. A client
/// may have been told of what was taken from an earlier session of its name: that does not make up
/// for what this one loses.
fn sum_overtaken(key: &[u8], stored: Option<&[u8]>, written: &MergeOperands) -> Option<Vec<u8>> {
    let mut sum = 0_i64;
    for sealed in stored.into_iter().chain(written) {
        let Ok(messages) = encode::overtaken(key, sealed) else { return Some(sealed.to_vec()) };
        sum = sum.saturating_add(messages).max(0);
    }
    let mut record = Vec::new();
    encode::put_overtaken(key, sum, &mut record);
    Some(record)
}
