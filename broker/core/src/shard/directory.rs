//! Who owns which Client Identifier: each identifier has a home shard that knows.
//!
//! A connection claims its session from the home shard, which lets one claim at a time through:
//!
//! ```text
//! claimant ── Claim ──▶ home ── Surrender ──▶ owner ── Granted(session) ──▶ claimant
//!                        ▲                                                     │
//!                        └───────────────────── Settled ───────────────────────┘
//! ```
//!
//! Until the claimant has settled, further claims wait here; so a session is never asked for while
//! it travels.

use std::collections::{HashMap, VecDeque};

use crate::id::{ClientId, ConnectionKey, ShardId};
use crate::rare::Rare;

/// The entries of the identifiers that have their home in this shard.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    entries: HashMap<ClientId, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// Who has the session, or will have it.
    owner: ShardId,
    /// Whether it is on its way there.
    is_moving: bool,
    trouble: Rare<Trouble>,
}

/// What few sessions have.
#[derive(Debug, Default)]
struct Trouble {
    /// Further claims.
    claims: VecDeque<(ShardId, ConnectionKey)>,
    /// Messages that cleaning took from the session. It only grows: how many of these the client
    /// was told of is in the session, which travels.
    overtaken: u64,
}

/// What the home shard must do about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nobody has it: it is granted with no session.
    Grant,
    /// This shard has to give it away, with what cleaning took from it.
    Surrender(ShardId, u64),
    /// An earlier claim goes first.
    Wait,
}

/// The claim that is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// Who has to give the session away.
    pub(crate) owner: ShardId,
    /// To whom.
    pub(crate) shard: ShardId,
    /// For which connection of theirs.
    pub(crate) connection: ConnectionKey,
    /// What cleaning took from it.
    pub(crate) overtaken: u64,
}

impl Directory {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// A stored session was taken up here.
    pub(crate) fn recover(&mut self, client_id: ClientId, owner: ShardId, overtaken: u64) {
        let mut entry = Entry { owner, is_moving: false, trouble: Rare::default() };
        entry.overtake(overtaken);
        self.entries.insert(client_id, entry);
    }

    /// Cleaning took messages from a session; false: it is no more.
    pub(crate) fn overtake(&mut self, client_id: &ClientId, messages: u64) -> bool {
        let entry = self.entries.get_mut(client_id);
        entry.map(|entry| entry.overtake(messages)).is_some()
    }

    pub(crate) fn claim(
        &mut self,
        client_id: &ClientId,
        shard: ShardId,
        connection: ConnectionKey,
    ) -> Decision {
        match self.entries.get_mut(client_id) {
            None => {
                let entry = Entry { owner: shard, is_moving: true, trouble: Rare::default() };
                self.entries.insert(client_id.clone(), entry);
                Decision::Grant
            }
            Some(entry) if entry.is_moving => {
                entry.trouble.need().claims.push_back((shard, connection));
                Decision::Wait
            }
            Some(entry) => Decision::Surrender(entry.move_to(shard), entry.overtaken()),
        }
    }

    /// A connection is gone that had claimed. If its turn has come, it is given the session all the
    /// same: the claimant knows what to do with it.
    pub(crate) fn withdraw(
        &mut self,
        client_id: &ClientId,
        shard: ShardId,
        connection: ConnectionKey,
    ) {
        let entry = self.entries.get_mut(client_id);
        if let Some(trouble) = entry.and_then(|entry| entry.trouble.get_mut()) {
            trouble.claims.retain(|claim| *claim != (shard, connection));
        }
    }

    /// The session has arrived. The claim that is next.
    pub(crate) fn settle(&mut self, client_id: &ClientId) -> Option<Next> {
        let entry = self.entries.get_mut(client_id)?;
        entry.is_moving = false;
        let trouble = entry.trouble.get_mut()?;
        let (next, overtaken) = (trouble.claims.pop_front(), trouble.overtaken);
        if next.is_none() && overtaken == 0 {
            entry.trouble.drop();
        }
        let (shard, connection) = next?;
        let owner = entry.move_to(shard);
        Some(Next { owner, shard, connection, overtaken })
    }

    /// The owner's session is no more.
    pub(crate) fn end(&mut self, client_id: &ClientId, owner: ShardId) {
        let ends = |entry: &Entry| entry.owner == owner && !entry.is_moving;
        if self.entries.get(client_id).is_some_and(ends) {
            self.entries.remove(client_id);
        }
    }
}

impl Entry {
    fn overtake(&mut self, messages: u64) {
        if messages > 0 {
            self.trouble.need().overtaken += messages;
        }
    }

    fn overtaken(&self) -> u64 {
        self.trouble.get().map_or(0, |trouble| trouble.overtaken)
    }

    /// Gives the former owner.
    fn move_to(&mut self, shard: ShardId) -> ShardId {
        self.is_moving = true;
        std::mem::replace(&mut self.owner, shard)
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn lets_one_claim_through_at_a_time() {
        let mut keys = SlotMap::<ConnectionKey, ()>::with_key();
        let (a, b, c) = (keys.insert(()), keys.insert(()), keys.insert(()));
        let id = ClientId::from("x");
        let mut directory = Directory::default();
        assert_eq!(directory.claim(&id, ShardId(1), a), Decision::Grant);
        assert_eq!(directory.claim(&id, ShardId(2), b), Decision::Wait);
        assert_eq!(directory.claim(&id, ShardId(3), a), Decision::Wait);
        assert_eq!(directory.claim(&id, ShardId(3), c), Decision::Wait);
        directory.withdraw(&id, ShardId(1), a);
        directory.withdraw(&id, ShardId(3), a);
        directory.end(&id, ShardId(1));
        let next = |owner, shard, connection, overtaken| Next {
            owner: ShardId(owner),
            shard: ShardId(shard),
            connection,
            overtaken,
        };
        assert_eq!(directory.settle(&id), Some(next(1, 2, b, 0)));
        directory.end(&id, ShardId(1));
        assert!(directory.overtake(&id, 5));
        assert_eq!(directory.settle(&id), Some(next(2, 3, c, 5)));
        assert_eq!(directory.settle(&id), None);
        directory.end(&id, ShardId(2));
        assert!(directory.overtake(&id, 2));
        assert_eq!(directory.claim(&id, ShardId(1), a), Decision::Surrender(ShardId(3), 7));
        assert_eq!(directory.settle(&id), None);
        directory.end(&id, ShardId(1));
        assert!(!directory.overtake(&id, 1), "the session has ended");
        assert_eq!(directory.claim(&id, ShardId(2), b), Decision::Grant);
    }
}
