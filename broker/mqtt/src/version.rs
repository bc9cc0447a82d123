//! The protocol version of one connection.

use std::fmt;

/// A version of MQTT that this crate speaks.
///
/// MQTT 5 is the model. MQTT 3.1.1 is a dialect in which some things cannot be said: decoding
/// fills in what the packet means, encoding leaves out what it cannot carry. MQTT 3.1 is MQTT 3.1.1
/// with another name in CONNECT, fewer rules, and no word for a refused subscription.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Version {
    /// MQTT 3.1, protocol level 3.
    V3_1,
    /// MQTT 3.1.1, protocol level 4.
    V3_1_1,
    /// MQTT 5, protocol level 5.
    V5,
}

impl Version {
    /// The version with this protocol level (the byte after the protocol name in CONNECT).
    /// `None` for every level but 3, 4 and 5. [MQTT-3.1.2-2]
    pub const fn from_level(level: u8) -> Option<Self> {
        match level {
            3 => Some(Self::V3_1),
            4 => Some(Self::V3_1_1),
            5 => Some(Self::V5),
            _ => None,
        }
    }

    /// The protocol level that CONNECT carries: 3, 4 or 5.
    pub const fn level(self) -> u8 {
        match self {
            Self::V3_1 => 3,
            Self::V3_1_1 => 4,
            Self::V5 => 5,
        }
    }

    /// The protocol name that CONNECT carries. [MQTT-3.1.2-1]
    pub(crate) const fn protocol_name(self) -> &'static str {
        match self {
            Self::V3_1 => "MQIsdp",
            Self::V3_1_1 | Self::V5 => "MQTT",
        }
    }

    /// Whether packets of this version have properties and Reason Codes.
    pub(crate) const fn has_properties(self) -> bool {
        matches!(self, Self::V5)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V3_1 => "3.1",
            Self::V3_1_1 => "3.1.1",
            Self::V5 => "5",
        })
    }
}
