//! What can be wrong with bytes from a peer, one variant a clause.

use std::fmt;

use crate::ReasonCode;

/// One row a fault: variant, Reason Code, label, clause, sentence.
macro_rules! decode_errors {
    ($( $name:ident, $reason:ident, $label:literal, $clause:literal, $text:literal; )*) => {
        /// Why bytes are not a legal packet. Each ends the connection that sent them.
        /// [MQTT-4.13.1-1]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum DecodeError {
            $( #[doc = concat!("When ", $text, ". ", $clause)] $name, )*
        }

        impl DecodeError {
            /// Every fault, in the order of the table.
            pub const ALL: &[Self] = &[ $( Self::$name, )* ];

            /// What a CONNACK or DISCONNECT in answer says. In MQTT 3.1.1 only CONNACK can say
            /// anything, see [`ReasonCode::connect_return_code`].
            pub const fn reason_code(&self) -> ReasonCode {
                match self {
                    $( Self::$name => ReasonCode::$reason, )*
                }
            }

            /// The label of its counter, in snake case.
            pub const fn name(&self) -> &'static str {
                match self {
                    $( Self::$name => $label, )*
                }
            }

            /// The statement or section that the bytes break.
            pub const fn clause(&self) -> &'static str {
                match self {
                    $( Self::$name => $clause, )*
                }
            }

            const fn text(self) -> &'static str {
                match self {
                    $( Self::$name => $text, )*
                }
            }
        }
    };
}

