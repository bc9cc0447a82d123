//! Writes a family of records anew, because a table file of it cannot be read: compaction would
//! meet the damage for ever.
//!
//! A kill at any moment loses nothing. The records are written to `NAME.rebuilt` first; when that is
//! complete, `meta` says so, the family is dropped and filled from there. An open that finds
//! `NAME.rebuilt` goes on where that was left, or throws away what is not complete.

use rocksdb::{DB, WriteBatch, WriteOptions};

use flotilla_core::id::Position;

use super::options::Options;
use crate::encode;
use crate::engine::Recovered;
use crate::error::Error;
use crate::keys;
use crate::recover::family;

/// Bytes that are written at once.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
const SUFFIX: &str = ".rebuilt";

/// Writes the family `name` anew with what was recovered of it.
pub(super) fn rebuild(
    db: &DB,
    options: &Options,
    name: &str,
    recovered: &Recovered,
) -> Result<(), Error> {
    let rebuilt = format!("{name}{SUFFIX}");
    drop_if_there(db, &rebuilt)?;
    db.create_cf(&rebuilt, &rocksdb::Options::default()).map_err(failed)?;
    let mut copy = Copy { db, name: &rebuilt, chunk: WriteBatch::default() };
    records(name, recovered, &mut |key, value| copy.put(key, value))?;
    copy.finish()?;
    db.put_cf_opt(&family(db, keys::META), keys::rebuilt(name), b"", &durably()).map_err(failed)?;
    replace(db, options, name)
}

/// Goes on where a kill has stopped it.
pub(super) fn finish(db: &DB, options: &Options) -> Result<(), Error> {
    for name in keys::FAMILIES {
        let rebuilt = format!("{name}{SUFFIX}");
        if db.cf_handle(&rebuilt).is_none() {
            continue;
        }
        let complete = db.get_cf(&family(db, keys::META), keys::rebuilt(name)).map_err(failed)?;
        if complete.is_some() {
            replace(db, options, name)?;
        } else {
            drop_if_there(db, &rebuilt)?;
        }
    }
    Ok(())
}

/// Fills the family from its complete copy.
fn replace(db: &DB, options: &Options, name: &str) -> Result<(), Error> {
    let rebuilt = format!("{name}{SUFFIX}");
    drop_if_there(db, name)?;
    db.create_cf(name, &options.family(name)).map_err(failed)?;
    let mut copy = Copy { db, name, chunk: WriteBatch::default() };
    let mut rows = db.raw_iterator_cf(&family(db, &rebuilt));
    rows.seek_to_first();
    while let Some((key, value)) = rows.item() {
        copy.put(key, value)?;
        rows.next();
    }
    rows.status().map_err(failed)?;
    drop(rows);
    copy.finish()?;
    let done = db.delete_cf_opt(&family(db, keys::META), keys::rebuilt(name), &durably());
    done.map_err(failed)?;
    drop_if_there(db, &rebuilt)
}

fn drop_if_there(db: &DB, name: &str) -> Result<(), Error> {
    if db.cf_handle(name).is_some() { db.drop_cf(name).map_err(failed) } else { Ok(()) }
}

/// Rows on their way into a family.
struct Copy<'a> {
    db: &'a DB,
    name: &'a str,
    chunk: WriteBatch,
}

impl Copy<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.chunk.put_cf(&family(self.db, self.name), key, value);
        if self.chunk.size_in_bytes() < CHUNK_BYTES {
            return Ok(());
        }
        self.db.write(std::mem::take(&mut self.chunk)).map_err(failed)
    }

    /// All of it is on the disk.
    fn finish(self) -> Result<(), Error> {
        self.db.write(self.chunk).map_err(failed)?;
        self.db.flush_wal(true).map_err(failed)
    }
}

/// The rows of a family, from what was recovered.
fn records(
    name: &str,
    recovered: &Recovered,
    put: &mut impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut value = Vec::new();
    if name == keys::RETAINED {
        for message in &recovered.retained {
            encode::put_retained(message, &mut value);
            put(message.topic().as_bytes(), &value)?;
        }
        return Ok(());
    }
    for session in &recovered.sessions {
        let id = &session.record.client_id;
        let key = id.as_str().as_bytes();
        match name {
            keys::SESSIONS => {
                // Every start is a position already.
                encode::put_session(&session.record, Position::ZERO, &mut value);
                put(key, &value)?;
            }
            keys::CURSORS => {
                encode::put_cursor(id, session.cursor, &mut value);
                put(key, &value)?;
            }
            keys::INBOUND => {
                for &packet_id in &session.inbound {
                    put(&keys::inbound(id.as_str(), packet_id), &[])?;
                }
            }
            keys::OUTBOUND => {
                for record in &session.outbound {
                    let key = keys::outbound(id.as_str(), record.position);
                    encode::put_outbound(&key, record, &mut value);
                    put(&key, &value)?;
                }
            }
            keys::OVERTAKEN if session.overtaken > 0 => {
                let messages = i64::try_from(session.overtaken).unwrap_or(i64::MAX);
                encode::put_overtaken(key, messages, &mut value);
                put(key, &value)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn durably() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

fn failed(error: rocksdb::Error) -> Error {
    Error::Unwritable { reason: error.into_string() }
}
