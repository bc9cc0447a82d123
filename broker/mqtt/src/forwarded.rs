//! The properties that a server sends on with a message, unchanged.

use std::fmt;

use crate::property::{EncodedProperty, Place, Properties, Property, Section, Walk};
use crate::wire::Sink;
use crate::{DecodeError, UserProperties};

/// Payload Format Indicator, Content Type, Response Topic, Correlation Data, User Properties: as
/// the publisher encoded them, in its order. [MQTT-3.3.2-18]
///
/// Decoding validates them once; from then on they are bytes to copy. A message keeps them by
/// [`extend_into`](Self::extend_into), and sends them by [`from_encoded`](Self::from_encoded).
#[derive(Clone, Copy)]
pub struct Forwarded<'a> {
    /// A whole property section, in which others (expiry, alias, …) may stand between.
    section: &'a [u8],
    /// Bytes of the forwarded properties among them. The length of `section` if there are no
    /// others.
    len: usize,
}

impl<'a> Forwarded<'a> {
    /// None.
    pub const EMPTY: Self = Self::from_encoded(&[]);

    /// Over bytes that [`extend_into`](Self::extend_into) has written. Others are not harmful to
    /// this program, but a peer would receive them as they are: [`validate`](Self::validate) what
    /// may be damaged.
    pub const fn from_encoded(bytes: &'a [u8]) -> Self {
        Self { section: bytes, len: bytes.len() }
    }

    /// Over bytes that should be what [`extend_into`](Self::extend_into) wrote, but come from a
    /// disk or another machine.
    ///
    /// # Errors
    /// If they are not forwarded properties only, each legal in a PUBLISH.
    pub fn validate(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut properties = Properties::of(bytes, Place::PUBLISH);
        while let Some(property) = properties.next()? {
            if !property.is_forwarded() {
                return Err(DecodeError::PropertyNotAllowed);
            }
        }
        Ok(Self::from_encoded(bytes))
    }

    /// Those of a property section that was validated; `len` is their length together.
    pub(crate) const fn of_section(section: &'a [u8], len: usize) -> Self {
        if len == 0 { Self::EMPTY } else { Self { section, len } }
    }

    /// Bytes that they take together.
    pub const fn encoded_len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The encoded properties, in as few pieces as they stand in.
    pub fn chunks(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        Chunks { section: self.section, is_whole: self.len == self.section.len() }
    }

    /// Appends the encoded properties.
    pub fn extend_into(&self, bytes: &mut Vec<u8>) {
        for chunk in self.chunks() {
            bytes.extend_from_slice(chunk);
        }
    }

    /// Whether the payload is declared to be UTF-8; `None` if nothing is declared.
    pub fn payload_format_indicator(&self) -> Option<bool> {
        self.find(|property| match property {
            Property::PayloadFormatIndicator(is_utf8) => Some(is_utf8),
            _ => None,
        })
    }

    /// What the payload is, for instance a MIME type.
    pub fn content_type(&self) -> Option<&'a str> {
        self.find(|property| match property {
            Property::ContentType(content_type) => Some(content_type),
            _ => None,
        })
    }

    /// Where an answer is awaited: a valid Topic Name. [MQTT-3.3.2-14]
    pub fn response_topic(&self) -> Option<&'a str> {
        self.find(|property| match property {
            Property::ResponseTopic(topic) => Some(topic),
            _ => None,
        })
    }

    /// What the answer shall carry. [MQTT-3.3.2-16]
    pub fn correlation_data(&self) -> Option<&'a [u8]> {
        self.find(|property| match property {
            Property::CorrelationData(bytes) => Some(bytes),
            _ => None,
        })
    }

    /// The User Properties. [MQTT-3.3.2-17]
    pub const fn user_properties(&self) -> UserProperties<'a> {
        UserProperties::of_section(self.section)
    }

    fn find<T>(&self, pick: impl Fn(Property<'a>) -> Option<T>) -> Option<T> {
        Walk::over(self.section).find_map(|property| property.decode().and_then(&pick))
    }
}

impl Default for Forwarded<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// Equal if they are encoded by the same bytes.
impl PartialEq for Forwarded<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.chunks().flatten().eq(other.chunks().flatten())
    }
}

impl Eq for Forwarded<'_> {}

impl fmt::Debug for Forwarded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let properties = Walk::over(self.section).filter(|property| property.is_forwarded());
        f.debug_list().entries(properties.filter_map(EncodedProperty::decode)).finish()
    }
}

impl Section for Forwarded<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        for chunk in self.chunks() {
            sink.put(chunk);
        }
    }

    fn section_len(&self) -> usize {
        self.len
    }
}

/// Runs of forwarded properties.
struct Chunks<'a> {
    section: &'a [u8],
    /// Whether `section` is one run.
    is_whole: bool,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.is_whole {
            let run = std::mem::take(&mut self.section);
            return (!run.is_empty()).then_some(run);
        }
        let skipped = len_while(self.section, |is_forwarded| !is_forwarded);
        let rest = self.section.get(skipped..)?;
        let (run, rest) = rest.split_at_checked(len_while(rest, |is_forwarded| is_forwarded))?;
        self.section = rest;
        (!run.is_empty()).then_some(run)
    }
}

/// Bytes of the properties at the front for which `wanted` holds.
fn len_while(section: &[u8], wanted: impl Fn(bool) -> bool) -> usize {
    Walk::over(section)
        .take_while(|property| wanted(property.is_forwarded()))
        .map(|property| property.bytes.len())
        .sum()
}
