//! CONNECT as bytes.

use flotilla_mqtt::{
    Connect, DecodeError as E, Forwarded, Packet, QoS, UserProperties, Version, Will,
    connect_version, decode, decode_connect,
};

use crate::notation::bytes;
use crate::table::In::{Both, V3, V5};
use crate::table::{Accepted, Refused, SIZE_MAX, check_accepted, check_refused};

// CONNECT names its version itself: V3 or V5 in a row only says what the bytes are.
#[rustfmt::skip]
pub(crate) const ACCEPTED: &[Accepted] = &[
    ("minimal", V3, "10 { ('MQTT') 04 02 0000 ('a') }"),
    ("minimal", V5, "10 { ('MQTT') 05 02 0000 {} ('a') }"),
    ("MQTT-3.1.2-4 Clean Session 0", V3, "10 { ('MQTT') 04 00 003C ('a') }"),
    ("MQTT-3.1.2-5 Clean Start 0", V5, "10 { ('MQTT') 05 00 003C {} ('a') }"),
    ("MQTT-3.1.3-6 empty Client Identifier", V3, "10 { ('MQTT') 04 02 003C () }"),
    ("MQTT-3.1.3-6 empty Client Identifier", V5, "10 { ('MQTT') 05 02 003C {} () }"),
    ("MQTT-3.1.3-6 empty Client Identifier, Clean Start 0", V5, "10 { ('MQTT') 05 00 003C {} () }"),
    ("MQTT-3.1.3-4 Client Identifier in UTF-8", V5, "10 { ('MQTT') 05 02 0000 {} ('gerät-ü-日本') }"),
    ("MQTT-3.1.3-5 23 bytes", V3, "10 { ('MQTT') 04 02 0000 ('abcdefghijklmnopqrstuvw') }"),
    ("MQTT-3.1.3-5 more than 23 bytes", V3, "10 { ('MQTT') 04 02 0000 ('abcdefghijklmnopqrstuvwxyz0123456789') }"),
    ("MQTT-1.5.4-3 U+FEFF", V5, "10 { ('MQTT') 05 02 0000 {} (EFBBBF 'a') }"),
    ("MQTT-3.1.2-20 largest Keep Alive", V3, "10 { ('MQTT') 04 02 FFFF ('a') }"),
    ("MQTT-3.1.2-20 largest Keep Alive", V5, "10 { ('MQTT') 05 02 FFFF {} ('a') }"),
    ("MQTT-3.1.2-12 Will QoS 0", V3, "10 { ('MQTT') 04 06 0000 ('a') ('w') ('bye') }"),
    ("MQTT-3.1.2-12 Will QoS 1", V3, "10 { ('MQTT') 04 0E 0000 ('a') ('w') ('bye') }"),
    ("MQTT-3.1.2-12 Will QoS 2", V3, "10 { ('MQTT') 04 16 0000 ('a') ('w') ('bye') }"),
    ("MQTT-3.1.2-12 Will QoS 0", V5, "10 { ('MQTT') 05 06 0000 {} ('a') {} ('w') ('bye') }"),
    ("MQTT-3.1.2-12 Will QoS 1", V5, "10 { ('MQTT') 05 0E 0000 {} ('a') {} ('w') ('bye') }"),
    ("MQTT-3.1.2-12 Will QoS 2", V5, "10 { ('MQTT') 05 16 0000 {} ('a') {} ('w') ('bye') }"),
    ("MQTT-3.1.2-15 Will Retain", V3, "10 { ('MQTT') 04 26 0000 ('a') ('w') ('bye') }"),
    ("MQTT-3.1.2-15 Will Retain", V5, "10 { ('MQTT') 05 26 0000 {} ('a') {} ('w') ('bye') }"),
    ("MQTT-3.1.2-7 empty Will payload", V3, "10 { ('MQTT') 04 06 0000 ('a') ('w') () }"),
    ("MQTT-3.1.2-7 empty Will payload", V5, "10 { ('MQTT') 05 06 0000 {} ('a') {} ('w') () }"),
    ("MQTT-3.1.2-7 binary Will payload", V3, "10 { ('MQTT') 04 06 0000 ('a') ('w') (00FF80C0) }"),
    ("MQTT-3.1.2-7 binary Will payload", V5, "10 { ('MQTT') 05 06 0000 {} ('a') {} ('w') (00FF80C0) }"),
    ("MQTT-3.1.2-17 user name", V3, "10 { ('MQTT') 04 82 0000 ('a') ('user') }"),
    ("MQTT-3.1.2-17 user name", V5, "10 { ('MQTT') 05 82 0000 {} ('a') ('user') }"),
    ("MQTT-3.1.2-17 empty user name", V3, "10 { ('MQTT') 04 82 0000 ('a') () }"),
    ("MQTT-3.1.2-19 user name, password", V3, "10 { ('MQTT') 04 C2 0000 ('a') ('user') ('pass') }"),
    ("MQTT-3.1.2-19 user name, password", V5, "10 { ('MQTT') 05 C2 0000 {} ('a') ('user') ('pass') }"),
    ("MQTT-3.1.2-19 binary password", V3, "10 { ('MQTT') 04 C2 0000 ('a') ('user') (00FF80C0) }"),
    ("MQTT-3.1.2-19 binary password", V5, "10 { ('MQTT') 05 C2 0000 {} ('a') ('user') (00FF80C0) }"),
    ("MQTT-3.1.2-19 empty password", V3, "10 { ('MQTT') 04 C2 0000 ('a') ('user') () }"),
    ("section 3.1.2.9 password without user name", V5, "10 { ('MQTT') 05 42 0000 {} ('a') ('pass') }"),
    ("MQTT-3.1.3-1 all fields", V3, "10 { ('MQTT') 04 EE 0000 ('a') ('w') ('bye') ('user') ('pass') }"),
    ("MQTT-3.1.3-1 all fields", V5, "10 { ('MQTT') 05 EE 0000 {} ('a') {} ('w') ('bye') ('user') ('pass') }"),
    ("MQTT-3.1.2-23 Session Expiry 0", V5, "10 { ('MQTT') 05 02 0000 { 11 00000000 } ('a') }"),
    ("MQTT-3.1.2-23 Session Expiry 1 h", V5, "10 { ('MQTT') 05 02 0000 { 11 00000E10 } ('a') }"),
    ("MQTT-3.1.2-23 Session Expiry never", V5, "10 { ('MQTT') 05 00 0000 { 11 FFFFFFFF } ('a') }"),
    ("section 3.1.2.11.3 Receive Maximum 1", V5, "10 { ('MQTT') 05 02 0000 { 21 0001 } ('a') }"),
    ("section 3.1.2.11.3 Receive Maximum 65535", V5, "10 { ('MQTT') 05 02 0000 { 21 FFFF } ('a') }"),
    ("MQTT-3.1.2-24 Maximum Packet Size 1", V5, "10 { ('MQTT') 05 02 0000 { 27 00000001 } ('a') }"),
    ("MQTT-3.1.2-24 Maximum Packet Size", V5, "10 { ('MQTT') 05 02 0000 { 27 FFFFFFFF } ('a') }"),
    ("MQTT-3.1.2-26 Topic Alias Maximum", V5, "10 { ('MQTT') 05 02 0000 { 22 000A } ('a') }"),
    ("MQTT-3.1.2-27 Topic Alias Maximum 0", V5, "10 { ('MQTT') 05 02 0000 { 22 0000 } ('a') }"),
    ("MQTT-3.1.2-28 Request Response Information", V5, "10 { ('MQTT') 05 02 0000 { 19 01 } ('a') }"),
    ("MQTT-3.1.2-28 Request Response Information 0", V5, "10 { ('MQTT') 05 02 0000 { 19 00 } ('a') }"),
    ("MQTT-3.1.2-29 Request Problem Information 0", V5, "10 { ('MQTT') 05 02 0000 { 17 00 } ('a') }"),
    ("MQTT-3.1.2-29 Request Problem Information 1", V5, "10 { ('MQTT') 05 02 0000 { 17 01 } ('a') }"),
    ("MQTT-3.1.2-30 Authentication Method", V5, "10 { ('MQTT') 05 02 0000 { 15 ('SCRAM') } ('a') }"),
    ("MQTT-3.1.2-30 Authentication Method, Data", V5, "10 { ('MQTT') 05 02 0000 { 15 ('SCRAM') 16 (00FF) } ('a') }"),
    ("MQTT-3.1.2-30 Authentication Data in front", V5, "10 { ('MQTT') 05 02 0000 { 16 (00FF) 15 ('SCRAM') } ('a') }"),
    ("section 3.1.2.11.8 User Property", V5, "10 { ('MQTT') 05 02 0000 { 26 ('k') ('v') } ('a') }"),
    ("section 3.1.2.11.8 User Property twice", V5, "10 { ('MQTT') 05 02 0000 { 26 ('k') ('v') 26 ('k') ('v') } ('a') }"),
    ("section 3.1.2.11.8 empty User Property", V5, "10 { ('MQTT') 05 02 0000 { 26 () () } ('a') }"),
    ("section 3.1.3.2.2 Will Delay", V5, "10 { ('MQTT') 05 06 0000 {} ('a') { 18 0000000A } ('w') () }"),
    ("section 3.1.3.2.3 Will, Payload Format 0", V5, "10 { ('MQTT') 05 06 0000 {} ('a') { 01 00 } ('w') () }"),
    ("section 3.1.3.2.3 Will, Payload Format 1", V5, "10 { ('MQTT') 05 06 0000 {} ('a') { 01 01 } ('w') () }"),
    ("section 3.1.3.2.4 Will, Message Expiry", V5, "10 { ('MQTT') 05 06 0000 {} ('a') { 02 00000010 } ('w') () }"),
    ("section 3.1.3.2.5 Will, Content Type", V5, "10 { ('MQTT') 05 06 0000 {} ('a') { 03 ('text/plain') } ('w') () }"),
    ("section 3.1.3.2.6 Will, Response Topic", V5, "10 { ('MQTT') 05 06 0000 {} ('a') { 08 ('r/t') } ('w') () }"),
    ("section 3.1.3.2.7 Will, Correlation Data", V5, "10 { ('MQTT') 05 06 0000 {} ('a') { 09 (00FF) } ('w') () }"),
    ("MQTT-3.1.3-10 Will, User Properties", V5, "10 { ('MQTT') 05 06 0000 {} ('a') { 26 ('b') ('1') 26 ('a') ('2') } ('w') () }"),
    ("MQTT-3.1.3-10 Will, expiry between User Properties", V5,
        "10 { ('MQTT') 05 06 0000 {} ('a') { 26 ('b') ('1') 02 00000010 26 ('a') ('2') 18 00000001 01 01 } ('w') () }"),
    ("MQTT-3.1.3-11 Will topic that begins with $", V5, "10 { ('MQTT') 05 06 0000 {} ('a') {} ('$x/y') () }"),
    ("non-minimal Remaining Length", V3, "10 8E00 0004 'MQTT' 04 02 0000 0002 'ab'"),
];

