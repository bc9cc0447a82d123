//! MQTT 3.1 as bytes, where it is not as MQTT 3.1.1.

use flotilla_mqtt::{
    AckProperties, Connack, DecodeError as E, Packet, PacketId, ReasonCode, ReasonCodes, Suback,
    Version, connect_version, decode, decode_connect,
};

use crate::notation::bytes;
use crate::table::In::V3_1;
use crate::table::{Accepted, Refused, SIZE_MAX, check_accepted, check_refused};

#[rustfmt::skip]
const ACCEPTED: &[Accepted] = &[
    ("section 3.1 minimal", V3_1, "10 { ('MQIsdp') 03 02 003C ('a') }"),
    ("section 3.1 session that stays", V3_1, "10 { ('MQIsdp') 03 00 003C ('a') }"),
    ("section 3.1 more than 23 characters", V3_1, "10 { ('MQIsdp') 03 02 0000 ('abcdefghijklmnopqrstuvwxyz0123456789') }"),
    ("section 3.1 all fields", V3_1, "10 { ('MQIsdp') 03 EE 0000 ('a') ('w') ('bye') ('user') ('pass') }"),
    ("section 3.1 bit 0 is not used", V3_1, "10 { ('MQIsdp') 03 03 0000 ('a') }"),
    ("section 3.1 user name that is missing", V3_1, "10 { ('MQIsdp') 03 82 0000 ('a') }"),
    ("section 3.1 both missing", V3_1, "10 { ('MQIsdp') 03 C2 0000 ('a') }"),
    ("section 3.1 password that is missing", V3_1, "10 { ('MQIsdp') 03 C2 0000 ('a') ('user') }"),
    ("section 2.1 SUBSCRIBE again", V3_1, "8A { 0001 ('a') 01 }"),
    ("section 2.1 UNSUBSCRIBE again", V3_1, "AA { 0001 ('a') }"),
    ("section 2.1 PUBREL again", V3_1, "6A { 0001 }"),
];

#[rustfmt::skip]
pub(crate) const REFUSED: &[Refused] = &[
    ("section 3.1 empty Client Identifier", V3_1, "10 { ('MQIsdp') 03 02 0000 () }", E::EmptyClientId),
    ("section 3.1 password alone", V3_1, "10 { ('MQIsdp') 03 42 0000 ('a') ('pass') }", E::PasswordWithoutUsername),
    ("the name of one, the level of the other", V3_1, "10 { ('MQIsdp') 04 02 0000 ('a') }", E::UnsupportedProtocolVersion),
    ("the name of one, the level of the other", V3_1, "10 { ('MQTT') 03 02 0000 ('a') }", E::UnsupportedProtocolVersion),
    ("a bridge of mosquitto", V3_1, "10 { ('MQIsdp') 83 02 0000 ('a') }", E::UnsupportedProtocolVersion),
    ("section 3.3 QoS 3", V3_1, "36 { ('a') 0001 }", E::PublishQosReserved),
    ("section 3.8 QoS 3", V3_1, "82 { 0001 ('a') 03 }", E::SubscribeQosReserved),
    ("section 2.1 RETAIN on SUBSCRIBE", V3_1, "83 { 0001 ('a') 01 }", E::ReservedFlags),
    ("section 2.1 DUP on PINGREQ", V3_1, "C8 {}", E::ReservedFlags),
    ("no such packet", V3_1, "F0 {}", E::ReservedPacketType),
];

#[test]
fn accepted() {
    check_accepted(ACCEPTED);
}

#[test]
fn refused() {
    check_refused(REFUSED);
}

#[test]
fn a_connect_tells_its_version() {
    let whole = bytes("10 { ('MQIsdp') 03 00 003C ('a') }");
    let (connect, _) = decode_connect(&whole, SIZE_MAX).unwrap().unwrap();
    assert_eq!(connect.version, Version::V3_1);
    assert_eq!((connect.clean_start, connect.session_expiry_interval_s), (false, u32::MAX));
    for len in 0..whole.len() {
        assert_eq!(decode_connect(&whole[..len], SIZE_MAX), Ok(None), "{len} bytes");
    }
    assert_eq!(connect_version(&whole), Some(Version::V3_1));
    assert_eq!(connect_version(&bytes("10 { ('MQIsdp') 83 00 }")), Some(Version::V3_1_1));
}

/// It has no Session Present, and no return code for a subscription that was refused.
#[test]
fn what_it_cannot_say() {
    let encoded = |packet: Packet<'_>| {
        let mut out = Vec::new();
        packet.encode(Version::V3_1, &mut out).unwrap();
        out
    };
    let connack = Packet::Connack(Connack::new(true, ReasonCode::Success));
    assert_eq!(encoded(connack), bytes("20 { 00 00 }"));
    let connack = Packet::Connack(Connack::new(false, ReasonCode::NotAuthorized));
    assert_eq!(encoded(connack), bytes("20 { 00 05 }"));
    let codes = [ReasonCode::GrantedQoS2, ReasonCode::QuotaExceeded, ReasonCode::GrantedQoS1];
    let suback = Packet::Suback(Suback {
        packet_id: PacketId::MIN,
        properties: AckProperties::EMPTY,
        reason_codes: ReasonCodes::from_slice(&codes),
    });
    assert_eq!(encoded(suback), bytes("90 { 0001 02 00 01 }"));
}

/// Section 3.2: "Reserved values. Not used."
#[test]
fn a_connack_says_nothing_of_the_session() {
    for first in ["00", "01", "FF"] {
        let connack = bytes(&format!("20 {{ {first} 00 }}"));
        let (packet, _) = decode(&connack, Version::V3_1, SIZE_MAX).unwrap().unwrap();
        assert_eq!(packet, Packet::Connack(Connack::new(false, ReasonCode::Success)), "{first}");
    }
}
