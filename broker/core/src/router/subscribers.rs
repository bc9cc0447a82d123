//! The subscribers of one Topic Filter.

use flotilla_mqtt::{QoS, SubscriptionOptions};
use indexmap::IndexMap;

use crate::id::SubscriberKey;

/// One subscription of one session, as far as routing needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) subscriber: SubscriberKey,
    /// The Subscription Identifier above [`OPTION_BITS`] of options: there are a million of these.
    packed: u32,
}

const QOS_MASK: u32 = 0b0011;
const NO_LOCAL: u32 = 0b0100;
const RETAIN_AS_PUBLISHED: u32 = 0b1000;
/// A Subscription Identifier has 28 bits and is never 0.
const OPTION_BITS: u32 = 4;

impl Entry {
    /// `id`: at most 268,435,455.
    pub(crate) fn new(
        subscriber: SubscriberKey,
        options: SubscriptionOptions,
        id: Option<u32>,
    ) -> Self {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let packed = u32::from(options.qos.bits())
            | flag(options.no_local, NO_LOCAL)
            | flag(options.retain_as_published, RETAIN_AS_PUBLISHED)
            | id.unwrap_or(0) << OPTION_BITS;
        Self { subscriber, packed }
    }

    /// The QoS granted.
    pub(crate) fn qos(self) -> QoS {
        QoS::from_bits((self.packed & QOS_MASK) as u8).expect("packed from one")
    }

    pub(crate) fn no_local(self) -> bool {
        self.packed & NO_LOCAL != 0
    }

    pub(crate) fn retain_as_published(self) -> bool {
        self.packed & RETAIN_AS_PUBLISHED != 0
    }

    /// Subscription Identifier.
    pub(crate) fn id(self) -> Option<u32> {
        Some(self.packed >> OPTION_BITS).filter(|&id| id != 0)
    }
}

/// At most one entry a subscriber. Most filters have one; a broadcast has as many as there are
/// devices, and these leave one by one, so a long list is a table.
#[derive(Debug, Default)]
pub(crate) enum Subscribers {
    #[default]
    None,
    One(Entry),
    #[expect(clippy::box_collection, reason = "a filter with one subscriber takes 16 bytes")]
    Few(Box<Vec<Entry>>),
    Many(Box<IndexMap<SubscriberKey, Entry>>),
}

const FEW: usize = 16;

impl Subscribers {
    /// Adds an entry, or replaces that of the same subscriber.
    pub(crate) fn insert(&mut self, entry: Entry) {
        match self {
            Self::None => *self = Self::One(entry),
            Self::One(known) if known.subscriber == entry.subscriber => *known = entry,
            Self::One(known) => *self = Self::Few(Box::new(vec![*known, entry])),
            Self::Few(list) => {
                if let Some(known) = list.iter_mut().find(|e| e.subscriber == entry.subscriber) {
                    *known = entry;
                } else if list.len() < FEW {
                    list.push(entry);
                } else {
                    let known = list.drain(..).map(|e| (e.subscriber, e));
                    let all = known.chain([(entry.subscriber, entry)]);
                    *self = Self::Many(Box::new(all.collect()));
                }
            }
            Self::Many(table) => {
                table.insert(entry.subscriber, entry);
            }
        }
    }

    /// Removes the subscriber's entry; false: there was none.
    pub(crate) fn remove(&mut self, subscriber: SubscriberKey) -> bool {
        match self {
            Self::None => false,
            Self::One(known) => {
                let is_it = known.subscriber == subscriber;
                if is_it {
                    *self = Self::None;
                }
                is_it
            }
            Self::Few(list) => {
                let at = list.iter().position(|e| e.subscriber == subscriber);
                let removed = at.map(|at| list.swap_remove(at)).is_some();
                if let [last] = list[..] {
                    *self = Self::One(last);
                }
                removed
            }
            Self::Many(table) => {
                let removed = table.swap_remove(&subscriber).is_some();
                // Half of the limit, so that one that comes and goes does not convert each time.
                if table.len() <= FEW / 2 {
                    *self = Self::Few(Box::new(table.values().copied().collect()));
                }
                removed
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    /// One after the other; the few that most lists have stand in a slice.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Entry> {
        let (few, many): (&[Entry], _) = match self {
            Self::None => (&[], None),
            Self::One(entry) => (std::slice::from_ref(entry), None),
            Self::Few(list) => (list, None),
            Self::Many(table) => (&[], Some(table.values())),
        };
        few.iter().chain(many.into_iter().flatten()).copied()
    }
}

#[cfg(test)]
pub(crate) fn entry(subscriber: SubscriberKey, id: Option<u32>) -> Entry {
    Entry::new(subscriber, SubscriptionOptions::new(QoS::AtLeastOnce), id)
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn grows_into_a_table_and_back() {
        let mut keys = SlotMap::<SubscriberKey, ()>::with_key();
        let all: Vec<_> = (0..100).map(|_| keys.insert(())).collect();
        let mut subscribers = Subscribers::default();
        for &key in &all {
            subscribers.insert(entry(key, None));
            subscribers.insert(entry(key, None));
        }
        assert_eq!(subscribers.iter().count(), 100);
        for &key in &all {
            assert!(subscribers.remove(key));
            assert!(!subscribers.remove(key));
        }
        assert!(subscribers.is_empty() && subscribers.iter().next().is_none());
    }

    #[test]
    fn an_entry_keeps_what_routing_needs() {
        assert_eq!(size_of::<Subscribers>(), 16);
        let subscriber = SlotMap::<SubscriberKey, ()>::with_key().insert(());
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            for (no_local, retain_as_published) in [(false, true), (true, false)] {
                for id in [None, Some(1), Some(268_435_455)] {
                    let options = SubscriptionOptions {
                        no_local,
                        retain_as_published,
                        ..SubscriptionOptions::new(qos)
                    };
                    let entry = Entry::new(subscriber, options, id);
                    assert_eq!((entry.qos(), entry.id()), (qos, id));
                    assert_eq!(
                        (entry.no_local(), entry.retain_as_published()),
                        (no_local, retain_as_published)
                    );
                }
            }
        }
    }
}