#[rustfmt::skip]
pub(crate) const REFUSED: &[Refused] = &[
    ("MQTT-2.1.3-1 flags", Both, "11 { ('MQTT') 04 02 0000 ('a') }", E::ReservedFlags),
    ("MQTT-2.1.3-1 flags", Both, "12 { ('MQTT') 05 02 0000 {} ('a') }", E::ReservedFlags),
    ("MQTT-2.1.3-1 flags", Both, "18 { ('MQTT') 05 02 0000 {} ('a') }", E::ReservedFlags),
    ("MQTT-3.1.2-1 empty protocol name", Both, "10 { () 04 02 0000 ('a') }", E::UnsupportedProtocolName),
    ("MQTT-3.1.2-1 lower case", Both, "10 { ('mqtt') 04 02 0000 ('a') }", E::UnsupportedProtocolName),
    ("MQTT-3.1.2-1 longer", Both, "10 { ('MQTTX') 04 02 0000 ('a') }", E::UnsupportedProtocolName),
    ("MQTT-3.1.2-1 shorter", Both, "10 { ('MQT') 04 02 0000 ('a') }", E::UnsupportedProtocolName),
    ("MQTT-3.1.2-1 other", Both, "10 { ('HTTP') 04 02 0000 ('a') }", E::UnsupportedProtocolName),
    ("MQTT-3.1.2-2 MQIsdp with level 4", Both, "10 { ('MQIsdp') 04 02 0000 ('a') }", E::UnsupportedProtocolVersion),
    ("MQTT-3.1.2-2 level 0", Both, "10 { ('MQTT') 00 02 0000 ('a') }", E::UnsupportedProtocolVersion),
    ("MQTT-3.1.2-2 level 3", Both, "10 { ('MQTT') 03 02 0000 ('a') }", E::UnsupportedProtocolVersion),
    ("MQTT-3.1.2-2 level 6", Both, "10 { ('MQTT') 06 02 0000 {} ('a') }", E::UnsupportedProtocolVersion),
    ("MQTT-3.1.2-2 level of a bridge", Both, "10 { ('MQTT') 84 02 0000 ('a') }", E::UnsupportedProtocolVersion),
    ("MQTT-3.1.2-3 reserved flag", Both, "10 { ('MQTT') 04 03 0000 ('a') }", E::ConnectReservedFlag),
    ("MQTT-3.1.2-3 reserved flag", Both, "10 { ('MQTT') 05 03 0000 {} ('a') }", E::ConnectReservedFlag),
    ("MQTT-3.1.2-11 Will QoS 1 without Will", Both, "10 { ('MQTT') 04 0A 0000 ('a') }", E::WillQosWithoutWill),
    ("MQTT-3.1.2-11 Will QoS 1 without Will", Both, "10 { ('MQTT') 05 0A 0000 {} ('a') }", E::WillQosWithoutWill),
    ("MQTT-3.1.2-11 Will QoS 2 without Will", Both, "10 { ('MQTT') 04 12 0000 ('a') }", E::WillQosWithoutWill),
    ("MQTT-3.1.2-11 Will QoS 2 without Will", Both, "10 { ('MQTT') 05 12 0000 {} ('a') }", E::WillQosWithoutWill),
    ("MQTT-3.1.2-12 Will QoS 3", Both, "10 { ('MQTT') 04 1E 0000 ('a') ('w') () }", E::WillQosReserved),
    ("MQTT-3.1.2-12 Will QoS 3", Both, "10 { ('MQTT') 05 1E 0000 {} ('a') {} ('w') () }", E::WillQosReserved),
    ("MQTT-3.1.2-12 Will QoS 3 without Will", Both, "10 { ('MQTT') 05 1A 0000 {} ('a') }", E::WillQosReserved),
    ("MQTT-3.1.2-13 Will Retain without Will", Both, "10 { ('MQTT') 04 22 0000 ('a') }", E::WillRetainWithoutWill),
    ("MQTT-3.1.2-13 Will Retain without Will", Both, "10 { ('MQTT') 05 22 0000 {} ('a') }", E::WillRetainWithoutWill),
    ("MQTT-3.1.2-9 Will Flag without Will", Both, "10 { ('MQTT') 04 06 0000 ('a') }", E::Truncated),
    ("MQTT-3.1.2-9 Will Flag without Will", Both, "10 { ('MQTT') 05 06 0000 {} ('a') }", E::Truncated),
    ("MQTT-3.1.2-9 Will without payload", Both, "10 { ('MQTT') 04 06 0000 ('a') ('w') }", E::Truncated),
    ("MQTT-3.1.2-9 Will without payload", Both, "10 { ('MQTT') 05 06 0000 {} ('a') {} ('w') }", E::Truncated),
    ("MQTT-3.1.2-16 user name without its flag", Both, "10 { ('MQTT') 04 02 0000 ('a') ('user') }", E::TrailingBytes),
    ("MQTT-3.1.2-16 user name without its flag", Both, "10 { ('MQTT') 05 02 0000 {} ('a') ('user') }", E::TrailingBytes),
    ("MQTT-3.1.2-17 flag without user name", Both, "10 { ('MQTT') 04 82 0000 ('a') }", E::Truncated),
    ("MQTT-3.1.2-17 flag without user name", Both, "10 { ('MQTT') 05 82 0000 {} ('a') }", E::Truncated),
    ("MQTT-3.1.2-18 password without its flag", Both, "10 { ('MQTT') 04 82 0000 ('a') ('user') ('pass') }", E::TrailingBytes),
    ("MQTT-3.1.2-18 password without its flag", Both, "10 { ('MQTT') 05 82 0000 {} ('a') ('user') ('pass') }", E::TrailingBytes),
    ("MQTT-3.1.2-19 flag without password", Both, "10 { ('MQTT') 04 C2 0000 ('a') ('user') }", E::Truncated),
    ("MQTT-3.1.2-19 flag without password", Both, "10 { ('MQTT') 05 C2 0000 {} ('a') ('user') }", E::Truncated),
    ("3.1.1: MQTT-3.1.2-22 password without user name", Both, "10 { ('MQTT') 04 42 0000 ('a') ('pass') }", E::PasswordWithoutUsername),
    ("3.1.1: MQTT-3.1.3-8 empty Client Identifier, Clean Session 0", Both, "10 { ('MQTT') 04 00 0000 () }", E::EmptyClientIdWithSession),
    ("MQTT-3.1.3-3 no Client Identifier", Both, "10 { ('MQTT') 04 02 0000 }", E::Truncated),
    ("MQTT-3.1.3-3 no Client Identifier", Both, "10 { ('MQTT') 05 02 0000 {} }", E::Truncated),
    ("MQTT-3.1.3-4 Client Identifier not UTF-8", Both, "10 { ('MQTT') 04 02 0000 (FF) }", E::InvalidUtf8),
    ("MQTT-3.1.3-4 Client Identifier not UTF-8", Both, "10 { ('MQTT') 05 02 0000 {} (C328) }", E::InvalidUtf8),
    ("MQTT-1.5.4-1 surrogate", Both, "10 { ('MQTT') 05 02 0000 {} (EDA080) }", E::InvalidUtf8),
    ("MQTT-1.5.4-2 null in Client Identifier", Both, "10 { ('MQTT') 04 02 0000 (610062) }", E::NulCharacter),
    ("MQTT-1.5.4-2 null in Client Identifier", Both, "10 { ('MQTT') 05 02 0000 {} (610062) }", E::NulCharacter),
    ("MQTT-3.1.3-11 Will topic not UTF-8", Both, "10 { ('MQTT') 04 06 0000 ('a') (FF) () }", E::InvalidUtf8),
    ("MQTT-3.1.3-11 Will topic not UTF-8", Both, "10 { ('MQTT') 05 06 0000 {} ('a') {} (FF) () }", E::InvalidUtf8),
    ("MQTT-1.5.4-2 null in Will topic", Both, "10 { ('MQTT') 05 06 0000 {} ('a') {} (00) () }", E::NulCharacter),
    ("MQTT-4.7.3-1 empty Will topic", Both, "10 { ('MQTT') 04 06 0000 ('a') () () }", E::WillTopicInvalid),
    ("MQTT-4.7.3-1 empty Will topic", Both, "10 { ('MQTT') 05 06 0000 {} ('a') {} () () }", E::WillTopicInvalid),
    ("MQTT-4.7.0-1 # in Will topic", Both, "10 { ('MQTT') 04 06 0000 ('a') ('w/#') () }", E::WillTopicInvalid),
    ("MQTT-4.7.0-1 + in Will topic", Both, "10 { ('MQTT') 05 06 0000 {} ('a') {} ('w/+') () }", E::WillTopicInvalid),
    ("MQTT-3.1.3-12 user name not UTF-8", Both, "10 { ('MQTT') 04 82 0000 ('a') (FF) }", E::InvalidUtf8),
    ("MQTT-3.1.3-12 user name not UTF-8", Both, "10 { ('MQTT') 05 82 0000 {} ('a') (FF) }", E::InvalidUtf8),
    ("MQTT-1.5.4-2 null in user name", Both, "10 { ('MQTT') 04 82 0000 ('a') (00) }", E::NulCharacter),
    ("section 3.1.2.11.3 Receive Maximum 0", Both, "10 { ('MQTT') 05 02 0000 { 21 0000 } ('a') }", E::ReceiveMaximumZero),
    ("section 3.1.2.11.4 Maximum Packet Size 0", Both, "10 { ('MQTT') 05 02 0000 { 27 00000000 } ('a') }", E::MaximumPacketSizeZero),
    ("section 3.1.2.11.6 Request Response Information 2", Both, "10 { ('MQTT') 05 02 0000 { 19 02 } ('a') }", E::PropertyNotBoolean),
    ("section 3.1.2.11.7 Request Problem Information 2", Both, "10 { ('MQTT') 05 02 0000 { 17 02 } ('a') }", E::PropertyNotBoolean),
    ("section 3.1.2.11.10 Authentication Data alone", Both, "10 { ('MQTT') 05 02 0000 { 16 (00) } ('a') }", E::AuthenticationDataWithoutMethod),
    ("section 3.1.2.11.2 Session Expiry twice", Both, "10 { ('MQTT') 05 02 0000 { 11 00000001 11 00000001 } ('a') }", E::DuplicateProperty),
    ("section 3.1.3.2.3 Will, Payload Format 2", Both, "10 { ('MQTT') 05 06 0000 {} ('a') { 01 02 } ('w') () }", E::PropertyNotBoolean),
    ("MQTT-3.3.2-14 Will, wildcard in Response Topic", Both, "10 { ('MQTT') 05 06 0000 {} ('a') { 08 ('r/#') } ('w') () }", E::ResponseTopicInvalid),
    ("section 2.2.2.2 Will Delay in CONNECT", Both, "10 { ('MQTT') 05 02 0000 { 18 00000001 } ('a') }", E::PropertyNotAllowed),
    ("section 2.2.2.2 Session Expiry in Will", Both, "10 { ('MQTT') 05 06 0000 {} ('a') { 11 00000001 } ('w') () }", E::PropertyNotAllowed),
    ("section 2.2.2.2 Topic Alias in Will", Both, "10 { ('MQTT') 05 06 0000 {} ('a') { 23 0001 } ('w') () }", E::PropertyNotAllowed),
    ("MQTT-1.5.7-1 User Property name not UTF-8", Both, "10 { ('MQTT') 05 02 0000 { 26 (FF) ('v') } ('a') }", E::InvalidUtf8),
    ("MQTT-1.5.7-1 User Property value with null", Both, "10 { ('MQTT') 05 02 0000 { 26 ('k') (00) } ('a') }", E::NulCharacter),
    ("MQTT-2.2.2-1 no property length", Both, "10 { ('MQTT') 05 02 0000 }", E::Truncated),
    ("section 2.2.2.1 property length past the end", Both, "10 { ('MQTT') 05 02 0000 05 0001 'a' }", E::Truncated),
    ("section 2.2.2.1 property ends too early", Both, "10 { ('MQTT') 05 02 0000 { 11 0000 } ('a') }", E::Truncated),
    ("MQTT-1.5.5-1 property length not minimal", Both, "10 { ('MQTT') 05 02 0000 8000 ('a') }", E::VariableByteIntegerNotMinimal),
    ("MQTT-1.5.5-1 Remaining Length not minimal", Both, "10 8E00 0004 'MQTT' 05 02 0000 00 0001 'a'", E::VariableByteIntegerNotMinimal),
    ("section 2.1.4 bytes behind the Client Identifier", Both, "10 { ('MQTT') 04 02 0000 ('a') 00 }", E::TrailingBytes),
    ("section 2.1.4 bytes behind the Client Identifier", Both, "10 { ('MQTT') 05 02 0000 {} ('a') 00 }", E::TrailingBytes),
    ("MQTT-3.1.4-1 empty body", Both, "10 {}", E::Truncated),
    ("MQTT-3.1.4-1 half a protocol name", Both, "10 { 0004 'MQ' }", E::Truncated),
    ("MQTT-3.1.4-1 no flags", Both, "10 { ('MQTT') 04 }", E::Truncated),
    ("MQTT-3.1.4-1 no Keep Alive", Both, "10 { ('MQTT') 04 02 }", E::Truncated),
    ("MQTT-3.1.4-1 half a Keep Alive", Both, "10 { ('MQTT') 04 02 00 }", E::Truncated),
];

