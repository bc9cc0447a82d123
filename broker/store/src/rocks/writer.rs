//! Writes groups of batches.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use flotilla_core::id::{ClientId, Position};
use flotilla_core::record::SessionRecord;
use flotilla_core::turn::{Batch, Write};
use rocksdb::{ReadOptions, WriteBatch};

use super::appends::Blocks;
use super::cleaner::Touch;
use super::heal::last_commit;
use super::options::Options;
use super::{Store, unreadable, unwritable};
use crate::batch::Revisions;
use crate::commit::{self, Storage};
use crate::encode;
use crate::error::Error;
use crate::keys;
use crate::recover::{damaged_record, family};
use crate::state::Space;

/// The commit thread's side of the store.
pub(super) struct Writer {
    store: Arc<Store>,
    /// The position the next append gets.
    next: Position,
    /// How many commits there are.
    commits: u64,
    /// Whether the last one was begun and did not succeed.
    is_writing: bool,
    group: Group,
    blocks: Blocks,
    /// A record that is being encoded.
    record: Vec<u8>,
}

/// What is staged, which the store does not show yet.
#[derive(Default)]
struct Group {
    changes: WriteBatch,
    revisions: Revisions,
    /// Keys of `inbound` and `outbound` that were put, by client, for an [`Write::EndSession`]
    /// behind.
    exchanges: HashMap<ClientId, Vec<(&'static str, Vec<u8>)>>,
    /// What the cleaner must know.
    touches: Vec<(ClientId, Touch)>,
}

impl Writer {
    pub(super) fn new(store: Arc<Store>, options: &Options) -> Result<Self, Error> {
        let (next, commits) = (store.end(), last_commit(&store.own_db())?);
        let blocks = Blocks::new(&store, options);
        let (group, record) = (Group::default(), Vec::new());
        Ok(Self { store, next, commits, is_writing: false, group, blocks, record })
    }

    /// What was staged is in the store.
    fn committed(&mut self) -> Position {
        self.is_writing = false;
        let bytes = self.blocks.committed();
        self.store.block_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.store.end.store(self.next.0, Ordering::Release);
        self.store.tail.committed(self.next);
        self.next
    }

    /// `first`: the position of the batch's first append.
    fn write(&mut self, write: &Write, first: Position) -> Result<(), Error> {
        match write {
            Write::PutSession(record) => return self.put_session(record, first),
            Write::EndSession(id) => {
                self.group.touches.push((id.clone(), Touch::Ended));
                self.delete(keys::SESSIONS, id.as_str().as_bytes());
                self.delete(keys::CURSORS, id.as_str().as_bytes());
                self.delete(keys::OVERTAKEN, id.as_str().as_bytes());
                return self.delete_exchanges(id);
            }
            Write::PutCursor(id, cursor) => {
                self.group.touches.push((id.clone(), Touch::Moved));
                encode::put_cursor(id, *cursor, &mut self.record);
                let db = self.store.own_db();
                self.group.changes.merge_cf(&family(&db, keys::CURSORS), id.as_str(), &self.record);
            }
            Write::PutInbound(id, packet_id) => {
                self.record.clear();
                self.put_exchange(id, keys::INBOUND, keys::inbound(id.as_str(), *packet_id));
            }
            Write::DeleteInbound(id, packet_id) => {
                self.delete(keys::INBOUND, &keys::inbound(id.as_str(), *packet_id));
            }
            Write::PutOutbound(id, record) => {
                let key = keys::outbound(id.as_str(), record.position);
                encode::put_outbound(&key, record, &mut self.record);
                self.put_exchange(id, keys::OUTBOUND, key);
            }
            Write::DeleteOutbound(id, position) => {
                self.delete(keys::OUTBOUND, &keys::outbound(id.as_str(), *position));
            }
            Write::ClearOvertaken(id, told) => {
                // Cleaning may be adding to it: so nothing is read, and what is left may be 0.
                let (key, told) = (id.as_str(), i64::try_from(*told).unwrap_or(i64::MAX));
                encode::put_overtaken(key.as_bytes(), -told, &mut self.record);
                let db = self.store.own_db();
                self.group.changes.merge_cf(&family(&db, keys::OVERTAKEN), key, &self.record);
            }
            Write::PutRetained(message) => {
                encode::put_retained(message, &mut self.record);
                let db = self.store.own_db();
                self.group.changes.put_cf(
                    &family(&db, keys::RETAINED),
                    message.topic(),
                    &self.record,
                );
            }
            Write::DeleteRetained(topic) => self.delete(keys::RETAINED, topic.as_bytes()),
        }
        Ok(())
    }

