//! The sessions that a shard owns.

use std::hash::BuildHasher;
use std::ops::{Index, IndexMut};

use hashbrown::DefaultHashBuilder;
use hashbrown::hash_table::HashTable;
use slotmap::SlotMap;

use crate::id::{ClientId, SessionKey};
use crate::session::Session;

/// By key, and by Client Identifier: at most one of each name.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    slots: SlotMap<SessionKey, Box<Session>>,
    /// Only their keys: the identifier is in the session.
    by_client: HashTable<SessionKey>,
    hash_builder: DefaultHashBuilder,
}

impl Sessions {
    /// # Panics
    /// When there is one of its Client Identifier.
    pub(crate) fn insert(&mut self, session: Box<Session>) -> SessionKey {
        assert!(self.find(&session.client_id).is_none(), "a session has one owner, and one place");
        let hash = self.hash_builder.hash_one(&session.client_id);
        let key = self.slots.insert(session);
        let Self { slots, by_client, hash_builder } = self;
        let rehash = |&key: &SessionKey| hash_builder.hash_one(&slots[key].client_id);
        by_client.insert_unique(hash, key, rehash);
        key
    }

    pub(crate) fn remove(&mut self, key: SessionKey) -> Option<Box<Session>> {
        let session = self.slots.remove(key)?;
        let hash = self.hash_builder.hash_one(&session.client_id);
        let entry = self.by_client.find_entry(hash, |&known| known == key);
        entry.expect("each session is found by its identifier").remove();
        Some(session)
    }

    pub(crate) fn find(&self, client_id: &ClientId) -> Option<SessionKey> {
        let hash = self.hash_builder.hash_one(client_id);
        let is_it = |&key: &SessionKey| self.slots[key].client_id == *client_id;
        self.by_client.find(hash, is_it).copied()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = SessionKey> {
        self.slots.keys()
    }

    pub(crate) fn get(&self, key: SessionKey) -> Option<&Session> {
        self.slots.get(key).map(|session| &**session)
    }

    pub(crate) fn get_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        self.slots.get_mut(key).map(|session| &mut **session)
    }
}

impl Index<SessionKey> for Sessions {
    type Output = Session;

    fn index(&self, key: SessionKey) -> &Session {
        &self.slots[key]
    }
}

impl IndexMut<SessionKey> for Sessions {
    fn index_mut(&mut self, key: SessionKey) -> &mut Session {
        &mut self.slots[key]
    }
}
