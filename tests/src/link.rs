//! The ways to reach the broker: each version over each transport.

/// The version of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// MQTT 3.1, protocol level 3.
    V31,
    /// MQTT 3.1.1, protocol level 4.
    V311,
    /// MQTT 5.
    V5,
}

impl Version {
    /// The byte in CONNECT.
    pub const fn level(self) -> u8 {
        match self {
            Self::V31 => 3,
            Self::V311 => 4,
            Self::V5 => 5,
        }
    }

    /// The name in CONNECT.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V31 => "MQIsdp",
            Self::V311 | Self::V5 => "MQTT",
        }
    }
}

/// What carries the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// A plain TCP connection.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket over TCP.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

/// A version over a transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// The version.
    pub version: Version,
    /// The transport.
    pub transport: Transport,
}

impl Link {
    /// MQTT 3.1 over TCP.
    pub const V31_TCP: Self = Self { version: Version::V31, transport: Transport::Tcp };
    /// MQTT 3.1.1 over TCP.
    pub const V311_TCP: Self = Self { version: Version::V311, transport: Transport::Tcp };
    /// MQTT 3.1.1 over TLS.
    pub const V311_TLS: Self = Self { version: Version::V311, transport: Transport::Tls };
    /// MQTT 3.1.1 over WebSocket.
    pub const V311_WS: Self = Self { version: Version::V311, transport: Transport::Ws };
    /// MQTT 3.1.1 over WebSocket over TLS.
    pub const V311_WSS: Self = Self { version: Version::V311, transport: Transport::Wss };
    /// MQTT 5 over TCP.
    pub const V5_TCP: Self = Self { version: Version::V5, transport: Transport::Tcp };
    /// MQTT 5 over TLS.
    pub const V5_TLS: Self = Self { version: Version::V5, transport: Transport::Tls };
    /// MQTT 5 over WebSocket.
    pub const V5_WS: Self = Self { version: Version::V5, transport: Transport::Ws };
    /// MQTT 5 over WebSocket over TLS.
    pub const V5_WSS: Self = Self { version: Version::V5, transport: Transport::Wss };

    /// What SUBACK says of a filter that was refused for this reason: MQTT 3.1.1 knows one
    /// failure, MQTT 3.1 none.
    pub fn refused_filter(self, reason_code: u8) -> u8 {
        match self.version {
            Version::V31 => 0,
            Version::V311 => 0x80,
            Version::V5 => reason_code,
        }
    }

    /// Whether it speaks MQTT 5.
    pub fn is_v5(self) -> bool {
        self.version == Version::V5
    }

    /// The same transport with another version.
    #[must_use]
    pub const fn with(self, version: Version) -> Self {
        Self { version, ..self }
    }
}

/// Makes a test of each scenario, a function that takes a [`Link`], for MQTT 3.1.1 and MQTT 5 over
/// each transport, and for MQTT 3.1 over TCP.
#[macro_export]
macro_rules! every_link {
    ($($scenario:ident),* $(,)?) => { $(
        mod $scenario {
            #[test]
            fn v31_tcp() { super::$scenario($crate::Link::V31_TCP); }
            #[test]
            fn v311_tcp() { super::$scenario($crate::Link::V311_TCP); }
            #[test]
            fn v311_tls() { super::$scenario($crate::Link::V311_TLS); }
            #[test]
            fn v311_ws() { super::$scenario($crate::Link::V311_WS); }
            #[test]
            fn v311_wss() { super::$scenario($crate::Link::V311_WSS); }
            #[test]
            fn v5_tcp() { super::$scenario($crate::Link::V5_TCP); }
            #[test]
            fn v5_tls() { super::$scenario($crate::Link::V5_TLS); }
            #[test]
            fn v5_ws() { super::$scenario($crate::Link::V5_WS); }
            #[test]
            fn v5_wss() { super::$scenario($crate::Link::V5_WSS); }
        }
    )* };
}

/// Makes tests of each scenario that MQTT 3.1 cannot play.
#[macro_export]
macro_rules! newer_links {
    ($($scenario:ident),* $(,)?) => { $(
        mod $scenario {
            #[test]
            fn v311_tcp() { super::$scenario($crate::Link::V311_TCP); }
            #[test]
            fn v311_tls() { super::$scenario($crate::Link::V311_TLS); }
            #[test]
            fn v311_ws() { super::$scenario($crate::Link::V311_WS); }
            #[test]
            fn v311_wss() { super::$scenario($crate::Link::V311_WSS); }
            #[test]
            fn v5_tcp() { super::$scenario($crate::Link::V5_TCP); }
            #[test]
            fn v5_tls() { super::$scenario($crate::Link::V5_TLS); }
            #[test]
            fn v5_ws() { super::$scenario($crate::Link::V5_WS); }
            #[test]
            fn v5_wss() { super::$scenario($crate::Link::V5_WSS); }
        }
    )* };
}

/// Makes tests of each scenario that only MQTT 5 can play.
#[macro_export]
macro_rules! v5_links {
    ($($scenario:ident),* $(,)?) => { $(
        mod $scenario {
            #[test]
            fn v5_tcp() { super::$scenario($crate::Link::V5_TCP); }
            #[test]
            fn v5_tls() { super::$scenario($crate::Link::V5_TLS); }
            #[test]
            fn v5_ws() { super::$scenario($crate::Link::V5_WS); }
            #[test]
            fn v5_wss() { super::$scenario($crate::Link::V5_WSS); }
        }
    )* };
}

/// Makes tests of each scenario that only MQTT 3.1.1 can play.
#[macro_export]
macro_rules! v311_links {
    ($($scenario:ident),* $(,)?) => { $(
        mod $scenario {
            #[test]
            fn v311_tcp() { super::$scenario($crate::Link::V311_TCP); }
            #[test]
            fn v311_tls() { super::$scenario($crate::Link::V311_TLS); }
            #[test]
            fn v311_ws() { super::$scenario($crate::Link::V311_WS); }
            #[test]
            fn v311_wss() { super::$scenario($crate::Link::V311_WSS); }
        }
    )* };
}

/// Makes four tests of each scenario of a client that speaks no WebSocket.
#[macro_export]
macro_rules! stream_links {
    ($($scenario:ident),* $(,)?) => { $(
        mod $scenario {
            #[test]
            fn v311_tcp() { super::$scenario($crate::Link::V311_TCP); }
            #[test]
            fn v311_tls() { super::$scenario($crate::Link::V311_TLS); }
            #[test]
            fn v5_tcp() { super::$scenario($crate::Link::V5_TCP); }
            #[test]
            fn v5_tls() { super::$scenario($crate::Link::V5_TLS); }
        }
    )* };
}
