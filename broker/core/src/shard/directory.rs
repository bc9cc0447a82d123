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
    claims: VecDeque<(ShardId, ConnectionKey)>,
}

/// What the home shard must do about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nobody has it: it is granted with no session.
    Grant,
    /// This shard has to give it away.
    Surrender(ShardId),
    /// An earlier claim goes first.
    Wait,
}

impl Directory {
    /// A stored session was taken up here.
    pub(crate) fn recover(&mut self, client_id: ClientId, owner: ShardId) {
        let entry = Entry { owner, is_moving: false, claims: VecDeque::new() };
        self.entries.insert(client_id, entry);
    }

    pub(crate) fn claim(
        &mut self,
        client_id: &ClientId,
        shard: ShardId,
        connection: ConnectionKey,
    ) -> Decision {
        match self.entries.get_mut(client_id) {
            None => {
                let entry = Entry { owner: shard, is_moving: true, claims: VecDeque::new() };
                self.entries.insert(client_id.clone(), entry);
                Decision::Grant
            }
            Some(entry) if entry.is_moving => {
                entry.claims.push_back((shard, connection));
                Decision::Wait
            }
            Some(entry) => Decision::Surrender(entry.move_to(shard)),
        }
    }

    /// The session has arrived. The claim that is next: owner, claimant.
    pub(crate) fn settle(
        &mut self,
        client_id: &ClientId,
    ) -> Option<(ShardId, (ShardId, ConnectionKey))> {
        let entry = self.entries.get_mut(client_id)?;
        entry.is_moving = false;
        let next = entry.claims.pop_front()?;
        Some((entry.move_to(next.0), next))
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
        assert_eq!(directory.claim(&id, ShardId(3), c), Decision::Wait);
        directory.end(&id, ShardId(1));
        assert_eq!(directory.settle(&id), Some((ShardId(1), (ShardId(2), b))));
        directory.end(&id, ShardId(1));
        assert_eq!(directory.settle(&id), Some((ShardId(2), (ShardId(3), c))));
        assert_eq!(directory.settle(&id), None);
        directory.end(&id, ShardId(2));
        assert_eq!(directory.claim(&id, ShardId(1), a), Decision::Surrender(ShardId(3)));
        assert_eq!(directory.settle(&id), None);
        directory.end(&id, ShardId(1));
        assert_eq!(directory.claim(&id, ShardId(2), b), Decision::Grant);
    }
}
