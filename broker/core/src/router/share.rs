//! The groups of shared subscriptions.

use std::collections::HashMap;

use flotilla_mqtt::SubscriptionOptions;
use indexmap::IndexMap;
use slotmap::{SecondaryMap, SlotMap};

use crate::id::{ClientId, GroupKey, SubscriberKey};
use crate::router::subscribers::Entry;
use crate::router::trie::Trie;

/// All groups: those that subscribed with the same Share Name to the same Topic Filter
/// (section 4.8.2). They are not among the other subscriptions, so that who has no group pays
/// nothing for them.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// What the groups subscribe to. A group stands in it as a session stands in the other.
    trie: Trie,
    groups: SlotMap<GroupKey, Group>,
    by_filter: HashMap<Box<str>, GroupKey>,
}

#[derive(Debug)]
struct Group {
    /// With `$share/` and Share Name.
    filter: Box<str>,
    /// At least one.
    members: IndexMap<SubscriberKey, Member>,
}

/// A session's subscription as part of a group.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) client_id: ClientId,
    pub(crate) options: SubscriptionOptions,
    /// Subscription Identifier.
    pub(crate) id: Option<u32>,
}

/// What becomes of a message that is given to a member. The best comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// It would be dropped.
    Lost,
    /// It waits in the log for a member that is not connected.
    Away,
    /// It waits in the log for a member that does not keep up.
    Behind,
    /// It leaves soon.
    Ready,
}

/// Whose turn it is in each group. Each shard has its own, so that nothing is written that shards
/// share.
#[derive(Debug, Default)]
pub(crate) struct Rota(SecondaryMap<GroupKey, usize>);

impl Groups {
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Adds a member, or replaces its subscription. `filter`: with `$share/`; `inner`: without.
    pub(crate) fn join(&mut self, filter: &str, inner: &str, key: SubscriberKey, member: Member) {
        let group = match self.by_filter.get(filter) {
            Some(&group) => group,
            None => {
                let (trie, options) = (&mut self.trie, SubscriptionOptions::default());
                let group = Group { filter: filter.into(), members: IndexMap::new() };
                let group = self.groups.insert(group);
                trie.insert(inner, Entry::new(group, options, None));
                self.by_filter.insert(filter.into(), group);
                group
            }
        };
        self.groups[group].members.insert(key, member);
    }

    /// Removes a member; with the last one the group goes.
    pub(crate) fn leave(&mut self, filter: &str, inner: &str, key: SubscriberKey) {
        let Some(&found) = self.by_filter.get(filter) else { return };
        let group = &mut self.groups[found];
        group.members.swap_remove(&key);
        if group.members.is_empty() {
            self.trie.remove(inner, found);
            self.by_filter.remove(filter);
            self.groups.remove(found);
        }
    }

    /// The group of a filter with `$share/`.
    pub(crate) fn find(&self, filter: &str) -> Option<GroupKey> {
        self.by_filter.get(filter).copied()
    }

    /// Whether the group has a member.
    pub(crate) fn contains(&self, group: GroupKey) -> bool {
        self.groups.contains_key(group)
    }

    /// Its filter with `$share/`.
    pub(crate) fn filter(&self, group: GroupKey) -> &str {
        &self.groups[group].filter
    }

    /// A subscriber as a member of a group.
    pub(crate) fn member(&self, group: GroupKey, key: SubscriberKey) -> &Member {
        &self.groups[group].members[&key]
    }

    /// Calls `found` with each group that subscribes to the topic.
    pub(crate) fn for_each_match(&self, topic: &[u8], mut found: impl FnMut(GroupKey)) {
        self.trie.for_each_match(topic, &mut |list| {
            list.iter().for_each(|entry| found(entry.subscriber));
        });
    }

