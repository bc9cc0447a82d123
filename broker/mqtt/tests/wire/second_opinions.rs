//! What two codecs of others say about the same bytes.
//!
//! Neither is right about everything, see `docs/adr/0002-own-codec.md`. Where one is known to be
//! wrong its opinion does not count; the lists of that are checked too, so they stay true.

use std::panic::catch_unwind;

use bytes::BytesMut;
use flotilla_mqtt::{
    Connack, ConnackProperties, DecodeError as E, Forwarded, Packet, Publish, Version, Will,
    decode, topic,
};
use rmqtt_codec::{v3, v5};
use tokio_util::codec::{Decoder, Encoder};

use crate::generator::{Lists, Material, Random};
use crate::notation::bytes;
use crate::table::{SIZE_MAX, all_accepted, all_refused};

/// Legal packets that rmqtt-codec 0.3 refuses.
#[rustfmt::skip]
const RMQTT_REFUSES: &[&str] = &[
    "10 { ('MQTT') 05 00 003C {} () }",
    "30 { ('a') { 02 00000000 } 'x' }",
];

/// Faults of which rmqtt-codec 0.3 overlooks some or all.
const RMQTT_OVERLOOKS: &[E] = &[
    E::AuthenticationDataWithoutMethod,
    E::AuthenticationMethodMissing,
    E::DupWithQos0,
    E::InvalidReasonCode,
    E::InvalidSharedFilter,
    E::InvalidTopicFilter,
    E::MaximumPacketSizeZero,
    E::MaximumQosInvalid,
    E::NoLocalOnShared,
    E::NulCharacter,
    E::PasswordWithoutUsername,
    E::ResponseTopicInvalid,
    E::SessionPresentWithError,
    E::SubackEmpty,
    E::SubscribeOptionsReserved,
    E::TopicEmpty,
    E::TrailingBytes,
    E::Truncated,
    E::UnsupportedProtocolVersion,
    E::VariableByteIntegerNotMinimal,
    E::WildcardInTopic,
    E::WillQosReserved,
    E::WillQosWithoutWill,
    E::WillRetainWithoutWill,
    E::WillTopicInvalid,
];

/// Legal packets that mqttbytes 0.6 refuses: binary passwords, short DISCONNECTs, every AUTH.
#[rustfmt::skip]
const MQTTBYTES_REFUSES: &[&str] = &[
    "10 { ('MQTT') 04 C2 0000 ('a') ('user') (00FF80C0) }",
    "10 { ('MQTT') 05 C2 0000 {} ('a') ('user') (00FF80C0) }",
    "E0 {}",
    "E0 { 00 }",
    "E0 { 04 }",
    "E0 { 87 }",
];

/// Faults of which mqttbytes 0.6 overlooks some or all.
const MQTTBYTES_OVERLOOKS: &[E] = &[
    E::AuthenticationDataWithoutMethod,
    E::ConnackReservedFlags,
    E::ConnectReservedFlag,
    E::DupWithQos0,
    E::DuplicateProperty,
    E::EmptyClientIdWithSession,
    E::InvalidSharedFilter,
    E::InvalidTopicFilter,
    E::MaximumPacketSizeZero,
    E::MaximumQosInvalid,
    E::NoLocalOnShared,
    E::NulCharacter,
    E::PacketIdZero,
    E::PasswordWithoutUsername,
    E::PropertyNotBoolean,
    E::ReceiveMaximumZero,
    E::ReservedFlags,
    E::ResponseTopicInvalid,
    E::SessionPresentWithError,
    E::SubscribeEmpty,
    E::SubscribeOptionsReserved,
    E::SubscriptionIdZero,
    E::TopicAliasZero,
    E::TopicEmpty,
    E::TrailingBytes,
    E::Truncated,
    E::UnsubscribeEmpty,
    E::VariableByteIntegerNotMinimal,
    E::WildcardInTopic,
    E::WillTopicInvalid,
];

/// Whether they accept the bytes; a panic is a refusal.
fn rmqtt_accepts(version: Version, bytes: &[u8]) -> bool {
    rmqtt_round_trip(version, bytes).is_some()
}

/// Whether they accept the bytes; a panic is a refusal.
fn mqttbytes_accepts(version: Version, bytes: &[u8]) -> bool {
    let mut bytes = BytesMut::from(bytes);
    catch_unwind(move || match version {
        Version::V3_1 => false,
        Version::V3_1_1 => mqttbytes::v4::read(&mut bytes, SIZE_MAX as usize).is_ok(),
        Version::V5 => mqttbytes::v5::read(&mut bytes, SIZE_MAX as usize).is_ok(),
    })
    .unwrap_or(false)
}

