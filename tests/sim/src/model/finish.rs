//! What must have been delivered, and kept, when everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::successors;

use flotilla_mqtt::QoS;

use super::{Model, Publication, Wish};

impl Model {
    /// Everybody is connected, and nothing is on its way. `dropped`: deliveries that the broker has
    /// counted as dropped.
    pub(crate) fn check_all_came(&self, lines: &[Option<usize>], dropped: u64) {
        let mut missing = BTreeMap::new();
        for (number, publication) in self.publications.iter().enumerate() {
            let is_due = publication.acknowledged.is_some()
                && !publication.is_refused
                && !publication.is_excused
                && !publication.is_cancelled
                && !publication.is_empty
                && publication.expiry_s.is_none();
            if !is_due {
                continue;
            }
            for wish in &self.wishes {
                if !self.is_owed(wish, publication) {
                    continue;
                }
                let profile = self.profile(wish.client);
                if publication.is_long && profile.maximum_packet_size.is_some() {
                    continue;
                }
                if self.has_come(wish, number) || self.cleaned.contains(&(wish.client, number)) {
                    continue;
                }
                let told = format!("message {number} {publication:?} to {wish:?}");
                if profile.expiry_s == u32::MAX && publication.qos.min(wish.qos) > QoS::AtMostOnce {
                    panic!("never came: {told}");
                }
                // It may have been dropped, but not in silence.
                let is_same_line = lines[wish.client] == Some(wish.line);
                if is_same_line && !self.was_for_another(wish, publication) {
                    missing.insert((wish.client, number), told);
                }
            }
        }
        let count = missing.len() as u64;
        assert!(count <= dropped, "{dropped} were dropped, and did not come: {missing:#?}");
        self.check_groups();
    }

    fn is_owed(&self, wish: &Wish, publication: &Publication) -> bool {
        let Some(sent) = publication.sent else { return false };
        !wish.is_shared()
            && wish.matches(publication)
            && (wish.must_be_since(sent) || self.was_before_replaced(wish, publication))
            && !(wish.no_local && wish.client == publication.publisher)
    }

    /// It came before another subscription to the same filter, which stands or was replaced in turn.
    fn was_before_replaced(&self, wish: &Wish, publication: &Publication) -> bool {
        let (Some(sent), Some(routed)) = (publication.sent, publication.routed) else {
            return false;
        };
        let next = |wish: &&Wish| wish.replaced_by.map(|next| &self.wishes[next]);
        let later = successors(next(&wish), next);
        wish.granted.is_some_and(|granted| granted < sent)
            && wish.ending.is_some_and(|ending| routed < ending)
            && !wish.is_open
            && later.clone().all(|later| !later.is_open)
            && later.last().is_some_and(|it| it.ending.is_none() && it.ended.is_none())
    }

    /// It went into the log for another subscription as well, which was taken back or replaced before
    /// it was read from there: one of QoS 0 alone gets nothing out of the log.
    fn was_for_another(&self, wish: &Wish, publication: &Publication) -> bool {
        let Some(sent) = publication.sent else { return false };
        let routed = publication.routed.unwrap_or(u64::MAX);
        self.wishes.iter().any(|other| {
            other.client == wish.client
                && other.qos > QoS::AtMostOnce
                && !other.is_shared()
                && other.matches(publication)
                && other.may_be(sent, routed)
                && other.ending.is_some()
        })
    }

    fn has_come(&self, wish: &Wish, number: usize) -> bool {
        let epoch = self.sessions[wish.client].epoch;
        self.by_message.get(&number).is_some_and(|all| {
            all.iter().any(|&at| {
                let it = &self.delivered[at];
                (it.client, it.epoch) == (wish.client, epoch) && it.group.is_none()
            })
        })
    }

    /// A group whose members have all been there, and stay, has got everything.
    fn check_groups(&self) {
        let shared = self.wishes.iter().filter(|wish| wish.is_shared());
        let mut groups: BTreeMap<&str, Vec<&Wish>> = BTreeMap::new();
        for wish in shared {
            groups.entry(&wish.filter).or_default().push(wish);
        }
        for (filter, members) in groups {
            let is_steady = |wish: &&&Wish| {
                let is_kept = self.profile(wish.client).expiry_s == u32::MAX;
                let is_small = self.profile(wish.client).maximum_packet_size.is_some();
                is_kept && !is_small && wish.qos > QoS::AtMostOnce && wish.must_be_since(u64::MAX)
            };
            if members.iter().filter(is_steady).count() < members.len() {
                continue;
            }
            let first = members.iter().filter_map(|wish| wish.granted).min().unwrap_or(u64::MAX);
            for (number, publication) in self.publications.iter().enumerate() {
                let is_due = members[0].matches(publication)
                    && publication.qos > QoS::AtMostOnce
                    && publication.sent.is_some_and(|sent| sent > first)
                    && publication.acknowledged.is_some()
                    && publication.expiry_s.is_none()
                    && !(publication.is_refused || publication.is_excused || publication.is_empty)
                    && !publication.is_cancelled;
                let all = self.by_message.get(&number).map_or(&[][..], Vec::as_slice);
                let has_come =
                    all.iter().any(|&at| self.delivered[at].group.as_deref() == Some(filter));
                let is_gone = || self.cleaned_of_groups.contains(&(filter.to_owned(), number));
                let is_right = !is_due || has_come || is_gone();
                assert!(is_right, "{filter} never got message {number} {publication:?}");
            }
        }
    }

    /// What somebody who subscribes to everything now has got, by topic.
    pub(crate) fn check_kept(&self, got: &BTreeMap<String, usize>) {
        let retained = self.publications.iter().filter(|it| it.retain);
        let topics: BTreeSet<_> = retained.map(|it| it.topic.as_str()).collect();
        for topic in topics {
            let may = self.may_be_retained(topic);
            let has = got.get(topic).copied();
            assert!(may.contains(&has), "{topic} keeps message {has:?}, not one of {may:?}");
        }
    }
}
