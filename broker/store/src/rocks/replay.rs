//! Reads pages of the log.

use flotilla_core::id::Position;
use flotilla_core::turn::{Page, Replay};
use rocksdb::{DB, DBRawIteratorWithThreadMode, ErrorKind, ReadOptions};

use super::{Store, unreadable};
use crate::block::{Block, Entry};
use crate::engine::FIRST;
use crate::error::Error;
use crate::keys;
use crate::page::Filling;
use crate::recover::family;
use crate::wanted::Wanted;

/// Bytes of blocks that are read for one page at most: it bounds how long a reader is held up by a
/// filter that matches little. Some 10 ms.
const SCAN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What a block costs besides its bytes: finding and checking it.
const SCAN_BLOCK_COST: usize = 512;
/// Bytes read ahead of a scan.
const READAHEAD_BYTES: usize = 1024 * 1024;

pub(super) fn replay(store: &Store, replay: &Replay) -> Result<Page, Error> {
    // Read first: whatever is committed below is in the iterator's view.
    let end = store.end();
    let from = replay.from.max(FIRST);
    if from > end {
        return Err(Error::PastEnd { from, end });
    }
    let mut page = Filling::new(replay, from);
    if from == end {
        return Ok(page.finish(end, end));
    }
    let mut options = ReadOptions::default();
    options.set_readahead_size(READAHEAD_BYTES);
    // A scan would throw out of the cache what others need.
    options.fill_cache(false);
    let db = store.db();
    let mut blocks = db.raw_iterator_cf_opt(&family(&db, keys::LOG), options);
    blocks.seek_for_prev(keys::block(from));

    let mut wanted = Wanted::new(replay);
    let mut next = from;
    let mut scanned = 0;
    while next < end {
        if scanned >= SCAN_BYTES_MAX {
            return Ok(page.finish(next, end));
        }
        let row = blocks.item();
        let Some(block) = block_at(next, next == from, row)? else {
            return Err(absent(&mut blocks, next, end));
        };
        scanned += block.len() + SCAN_BLOCK_COST;
        for (position, entry) in block.entries(next) {
            let entry = entry.map_err(|error| damaged(position, &error))?;
            if is_wanted(&mut wanted, position, &entry)? {
                if !page.has_room(entry.len()) {
                    return Ok(page.finish(position, end));
                }
                let message = entry.message().map_err(|error| damaged(position, &error))?;
                page.push(position, message);
            }
        }
        next = block.end();
        blocks.next();
    }
    Ok(page.finish(end, end))
}

/// The block in which `next` must be: only the first block of a page may begin before it.
fn block_at<'a>(
    next: Position,
    is_first: bool,
    row: Option<(&[u8], &'a [u8])>,
) -> Result<Option<Block<'a>>, Error> {
    let Some((key, bytes)) = row else { return Ok(None) };
    let first = keys::block_first(key).ok_or_else(|| damaged(next, &"a key is not of the log"))?;
    if first > next {
        return Ok(None);
    }
    let block = Block::decode(bytes).map_err(|error| damaged(first, &error))?;
    if block.first() != first || (first < next && !is_first) {
        return Err(damaged(first, &"a block is not where it belongs"));
    }
    Ok((block.end() > next).then_some(block))
}

/// Why there is no block with `missing`, which is below the end of the log.
fn absent(
    blocks: &mut DBRawIteratorWithThreadMode<'_, DB>,
    missing: Position,
    end: Position,
) -> Error {
    if let Err(error) = blocks.status() {
        return match error.kind() {
            ErrorKind::Corruption => damaged(missing, &error),
            _ => unreadable(error),
        };
    }
    blocks.seek(keys::block(missing));
    let found = blocks.key().and_then(keys::block_first).unwrap_or(end);
    Error::Gap { missing, found }
}

fn is_wanted(
    wanted: &mut Wanted<'_>,
    position: Position,
    entry: &Entry<'_>,
) -> Result<bool, Error> {
    if !entry.is_addressed {
        return Ok(wanted.is_wanted(position, entry.topic, entry.topic_hash, ""));
    }
    let message = entry.message().map_err(|error| damaged(position, &error))?;
    Ok(wanted.is_wanted(position, entry.topic, entry.topic_hash, message.addressee()))
}

fn damaged(position: Position, reason: &impl ToString) -> Error {
    Error::Damaged { position, reason: reason.to_string() }
}
