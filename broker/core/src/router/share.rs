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
    /// The groups of each member.
    of_member: SecondaryMap<SubscriberKey, Vec<GroupKey>>,
}

#[derive(Debug)]
struct Group {
    /// With `$share/` and Share Name.
    filter: Box<str>,
    /// At least one; first those that are connected.
    members: IndexMap<SubscriberKey, Member>,
    /// How many of them are connected.
    connected: usize,
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
    pub(crate) fn join(
        &mut self,
        filter: &str,
        inner: &str,
        key: SubscriberKey,
        member: Member,
        is_connected: bool,
    ) {
        let group = match self.by_filter.get(filter) {
            Some(&group) => group,
            None => {
                let (trie, options) = (&mut self.trie, SubscriptionOptions::default());
                let members = IndexMap::new();
                let group = Group { filter: filter.into(), members, connected: 0 };
                let group = self.groups.insert(group);
                trie.insert(inner, Entry::new(group, options, None));
                self.by_filter.insert(filter.into(), group);
                group
            }
        };
        if self.groups[group].members.insert(key, member).is_none() {
            self.groups[group].place(key, is_connected);
            match self.of_member.get_mut(key) {
                Some(groups) => groups.push(group),
                None => {
                    self.of_member.insert(key, vec![group]);
                }
            }
        }
    }

    /// A subscriber has a connection now, or none any more.
    pub(crate) fn connected(&mut self, key: SubscriberKey, is_connected: bool) {
        for group in self.of_member.get(key).into_iter().flatten() {
            self.groups[*group].unplace(key);
            self.groups[*group].place(key, is_connected);
        }
    }

    /// Removes a member; with the last one the group goes.
    pub(crate) fn leave(&mut self, filter: &str, inner: &str, key: SubscriberKey) {
        let Some(&found) = self.by_filter.get(filter) else { return };
        let group = &mut self.groups[found];
        if !group.members.contains_key(&key) {
            return;
        }
        group.unplace(key);
        group.members.swap_remove(&key);
        if let Some(groups) = self.of_member.get_mut(key) {
            groups.retain(|group| *group != found);
            if groups.is_empty() {
                self.of_member.remove(key);
            }
        }
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
    /// is, of those that are connected, else of the others. As long as it is ready that is
    /// round-robin, and the others are not looked at.
    pub(crate) fn choose(
        &self,
        group: GroupKey,
        rota: &mut Rota,
        mut rank: impl FnMut(SubscriberKey, &Member) -> Rank,
    ) -> (Rank, SubscriberKey, &Member) {
        let Group { members, connected, .. } = &self.groups[group];
        let next = rota.of(group);
        let mut best: Option<(Rank, usize)> = None;
        for (part, best_there) in
            [(0..*connected, Rank::Ready), (*connected..members.len(), Rank::Away)]
        {
            // What waits for one that is connected comes sooner.
            if best.is_some_and(|(known, _)| known >= best_there) {
                break;
            }
            let start = if part.contains(next) { *next } else { part.start };
            for at in (start..part.end).chain(part.start..start) {
                let (&key, member) = members.get_index(at).expect("it is below the length");
                let rank = rank(key, member);
                if best.is_none_or(|(known, _)| known < rank) {
                    best = Some((rank, at));
                }
                if rank >= best_there {
                    break;
                }
            }
        }
        let (rank, at) = best.expect("a group has a member");
        *next = at + 1;
        let (&key, member) = members.get_index(at).expect("it is below the length");
        (rank, key, member)
    }
}

impl Group {
    /// Puts a member that stands behind those that are connected among them, if it is.
    fn place(&mut self, key: SubscriberKey, is_connected: bool) {
        if let Some(at) = self.members.get_index_of(&key).filter(|_| is_connected) {
            self.members.swap_indices(at, self.connected);
            self.connected += 1;
        }
    }

    /// Puts a member behind those that are connected.
    fn unplace(&mut self, key: SubscriberKey) {
        if let Some(at) = self.members.get_index_of(&key).filter(|at| *at < self.connected) {
            self.connected -= 1;
            self.members.swap_indices(at, self.connected);
        }
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
    use std::collections::HashSet;

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
            groups.join("$share/g/a", "a", key, member(&number.to_string()), true);
            key
        };
        let keys = (0..members).map(join).collect();
        (groups, keys)
    }

    #[test]
    fn everybody_has_a_turn() {
        let (mut groups, keys) = group(3);
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
        keys.iter().for_each(|&key| groups.connected(key, false));
        let all_away = |key| if key == keys[0] { Rank::Lost } else { Rank::Away };
        let mut away: Vec<_> = (0..4)
            .map(|_| groups.choose(found, &mut rota, |key, _| all_away(key)))
            .map(|(rank, key, _)| (rank, keys.iter().position(|known| *known == key)))
            .collect();
        assert!(away[0] == away[2] && away[1] == away[3], "in turn, too: {away:?}");
        away.sort();
        assert_eq!(away, [1, 1, 2, 2].map(|at| (Rank::Away, Some(at))));
    }

    #[test]
    fn only_few_members_are_looked_at() {
        let (mut groups, keys) = group(1000);
        let (mut rota, found) = (Rota::default(), groups.by_filter["$share/g/a"]);
        for here in [&[][..], &[500], &[500, 700, 2]] {
            keys.iter().for_each(|&key| groups.connected(key, false));
            let here: Vec<_> = here.iter().map(|&at: &usize| keys[at]).collect();
            here.iter().for_each(|&key| groups.connected(key, true));
            let (mut looks, mut chosen) = (0, Vec::new());
            for _ in 0..6 {
                let (_, key, _) = groups.choose(found, &mut rota, |key, _| {
                    looks += 1;
                    if here.contains(&key) { Rank::Ready } else { Rank::Away }
                });
                chosen.push(key);
            }
            assert_eq!(looks, 6);
            let all: HashSet<_> = chosen.iter().collect();
            assert_eq!(all.len(), if here.is_empty() { 6 } else { here.len() });
            assert!(here.is_empty() || chosen.iter().all(|key| here.contains(key)));
        }
        for key in keys {
            groups.leave("$share/g/a", "a", key);
        }
        assert!(groups.is_empty() && groups.of_member.is_empty());
    }

    #[test]
    fn a_group_goes_with_its_last_member() {
        let (mut groups, keys) = group(2);
        let matches = |groups: &Groups, topic: &str| {
            let mut found = 0;
            groups.for_each_match(topic.as_bytes(), |_| found += 1);
            found
        };
        groups.join("$share/h/a", "a", keys[0], member("0"), true);
        groups.join("$share/g/+", "+", keys[0], member("0"), true);
        groups.join("$share/g/+", "+", keys[0], member("0"), true);
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