#[test]
fn legal_connects_are_accepted() {
    // The last row is legal in MQTT 3.1.1 alone, all others whatever the connection speaks.
    check_accepted(ACCEPTED);
}

#[test]
fn illegal_connects_are_refused() {
    check_refused(REFUSED);
}

#[test]
fn illegal_connects_are_refused_as_first_packet() {
    for (clause, _, notation, error) in REFUSED {
        let bytes = bytes(notation);
        assert_eq!(decode_connect(&bytes, SIZE_MAX), Err(*error), "{clause}: {notation}");
    }
}

#[test]
fn a_connect_in_mqtt_5_carries_all_that_it_says() {
    let bytes = bytes(
        "10 { ('MQTT') 05 EE 003C { 11 00000E10 21 0014 27 00010000 22 000A 19 01 17 00 15 ('m')
           16 (0102) 26 ('k') ('v') } ('id') { 18 00000005 01 01 02 0000003C 03 ('t') 08 ('r')
           09 (FF) 26 ('a') ('b') } ('w/t') ('bye') ('user') (00FF) }"
            .replace('\n', " ")
            .as_str(),
    );
    let (connect, _) = decode_connect(&bytes, SIZE_MAX).unwrap().unwrap();
    let forwarded = crate::notation::bytes("01 01 03 ('t') 08 ('r') 09 (FF) 26 ('a') ('b')");
    let expected = Connect {
        clean_start: true,
        keep_alive_s: 60,
        will: Some(Will {
            delay_interval_s: 5,
            message_expiry_interval_s: Some(60),
            forwarded: Forwarded::validate(&forwarded).unwrap(),
            ..Will::new("w/t", b"bye", QoS::AtLeastOnce, true)
        }),
        username: Some("user"),
        password: Some(&[0x00, 0xFF]),
        session_expiry_interval_s: 3600,
        receive_maximum: 20,
        maximum_packet_size: Some(65_536),
        topic_alias_maximum: 10,
        request_response_information: true,
        request_problem_information: false,
        authentication_method: Some("m"),
        authentication_data: Some(&[1, 2]),
        user_properties: UserProperties::from_pairs(&[("k", "v")]),
        ..Connect::new(Version::V5, "id")
    };
    assert_eq!(connect, expected);
    let forwarded = connect.will.unwrap().forwarded;
    assert_eq!(forwarded.payload_format_indicator(), Some(true));
    assert_eq!(forwarded.content_type(), Some("t"));
    assert_eq!(forwarded.response_topic(), Some("r"));
    assert_eq!(forwarded.correlation_data(), Some(&[0xFF][..]));
    assert!(forwarded.user_properties().iter().eq([("a", "b")]));
}

