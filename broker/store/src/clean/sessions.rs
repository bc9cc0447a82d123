//! What all sessions want of the log, one after the other.

use flotilla_core::id::Position;
use rocksdb::{DB, DBRawIteratorWithThreadMode};

use super::Moment;
use crate::encode::{self, Interest};
use crate::error::Error;
use crate::keys;
use crate::recover::damaged_record;
use crate::rocks::unreadable;

/// A session as the disk has it. Its cursor is never ahead of the truth.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) cursor: Position,
    pub(crate) interest: Interest<'a>,
    /// QoS 2 messages that were sent and not received, ascending.
    pub(crate) sent: Vec<Position>,
    /// QoS 2 messages that the client has, ascending.
    pub(crate) received: Vec<Position>,
}

impl Session<'_> {
    /// The lowest position that must not go, whatever the filters say.
    pub(crate) fn pinned(&self) -> Option<Position> {
        let unacknowledged = self.interest.unacknowledged.first();
        unacknowledged.into_iter().chain(self.sent.first()).copied().min()
    }
}

/// Calls `each` with all sessions of a moment, in the order of their names.
pub(crate) fn for_each(
    moment: &Moment<'_>,
    mut each: impl FnMut(&Session<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut records = rows(moment, keys::SESSIONS);
    let mut cursors = rows(moment, keys::CURSORS);
    let mut outbound = rows(moment, keys::OUTBOUND);
    while let Some((key, sealed)) = records.item() {
        let damaged = |error| damaged_record(keys::SESSIONS, key, &error);
        let interest = encode::interest(key, sealed).map_err(damaged)?;
        let client_id = str::from_utf8(key)
            .map_err(|_| damaged_record(keys::SESSIONS, key, &"its key is not UTF-8"))?;
        let cursor = cursor_of(&mut cursors, key)?;
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        while let Some((key, sealed)) = outbound.item() {
            let damaged =
                |reason: &dyn ToString| damaged_record(keys::OUTBOUND, key, &reason.to_string());
            let (owner, suffix) =
                keys::split_client(key).ok_or_else(|| damaged(&"its key is malformed"))?;
            if owner > client_id.as_bytes() {
                break;
            }
            if owner == client_id.as_bytes() {
                let position =
                    keys::position(suffix).ok_or_else(|| damaged(&"its key is malformed"))?;
                let record = encode::outbound(key, position, sealed).map_err(|e| damaged(&e))?;
                if position >= cursor {
                    if record.released { &mut received } else { &mut sent }.push(position);
                }
            }
            outbound.next();
        }
        outbound.status().map_err(unreadable)?;
        each(&Session { client_id, cursor, interest, sent, received })?;
        records.next();
    }
    records.status().map_err(unreadable)
}

fn cursor_of(
    rows: &mut DBRawIteratorWithThreadMode<'_, DB>,
    client: &[u8],
) -> Result<Position, Error> {
    while rows.key().is_some_and(|key| key < client) {
        rows.next();
    }
    rows.status().map_err(unreadable)?;
    let damaged =
        |reason: &dyn ToString| damaged_record(keys::CURSORS, client, &reason.to_string());
    match rows.item() {
        Some((key, sealed)) if key == client => {
            encode::cursor(key, sealed).map_err(|e| damaged(&e))
        }
        _ => Err(damaged(&"it is missing")),
    }
}

fn rows<'a>(moment: &Moment<'a>, name: &str) -> DBRawIteratorWithThreadMode<'a, DB> {
    let mut rows = moment.rows(name);
    rows.seek_to_first();
    rows
}
