//! The Subscription Identifiers of a PUBLISH.

use std::fmt;

use crate::property::{Property, Section, Variable, Walk};
use crate::wire::Sink;

/// Which subscriptions a PUBLISH matched: read from a packet, or a list to be sent.
///
/// Two are equal if they hold the same identifiers in the same order. [MQTT-3.3.4-4]
#[derive(Clone, Copy)]
pub enum SubscriptionIds<'a> {
    /// The property section of a decoded PUBLISH, with other properties between.
    Encoded(&'a [u8]),
    /// To be sent; each 1 to 268,435,455.
    List(&'a [u32]),
}

impl<'a> SubscriptionIds<'a> {
    /// None.
    pub const EMPTY: Self = Self::List(&[]);

    /// In the order in which they are encoded.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        let (section, list) = match *self {
            Self::Encoded(section) => (section, &[][..]),
            Self::List(list) => (&[][..], list),
        };
        let encoded = Walk::over(section).filter_map(|property| match property.decode() {
            Some(Property::SubscriptionIdentifier(Variable(id))) => Some(id),
            _ => None,
        });
        encoded.chain(list.iter().copied())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        // Nearly always, and then no iterator need be set up.
        matches!(self, Self::List([])) || self.iter().next().is_none()
    }
}

impl Default for SubscriptionIds<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for SubscriptionIds<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SubscriptionIds<'_> {}

impl fmt::Debug for SubscriptionIds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Section for SubscriptionIds<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        // Most PUBLISH packets have none, for which no iterator need be set up.
        if let Self::List([]) = self {
            return;
        }
        for id in self.iter() {
            Property::SubscriptionIdentifier(Variable(id)).put(sink);
        }
    }
}
