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

/// Makes a test of each scenario over each of the links, named like them.
#[doc(hidden)]
#[macro_export]
macro_rules! over_links {
    ($links:tt $($scenario:ident),*) => { $( $crate::over_links! { @one $scenario $links } )* };
    (@one $scenario:ident [$($test:ident $link:ident),*]) => {
        mod $scenario { $(
            #[test]
            fn $test() { super::$scenario($crate::Link::$link); }
        )* }
    };
}

/// Makes a test of each scenario, a function that takes a [`Link`], for MQTT 3.1.1 and MQTT 5 over
/// each transport, and for MQTT 3.1 over TCP.
#[macro_export]
macro_rules! every_link {
    ($($scenario:ident),* $(,)?) => { $crate::over_links! {
        [
            v31_tcp V31_TCP,
            v311_tcp V311_TCP, v311_tls V311_TLS, v311_ws V311_WS, v311_wss V311_WSS,
            v5_tcp V5_TCP, v5_tls V5_TLS, v5_ws V5_WS, v5_wss V5_WSS
        ]
        $($scenario),*
    } };
}

/// Makes tests of each scenario that MQTT 3.1 cannot play.
#[macro_export]
macro_rules! newer_links {
    ($($scenario:ident),* $(,)?) => { $crate::over_links! {
        [
            v311_tcp V311_TCP, v311_tls V311_TLS, v311_ws V311_WS, v311_wss V311_WSS,
            v5_tcp V5_TCP, v5_tls V5_TLS, v5_ws V5_WS, v5_wss V5_WSS
        ]
        $($scenario),*
    } };
}

/// Makes tests of each scenario that only MQTT 5 can play.
#[macro_export]
macro_rules! v5_links {
    ($($scenario:ident),* $(,)?) => { $crate::over_links! {
        [v5_tcp V5_TCP, v5_tls V5_TLS, v5_ws V5_WS, v5_wss V5_WSS]
        $($scenario),*
    } };
}

/// Makes tests of each scenario that only MQTT 3.1.1 can play.
#[macro_export]
macro_rules! v311_links {
    ($($scenario:ident),* $(,)?) => { $crate::over_links! {
        [v311_tcp V311_TCP, v311_tls V311_TLS, v311_ws V311_WS, v311_wss V311_WSS]
        $($scenario),*
    } };
}

/// Makes four tests of each scenario of a client that speaks no WebSocket.
#[macro_export]
macro_rules! stream_links {
    ($($scenario:ident),* $(,)?) => { $crate::over_links! {
        [v311_tcp V311_TCP, v311_tls V311_TLS, v5_tcp V5_TCP, v5_tls V5_TLS]
        $($scenario),*
    } };
}
