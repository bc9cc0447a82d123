//! Reads the records of a store when it is opened, and sets aside those that are damaged.

use std::collections::BTreeSet;
use std::sync::Arc;

use flotilla_core::id::Position;
use flotilla_core::message::Message;
use flotilla_core::record::{OutboundRecord, SessionRecord, StoredSession};
use flotilla_mqtt::PacketId;
use rocksdb::{BoundColumnFamily, DB, WriteBatch, WriteOptions};

use crate::encode;
use crate::engine::{FIRST, Recovered};
use crate::error::Error;
use crate::keys;
use crate::progress::{Phase, Progress};
use crate::quarantine::{Damaged, Quarantine};
use crate::scan::{Hole, Scan, files_of};

/// What a store holds, and what has to be written anew.
pub(crate) struct Found {
    pub(crate) recovered: Recovered,
    /// Families with a table file that cannot be read: it would stop compaction for ever.
    pub(crate) unreadable: BTreeSet<&'static str>,
}

/// Reads everything but the log, which ends at `log_end`. Each family is read once from its first
/// key to its last; all
/// have the records of a client at the same place.
///
/// What is damaged is in quarantine and out of the store when this returns.
pub(crate) fn recover(
    db: &DB,
    log_end: Position,
    quarantine: &Quarantine,
    progress: &Progress,
) -> Result<Found, Error> {
    progress.begin(Phase::ReadingSessions, estimate(db, keys::SESSIONS));
    let mut desk = Desk { db, quarantine, changes: WriteBatch::default() };
    let mut of_client = OfClient {
        cursors: Scan::new(db, keys::CURSORS),
        inbound: Scan::new(db, keys::INBOUND),
        outbound: Scan::new(db, keys::OUTBOUND),
        overtaken: Scan::new(db, keys::OVERTAKEN),
    };
    let mut recovered = Recovered::default();
    let mut records = Scan::new(db, keys::SESSIONS);
    let mut passed = 0;
    let mut last: Option<Vec<u8>> = None;
    loop {
        let is_end = records.row()?.is_none();
        // What stood before this row and could not be read with the others.
        for hole in &records.passed()[passed..] {
            for key in clients_in(db, hole, last.as_deref())? {
                if let Some(record) = desk.session_in(&records, &key, hole)? {
                    recovered.sessions.push(of_client.session(record, &mut desk)?);
                }
            }
        }
        passed = records.passed().len();
        if is_end {
            break;
        }
        let Some((key, sealed)) = records.row()? else { break };
        if let Some(record) = desk.session(key, sealed)? {
            recovered.sessions.push(of_client.session(record, &mut desk)?);
        }
        last = Some(key.to_vec());
        records.step();
        progress.step();
    }
    progress.begin(Phase::ReadingRetained, estimate(db, keys::RETAINED));
    let mut retained = Scan::new(db, keys::RETAINED);
    recovered.retained = desk.retained(&mut retained, progress)?;
    recovered.end = desk.end(log_end, &recovered.sessions)?;

    let OfClient { cursors, inbound, outbound, overtaken } = of_client;
    let scans = [records, cursors, inbound, outbound, overtaken, retained];
    let unreadable = desk.finish(&scans)?;
    Ok(Found { recovered, unreadable })
}

/// Takes out what does not hold.
struct Desk<'a> {
    db: &'a DB,
    quarantine: &'a Quarantine,
    /// Made in the store when everything is in quarantine.
    changes: WriteBatch,
}

