//! UNSUBSCRIBE: Topic Filters to drop.

use std::fmt;

use crate::property::{Place, Properties, Property};
use crate::wire::{Reader, Sink};
use crate::{DecodeError, PacketId, UserProperties, Version};

/// An UNSUBSCRIBE packet. [MQTT 5, section 3.10]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unsubscribe<'a> {
    /// Comes back in the UNSUBACK. [MQTT-3.10.4-5]
    pub packet_id: PacketId,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// The Topic Filters, valid, in order; at least one. [MQTT-3.10.3-2]
    pub filters: UnsubscribeFilters<'a>,
}

impl<'a> Unsubscribe<'a> {
    pub(crate) fn read(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let mut user_properties = UserProperties::EMPTY;
        if version.has_properties() {
            let mut properties = Properties::take(&mut reader, Place::UNSUBSCRIBE)?;
            let section = properties.rest();
            while let Some(property) = properties.next()? {
                if let Property::User(_) = property {
                    user_properties = UserProperties::of_section(section);
                }
            }
        }
        if reader.is_empty() {
            return Err(DecodeError::UnsubscribeEmpty);
        }
        let filters = UnsubscribeFilters(Source::Encoded(reader.rest()));
        while !reader.is_empty() {
            reader.filter()?;
        }
        Ok(Self { packet_id, user_properties, filters })
    }

    pub(crate) fn put_body<S: Sink>(&self, version: Version, sink: &mut S) {
        sink.put_u16(self.packet_id.get());
        if version.has_properties() {
            sink.put_section(&self.user_properties);
        }
        for filter in self.filters.iter() {
            sink.put_string(filter);
        }
    }
}

/// The Topic Filters of an UNSUBSCRIBE: read from one, or a list to be sent.
#[derive(Clone, Copy)]
pub struct UnsubscribeFilters<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Encoded(&'a [u8]),
    List(&'a [&'a str]),
}

impl<'a> UnsubscribeFilters<'a> {
    /// To be sent, in this order; at least one.
    pub const fn from_slice(filters: &'a [&'a str]) -> Self {
        Self(Source::List(filters))
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (encoded, list) = match self.0 {
            Source::Encoded(encoded) => (encoded, &[][..]),
            Source::List(list) => (&[][..], list),
        };
        let mut reader = Reader::new(encoded);
        std::iter::from_fn(move || reader.string().ok()).chain(list.iter().copied())
    }
}

impl PartialEq for UnsubscribeFilters<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UnsubscribeFilters<'_> {}

impl fmt::Debug for UnsubscribeFilters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
