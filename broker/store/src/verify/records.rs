//! Every record of a store.

use std::collections::BTreeSet;

use flotilla_core::id::Position;
use rocksdb::{DB, ReadOptions};

use super::{Check, Lend, LogCount};
use crate::block::Block;
use crate::error::Error;
use crate::recover::{kind, text};
use crate::rocks::unreadable;
use crate::scan::{Hole, holes};
use crate::segment::{IndexPage, Segment};
use crate::{encode, keys, partition};

/// Bytes that are read while the database is lent once: some 10 ms.
const CHUNK_BYTES: usize = 8 * 1024 * 1024;
/// What a row costs besides its bytes.
const ROW_COST: usize = 64;
/// Bytes read ahead.
const READAHEAD_BYTES: usize = 1024 * 1024;

impl Check<'_> {
    /// Reads every family from its first key to its last.
    pub(super) fn records(&self, lend: Lend<'_>) -> Result<(), Error> {
        let mut names = BTreeSet::new();
        lend(&mut |db| names = families(db))?;
        for name in &names {
            match partition::name_in(name) {
                Some(partition) => self.log(lend, name, partition.unwrap_or_default())?,
                None => self.family(lend, name)?,
            }
        }
        Ok(())
    }

    fn family(&self, lend: Lend<'_>, name: &str) -> Result<(), Error> {
        self.rows(lend, name, &mut |key, value| {
            let checked = match name {
                keys::SEGMENTS => reason(Segment::decode(key, value)),
                keys::INDEX => reason(IndexPage::decode(key, value)),
                keys::SESSIONS => reason(encode::session(key, value).map(|session| {
                    self.count("subscription", session.subscriptions.len() as u64, 0);
                })),
                keys::CURSORS => reason(encode::cursor(key, value)),
                keys::OVERTAKEN => reason(encode::overtaken(key, value)),
                keys::RETAINED => reason(encode::retained(key, value)),
                keys::INBOUND => reason(
                    suffix(key)
                        .and_then(|suffix| keys::packet_id(suffix).ok_or(encode::MALFORMED_KEY)),
                ),
                keys::OUTBOUND => reason(suffix(key).and_then(|suffix| {
                    let position = keys::position(suffix).ok_or(encode::MALFORMED_KEY)?;
                    encode::outbound(key, position, value)
                })),
                _ => None,
            };
            self.count(kind(name), 1, (key.len() + value.len()) as u64);
            if let Some(reason) = checked {
                let key = match name {
                    keys::SEGMENTS | keys::INDEX => {
                        let first = key.first_chunk::<8>().map_or(0, |it| u64::from_be_bytes(*it));
                        first.to_string()
                    }
                    _ => text(key),
                };
                self.find(kind(name), Some(key), None, reason);
            }
        })
    }

    /// A partition of the log: each block names the one before it.
    fn log(&self, lend: Lend<'_>, name: &str, partition: &str) -> Result<(), Error> {
        let mut count = LogCount::default();
        // Empty: before the first, whose predecessors were cleaned. What was set aside may be named by
        // the next block or not.
        let mut before: Vec<Position> = Vec::new();
        self.rows(lend, name, &mut |key, value| {
            let first = keys::position(key);
            if value.is_empty() {
                count.lost += 1;
                before.extend(first);
                return;
            }
            count.blocks += 1;
            count.bytes += value.len() as u64;
            let found = Block::decode(value).map_err(|error| error.to_string());
            let found = found.and_then(|block| {
                if first != Some(block.first()) {
                    Err("the block is not where it belongs".to_owned())
                } else if !before.is_empty() && !before.contains(&block.previous()) {
                    Err(format!("the block before it, at {}, is missing", block.previous().0))
                } else {
                    Ok(block)
                }
            });
            match found {
                Ok(block) => count.messages += block.count() as u64,
                Err(reason) => {
                    let at = first.map_or("?".to_owned(), |first| first.0.to_string());
                    let key = format!("{partition} {at}").trim().to_owned();
                    self.find("log", Some(key), None, reason);
                }
            }
            before.clear();
            before.extend(first);
        })?;
        if count.lost > 0 {
            let blocks = count.lost;
            self.note(format!("{blocks} blocks of {name} were damaged before, and set aside"));
        }
        self.report.borrow_mut().log.insert(partition.to_owned(), count);
        Ok(())
    }

    /// Every row of a family that can be read, past those that cannot.
    fn rows(
        &self,
        lend: Lend<'_>,
        name: &str,
        row: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Error> {
        let mut chunk = Chunk { from: Vec::new(), rows: 0, holes: None };
        loop {
            let mut read = Ok(Read::End);
            lend(&mut |db| read = chunk.read(db, name, row))?;
            match read? {
                Read::More => self.tell(|| format!("{name}: {} records", chunk.rows))?,
                Read::End => return Ok(()),
                Read::Unreadable(reason) => {
                    self.find(
                        kind_of(name),
                        None,
                        None,
                        format!("{name} cannot be read on: {reason}"),
                    );
                    return Ok(());
                }
            }
        }
    }

    fn count(&self, kind: &str, count: u64, bytes: u64) {
        let mut report = self.report.borrow_mut();
        if let Some(so_far) = report.records.get_mut(kind) {
            so_far.count += count;
            so_far.bytes += bytes;
        } else {
            report.records.insert(kind.to_owned(), super::Count { count, bytes });
        }
    }
}