    /// The member that gets the next message: the first of the best from the one on whose turn it
    /// is. As long as it is ready that is round-robin, and the others are not looked at.
    pub(crate) fn choose(
        &self,
        group: GroupKey,
        rota: &mut Rota,
        mut rank: impl FnMut(SubscriberKey, &Member) -> Rank,
    ) -> (Rank, SubscriberKey, &Member) {
        let members = &self.groups[group].members;
        let next = rota.of(group);
        let mut best: Option<(Rank, usize)> = None;
        for at in (0..members.len()).map(|offset| (*next + offset) % members.len()) {
            let (&key, member) = members.get_index(at).expect("it is below the length");
            let rank = rank(key, member);
            if best.is_none_or(|(known, _)| known < rank) {
                best = Some((rank, at));
            }
            if rank == Rank::Ready {
                break;
            }
        }
        let (rank, at) = best.expect("a group has a member");
        *next = (at + 1) % members.len();
        let (&key, member) = members.get_index(at).expect("it is below the length");
        (rank, key, member)
    }
}

impl Rota {
    /// The place of the member on whose turn it is, perhaps beyond the last.
    fn of(&mut self, group: GroupKey) -> &mut usize {
        if !self.0.contains_key(group) {
            self.0.insert(group, 0);
        }
        &mut self.0[group]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Member {
        let (client_id, options) = (ClientId::from(name), SubscriptionOptions::default());
        Member { client_id, options, id: None }
    }

    /// Groups `$share/g/a` of so many members, their keys.
    fn group(members: usize) -> (Groups, Vec<SubscriberKey>) {
        let mut subscribers = SlotMap::<SubscriberKey, ()>::with_key();
        let mut groups = Groups::default();
        let join = |number: usize| {
            let key = subscribers.insert(());
            groups.join("$share/g/a", "a", key, member(&number.to_string()));
            key
        };
        let keys = (0..members).map(join).collect();
        (groups, keys)
    }

    #[test]
    fn everybody_has_a_turn() {
        let (groups, keys) = group(3);
        let (mut rota, found) = (Rota::default(), groups.by_filter["$share/g/a"]);
        let mut choose = |rank: &dyn Fn(SubscriberKey) -> Rank| {
            let (rank, key, _) = groups.choose(found, &mut rota, |key, _| rank(key));
            (rank, keys.iter().position(|known| *known == key).expect("a member"))
        };
        let ready: Vec<_> = (0..6).map(|_| choose(&|_| Rank::Ready).1).collect();
        assert_eq!(ready, [0, 1, 2, 0, 1, 2]);
        let one = |key| if key == keys[1] { Rank::Behind } else { Rank::Ready };
        let ready: Vec<_> = (0..4).map(|_| choose(&one).1).collect();
        assert_eq!(ready, [0, 2, 0, 2], "one that does not keep up is passed over");
        let all_away = |key| if key == keys[0] { Rank::Lost } else { Rank::Away };
        let away: Vec<_> = (0..4).map(|_| choose(&all_away)).collect();
        assert_eq!(away, [1, 2, 1, 2].map(|at| (Rank::Away, at)), "in turn, too");
    }

    #[test]
    fn a_group_goes_with_its_last_member() {
        let (mut groups, keys) = group(2);
        let matches = |groups: &Groups, topic: &str| {
            let mut found = 0;
            groups.for_each_match(topic.as_bytes(), |_| found += 1);
            found
        };
        groups.join("$share/h/a", "a", keys[0], member("0"));
        groups.join("$share/g/+", "+", keys[0], member("0"));
        groups.join("$share/g/+", "+", keys[0], member("0"));
        assert_eq!((groups.len(), matches(&groups, "a"), matches(&groups, "b")), (3, 3, 1));
        groups.leave("$share/g/a", "a", keys[0]);
        assert_eq!(matches(&groups, "a"), 3);
        groups.leave("$share/g/a", "a", keys[1]);
        groups.leave("$share/g/a", "a", keys[1]);
        groups.leave("$share/h/a", "a", keys[0]);
        groups.leave("$share/g/+", "+", keys[0]);
        assert!(groups.is_empty() && groups.by_filter.is_empty());
        assert_eq!(matches(&groups, "a"), 0);
    }
}
