//! Reads the records of a store when it is opened.

use flotilla_core::id::Position;
use flotilla_core::message::Message;
use flotilla_core::record::{OutboundRecord, StoredSession};
use flotilla_mqtt::PacketId;
use std::sync::Arc;

use rocksdb::{BoundColumnFamily, DB, DBRawIteratorWithThreadMode, ReadOptions};

use crate::encode;
use crate::engine::{FIRST, Recovered};
use crate::error::Error;
use crate::progress::{Phase, Progress};
use crate::rocks::unreadable;
use crate::{block, keys};

/// Reads everything but the backlog. Each family is read once from its first key to its last; all
/// have the records of a client at the same place.
pub(crate) fn recover(db: &DB, progress: &Progress) -> Result<Recovered, Error> {
    progress.begin(Phase::ReadingSessions, estimate(db, keys::SESSIONS));
    let mut of_client = OfClient {
        cursors: Scan::new(db, keys::CURSORS),
        inbound: Scan::new(db, keys::INBOUND),
        outbound: Scan::new(db, keys::OUTBOUND),
        overtaken: Scan::new(db, keys::OVERTAKEN),
    };
    let mut sessions = Vec::new();
    let mut records = Scan::new(db, keys::SESSIONS);
    while let Some((key, sealed)) = records.item()? {
        let record =
            encode::session(key, sealed).map_err(|e| damaged_record(keys::SESSIONS, key, &e))?;
        let cursor = of_client.cursor(key)?;
        let inbound = of_client.inbound(key)?;
        let outbound = of_client.outbound(key, cursor)?;
        let overtaken = of_client.overtaken(key)?;
        sessions.push(StoredSession { record, cursor, inbound, outbound, overtaken });
        records.step();
        progress.step();
    }
    progress.begin(Phase::ReadingRetained, estimate(db, keys::RETAINED));
    Ok(Recovered { sessions, retained: retained(db, progress)?, end: end(db)? })
}

/// The families that have records of a client beside its session. Each scan stands behind what
/// belongs to the clients before; what is left of ended sessions is passed over.
struct OfClient<'a> {
    cursors: Scan<'a>,
    inbound: Scan<'a>,
    outbound: Scan<'a>,
    overtaken: Scan<'a>,
}

impl OfClient<'_> {
    fn cursor(&mut self, client: &[u8]) -> Result<Position, Error> {
        let damaged =
            |reason: &dyn ToString| damaged_record(keys::CURSORS, client, &reason.to_string());
        let sealed = self.cursors.of(client)?.ok_or_else(|| damaged(&"it is missing"))?;
        encode::cursor(client, sealed).map_err(|error| damaged(&error))
    }

    fn overtaken(&mut self, client: &[u8]) -> Result<u64, Error> {
        let Some(sealed) = self.overtaken.of(client)? else { return Ok(0) };
        let messages = encode::overtaken(client, sealed)
            .map_err(|error| damaged_record(keys::OVERTAKEN, client, &error))?;
        Ok(u64::try_from(messages).unwrap_or(0))
    }

    fn inbound(&mut self, client: &[u8]) -> Result<Vec<PacketId>, Error> {
        self.inbound.collect(client, |_, suffix, _| {
            keys::packet_id(suffix).ok_or_else(|| "its key is malformed".to_string())
        })
    }

    fn outbound(&mut self, client: &[u8], cursor: Position) -> Result<Vec<OutboundRecord>, Error> {
        let mut records = self.outbound.collect(client, |key, suffix, sealed| {
            let position =
                keys::position(suffix).ok_or_else(|| "its key is malformed".to_string())?;
            encode::outbound(key, position, sealed).map_err(|error| error.to_string())
        })?;
        records.retain(|record| record.position >= cursor);
        Ok(records)
    }
}

fn retained(db: &DB, progress: &Progress) -> Result<Vec<Message>, Error> {
    let mut messages = Vec::new();
    let mut scan = Scan::new(db, keys::RETAINED);
    while let Some((key, sealed)) = scan.item()? {
        let message = encode::retained(key, sealed)
            .map_err(|error| damaged_record(keys::RETAINED, key, &error))?;
        messages.push(message);
        scan.step();
        progress.step();
    }
    Ok(messages)
}

/// About how many records a family has; 0 if nobody knows.
fn estimate(db: &DB, name: &str) -> u64 {
    let keys = db.property_int_value_cf(&family(db, name), "rocksdb.estimate-num-keys");
    keys.ok().flatten().unwrap_or(0)
}

/// Where the log ends: behind its last block.
fn end(db: &DB) -> Result<Position, Error> {
    let mut blocks = db.raw_iterator_cf(&family(db, keys::LOG));
    blocks.seek_to_last();
    let Some((key, value)) = blocks.item() else {
        blocks.status().map_err(unreadable)?;
        return Ok(FIRST);
    };
    let first = keys::block_first(key).unwrap_or_default();
    let block = block::Block::decode(value)
        .map_err(|error| Error::Damaged { position: first, reason: error.to_string() })?;
    Ok(block.end())
}

/// Key and value.
type Row<'a> = (&'a [u8], &'a [u8]);

/// A family from its first key to its last.
struct Scan<'a> {
    name: &'static str,
    rows: DBRawIteratorWithThreadMode<'a, DB>,
}

impl<'a> Scan<'a> {
    fn new(db: &'a DB, name: &'static str) -> Self {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(1024 * 1024);
        let mut rows = db.raw_iterator_cf_opt(&family(db, name), options);
        rows.seek_to_first();
        Self { name, rows }
    }

    /// Key and value where the scan stands; `None` at the end.
    fn item(&self) -> Result<Option<Row<'_>>, Error> {
        let item = self.rows.item();
        if item.is_none() {
            self.rows.status().map_err(unreadable)?;
        }
        Ok(item)
    }

    fn step(&mut self) {
        self.rows.next();
    }

    /// The record of `client`, whose key is its name.
    fn of(&mut self, client: &[u8]) -> Result<Option<&[u8]>, Error> {
        while self.item()?.is_some_and(|(key, _)| key < client) {
            self.step();
        }
        Ok(self.item()?.filter(|(key, _)| *key == client).map(|(_, sealed)| sealed))
    }

    /// Everything of `client`, whose keys have a suffix; `read` gets key, suffix, value.
    fn collect<T>(
        &mut self,
        client: &[u8],
        read: impl Fn(&[u8], &[u8], &[u8]) -> Result<T, String>,
    ) -> Result<Vec<T>, Error> {
        let mut records = Vec::new();
        while let Some((key, value)) = self.item()? {
            let damaged = |reason: String| damaged_record(self.name, key, &reason);
            let (owner, suffix) = keys::split_client(key)
                .ok_or_else(|| damaged("its key is malformed".to_string()))?;
            if owner > client {
                break;
            }
            if owner == client {
                records.push(read(key, suffix, value).map_err(damaged)?);
            }
            self.step();
        }
        Ok(records)
    }
}

/// A family that was opened with the database.
pub(crate) fn family<'a>(db: &'a DB, name: &str) -> Arc<BoundColumnFamily<'a>> {
    db.cf_handle(name).expect("the database is opened with all families")
}

pub(crate) fn damaged_record(name: &'static str, key: &[u8], reason: &impl ToString) -> Error {
    let kind = match name {
        keys::SESSIONS => "session",
        keys::CURSORS => "cursor",
        other => other,
    };
    let key = String::from_utf8_lossy(key).replace('\0', " ").to_string();
    Error::DamagedRecord { kind, key, reason: reason.to_string() }
}