#[test]
fn a_connect_in_mqtt_5_means_the_defaults_where_it_is_silent() {
    let bytes = bytes("10 { ('MQTT') 05 00 0000 {} ('a') }");
    let (connect, _) = decode_connect(&bytes, SIZE_MAX).unwrap().unwrap();
    assert_eq!(connect, Connect { clean_start: false, ..Connect::new(Version::V5, "a") });
    assert_eq!(connect.session_expiry_interval_s, 0);
    assert_eq!(connect.receive_maximum, 65_535);
    assert!(connect.request_problem_information);
}

#[test]
fn clean_session_of_mqtt_3_1_1_becomes_clean_start_with_expiry() {
    for (notation, clean_start, expiry_s) in [
        ("10 { ('MQTT') 04 02 0000 ('a') }", true, 0),
        ("10 { ('MQTT') 04 00 0000 ('a') }", false, u32::MAX),
    ] {
        let bytes = bytes(notation);
        let (connect, _) = decode_connect(&bytes, SIZE_MAX).unwrap().unwrap();
        assert_eq!(connect.version, Version::V3_1_1);
        assert_eq!(connect.clean_start, clean_start);
        assert_eq!(connect.session_expiry_interval_s, expiry_s);
        assert_eq!(connect.receive_maximum, 65_535);
    }
}

