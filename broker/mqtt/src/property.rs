//! The properties of MQTT 5: what there is, where it may stand, what values it may have.

use crate::wire::{Measure, Reader, Sink};
use crate::{DecodeError, EncodeError, REMAINING_LENGTH_MAX, topic};

/// The packets (or the Will) that a property may stand in, as a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place(u16);

impl Place {
    pub(crate) const CONNECT: Self = Self(1 << 0);
    pub(crate) const CONNACK: Self = Self(1 << 1);
    pub(crate) const PUBLISH: Self = Self(1 << 2);
    pub(crate) const WILL: Self = Self(1 << 3);
    /// PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK: no property tells them apart.
    pub(crate) const ACK: Self = Self(1 << 4);
    pub(crate) const SUBSCRIBE: Self = Self(1 << 5);
    pub(crate) const UNSUBSCRIBE: Self = Self(1 << 6);
    pub(crate) const DISCONNECT: Self = Self(1 << 7);
    pub(crate) const AUTH: Self = Self(1 << 8);
    const ALL: Self = Self((1 << 9) - 1);

    const fn has(self, place: Self) -> bool {
        self.0 & place.0 != 0
    }
}

/// One row a property: identifier, name, type, where it may stand, where it may repeat.
macro_rules! properties {
    ($(
        $id:literal $name:ident($type:ty) in [$($place:ident)*] repeats in [$($many:ident)*];
    )*) => {
        /// A property with its value. [MQTT 5, table 2-4]
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Property<'a> {
            $( $name($type), )*
        }

        /// Every property: identifier, where it may stand, where it may repeat.
        const ROWS: &[(u8, Place, Place)] =
            &[ $( ($id, Place(0 $( | Place::$place.0 )*), Place(0 $( | Place::$many.0 )*)), )* ];

        impl<'a> Property<'a> {
            fn read(id: u8, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                match id {
                    $( $id => <$type as Value<'a>>::read(reader).map(Self::$name), )*
                    _ => Err(DecodeError::UnknownProperty),
                }
            }

            fn skip(id: u8, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
                match id {
                    $( $id => <$type as Value<'a>>::skip(reader), )*
                    _ => Err(DecodeError::UnknownProperty),
                }
            }

            const fn id(&self) -> u8 {
                match self {
                    $( Self::$name(_) => $id, )*
                }
            }

            /// Appends identifier, then value.
            pub(crate) fn put<S: Sink>(&self, sink: &mut S) {
                match self {
                    $( Self::$name(value) => {
                        sink.put_u8($id);
                        value.put(sink);
                    } )*
                }
            }
        }
    };
}

properties! {
    0x01 PayloadFormatIndicator(bool) in [PUBLISH WILL] repeats in [];
    0x02 MessageExpiryInterval(u32) in [PUBLISH WILL] repeats in [];
    0x03 ContentType(&'a str) in [PUBLISH WILL] repeats in [];
    0x08 ResponseTopic(&'a str) in [PUBLISH WILL] repeats in [];
    0x09 CorrelationData(&'a [u8]) in [PUBLISH WILL] repeats in [];
    0x0B SubscriptionIdentifier(Variable) in [PUBLISH SUBSCRIBE] repeats in [PUBLISH];
    0x11 SessionExpiryInterval(u32) in [CONNECT CONNACK DISCONNECT] repeats in [];
    0x12 AssignedClientIdentifier(&'a str) in [CONNACK] repeats in [];
    0x13 ServerKeepAlive(u16) in [CONNACK] repeats in [];
    0x15 AuthenticationMethod(&'a str) in [CONNECT CONNACK AUTH] repeats in [];
    0x16 AuthenticationData(&'a [u8]) in [CONNECT CONNACK AUTH] repeats in [];
    0x17 RequestProblemInformation(bool) in [CONNECT] repeats in [];
    0x18 WillDelayInterval(u32) in [WILL] repeats in [];
    0x19 RequestResponseInformation(bool) in [CONNECT] repeats in [];
    0x1A ResponseInformation(&'a str) in [CONNACK] repeats in [];
    0x1C ServerReference(&'a str) in [CONNACK DISCONNECT] repeats in [];
    0x1F ReasonString(&'a str) in [CONNACK ACK DISCONNECT AUTH] repeats in [];
    0x21 ReceiveMaximum(u16) in [CONNECT CONNACK] repeats in [];
    0x22 TopicAliasMaximum(u16) in [CONNECT CONNACK] repeats in [];
    0x23 TopicAlias(u16) in [PUBLISH] repeats in [];
    0x24 MaximumQos(u8) in [CONNACK] repeats in [];
    0x25 RetainAvailable(bool) in [CONNACK] repeats in [];
    0x26 User((&'a str, &'a str)) in [ALL] repeats in [ALL];
    0x27 MaximumPacketSize(u32) in [CONNECT CONNACK] repeats in [];
    0x28 WildcardSubscriptionAvailable(bool) in [CONNACK] repeats in [];
    0x29 SubscriptionIdentifiersAvailable(bool) in [CONNACK] repeats in [];
    0x2A SharedSubscriptionAvailable(bool) in [CONNACK] repeats in [];
}

/// [`ROWS`] by identifier, so that a look-up is one step. An empty place: no such property.
const BY_ID: [(Place, Place); 64] = {
    let mut by_id = [(Place(0), Place(0)); 64];
    let mut row = 0;
    while row < ROWS.len() {
        by_id[ROWS[row].0 as usize] = (ROWS[row].1, ROWS[row].2);
        row += 1;
    }
    by_id
};

impl Property<'_> {
    /// The values that each property may not have.
    fn validate(&self) -> Result<(), DecodeError> {
        match self {
            Self::ReceiveMaximum(0) => Err(DecodeError::ReceiveMaximumZero),
            Self::MaximumPacketSize(0) => Err(DecodeError::MaximumPacketSizeZero),
            Self::SubscriptionIdentifier(Variable(0)) => Err(DecodeError::SubscriptionIdZero),
            Self::TopicAlias(0) => Err(DecodeError::TopicAliasZero),
            Self::MaximumQos(2..) => Err(DecodeError::MaximumQosInvalid),
            Self::ResponseTopic(topic) if !topic::is_valid_name(topic) => {
                Err(DecodeError::ResponseTopicInvalid)
            }
            _ => Ok(()),
        }
    }

    /// Whether a server sends it on with the message, unchanged. [MQTT-3.3.2-4] [MQTT-3.3.2-15]
    /// [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-20]
    pub(crate) const fn is_forwarded(&self) -> bool {
        is_forwarded(self.id())
    }
}

const fn is_forwarded(id: u8) -> bool {
    matches!(id, 0x01 | 0x03 | 0x08 | 0x09 | 0x26)
}

/// Decodes the properties of one packet, checking all rules that concern properties alone.
pub(crate) struct Properties<'a> {
    reader: Reader<'a>,
    place: Place,
    /// One bit for each identifier that has come.
    seen: u64,
}

impl<'a> Properties<'a> {
    /// Takes the length, then that many bytes, off the front of `reader`.
    pub(crate) fn take(reader: &mut Reader<'a>, place: Place) -> Result<Self, DecodeError> {
        let len = reader.variable_byte_integer()?;
        Ok(Self::of(reader.take(len as usize)?, place))
    }

    /// Over properties without their length in front.
    pub(crate) const fn of(section: &'a [u8], place: Place) -> Self {
        Self { reader: Reader::new(section), place, seen: 0 }
    }

    /// The bytes not yet decoded: at first, the whole section.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.reader.rest()
    }

    /// The next property, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Property<'a>>, DecodeError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let id = self.reader.u8()?;
        let (places, repeats) = BY_ID.get(usize::from(id)).copied().unwrap_or((Place(0), Place(0)));
        if !places.has(self.place) {
            let is_known = places != Place(0);
            return Err(if is_known {
                DecodeError::PropertyNotAllowed
            } else {
                DecodeError::UnknownProperty
            });
        }
        let bit = 1 << id;
        if self.seen & bit != 0 && !repeats.has(self.place) {
            return Err(DecodeError::DuplicateProperty);
        }
        self.seen |= bit;
        let property = Property::read(id, &mut self.reader)?;
        property.validate()?;
        Ok(Some(property))
    }
}

/// Goes over properties that were validated before. Ends at the first fault.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'a> {
    reader: Reader<'a>,
}

impl<'a> Walk<'a> {
    pub(crate) const fn over(section: &'a [u8]) -> Self {
        Self { reader: Reader::new(section) }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = EncodedProperty<'a>;

    fn next(&mut self) -> Option<EncodedProperty<'a>> {
        let start = self.reader;
        let id = self.reader.u8().ok()?;
        Property::skip(id, &mut self.reader).ok()?;
        let len = start.len() - self.reader.len();
        Some(EncodedProperty { id, bytes: start.rest().get(..len)? })
    }
}

/// One property as it stands on the wire.
#[derive(Clone, Copy)]
pub(crate) struct EncodedProperty<'a> {
    id: u8,
    /// Identifier, then value.
    pub(crate) bytes: &'a [u8],
}

impl<'a> EncodedProperty<'a> {
    pub(crate) fn decode(self) -> Option<Property<'a>> {
        let mut reader = Reader::new(self.bytes.get(1..)?);
        Property::read(self.id, &mut reader).ok()
    }

    /// See [`Property::is_forwarded`].
    pub(crate) const fn is_forwarded(self) -> bool {
        is_forwarded(self.id)
    }
}

/// The properties of a packet that is to be written.
pub(crate) trait Section {
    /// Appends the properties, without their length.
    fn put<S: Sink>(&self, sink: &mut S);

    /// Bytes that the properties take, without their length.
    fn section_len(&self) -> usize {
        let mut measure = Measure::default();
        self.put(&mut measure);
        measure.len
    }
}

/// Appends a property, if there is one.
pub(crate) fn put_option<S: Sink>(property: Option<Property<'_>>, sink: &mut S) {
    if let Some(property) = property {
        property.put(sink);
    }
}

/// A value of one of the types that properties have. [MQTT 5, section 1.5]
trait Value<'a>: Sized {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError>;
    fn skip(reader: &mut Reader<'a>) -> Result<(), DecodeError>;
    fn put<S: Sink>(&self, sink: &mut S);
}

/// A Variable Byte Integer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Variable(pub(crate) u32);

impl<'a> Value<'a> for Variable {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.variable_byte_integer().map(Self)
    }

    fn skip(reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        reader.variable_byte_integer().map(drop)
    }

    fn put<S: Sink>(&self, sink: &mut S) {
        // The only property of this type is the Subscription Identifier.
        match self.0 {
            1..=REMAINING_LENGTH_MAX => sink.put_variable_byte_integer(self.0),
            other => sink.refuse(EncodeError::SubscriptionIdOutOfRange(other)),
        }
    }
}

impl<'a> Value<'a> for bool {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::PropertyNotBoolean),
        }
    }

    fn skip(reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        reader.take(1).map(drop)
    }

    fn put<S: Sink>(&self, sink: &mut S) {
        sink.put_u8(u8::from(*self));
    }
}