decode_errors! {
    // The frame.
    ReservedPacketType, MalformedPacket, "reserved_packet_type", "[MQTT 5, section 2.1.2]",
        "the packet type does not exist in this version of MQTT";
    ReservedFlags, MalformedPacket, "reserved_flags", "[MQTT-2.1.3-1]",
        "the reserved flag bits of the fixed header are wrong for this packet type";
    VariableByteIntegerTooLong, MalformedPacket, "variable_byte_integer_too_long",
        "[MQTT 5, section 1.5.5]", "a Variable Byte Integer is longer than four bytes";
    VariableByteIntegerNotMinimal, MalformedPacket, "variable_byte_integer_not_minimal",
        "[MQTT-1.5.5-1]", "a Variable Byte Integer uses more bytes than its value needs";
    PacketTooLarge, PacketTooLarge, "packet_too_large", "[MQTT-3.2.2-15]",
        "the packet is larger than the receiver accepts";
    Truncated, MalformedPacket, "truncated", "[MQTT 5, section 1.2]",
        "a field runs past the end of its packet";
    TrailingBytes, MalformedPacket, "trailing_bytes", "[MQTT 5, section 2.1.4]",
        "bytes are left over after the last field of the packet";

    // Fields that many packets share.
    InvalidUtf8, MalformedPacket, "invalid_utf8", "[MQTT-1.5.4-1]",
        "a string is not well-formed UTF-8";
    NulCharacter, MalformedPacket, "nul_character", "[MQTT-1.5.4-2]",
        "a string contains the null character U+0000";
    PacketIdZero, ProtocolError, "packet_id_zero", "[MQTT-2.2.1-3]",
        "the Packet Identifier is zero";
    InvalidReasonCode, ProtocolError, "invalid_reason_code",
        "[MQTT-3.2.2-8] [MQTT-3.4.2-1] [MQTT-3.9.3-2] [MQTT-3.14.2-1]",
        "the Reason Code is not one that this packet may carry";

    // Properties.
    UnknownProperty, MalformedPacket, "unknown_property", "[MQTT 5, section 2.2.2.2]",
        "a property has an identifier that does not exist";
    PropertyNotAllowed, MalformedPacket, "property_not_allowed", "[MQTT 5, section 2.2.2.2]",
        "a property stands in a packet that may not carry it";
    DuplicateProperty, ProtocolError, "duplicate_property", "[MQTT 5, section 2.2.2.2]",
        "a property that may appear once appears twice";
    PropertyNotBoolean, ProtocolError, "property_not_boolean", "[MQTT 5, section 3.1.2.11.7]",
        "a property that can only be 0 or 1 has another value";
    MaximumQosInvalid, ProtocolError, "maximum_qos_invalid", "[MQTT 5, section 3.2.2.3.4]",
        "Maximum QoS is neither 0 nor 1";
    ReceiveMaximumZero, ProtocolError, "receive_maximum_zero", "[MQTT 5, section 3.1.2.11.3]",
        "Receive Maximum is zero";
    MaximumPacketSizeZero, ProtocolError, "maximum_packet_size_zero",
        "[MQTT 5, section 3.1.2.11.4]", "Maximum Packet Size is zero";
    SubscriptionIdZero, ProtocolError, "subscription_id_zero", "[MQTT 5, section 3.8.2.1.2]",
        "a Subscription Identifier is zero";
    TopicAliasZero, TopicAliasInvalid, "topic_alias_zero", "[MQTT-3.3.2-8]",
        "the Topic Alias is zero";
    ResponseTopicInvalid, TopicNameInvalid, "response_topic_invalid", "[MQTT-3.3.2-14]",
        "the Response Topic is empty or contains a wildcard";
    AuthenticationDataWithoutMethod, ProtocolError, "authentication_data_without_method",
        "[MQTT 5, section 3.1.2.11.10]", "Authentication Data comes without Authentication Method";
    AuthenticationMethodMissing, ProtocolError, "authentication_method_missing",
        "[MQTT 5, section 3.15.2.2.2]", "AUTH comes without Authentication Method";

    // CONNECT.
    NotConnect, ProtocolError, "not_connect", "[MQTT-3.1.0-1]",
        "the first packet of the connection is not CONNECT";
    UnsupportedProtocolName, UnsupportedProtocolVersion, "unsupported_protocol_name",
        "[MQTT-3.1.2-1]", "the protocol name is neither \"MQTT\" nor \"MQIsdp\"";
    UnsupportedProtocolVersion, UnsupportedProtocolVersion, "unsupported_protocol_version",
        "[MQTT-3.1.2-2]", "the protocol version is neither 3.1, 3.1.1 nor 5";
    ConnectReservedFlag, MalformedPacket, "connect_reserved_flag", "[MQTT-3.1.2-3]",
        "the reserved bit of the Connect Flags is set";
    WillQosReserved, MalformedPacket, "will_qos_reserved", "[MQTT-3.1.2-12]",
        "the Will QoS is 3";
    WillQosWithoutWill, MalformedPacket, "will_qos_without_will", "[MQTT-3.1.2-11]",
        "a Will QoS is set although there is no Will";
    WillRetainWithoutWill, MalformedPacket, "will_retain_without_will", "[MQTT-3.1.2-13]",
        "Will Retain is set although there is no Will";
    WillTopicInvalid, TopicNameInvalid, "will_topic_invalid", "[MQTT-4.7.0-1] [MQTT-4.7.3-1]",
        "the Will Topic is empty or contains a wildcard";
    PasswordWithoutUsername, MalformedPacket, "password_without_username",
        "[MQTT-3.1.2-22] of MQTT 3.1.1", "a password comes without a user name";
    EmptyClientIdWithSession, ClientIdentifierNotValid, "empty_client_id_with_session",
        "[MQTT-3.1.3-8] of MQTT 3.1.1",
        "the Client Identifier is empty although the session is to be kept";

    EmptyClientId, ClientIdentifierNotValid, "empty_client_id", "[MQTT 3.1, section 3.1]",
        "the Client Identifier is empty, which MQTT 3.1 does not allow";

    // CONNACK.
    ConnackReservedFlags, MalformedPacket, "connack_reserved_flags", "[MQTT-3.2.2-1]",
        "reserved bits of the Connect Acknowledge Flags are set";
    SessionPresentWithError, ProtocolError, "session_present_with_error", "[MQTT-3.2.2-6]",
        "Session Present is set although the connection is refused";

    // PUBLISH.
    PublishQosReserved, MalformedPacket, "publish_qos_reserved", "[MQTT-3.3.1-4]",
        "both QoS bits of a PUBLISH are set";
    DupWithQos0, MalformedPacket, "dup_with_qos0", "[MQTT-3.3.1-2]",
        "DUP is set on a PUBLISH with QoS 0";
    TopicEmpty, ProtocolError, "topic_empty", "[MQTT-4.7.3-1]",
        "the Topic Name is empty while no Topic Alias stands for it";
    WildcardInTopic, TopicNameInvalid, "wildcard_in_topic", "[MQTT-3.3.2-2]",
        "the Topic Name contains a wildcard";

    // SUBSCRIBE, UNSUBSCRIBE, their acknowledgements.
    SubscribeEmpty, ProtocolError, "subscribe_empty", "[MQTT-3.8.3-2]",
        "SUBSCRIBE asks for no Topic Filter";
    UnsubscribeEmpty, ProtocolError, "unsubscribe_empty", "[MQTT-3.10.3-2]",
        "UNSUBSCRIBE names no Topic Filter";
    SubackEmpty, ProtocolError, "suback_empty", "[MQTT-3.8.4-6]",
        "the acknowledgement carries no Reason Code";
    InvalidTopicFilter, TopicFilterInvalid, "invalid_topic_filter",
        "[MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1]",
        "a Topic Filter is empty or has a wildcard where none may stand";
    InvalidSharedFilter, TopicFilterInvalid, "invalid_shared_filter",
        "[MQTT-4.8.2-1] [MQTT-4.8.2-2]",
        "a shared subscription has no valid Share Name or no Topic Filter";
    SubscribeOptionsReserved, MalformedPacket, "subscribe_options_reserved", "[MQTT-3.8.3-5]",
        "reserved bits of the Subscription Options are set";
    SubscribeQosReserved, ProtocolError, "subscribe_qos_reserved", "[MQTT 5, section 3.8.3.1]",
        "the QoS of a subscription is 3";
    RetainHandlingReserved, ProtocolError, "retain_handling_reserved",
        "[MQTT 5, section 3.8.3.1]", "Retain Handling is 3";
    NoLocalOnShared, ProtocolError, "no_local_on_shared", "[MQTT-3.8.3-4]",
        "No Local is set on a shared subscription";
}