#[test]
fn the_will_delay_is_not_forwarded_with_the_will() {
    let bytes = bytes("10 { ('MQTT') 05 06 0000 {} ('a') { 18 00000005 03 ('t') } ('w') () }");
    let (connect, _) = decode_connect(&bytes, SIZE_MAX).unwrap().unwrap();
    let will = connect.will.unwrap();
    let mut forwarded = Vec::new();
    will.forwarded.extend_into(&mut forwarded);
    assert_eq!(forwarded, b"\x03\x00\x01t");
    assert_eq!(will.delay_interval_s, 5);
}

#[test]
fn a_first_packet_that_is_not_connect_is_refused_by_its_first_byte_mqtt_3_1_0_1() {
    for first in (0..=255).filter(|first| first >> 4 != 1) {
        assert_eq!(decode_connect(&[first], SIZE_MAX), Err(E::NotConnect), "{first:02X}");
    }
    assert_eq!(decode_connect(b"GET / HTTP/1.1\r\n", SIZE_MAX), Err(E::NotConnect));
    assert_eq!(decode_connect(b"\x16\x03\x01\x02\x00\x01", SIZE_MAX), Err(E::ReservedFlags));
    assert_eq!(decode_connect(&[], SIZE_MAX), Ok(None));
}

#[test]
fn a_wrong_protocol_is_refused_as_soon_as_it_shows() {
    let name = bytes("10 7F 0004 'MX'");
    assert_eq!(decode_connect(&name[..5], SIZE_MAX), Ok(None));
    assert_eq!(decode_connect(&name, SIZE_MAX), Err(E::UnsupportedProtocolName));
    let level = bytes("10 7F ('MQTT') 06");
    assert_eq!(decode_connect(&level[..8], SIZE_MAX), Ok(None));
    assert_eq!(decode_connect(&level, SIZE_MAX), Err(E::UnsupportedProtocolVersion));
    let old = bytes("10 7F ('MQIsdp') 04");
    assert_eq!(decode_connect(&old[..10], SIZE_MAX), Ok(None));
    assert_eq!(decode_connect(&old, SIZE_MAX), Err(E::UnsupportedProtocolVersion));
    let length = bytes("10 8E00 ('MQTT') 05");
    assert_eq!(decode_connect(&length, SIZE_MAX), Err(E::VariableByteIntegerNotMinimal));
}

