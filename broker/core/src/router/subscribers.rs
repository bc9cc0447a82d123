//! The subscribers of one Topic Filter.

use flotilla_mqtt::SubscriptionOptions;
use indexmap::IndexMap;

use crate::id::SubscriberKey;

/// One subscription of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) subscriber: SubscriberKey,
    pub(crate) options: SubscriptionOptions,
    /// Subscription Identifier.
    pub(crate) id: Option<u32>,
}

/// At most one entry a subscriber. Most filters have one or two; a broadcast has as many as there
/// are devices, and these leave one by one, so a long list is a table.
#[derive(Debug)]
pub(crate) enum Subscribers {
    Few(Vec<Entry>),
    Many(IndexMap<SubscriberKey, Entry>),
}

const FEW: usize = 16;

impl Default for Subscribers {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Subscribers {
    /// Adds an entry, or replaces that of the same subscriber.
    pub(crate) fn insert(&mut self, entry: Entry) {
        match self {
            Self::Few(list) => {
                if let Some(known) = list.iter_mut().find(|e| e.subscriber == entry.subscriber) {
                    *known = entry;
                } else if list.len() < FEW {
                    list.push(entry);
                } else {
                    let known = list.drain(..).map(|e| (e.subscriber, e));
                    *self = Self::Many(known.chain([(entry.subscriber, entry)]).collect());
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
            Self::Few(list) => {
                let at = list.iter().position(|e| e.subscriber == subscriber);
                at.map(|at| list.swap_remove(at)).is_some()
            }
            Self::Many(table) => {
                let removed = table.swap_remove(&subscriber).is_some();
                // Half of the limit, so that one that comes and goes does not convert each time.
                if table.len() <= FEW / 2 {
                    *self = Self::Few(table.values().copied().collect());
                }
                removed
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Few(list) => list.is_empty(),
            // A table never shrinks below the limit without becoming a list.
            Self::Many(_) => false,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        let (few, many) = match self {
            Self::Few(list) => (Some(list.iter()), None),
            Self::Many(table) => (None, Some(table.values())),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
pub(crate) fn entry(subscriber: SubscriberKey) -> Entry {
    use flotilla_mqtt::{QoS, RetainHandling};
    let options = SubscriptionOptions {
        qos: QoS::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::SendAlways,
    };
    Entry { subscriber, options, id: None }
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
            subscribers.insert(entry(key));
            subscribers.insert(entry(key));
        }
        assert_eq!(subscribers.iter().count(), 100);
        for &key in &all {
            assert!(subscribers.remove(key));
            assert!(!subscribers.remove(key));
        }
        assert!(subscribers.is_empty());
    }
}
