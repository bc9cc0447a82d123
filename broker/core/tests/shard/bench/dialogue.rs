//! Words that dialogues on the bench are made of.

use flotilla_mqtt::{
    Ack, Connect, Packet, PacketId, Publish, QoS, ReasonCode, Requested, Subscribe,
    SubscribeFilters, SubscriptionOptions, UserProperties, Version,
};

use super::{Bench, Wire};

pub(crate) const CONNACK: &str = "CONNACK 0x00 present=false";
pub(crate) const RESUMED: &str = "CONNACK 0x00 present=true";

pub(crate) fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("not 0")
}

/// A connection without a session that outlives it.
pub(crate) fn clean(b: &mut Bench, client_id: &str) -> Wire {
    let wire = b.connect(0, Connect::new(Version::V5, client_id));
    assert_eq!(b.next(wire), CONNACK);
    wire
}

pub(crate) fn persistent(client_id: &str, expiry_interval_s: u32) -> Connect<'_> {
    let mut connect = Connect::new(Version::V5, client_id);
    connect.clean_start = false;
    connect.session_expiry_interval_s = expiry_interval_s;
    connect
}

pub(crate) fn subscribe_with(b: &mut Bench, wire: Wire, id: Option<u32>, wishes: &[Requested<'_>]) {
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

pub(crate) fn subscribe(b: &mut Bench, wire: Wire, filter: &str, qos: QoS) {
    let options = SubscriptionOptions::new(qos);
    subscribe_with(b, wire, None, &[Requested { filter, options }]);
    assert_eq!(b.next(wire), format!("SUBACK #1 [{}]", qos.bits()));
}

pub(crate) fn publish<'a>(
    topic: &'a str,
    payload: &'a str,
    qos: QoS,
    packet_id: u16,
) -> Publish<'a> {
    let mut publish = Publish::new(topic, payload.as_bytes());
    publish.qos = qos;
    publish.packet_id = PacketId::new(packet_id);
    publish
}

pub(crate) fn send(
    b: &mut Bench,
    wire: Wire,
    topic: &str,
    payload: &str,
    qos: QoS,
    packet_id: u16,
) {
    b.send(wire, &Packet::Publish(publish(topic, payload, qos, packet_id)));
}

pub(crate) fn puback(b: &mut Bench, wire: Wire, number: u16) {
    b.send(wire, &Packet::Puback(Ack::new(id(number), ReasonCode::Success)));
}