impl<'a> Value<'a> for u8 {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.u8()
    }

    fn skip(reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        reader.take(1).map(drop)
    }

    fn put<S: Sink>(&self, sink: &mut S) {
        sink.put_u8(*self);
    }
}

impl<'a> Value<'a> for u16 {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.u16()
    }

    fn skip(reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        reader.take(2).map(drop)
    }

    fn put<S: Sink>(&self, sink: &mut S) {
        sink.put_u16(*self);
    }
}

impl<'a> Value<'a> for u32 {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.u32()
    }

    fn skip(reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        reader.take(4).map(drop)
    }

    fn put<S: Sink>(&self, sink: &mut S) {
        sink.put_u32(*self);
    }
}

impl<'a> Value<'a> for &'a str {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.string()
    }

    fn skip(reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        reader.binary().map(drop)
    }

    fn put<S: Sink>(&self, sink: &mut S) {
        sink.put_string(self);
    }
}

impl<'a> Value<'a> for &'a [u8] {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.binary()
    }

    fn skip(reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        reader.binary().map(drop)
    }

    fn put<S: Sink>(&self, sink: &mut S) {
        sink.put_binary(self);
    }
}

/// A UTF-8 String Pair. [MQTT-1.5.7-1]
impl<'a> Value<'a> for (&'a str, &'a str) {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok((reader.string()?, reader.string()?))
    }

    fn skip(reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        reader.binary()?;
        reader.binary().map(drop)
    }

    fn put<S: Sink>(&self, sink: &mut S) {
        sink.put_string(self.0);
        sink.put_string(self.1);
    }
}