impl fmt::Display for DecodeError {
    /// A sentence without a full stop, then the clause.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.text(), self.clause())
    }
}

impl std::error::Error for DecodeError {}

/// Why a packet cannot be put into bytes. The fault is the caller's; nothing was written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EncodeError {
    /// A string or binary field of this many bytes; the length prefix ends at 65,535.
    FieldTooLong(usize),
    /// The part behind the fixed header has this many bytes; its length ends at 268,435,455.
    PacketTooLong(usize),
    /// A PUBLISH with QoS 1 or 2 has no Packet Identifier. [MQTT-2.2.1-4]
    PacketIdMissing,
    /// A Subscription Identifier outside 1 to 268,435,455. [MQTT 5, section 3.8.2.1.2]
    SubscriptionIdOutOfRange(u32),
    /// MQTT 3.1.1 cannot say a password without a user name. [MQTT-3.1.2-22] of MQTT 3.1.1
    PasswordWithoutUsername,
    /// MQTT 3.1.1 has no Topic Alias to stand for an empty Topic Name. [MQTT-4.7.3-1]
    TopicEmpty,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FieldTooLong(len) => {
                write!(f, "a field of {len} bytes does not fit a packet, which holds 65535 a field")
            }
            Self::PacketTooLong(len) => {
                write!(f, "a packet of {len} bytes is longer than MQTT can say, 268435455 bytes")
            }
            Self::PacketIdMissing => {
                f.write_str("a PUBLISH with QoS 1 or 2 needs a Packet Identifier")
            }
            Self::SubscriptionIdOutOfRange(id) => {
                write!(f, "Subscription Identifier {id} is not between 1 and 268435455")
            }
            Self::PasswordWithoutUsername => {
                f.write_str("MQTT 3.1.1 needs a user name beside a password")
            }
            Self::TopicEmpty => f.write_str("MQTT 3.1.1 needs a Topic Name of one byte or more"),
        }
    }
}

impl std::error::Error for EncodeError {}