/// What they make of the bytes, in bytes of theirs.
fn rmqtt_round_trip(version: Version, bytes: &[u8]) -> Option<BytesMut> {
    let mut bytes = BytesMut::from(bytes);
    let mut out = BytesMut::new();
    match version {
        // No table of theirs is about it.
        Version::V3_1 => return None,
        Version::V3_1_1 => {
            let mut codec = v3::Codec::new(SIZE_MAX);
            let (packet, _) = codec.decode(&mut bytes).ok()??;
            codec.encode(packet, &mut out).ok()?;
        }
        Version::V5 => {
            let mut codec = v5::Codec::new(SIZE_MAX, SIZE_MAX);
            let (packet, _) = codec.decode(&mut bytes).ok()??;
            codec.encode(packet, &mut out).ok()?;
        }
    }
    Some(out)
}

/// What they make of the bytes of a packet of MQTT 3.1.1, in bytes of theirs.
fn mqttbytes_round_trip(bytes: &[u8]) -> Option<BytesMut> {
    use mqttbytes::v4::Packet as Theirs;
    let mut out = BytesMut::new();
    let packet = mqttbytes::v4::read(&mut BytesMut::from(bytes), SIZE_MAX as usize).ok()?;
    let written = match packet {
        Theirs::Connect(packet) => packet.write(&mut out),
        Theirs::ConnAck(packet) => packet.write(&mut out),
        Theirs::Publish(packet) => packet.write(&mut out),
        Theirs::PubAck(packet) => packet.write(&mut out),
        Theirs::PubRec(packet) => packet.write(&mut out),
        Theirs::PubRel(packet) => packet.write(&mut out),
        Theirs::PubComp(packet) => packet.write(&mut out),
        Theirs::Subscribe(packet) => packet.write(&mut out),
        Theirs::SubAck(packet) => packet.write(&mut out),
        Theirs::Unsubscribe(packet) => packet.write(&mut out),
        Theirs::UnsubAck(packet) => packet.write(&mut out),
        Theirs::PingReq => mqttbytes::v4::PingReq.write(&mut out),
        Theirs::PingResp => mqttbytes::v4::PingResp.write(&mut out),
        Theirs::Disconnect => mqttbytes::v4::Disconnect.write(&mut out),
    };
    written.ok().map(|_| out)
}

#[test]
fn legal_packets_are_legal_to_others() {
    for (clause, versions, notation) in all_accepted() {
        let bytes = bytes(notation);
        for version in versions.versions() {
            let case = format!("MQTT {version}, {clause}: {notation}");
            let expected = !RMQTT_REFUSES.contains(notation);
            assert_eq!(rmqtt_accepts(*version, &bytes), expected, "rmqtt-codec: {case}");

            // It knows the short DISCONNECT of MQTT 3.1.1.
            let is_short = *version == Version::V3_1_1 && *notation == "E0 {}";
            let is_auth = bytes[0] >> 4 == 15;
            let expected = is_short || !is_auth && !MQTTBYTES_REFUSES.contains(notation);
            assert_eq!(mqttbytes_accepts(*version, &bytes), expected, "mqttbytes: {case}");
        }
    }
}

#[test]
fn illegal_packets_are_illegal_to_others() {
    let mut rmqtt_overlooked = Vec::new();
    let mut mqttbytes_overlooked = Vec::new();
    for (_, versions, notation, error) in all_refused() {
        let bytes = bytes(notation);
        for version in versions.versions() {
            // Their codecs are told the version, so a CONNECT of another means nothing to them.
            let says_other = bytes[0] >> 4 == 1 && bytes.get(8) != Some(&version.level());
            if says_other && *error != E::UnsupportedProtocolVersion {
                continue;
            }
            if rmqtt_accepts(*version, &bytes) {
                rmqtt_overlooked.push(*error);
            }
            if mqttbytes_accepts(*version, &bytes) {
                mqttbytes_overlooked.push(*error);
            }
        }
    }
    for (name, overlooked, known) in [
        ("rmqtt-codec", rmqtt_overlooked, RMQTT_OVERLOOKS),
        ("mqttbytes", mqttbytes_overlooked, MQTTBYTES_OVERLOOKS),
    ] {
        let mut names: Vec<_> = overlooked.iter().map(|error| format!("{error:?}")).collect();
        names.sort_unstable();
        names.dedup();
        let known: Vec<_> = known.iter().map(|error| format!("{error:?}")).collect();
        assert_eq!(names, known, "what {name} overlooks");
    }
}

#[test]
fn rmqtt_codec_understands_what_is_encoded() {
    let mut compared = 0;
    for seed in 0..5_000 {
        let mut random = Random::new(seed);
        let version = random.pick(&[Version::V3_1_1, Version::V5]);
        let material = Material::new(&mut random);
        let lists = Lists::new(version, &material, &mut random);
        let packet = material.packet(&lists, &mut random);
        let mut bytes = Vec::new();
        packet.encode(version, &mut bytes).unwrap();
        // It takes 0 seconds for an error, see `RMQTT_REFUSES`.
        if expires_at_once(&packet) {
            continue;
        }
        let theirs = rmqtt_round_trip(version, &bytes)
            .unwrap_or_else(|| panic!("seed {seed}: {packet:?} is refused"));
        let (decoded, _) = decode(&theirs, version, u32::MAX)
            .unwrap_or_else(|error| panic!("seed {seed}: {packet:?}: {error}"))
            .expect("a whole packet");
        assert_eq!(Meaning::of(decoded), Meaning::of(packet), "seed {seed}");
        compared += 1;
    }
    assert!(compared > 4_000, "only {compared} packets were compared");
}