#[test]
fn a_connect_that_is_too_large_is_refused_before_it_is_there() {
    assert_eq!(decode_connect(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F], SIZE_MAX), Err(E::PacketTooLarge));
    let bytes = bytes("10 { ('MQTT') 04 02 0000 ('a') }");
    assert!(decode_connect(&bytes, 15).unwrap().is_some());
    assert_eq!(decode_connect(&bytes, 14), Err(E::PacketTooLarge));
}

#[test]
fn a_refused_connect_is_answered_in_words_that_its_sender_understands() {
    for (notation, version) in [
        ("10 { ('MQTT') 04 03 0000 ('a') }", Some(Version::V3_1_1)),
        ("10 { ('MQTT') 05 03 0000 {} ('a') }", Some(Version::V5)),
        ("10 { ('MQTT') 03 02 0000 ('a') }", Some(Version::V3_1_1)),
        ("10 { ('MQTT') 06 02 0000 {} ('a') }", Some(Version::V5)),
        ("10 { ('MQTT') 84 02 0000 ('a') }", Some(Version::V3_1_1)),
        ("10 { ('MQIsdp') 03 02 0000 ('a') }", Some(Version::V3_1)),
        ("10 { ('HTTP') 04 02 0000 ('a') }", None),
        ("10 FFFFFF7F ('MQTT') 05", Some(Version::V5)),
        ("10 05 ('MQT')", None),
        ("20 { 00 00 }", None),
        ("", None),
    ] {
        assert_eq!(connect_version(&bytes(notation)), version, "{notation}");
    }
}

#[test]
fn what_mqtt_3_1_1_cannot_say_is_left_out() {
    let connect = Connect {
        session_expiry_interval_s: 10,
        receive_maximum: 5,
        user_properties: UserProperties::from_pairs(&[("k", "v")]),
        will: Some(Will { delay_interval_s: 5, ..Will::new("w", b"", QoS::AtMostOnce, false) }),
        clean_start: false,
        ..Connect::new(Version::V3_1_1, "a")
    };
    let mut out = Vec::new();
    Packet::Connect(connect).encode(Version::V3_1_1, &mut out).unwrap();
    assert_eq!(out, bytes("10 { ('MQTT') 04 04 0000 ('a') ('w') () }"));
    let decoded = decode(&out, Version::V3_1_1, SIZE_MAX).unwrap().unwrap().0;
    let Packet::Connect(decoded) = decoded else { panic!("{decoded:?}") };
    assert_eq!(decoded.session_expiry_interval_s, u32::MAX);
}
