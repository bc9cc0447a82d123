//! The subscriptions of one session, by Topic Filter.

use crate::subscription::Subscription;

/// A sorted list: a fleet's sessions have one or two, at most
/// [`Limits::subscriptions_max`](crate::limits::Limits::subscriptions_max), and there are a million sessions.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    list: Vec<(Box<str>, Subscription)>,
}

impl Subscriptions {
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn get(&self, filter: &str) -> Option<&Subscription> {
        self.find(filter).ok().map(|at| &self.list[at].1)
    }

    /// Adds one, or replaces that of the same filter.
    pub(crate) fn insert(&mut self, filter: Box<str>, subscription: Subscription) {
        match self.find(&filter) {
            Ok(at) => self.list[at].1 = subscription,
            Err(at) => {
                // Most sessions never have another one.
                if self.list.is_empty() {
                    self.list.reserve_exact(1);
                }
                self.list.insert(at, (filter, subscription));
            }
        }
    }

    /// False: there was none.
    pub(crate) fn remove(&mut self, filter: &str) -> bool {
        let found = self.find(filter).map(|at| self.list.remove(at));
        found.is_ok()
    }

    /// In the order of filters.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Subscription)> {
        self.list.iter().map(|(filter, subscription)| (&**filter, subscription))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Subscription)> {
        self.list.iter_mut().map(|(filter, subscription)| (&**filter, subscription))
    }

    pub(crate) fn into_filters(self) -> impl Iterator<Item = Box<str>> {
        self.list.into_iter().map(|(filter, _)| filter)
    }

    fn find(&self, filter: &str) -> Result<usize, usize> {
        self.list.binary_search_by(|(known, _)| (**known).cmp(filter))
    }
}

impl FromIterator<(Box<str>, Subscription)> for Subscriptions {
    fn from_iter<I: IntoIterator<Item = (Box<str>, Subscription)>>(subscriptions: I) -> Self {
        let mut this = Self::default();
        for (filter, subscription) in subscriptions {
            this.insert(filter, subscription);
        }
        this
    }
}

#[cfg(test)]
mod tests {
    use flotilla_mqtt::SubscriptionOptions;

    use super::*;
    use crate::subscription::SubscribedFrom;

    fn subscription(id: u32) -> Subscription {
        let options = SubscriptionOptions::default();
        Subscription { options, id: Some(id), start: SubscribedFrom::Unwritten(0) }
    }

    #[test]
    fn one_a_filter_in_their_order() {
        let filters = ["b", "a/#", "c", "a", "b"];
        let mut subscriptions: Subscriptions =
            filters.into_iter().zip(1..).map(|(f, id)| (f.into(), subscription(id))).collect();
        let ids = |all: &Subscriptions| all.iter().map(|(f, s)| (f.to_owned(), s.id)).collect();
        let list: Vec<_> = ids(&subscriptions);
        let expected = [("a", 4), ("a/#", 2), ("b", 5), ("c", 3)];
        assert_eq!(list, expected.map(|(filter, id)| (filter.to_owned(), Some(id))));
        assert_eq!(subscriptions.get("b").and_then(|s| s.id), Some(5));
        assert!(subscriptions.remove("a/#") && !subscriptions.remove("a/#"));
        assert_eq!(subscriptions.len(), 3);
        assert!(!subscriptions.is_empty() && subscriptions.get("a/#").is_none());
    }
}