/// What does not hold, if anything.
fn reason<T, E: ToString>(checked: Result<T, E>) -> Option<String> {
    checked.err().map(|error| error.to_string())
}

/// What follows the Client Identifier.
fn suffix(key: &[u8]) -> Result<&[u8], encode::MalformedRecord> {
    keys::split_client(key).map(|(_, suffix)| suffix).ok_or(encode::MALFORMED_KEY)
}

fn kind_of(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

/// All that the database has open.
fn families(db: &DB) -> BTreeSet<String> {
    let listed = DB::list_cf(&rocksdb::Options::default(), db.path()).unwrap_or_default();
    let known = keys::FAMILIES.into_iter().map(str::to_owned);
    let names = listed.into_iter().chain(known);
    names.filter(|name| name != "default" && db.cf_handle(name).is_some()).collect()
}

/// Where reading a family stands.
struct Chunk {
    from: Vec<u8>,
    rows: u64,
    /// What cannot be read; known when it was met.
    holes: Option<Vec<Hole>>,
}

enum Read {
    More,
    End,
    Unreadable(String),
}

impl Chunk {
    fn read(
        &mut self,
        db: &DB,
        name: &str,
        row: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Read, Error> {
        // It may have been dropped since.
        let Some(family) = db.cf_handle(name) else { return Ok(Read::End) };
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(READAHEAD_BYTES);
        let mut rows = db.raw_iterator_cf_opt(&family, options);
        rows.seek(&self.from);
        let mut bytes = 0;
        while let Some((key, value)) = rows.item() {
            row(key, value);
            self.rows += 1;
            bytes += key.len() + value.len() + ROW_COST;
            self.from.clear();
            self.from.extend_from_slice(key);
            self.from.push(0);
            if bytes > CHUNK_BYTES {
                return Ok(Read::More);
            }
            rows.next();
        }
        let Err(error) = rows.status() else { return Ok(Read::End) };
        if self.holes.is_none() {
            match holes(db, name) {
                Ok(holes) => self.holes = Some(holes),
                Err(error) => return Ok(Read::Unreadable(error.to_string())),
            }
        }
        let holes = self.holes.as_mut().expect("it was just filled");
        match holes.iter().position(|hole| hole.up_to >= self.from) {
            Some(at) => {
                // The files are told apart from the records.
                self.from = holes.remove(at).up_to;
                self.from.push(0);
                Ok(Read::More)
            }
            None => Ok(Read::Unreadable(unreadable(error).to_string())),
        }
    }
}
