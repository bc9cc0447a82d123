//! Words that dialogues on the bench are made of.

use flotilla_core::counters::DropReason;
use flotilla_mqtt::{
    Ack, Connect, Packet, PacketId, Publish, QoS, ReasonCode, Requested, Subscribe,
    SubscribeFilters, SubscriptionOptions, UserProperties, Version,
};

use super::{Bench, Wire};

/// The answer to a client without a session.
pub const CONNACK: &str = "CONNACK 0x00 present=false";
/// The answer to a client with one.
pub const RESUMED: &str = "CONNACK 0x00 present=true";

/// A Packet Identifier.
pub fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("not 0")
}

/// A connection without a session that outlives it.
pub fn clean(b: &mut Bench, client_id: &str) -> Wire {
    let wire = b.connect(0, Connect::new(Version::V5, client_id));
    assert_eq!(b.next(wire), CONNACK);
    wire
}

/// CONNECT of a client that keeps its session.
pub fn persistent(client_id: &str, expiry_interval_s: u32) -> Connect<'_> {
    let mut connect = Connect::new(Version::V5, client_id);
    connect.clean_start = false;
    connect.session_expiry_interval_s = expiry_interval_s;
    connect
}

/// SUBSCRIBE, whatever comes of it.
pub fn subscribe_with(b: &mut Bench, wire: Wire, id: Option<u32>, wishes: &[Requested<'_>]) {
    b.send(
        wire,
        &Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_id: id,
            user_properties: UserProperties::EMPTY,
            filters: SubscribeFilters::from_slice(wishes),
        }),
    );
}

/// SUBSCRIBE to one filter, which is granted.
pub fn subscribe(b: &mut Bench, wire: Wire, filter: &str, qos: QoS) {
    let options = SubscriptionOptions::new(qos);
    subscribe_with(b, wire, None, &[Requested { filter, options }]);
    assert_eq!(b.next(wire), format!("SUBACK #1 [{}]", qos.bits()));
}

/// A PUBLISH; Packet Identifier 0: none.
pub fn publish<'a>(topic: &'a str, payload: &'a str, qos: QoS, packet_id: u16) -> Publish<'a> {
    let mut publish = Publish::new(topic, payload.as_bytes());
    publish.qos = qos;
    publish.packet_id = PacketId::new(packet_id);
    publish
}

/// Sends a PUBLISH.
pub fn send(b: &mut Bench, wire: Wire, topic: &str, payload: &str, qos: QoS, packet_id: u16) {
    b.send(wire, &Packet::Publish(publish(topic, payload, qos, packet_id)));
}

/// Sends a PUBACK.
pub fn puback(b: &mut Bench, wire: Wire, number: u16) {
    b.send(wire, &Packet::Puback(Ack::new(id(number), ReasonCode::Success)));
}

/// Messages of all shards that were dropped for this reason.
pub fn dropped(b: &Bench, reason: DropReason) -> u64 {
    b.shards.iter().map(|shard| shard.counters().dropped[reason as usize]).sum()
}

/// The payloads that arrived, each acknowledged.
pub fn payloads(b: &mut Bench, wire: Wire) -> Vec<String> {
    let mut all = Vec::new();
    let mut take = |packet: Packet<'_>| match packet {
        Packet::Publish(publish) => {
            all.push(String::from_utf8_lossy(publish.payload).into_owned());
            publish.packet_id
        }
        other => panic!("{other:?}"),
    };
    while let Some(packet_id) = b.receive(wire, &mut take) {
        if let Some(packet_id) = packet_id {
            b.send(wire, &Packet::Puback(Ack::new(packet_id, ReasonCode::Success)));
        }
    }
    all
}