impl Desk<'_> {
    fn set_aside(
        &mut self,
        (name, key, bytes): (&'static str, &[u8], &[u8]),
        reason: &impl ToString,
        lost: String,
    ) -> Result<(), Error> {
        let (kind, reason) = (kind(name), reason.to_string());
        self.quarantine.set_aside(&Damaged { kind, key, bytes, reason, lost })?;
        self.changes.delete_cf(&family(self.db, name), key);
        Ok(())
    }

    fn session(&mut self, key: &[u8], sealed: &[u8]) -> Result<Option<SessionRecord>, Error> {
        match encode::session(key, sealed) {
            Ok(record) => Ok(Some(record)),
            Err(reason) => {
                let row = (keys::SESSIONS, key, sealed);
                self.set_aside(row, &reason, lost_session(key)).map(|()| None)
            }
        }
    }

    /// The session of a client whose record may be behind damage.
    fn session_in(
        &mut self,
        records: &Scan<'_>,
        key: &[u8],
        hole: &Hole,
    ) -> Result<Option<SessionRecord>, Error> {
        match records.get(key) {
            Ok(Some(sealed)) => self.session(key, &sealed),
            // It ended, and something else of it is left.
            Ok(None) => Ok(None),
            Err(_) => {
                let row = (keys::SESSIONS, key, &[][..]);
                self.set_aside(row, &hole.reason, lost_session(key)).map(|()| None)
            }
        }
    }

    /// A cursor that is lost is replaced by the highest position that is certainly not above it.
    fn replace_cursor(
        &mut self,
        record: &SessionRecord,
        sealed: &[u8],
        reason: &impl ToString,
    ) -> Result<Position, Error> {
        let lowest = lowest_cursor(record);
        let id = &record.client_id;
        let lost = format!(
            "how far client '{id}' has read is lost: it goes on at position {} and may get messages \
             again",
            lowest.0
        );
        self.set_aside((keys::CURSORS, id.as_str().as_bytes(), sealed), reason, lost)?;
        let mut sealed = Vec::new();
        encode::put_cursor(id, lowest, &mut sealed);
        self.changes.put_cf(&family(self.db, keys::CURSORS), id.as_str(), sealed);
        Ok(lowest)
    }

    fn retained(
        &mut self,
        scan: &mut Scan<'_>,
        progress: &Progress,
    ) -> Result<Vec<Message>, Error> {
        let mut messages = Vec::new();
        while let Some((key, sealed)) = scan.row()? {
            match encode::retained(key, sealed) {
                Ok(message) => messages.push(message),
                Err(reason) => {
                    let lost = format!("the retained message of '{}' is lost", text(key));
                    self.set_aside((keys::RETAINED, key, sealed), &reason, lost)?;
                }
            }
            scan.step();
            progress.step();
        }
        Ok(messages)
    }

    /// Where the log ends: behind its last block, and behind everything that a session has read or
    /// passes over. No position may be given twice.
    fn end(&mut self, end: Position, sessions: &[StoredSession]) -> Result<Position, Error> {
        let read = sessions.iter().map(read_up_to).max().unwrap_or(end);
        if read > end {
            let lost = format!(
                "messages are lost: the log ends at position {}, but a session goes on at {}",
                end.0, read.0
            );
            let (kind, reason) = (kind(keys::LOG), "its last blocks are missing".to_owned());
            let key = &keys::first(end);
            self.quarantine.set_aside(&Damaged { kind, key, bytes: &[], reason, lost })?;
        }
        Ok(end.max(read))
    }

    /// Everything set aside is on the disk, then it leaves the store.
    fn finish(self, scans: &[Scan<'_>]) -> Result<BTreeSet<&'static str>, Error> {
        let mut unreadable = BTreeSet::new();
        for scan in scans {
            for hole in scan.passed() {
                let lost = format!(
                    "records of kind {} from '{}' to '{}' cannot be read; what is lost by name, \
                     where it is known, is told beside",
                    kind(scan.name()),
                    text(&hole.from),
                    text(&hole.up_to)
                );
                let file = hole.file.file_name().unwrap_or_default().to_string_lossy();
                self.quarantine.set_aside(&Damaged {
                    kind: "table",
                    key: file.as_bytes(),
                    bytes: &[],
                    reason: hole.reason.clone(),
                    lost,
                })?;
                unreadable.insert(scan.name());
            }
            for file in files_of(scan.passed()) {
                if file.exists() {
                    self.quarantine.keep(file)?;
                }
            }
        }
        self.quarantine.sync()?;
        if !self.changes.is_empty() {
            let mut durably = WriteOptions::default();
            durably.set_sync(true);
            self.db.write_opt(self.changes, &durably).map_err(unreadable_write)?;
        }
        Ok(unreadable)
    }
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
    fn session(
        &mut self,
        record: SessionRecord,
        desk: &mut Desk<'_>,
    ) -> Result<StoredSession, Error> {
        let client = record.client_id.as_str().as_bytes();
        let cursor = self.cursor(&record, desk)?;
        let inbound = self.inbound(client, desk)?;
        let outbound = self.outbound(client, cursor, desk)?;
        let overtaken = self.overtaken(client, desk)?;
        Ok(StoredSession { record, cursor, inbound, outbound, overtaken })
    }

    fn cursor(&mut self, record: &SessionRecord, desk: &mut Desk<'_>) -> Result<Position, Error> {
        let client = record.client_id.as_str().as_bytes();
        match of(&mut self.cursors, client)? {
            Ok(Some(sealed)) => match encode::cursor(client, &sealed) {
                Ok(cursor) => Ok(cursor),
                Err(reason) => desk.replace_cursor(record, &sealed, &reason),
            },
            Ok(None) => desk.replace_cursor(record, &[], &"it is missing"),
            Err(error) => desk.replace_cursor(record, &[], &error),
        }
    }

    fn overtaken(&mut self, client: &[u8], desk: &mut Desk<'_>) -> Result<u64, Error> {
        let lost = || {
            let client = text(client);
            format!("how many messages cleaning took from client '{client}' is not known any more")
        };
        let (sealed, reason) = match of(&mut self.overtaken, client)? {
            Ok(None) => return Ok(0),
            Ok(Some(sealed)) => match encode::overtaken(client, &sealed) {
                Ok(messages) => return Ok(u64::try_from(messages).unwrap_or(0)),
                Err(reason) => (sealed.into_vec(), reason.to_string()),
            },
            Err(error) => (Vec::new(), error.to_string()),
        };
        desk.set_aside((keys::OVERTAKEN, client, &sealed), &reason, lost()).map(|()| 0)
    }

    fn inbound(&mut self, client: &[u8], desk: &mut Desk<'_>) -> Result<Vec<PacketId>, Error> {
        collect(&mut self.inbound, client, desk, |_, suffix, _| {
            keys::packet_id(suffix).ok_or_else(|| encode::MALFORMED_KEY.to_string())
        })
    }

    fn outbound(
        &mut self,
        client: &[u8],
        cursor: Position,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<OutboundRecord>, Error> {
        let mut records = collect(&mut self.outbound, client, desk, |key, suffix, sealed| {
            let position =
                keys::position(suffix).ok_or_else(|| encode::MALFORMED_KEY.to_string())?;
            encode::outbound(key, position, sealed).map_err(|error| error.to_string())
        })?;
        records.retain(|record| record.position >= cursor);
        Ok(records)
    }
}

/// A record that is asked for by name; the error is that it cannot be read.
type Asked = Result<Option<Box<[u8]>>, rocksdb::Error>;

/// The record of `client`, whose key is its name. Behind damage it is asked for by name.
fn of(scan: &mut Scan<'_>, client: &[u8]) -> Result<Asked, Error> {
    while let Some((key, sealed)) = scan.row()? {
        if key == client {
            return Ok(Ok(Some(Box::from(sealed))));
        }
        if key > client {
            break;
        }
        scan.step();
    }
    let is_behind_damage = scan.passed().iter().any(|hole| hole.contains(client));
    let found = if is_behind_damage { scan.get(client) } else { Ok(None) };
    Ok(found.map(|sealed| sealed.map(Vec::into_boxed_slice)))
}

/// Everything of `client`, whose keys have a suffix; `read` gets key, suffix, value.
fn collect<T>(
    scan: &mut Scan<'_>,
    client: &[u8],
    desk: &mut Desk<'_>,
    read: impl Fn(&[u8], &[u8], &[u8]) -> Result<T, String>,
) -> Result<Vec<T>, Error> {
    let mut records = Vec::new();
    let name = scan.name();
    while let Some((key, value)) = scan.row()? {
        let (owner, found) = match keys::split_client(key) {
            Some((owner, suffix)) => (owner, Some(suffix)),
            None => (key, None),
        };
        if owner > client {
            break;
        }
        let read = match found {
            Some(suffix) if owner == client => Some(read(key, suffix, value)),
            Some(_) => None,
            None => Some(Err(encode::MALFORMED_KEY.to_string())),
        };
        match read {
            Some(Ok(record)) => records.push(record),
            Some(Err(reason)) => {
                let lost = format!(
                    "a QoS 2 message {} client '{}' may come twice",
                    if name == keys::INBOUND { "from" } else { "to" },
                    text(owner)
                );
                desk.set_aside((name, key, value), &reason, lost)?;
            }
            // Left of a session that has ended.
            None => {}
        }
        scan.step();
    }
    Ok(records)
}

/// Clients that something else is known of, whose session record may be in the hole.
fn clients_in(db: &DB, hole: &Hole, behind: Option<&[u8]>) -> Result<Vec<Vec<u8>>, Error> {
    let mut clients = Vec::new();
    let mut cursors = Scan::new(db, keys::CURSORS);
    cursors.seek(&hole.from);
    while let Some((key, _)) = cursors.row()? {
        if key > hole.up_to.as_slice() {
            break;
        }
        if behind.is_none_or(|behind| key > behind) {
            clients.push(key.to_vec());
        }
        cursors.step();
    }
    Ok(clients)
}

/// What a session has certainly read, whatever its cursor says.
fn lowest_cursor(record: &SessionRecord) -> Position {
    let open = record.unacknowledged.iter().map(|&(_, position)| position);
    if record.sent_up_to > Position::ZERO {
        // It was disconnected in order, and nothing has been sent since.
        return open.chain([record.sent_up_to]).min().unwrap_or(FIRST);
    }
    let starts = record.subscriptions.iter().map(|it| it.start.resolve(Position::ZERO));
    starts.min().unwrap_or(FIRST).max(FIRST)
}

fn read_up_to(session: &StoredSession) -> Position {
    let StoredSession { record, cursor, outbound, .. } = session;
    let outbound = outbound.iter().map(|record| record.position.plus(1));
    // What lies before them is not for the session: a new message must not come to lie there.
    let starts = record.subscriptions.iter().map(|it| it.start.resolve(Position::ZERO));
    outbound.chain(starts).chain([*cursor, record.sent_up_to]).max().unwrap_or(FIRST)
}

fn lost_session(key: &[u8]) -> String {
    format!("the session of client '{}' is lost: it will begin anew", text(key))
}

/// About how many records a family has; 0 if nobody knows.
fn estimate(db: &DB, name: &str) -> u64 {
    let keys = db.property_int_value_cf(&family(db, name), "rocksdb.estimate-num-keys");
    keys.ok().flatten().unwrap_or(0)
}

/// A family that was opened with the database.
pub(crate) fn family<'a>(db: &'a DB, name: &str) -> Arc<BoundColumnFamily<'a>> {
    db.cf_handle(name).expect("the database is opened with all families")
}

pub(crate) fn damaged_record(name: &'static str, key: &[u8], reason: &impl ToString) -> Error {
    Error::DamagedRecord { kind: kind(name), key: text(key), reason: reason.to_string() }
}

/// What a record of a family is called.
pub(crate) fn kind(name: &str) -> &str {
    match name {
        keys::SESSIONS => "session",
        keys::CURSORS => "cursor",
        other => other,
    }
}

/// A key for people.
pub(crate) fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).replace('\0', " ")
}

fn unreadable_write(error: rocksdb::Error) -> Error {
    Error::Unwritable { reason: error.into_string() }
}