#[test]
fn mqttbytes_understands_what_is_encoded_in_mqtt_3_1_1() {
    let mut compared = 0;
    for seed in 0..5_000 {
        let mut random = Random::new(seed);
        let material = Material::new(&mut random);
        let lists = Lists::new(Version::V3_1_1, &material, &mut random);
        let packet = material.packet(&lists, &mut random);
        // Its passwords are text, see `MQTTBYTES_REFUSES`; an empty user name is none to it.
        if let Packet::Connect(connect) = packet
            && (connect.password.is_some() || connect.username == Some(""))
        {
            continue;
        }
        let mut bytes = Vec::new();
        packet.encode(Version::V3_1_1, &mut bytes).unwrap();
        let theirs = mqttbytes_round_trip(&bytes)
            .unwrap_or_else(|| panic!("seed {seed}: {packet:?} is refused"));
        let decoded = decode(&theirs, Version::V3_1_1, u32::MAX);
        assert_eq!(decoded, Ok(Some((packet, theirs.len()))), "seed {seed}");
        compared += 1;
    }
    assert!(compared > 4_000, "only {compared} packets were compared");
}

#[test]
fn mqttbytes_matches_alike_without_dollar_or_multibyte_letters() {
    for seed in 0..50_000 {
        let mut random = Random::new(seed);
        let (filter, name) = (random.filter(), random.topic());
        // It denies every topic that begins with "$", and panics at a first letter of two bytes.
        if name.starts_with('$') || !name.is_char_boundary(1) {
            continue;
        }
        let theirs = mqttbytes::matches(&name, &filter);
        assert_eq!(topic::matches(&filter, &name), theirs, "{filter} on {name}");
    }
}

fn expires_at_once(packet: &Packet<'_>) -> bool {
    match packet {
        Packet::Publish(publish) => publish.message_expiry_interval_s == Some(0),
        Packet::Connect(connect) => {
            connect.will.is_some_and(|will| will.message_expiry_interval_s == Some(0))
        }
        _ => false,
    }
}

/// A packet without what is left to the encoder: the order of forwarded properties, defaults that
/// are said or left out.
#[derive(PartialEq, Debug)]
struct Meaning<'a> {
    packet: Packet<'a>,
    payload_format_indicator: Option<bool>,
    content_type: Option<&'a str>,
    response_topic: Option<&'a str>,
    correlation_data: Option<&'a [u8]>,
    user_properties: Vec<(&'a str, &'a str)>,
}

impl<'a> Meaning<'a> {
    fn of(packet: Packet<'a>) -> Self {
        let (packet, forwarded) = match packet {
            Packet::Publish(publish) => {
                let bare = Publish { forwarded: Forwarded::EMPTY, ..publish };
                (Packet::Publish(bare), publish.forwarded)
            }
            Packet::Connect(mut connect) => {
                let forwarded = connect.will.map(|will| will.forwarded).unwrap_or_default();
                connect.will =
                    connect.will.map(|will| Will { forwarded: Forwarded::EMPTY, ..will });
                (Packet::Connect(connect), forwarded)
            }
            Packet::Connack(connack) => {
                (Packet::Connack(without_defaults(connack)), Forwarded::EMPTY)
            }
            other => (other, Forwarded::EMPTY),
        };
        Self {
            packet,
            // 0 is the same as none.
            payload_format_indicator: forwarded.payload_format_indicator().filter(|is| *is),
            content_type: forwarded.content_type(),
            response_topic: forwarded.response_topic(),
            correlation_data: forwarded.correlation_data(),
            user_properties: forwarded.user_properties().iter().collect(),
        }
    }
}

fn without_defaults(connack: Connack<'_>) -> Connack<'_> {
    let said = connack.properties;
    let properties = ConnackProperties {
        receive_maximum: said.receive_maximum.filter(|count| *count != u16::MAX),
        retain_available: said.retain_available.filter(|is| !is),
        topic_alias_maximum: said.topic_alias_maximum.filter(|alias| *alias != 0),
        wildcard_subscription_available: said.wildcard_subscription_available.filter(|is| !is),
        subscription_ids_available: said.subscription_ids_available.filter(|is| !is),
        shared_subscription_available: said.shared_subscription_available.filter(|is| !is),
        ..said
    };
    Connack { properties, ..connack }
}
