//! Reason Codes, with the MQTT 3.1.1 return code that each stands for.

use std::fmt;

use crate::{PacketType, Version};

/// One row a code: name, value, CONNACK return code in MQTT 3.1.1, text.
macro_rules! reason_codes {
    ($( $name:ident = $code:literal, $return_code:literal, $text:literal; )*) => {
        /// Why something ended as it did. [MQTT 5, section 2.4]
        ///
        /// 0x00 is also called "Normal disconnection" (DISCONNECT) or "Granted QoS 0" (SUBACK).
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum ReasonCode {
            $( #[doc = concat!($text, ", ", stringify!($code), ".")] $name = $code, )*
        }

        impl ReasonCode {
            /// Every code that MQTT 5 names, by ascending value.
            pub const ALL: &[Self] = &[ $( Self::$name, )* ];

            /// The code with this value; `None` for a value that MQTT 5 does not name.
            pub const fn from_u8(code: u8) -> Option<Self> {
                match code {
                    $( $code => Some(Self::$name), )*
                    _ => None,
                }
            }

            /// The name that the specification gives it, for people.
            pub const fn text(self) -> &'static str {
                match self {
                    $( Self::$name => $text, )*
                }
            }

            /// What an MQTT 3.1.1 CONNACK says instead: 0 accepted, 1 unacceptable protocol
            /// version, 2 identifier rejected, 3 server unavailable, 4 bad user name or password,
            /// 5 not authorized. A failure that 3.1.1 has no word for is 3, "server unavailable":
            /// the only one that does not accuse the client's name or credentials.
            pub const fn connect_return_code(self) -> u8 {
                match self {
                    $( Self::$name => $return_code, )*
                }
            }
        }
    };
}

reason_codes! {
    Success = 0x00, 0, "Success";
    GrantedQoS1 = 0x01, 0, "Granted QoS 1";
    GrantedQoS2 = 0x02, 0, "Granted QoS 2";
    DisconnectWithWill = 0x04, 0, "Disconnect with Will Message";
    NoMatchingSubscribers = 0x10, 0, "No matching subscribers";
    NoSubscriptionExisted = 0x11, 0, "No subscription existed";
    ContinueAuthentication = 0x18, 0, "Continue authentication";
    ReAuthenticate = 0x19, 0, "Re-authenticate";
    UnspecifiedError = 0x80, 3, "Unspecified error";
    MalformedPacket = 0x81, 3, "Malformed Packet";
    ProtocolError = 0x82, 3, "Protocol Error";
    ImplementationSpecificError = 0x83, 3, "Implementation specific error";
    UnsupportedProtocolVersion = 0x84, 1, "Unsupported Protocol Version";
    ClientIdentifierNotValid = 0x85, 2, "Client Identifier not valid";
    BadUserNameOrPassword = 0x86, 4, "Bad User Name or Password";
    NotAuthorized = 0x87, 5, "Not authorized";
    ServerUnavailable = 0x88, 3, "Server unavailable";
    ServerBusy = 0x89, 3, "Server busy";
    Banned = 0x8A, 5, "Banned";
    ServerShuttingDown = 0x8B, 3, "Server shutting down";
    BadAuthenticationMethod = 0x8C, 4, "Bad authentication method";
    KeepAliveTimeout = 0x8D, 3, "Keep Alive timeout";
    SessionTakenOver = 0x8E, 3, "Session taken over";
    TopicFilterInvalid = 0x8F, 3, "Topic Filter invalid";
    TopicNameInvalid = 0x90, 3, "Topic Name invalid";
    PacketIdentifierInUse = 0x91, 3, "Packet Identifier in use";
    PacketIdentifierNotFound = 0x92, 3, "Packet Identifier not found";
    ReceiveMaximumExceeded = 0x93, 3, "Receive Maximum exceeded";
    TopicAliasInvalid = 0x94, 3, "Topic Alias invalid";
    PacketTooLarge = 0x95, 3, "Packet too large";
    MessageRateTooHigh = 0x96, 3, "Message rate too high";
    QuotaExceeded = 0x97, 3, "Quota exceeded";
    AdministrativeAction = 0x98, 3, "Administrative action";
    PayloadFormatInvalid = 0x99, 3, "Payload format invalid";
    RetainNotSupported = 0x9A, 3, "Retain not supported";
    QoSNotSupported = 0x9B, 3, "QoS not supported";
    UseAnotherServer = 0x9C, 3, "Use another server";
    ServerMoved = 0x9D, 3, "Server moved";
    SharedSubscriptionsNotSupported = 0x9E, 3, "Shared Subscriptions not supported";
    ConnectionRateExceeded = 0x9F, 3, "Connection rate exceeded";
    MaximumConnectTime = 0xA0, 3, "Maximum connect time";
    SubscriptionIdentifiersNotSupported = 0xA1, 3, "Subscription Identifiers not supported";
    WildcardSubscriptionsNotSupported = 0xA2, 3, "Wildcard Subscriptions not supported";
}

impl ReasonCode {
    /// The byte on the wire in MQTT 5.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether it reports a failure: 0x80 or above.
    pub const fn is_error(self) -> bool {
        self.code() >= 0x80
    }

    /// Whether this packet may carry it, in either direction. [MQTT 5, table 2-6]
    pub(crate) const fn is_valid_in(self, packet: PacketType) -> bool {
        match packet {
            PacketType::Connack => matches!(
                self.code(),
                0x00 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99..=0x9D | 0x9F
            ),
            PacketType::Puback | PacketType::Pubrec => {
                matches!(self.code(), 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
            }
            PacketType::Pubrel | PacketType::Pubcomp => matches!(self.code(), 0x00 | 0x92),
            PacketType::Suback => matches!(
                self.code(),
                0x00..=0x02 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2
            ),
            PacketType::Unsuback => {
                matches!(self.code(), 0x00 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91)
            }
            PacketType::Disconnect => matches!(
                self.code(),
                0x00 | 0x04
                    | 0x80..=0x83 | 0x87 | 0x89 | 0x8B..=0x90 | 0x93..=0xA2
            ),
            PacketType::Auth => matches!(self.code(), 0x00 | 0x18 | 0x19),
            PacketType::Connect
            | PacketType::Publish
            | PacketType::Subscribe
            | PacketType::Unsubscribe
            | PacketType::Pingreq
            | PacketType::Pingresp => false,
        }
    }

    /// The meaning of an MQTT 3.1.1 CONNACK return code; `None` above 5, which is reserved.
    pub const fn from_connect_return_code(return_code: u8) -> Option<Self> {
        match return_code {
            0 => Some(Self::Success),
            1 => Some(Self::UnsupportedProtocolVersion),
            2 => Some(Self::ClientIdentifierNotValid),
            3 => Some(Self::ServerUnavailable),
            4 => Some(Self::BadUserNameOrPassword),
            5 => Some(Self::NotAuthorized),
            _ => None,
        }
    }

    /// What a SUBACK says before MQTT 5: the granted QoS, or 0x80 for every error. MQTT 3.1 has no
    /// word for an error: the least that it can say is QoS 0.
    pub const fn suback_code(self, version: Version) -> u8 {
        match version {
            Version::V3_1 if self.is_error() => 0x00,
            Version::V3_1_1 if self.is_error() => 0x80,
            _ => self.code(),
        }
    }
}

impl fmt::Display for ReasonCode {
    /// Text, then value: `Not authorized (0x87)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02X})", self.text(), self.code())
    }
}