    fn put_session(&mut self, record: &SessionRecord, first: Position) -> Result<(), Error> {
        let id = &record.client_id;
        // Only then was there no session before.
        if record.revision == 1 {
            // What was written for an ended session must not become the new one's.
            self.delete_exchanges(id)?;
            encode::put_cursor(id, first, &mut self.record);
            let db = self.store.own_db();
            self.group.changes.put_cf(&family(&db, keys::CURSORS), id.as_str(), &self.record);
        }
        encode::put_session(record, first, &mut self.record);
        let db = self.store.own_db();
        self.group.changes.put_cf(&family(&db, keys::SESSIONS), id.as_str(), &self.record);
        Ok(())
    }

    fn put_exchange(&mut self, id: &ClientId, name: &'static str, key: Vec<u8>) {
        let db = self.store.own_db();
        self.group.changes.put_cf(&family(&db, name), &key, &self.record);
        self.group.exchanges.entry(id.clone()).or_default().push((name, key));
    }

    /// Removes everything of a client from `inbound` and `outbound`, key by key: these are few, and
    /// a range deletion costs every later read.
    fn delete_exchanges(&mut self, id: &ClientId) -> Result<(), Error> {
        for (name, key) in self.group.exchanges.remove(id).unwrap_or_default() {
            self.delete(name, &key);
        }
        for name in [keys::INBOUND, keys::OUTBOUND] {
            let db = self.store.own_db();
            let family = family(&db, name);
            let mut options = ReadOptions::default();
            options.set_iterate_upper_bound(keys::after_client(id.as_str()));
            let mut stored = db.raw_iterator_cf_opt(&family, options);
            stored.seek(keys::of_client(id.as_str()));
            while let Some(key) = stored.key() {
                self.group.changes.delete_cf(&family, key);
                stored.next();
            }
            stored.status().map_err(unreadable)?;
        }
        Ok(())
    }

    fn delete(&mut self, name: &'static str, key: &[u8]) {
        let db = self.store.own_db();
        self.group.changes.delete_cf(&family(&db, name), key);
    }
}

impl Storage for Writer {
    type Syncer = Syncer;

    fn stage(&mut self, batch: &Batch) -> Result<Option<Position>, Error> {
        let store = &self.store;
        if !self.group.revisions.take(batch, |id| stored_revision(store, id))? {
            return Ok(None);
        }
        let has_changes = !batch.appends.is_empty() || !batch.writes.is_empty();
        if self.group.changes.is_empty() && has_changes {
            let db = self.store.own_db();
            let number = (self.commits + 1).to_be_bytes();
            self.group.changes.put_cf(&family(&db, keys::META), keys::COMMIT, number);
        }
        let first = self.next;
        for append in &batch.appends {
            let Group { changes, .. } = &mut self.group;
            self.blocks.append(self.next, &append.message, &self.store, changes)?;
            self.next = self.next.plus(1);
        }
        for write in &batch.writes {
            self.write(write, first)?;
        }
        Ok(Some(first))
    }

    fn commit(&mut self) -> Result<Position, Error> {
        self.blocks.finish(&self.store, &mut self.group.changes);
        let Group { changes, touches, .. } = std::mem::take(&mut self.group);
        if !changes.is_empty() {
            let _cleaner_waits = self.store.cleaning.commit(touches);
            self.is_writing = true;
            self.store.own_db().write(changes).map_err(unwritable)?;
            self.commits += 1;
        }
        Ok(self.committed())
    }

    fn heal(&mut self) -> Result<Option<Position>, Error> {
        self.store.database.reopen()?;
        let found = last_commit(&self.store.own_db())?;
        if found < self.commits {
            let (dir, expected) = (self.store.database.dir().to_path_buf(), self.commits);
            return Err(Error::WentBack { dir, found, expected });
        }
        if self.is_writing && found > self.commits {
            self.commits = found;
            return Ok(Some(self.committed()));
        }
        self.is_writing = false;
        self.group = Group::default();
        self.blocks.forget();
        self.next = self.store.end();
        Ok(None)
    }

    fn space(&self) -> Option<Space> {
        self.store.database.space()
    }

    fn syncer(&self) -> Syncer {
        Syncer { store: Arc::clone(&self.store) }
    }
}

/// The sync thread's side of the store.
pub(super) struct Syncer {
    store: Arc<Store>,
}

impl commit::Syncer for Syncer {
    fn sync(&mut self) -> Result<(), Error> {
        self.store.database.sync()
    }
}

fn stored_revision(store: &Store, id: &ClientId) -> Result<Option<u64>, Error> {
    let key = id.as_str().as_bytes();
    let db = store.own_db();
    let sessions = family(&db, keys::SESSIONS);
    let Some(sealed) = db.get_pinned_cf(&sessions, key).map_err(unreadable)? else {
        return Ok(None);
    };
    let revision = encode::revision(key, &sealed);
    revision.map(Some).map_err(|error| damaged_record(keys::SESSIONS, key, &error))
}
