//! Quality of Service levels.

/// How often a message may arrive. Ordered: the minimum of two is what a delivery gets.
/// [MQTT-3.8.4-8]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum QoS {
    /// QoS 0: no acknowledgement, may be lost.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: acknowledged with PUBACK, may arrive again.
    AtLeastOnce = 1,
    /// QoS 2: two handshakes, arrives once.
    ExactlyOnce = 2,
}

impl QoS {
    /// The level with these two bits. `None` for 3, which is reserved. [MQTT-3.3.1-4]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }

    /// 0, 1 or 2.
    pub const fn bits(self) -> u8 {
        self as u8
    }
}
