//! SUBSCRIBE: Topic Filters with the options asked for.

use std::fmt;

use crate::property::{Place, Properties, Property, Section, Variable, put_option};
use crate::topic::Filter;
use crate::wire::{Reader, Sink};
use crate::{DecodeError, PacketId, QoS, UserProperties, Version};

/// A SUBSCRIBE packet. [MQTT 5, section 3.8]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subscribe<'a> {
    /// Comes back in the SUBACK. [MQTT-3.8.4-2]
    pub packet_id: PacketId,
    /// Comes with every PUBLISH that matches; 1 to 268,435,455.
    pub subscription_id: Option<u32>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// What is asked for, in order; at least one. [MQTT-3.8.3-2]
    pub filters: SubscribeFilters<'a>,
}

/// One Topic Filter of a SUBSCRIBE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Requested<'a> {
    /// The Topic Filter, valid, with its `$share/<name>/` if it is shared: see
    /// [`parse_filter`](crate::topic::parse_filter).
    pub filter: &'a str,
    /// How to be served.
    pub options: SubscriptionOptions,
}

/// How a subscription is to be served. [MQTT 5, section 3.8.3.1]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SubscriptionOptions {
    /// The highest QoS to be delivered.
    pub qos: QoS,
    /// Whether the client's own messages stay away. [MQTT-3.8.3-3]
    pub no_local: bool,
    /// Whether RETAIN is forwarded as it was published. [MQTT-3.3.1-13]
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent to a new subscription.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum RetainHandling {
    /// At every SUBSCRIBE. [MQTT-3.3.1-9]
    #[default]
    SendAlways = 0,
    /// If the subscription did not exist. [MQTT-3.3.1-10]
    SendIfNew = 1,
    /// Never. [MQTT-3.3.1-11]
    DoNotSend = 2,
}

impl<'a> Subscribe<'a> {
    pub(crate) fn read(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let mut subscription_id = None;
        let mut user_properties = UserProperties::EMPTY;
        if version.has_properties() {
            let mut properties = Properties::take(&mut reader, Place::SUBSCRIBE)?;
            let section = properties.rest();
            while let Some(property) = properties.next()? {
                match property {
                    Property::SubscriptionIdentifier(Variable(id)) => subscription_id = Some(id),
                    Property::User(_) => {
                        user_properties = UserProperties::of_section(section);
                    }
                    // `Place::SUBSCRIBE` has no other.
                    _ => {}
                }
            }
        }
        if reader.is_empty() {
            return Err(DecodeError::SubscribeEmpty);
        }
        let filters = SubscribeFilters(Source::Encoded { bytes: reader.rest(), version });
        while !reader.is_empty() {
            Requested::read(version, &mut reader)?;
        }
        Ok(Self { packet_id, subscription_id, user_properties, filters })
    }

    pub(crate) fn put_body<S: Sink>(&self, version: Version, sink: &mut S) {
        sink.put_u16(self.packet_id.get());
        if version.has_properties() {
            sink.put_section(self);
        }
        for requested in self.filters.iter() {
            sink.put_string(requested.filter);
            sink.put_u8(requested.options.to_byte(version));
        }
    }
}

impl Section for Subscribe<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        let subscription_id = self.subscription_id.map(Variable);
        put_option(subscription_id.map(Property::SubscriptionIdentifier), sink);
        self.user_properties.put(sink);
    }
}

impl<'a> Requested<'a> {
    fn read(version: Version, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (filter, parsed) = reader.filter()?;
        let options = SubscriptionOptions::from_byte(reader.u8()?, version)?;
        if options.no_local && matches!(parsed, Filter::Shared { .. }) {
            return Err(DecodeError::NoLocalOnShared);
        }
        Ok(Self { filter, options })
    }
}

impl SubscriptionOptions {
    /// The options with this QoS, retained messages always, nothing else: all that MQTT 3.1.1 can
    /// say.
    pub const fn new(qos: QoS) -> Self {
        Self {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAlways,
        }
    }

    /// The options that this byte of a SUBSCRIBE means.
    ///
    /// # Errors
    /// For reserved bits, QoS 3 or Retain Handling 3. [MQTT-3.8.3-5] In MQTT 3.1.1 all but the QoS
    /// is reserved.
    pub const fn from_byte(byte: u8, version: Version) -> Result<Self, DecodeError> {
        let reserved = match version {
            Version::V3_1 | Version::V3_1_1 => 0b1111_1100,
            Version::V5 => 0b1100_0000,
        };
        if byte & reserved != 0 {
            return Err(DecodeError::SubscribeOptionsReserved);
        }
        let Some(qos) = QoS::from_bits(byte & 0b11) else {
            return Err(DecodeError::SubscribeQosReserved);
        };
        let Some(retain_handling) = RetainHandling::from_bits(byte >> 4 & 0b11) else {
            return Err(DecodeError::RetainHandlingReserved);
        };
        Ok(Self {
            qos,
            no_local: byte & 0b0100 != 0,
            retain_as_published: byte & 0b1000 != 0,
            retain_handling,
        })
    }

    /// The byte of a SUBSCRIBE; in MQTT 3.1.1 the QoS alone.
    pub const fn to_byte(self, version: Version) -> u8 {
        match version {
            Version::V3_1 | Version::V3_1_1 => self.qos.bits(),
            Version::V5 => {
                self.qos.bits()
                    | (self.no_local as u8) << 2
                    | (self.retain_as_published as u8) << 3
                    | (self.retain_handling as u8) << 4
            }
        }
    }
}

impl RetainHandling {
    /// The handling with these two bits; `None` for 3, which is reserved.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::SendAlways),
            1 => Some(Self::SendIfNew),
            2 => Some(Self::DoNotSend),
            _ => None,
        }
    }
}

/// What a SUBSCRIBE asks for: read from one, or a list to be sent.
#[derive(Clone, Copy)]
pub struct SubscribeFilters<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Encoded { bytes: &'a [u8], version: Version },
    List(&'a [Requested<'a>]),
}

impl<'a> SubscribeFilters<'a> {
    /// To be sent, in this order; at least one.
    pub const fn from_slice(requested: &'a [Requested<'a>]) -> Self {
        Self(Source::List(requested))
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = Requested<'a>> + use<'a> {
        let (encoded, version, list) = match self.0 {
            Source::Encoded { bytes, version } => (bytes, version, &[][..]),
            Source::List(list) => (&[][..], Version::V5, list),
        };
        let mut reader = Reader::new(encoded);
        std::iter::from_fn(move || {
            let filter = reader.string().ok()?;
            let options = SubscriptionOptions::from_byte(reader.u8().ok()?, version).ok()?;
            Some(Requested { filter, options })
        })
        .chain(list.iter().copied())
    }
}

impl PartialEq for SubscribeFilters<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SubscribeFilters<'_> {}

impl fmt::Debug for SubscribeFilters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
