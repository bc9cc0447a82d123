//! User Properties: pairs of name with value, in order, names may repeat.

use std::fmt;

use crate::property::{Property, Section, Walk};
use crate::wire::Sink;

/// The User Properties of a packet: read from one, or a list to be sent.
///
/// Their order is kept. [MQTT-3.3.2-18] Two are equal if they hold the same pairs.
#[derive(Clone, Copy)]
pub struct UserProperties<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    /// The property section of a decoded packet, with others between.
    Encoded(&'a [u8]),
    Pairs(&'a [(&'a str, &'a str)]),
}

impl<'a> UserProperties<'a> {
    /// None.
    pub const EMPTY: Self = Self(Source::Pairs(&[]));

    /// To be sent, in this order.
    pub const fn from_pairs(pairs: &'a [(&'a str, &'a str)]) -> Self {
        Self(Source::Pairs(pairs))
    }

    /// Those of a property section that was validated.
    pub(crate) const fn of_section(section: &'a [u8]) -> Self {
        Self(Source::Encoded(section))
    }

    /// Name, value.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let (section, pairs) = match self.0 {
            Source::Encoded(section) => (section, &[][..]),
            Source::Pairs(pairs) => (&[][..], pairs),
        };
        let encoded = Walk::over(section).filter_map(|property| match property.decode() {
            Some(Property::User(pair)) => Some(pair),
            _ => None,
        });
        encoded.chain(pairs.iter().copied())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        // Nearly always, and then no iterator need be set up.
        matches!(self.0, Source::Pairs([])) || self.iter().next().is_none()
    }
}

impl Default for UserProperties<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UserProperties<'_> {}

impl fmt::Debug for UserProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Section for UserProperties<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        for pair in self.iter() {
            Property::User(pair).put(sink);
        }
    }
}
