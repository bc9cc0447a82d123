//! The largest fields, the largest packets.

use flotilla_mqtt::{
    Connect, Disconnect, EncodeError, FIXED_HEADER_LEN_MAX, Packet, Publish, QoS,
    REMAINING_LENGTH_MAX, ReasonCode, UserProperties, Version, Will, decode,
};

#[test]
fn a_field_of_65535_bytes_goes_there_and_back() {
    let text = "x".repeat(65_535);
    let publish = Publish::new(&text, text.as_bytes());
    for version in [Version::V3_1_1, Version::V5] {
        let mut out = Vec::new();
        Packet::Publish(publish).encode(version, &mut out).unwrap();
        let (packet, len) = decode(&out, version, u32::MAX).unwrap().unwrap();
        assert_eq!((packet, len), (Packet::Publish(publish), out.len()));
    }
}

#[test]
fn a_field_above_65535_bytes_is_refused_without_a_byte() {
    let text = "x".repeat(65_536);
    let pairs = [("k", &text[..])];
    let connect = Connect::new(Version::V5, "a");
    let will = Will::new("w", text.as_bytes(), QoS::AtMostOnce, false);
    let disconnect = Disconnect::new(ReasonCode::Success);
    for packet in [
        Packet::Connect(Connect::new(Version::V3_1_1, &text)),
        Packet::Connect(Connect { username: Some(&text), ..connect }),
        Packet::Connect(Connect { password: Some(text.as_bytes()), ..connect }),
        Packet::Connect(Connect { will: Some(will), ..connect }),
        Packet::Publish(Publish::new(&text, b"")),
        Packet::Disconnect(Disconnect { reason_string: Some(&text), ..disconnect }),
        Packet::Disconnect(Disconnect {
            user_properties: UserProperties::from_pairs(&pairs),
            ..disconnect
        }),
    ] {
        let mut out = vec![0xEE];
        let encoded = packet.encode(Version::V5, &mut out);
        assert_eq!(encoded, Err(EncodeError::FieldTooLong(65_536)));
        assert_eq!(out, [0xEE]);
    }
}

#[test]
fn a_password_without_user_name_is_not_said_in_mqtt_3_1_1() {
    for (version, expected) in
        [(Version::V3_1_1, Err(EncodeError::PasswordWithoutUsername)), (Version::V5, Ok(()))]
    {
        let connect = Connect { password: Some(b"x"), ..Connect::new(version, "a") };
        assert_eq!(Packet::Connect(connect).encode(version, &mut Vec::new()), expected);
    }
}

#[test]
fn the_largest_packet_goes_there_and_back() {
    let payload = vec![0; REMAINING_LENGTH_MAX as usize + 1];
    let fitting = REMAINING_LENGTH_MAX as usize - 3;
    let mut out = Vec::new();
    let packet = Packet::Publish(Publish::new("a", &payload[..fitting]));
    packet.encode(Version::V3_1_1, &mut out).unwrap();
    assert_eq!(out.len(), FIXED_HEADER_LEN_MAX + REMAINING_LENGTH_MAX as usize);
    assert_eq!(packet.encoded_len(Version::V3_1_1), out.len());
    let (decoded, len) = decode(&out, Version::V3_1_1, u32::MAX).unwrap().unwrap();
    assert_eq!((decoded, len), (packet, out.len()));

    out.clear();
    let packet = Packet::Publish(Publish::new("a", &payload[..fitting + 1]));
    let encoded = packet.encode(Version::V3_1_1, &mut out);
    assert_eq!(encoded, Err(EncodeError::PacketTooLong(REMAINING_LENGTH_MAX as usize + 1)));
    assert!(out.is_empty());
}

#[test]
fn errors_speak_to_a_person() {
    for (error, sentence) in [
        (
            EncodeError::FieldTooLong(65_536),
            "a field of 65536 bytes does not fit a packet, which holds 65535 a field",
        ),
        (EncodeError::PacketIdMissing, "a PUBLISH with QoS 1 or 2 needs a Packet Identifier"),
        (
            EncodeError::SubscriptionIdOutOfRange(0),
            "Subscription Identifier 0 is not between 1 and 268435455",
        ),
    ] {
        assert_eq!(error.to_string(), sentence);
    }
}
