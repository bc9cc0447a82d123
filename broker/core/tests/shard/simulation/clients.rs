//! Honest clients, which remember what they were promised.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::bench::Wire;
use flotilla_mqtt::{
    Ack, Packet, PacketId, Publish, QoS, ReasonCode, Requested, Subscribe, SubscribeFilters,
    SubscriptionOptions, UserProperties, Version,
};

/// Publishes numbers to its own topics and remembers what was acknowledged.
pub(super) struct Publisher {
    pub(super) id: String,
    pub(super) qos: QoS,
    pub(super) wire: Option<Wire>,
    pub(super) is_connected: bool,
    pub(super) next_number: u64,
    pub(super) next_id: PacketId,
    /// Sent, not acknowledged: identifier, number, topic, whether PUBREC came.
    pub(super) window: VecDeque<(PacketId, u64, String, bool)>,
    /// Number to (topic, when first sent).
    pub(super) sent: BTreeMap<u64, (String, u64)>,
    pub(super) acknowledged: BTreeSet<u64>,
    /// Of a class that a fault took away: it may be lost, or come again.
    pub(super) excused: BTreeSet<u64>,
}

/// Takes messages, acknowledges them in its own time, keeps its session.
pub(super) struct Subscriber {
    pub(super) id: String,
    pub(super) version: Version,
    pub(super) filter: &'static str,
    pub(super) qos: QoS,
    pub(super) wire: Option<Wire>,
    pub(super) is_connected: bool,
    pub(super) had_session: bool,
    /// When SUBACK came.
    pub(super) subscribed_at: Option<u64>,
    pub(super) wants_subscription: bool,
    /// A power cut may have taken its session, and it has not subscribed again.
    pub(super) is_adrift: bool,
    /// QoS 2 identifiers that were received and not released.
    pub(super) open: BTreeSet<PacketId>,
    /// What the application got, in order: publisher, number, topic, QoS of the delivery.
    pub(super) got: Vec<(String, u64, String, QoS)>,
}

impl Publisher {
    pub(super) fn publish(&self, packet_id: PacketId, number: u64, dup: bool) -> Vec<u8> {
        let topic = format!("t/{}/{}", self.id, number % 3);
        let payload = format!("{} {number}", self.id);
        let mut publish = Publish::new(&topic, payload.as_bytes());
        (publish.qos, publish.packet_id, publish.dup) = (self.qos, Some(packet_id), dup);
        encode(&Packet::Publish(publish), Version::V5)
    }

    pub(super) fn received(&mut self, packet: &Packet<'_>) -> Vec<Vec<u8>> {
        match packet {
            Packet::Connack(connack) => {
                assert_eq!(connack.reason_code, ReasonCode::Success);
                self.is_connected = true;
                if !connack.session_present {
                    // Nobody knows what became of these.
                    self.window.clear();
                }
                let again =
                    self.window.iter().map(|&(id, number, _, is_received)| match is_received {
                        true => encode(&pubrel(id), Version::V5),
                        false => self.publish(id, number, true),
                    });
                again.collect()
            }
            Packet::Puback(ack) => {
                let (id, number, _, _) = self.window.pop_front().expect("an answer to something");
                assert_eq!(id, ack.packet_id, "acknowledgements come in order");
                self.acknowledged.insert(number);
                Vec::new()
            }
            Packet::Pubrec(ack) => {
                let entry = self.window.iter_mut().find(|entry| entry.0 == ack.packet_id);
                let Some(entry) = entry else { return Vec::new() };
                entry.3 = true;
                self.acknowledged.insert(entry.1);
                vec![encode(&pubrel(ack.packet_id), Version::V5)]
            }
            Packet::Pubcomp(ack) => {
                self.window.retain(|entry| entry.0 != ack.packet_id);
                Vec::new()
            }
            Packet::Disconnect(_) => Vec::new(),
            other => panic!("a publisher got {other:?}"),
        }
    }
}

impl Subscriber {
    pub(super) fn subscribe(&self) -> Vec<u8> {
        let options = SubscriptionOptions::new(self.qos);
        let wishes = [Requested { filter: self.filter, options }];
        let packet = Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_id: None,
            user_properties: UserProperties::EMPTY,
            filters: SubscribeFilters::from_slice(&wishes),
        });
        encode(&packet, self.version)
    }

    pub(super) fn received(&mut self, packet: &Packet<'_>, clock: u64) -> Option<Vec<u8>> {
        let version = self.version;
        match packet {
            Packet::Connack(connack) => {
                assert_eq!(connack.reason_code, ReasonCode::Success);
                self.is_connected = true;
                if self.had_session {
                    assert!(connack.session_present, "{}: a session is gone", self.id);
                }
                if !connack.session_present {
                    self.open.clear();
                }
                self.had_session = true;
                self.wants_subscription = self.subscribed_at.is_none() || self.is_adrift;
                None
            }
            Packet::Suback(_) => {
                trace(|| format!("{clock} {} is subscribed", self.id));
                self.subscribed_at.get_or_insert(clock);
                self.is_adrift = false;
                None
            }
            Packet::Publish(publish) => {
                let payload = std::str::from_utf8(publish.payload).expect("text");
                let (publisher, number) = payload.split_once(' ').expect("two words");
                let number = number.parse().expect("a number");
                let topic = publish.topic.to_owned();
                let is_new = match (publish.qos, publish.packet_id) {
                    (QoS::ExactlyOnce, Some(packet_id)) => self.open.insert(packet_id),
                    _ => true,
                };
                if is_new {
                    self.got.push((publisher.to_owned(), number, topic, publish.qos));
                }
                let packet_id = publish.packet_id?;
                let ack = Ack::new(packet_id, ReasonCode::Success);
                Some(match publish.qos {
                    QoS::ExactlyOnce => encode(&Packet::Pubrec(ack), version),
                    _ => encode(&Packet::Puback(ack), version),
                })
            }
            Packet::Pubrel(ack) => {
                self.open.remove(&ack.packet_id);
                let pubcomp = Packet::Pubcomp(Ack::new(ack.packet_id, ReasonCode::Success));
                Some(encode(&pubcomp, version))
            }
            Packet::Disconnect(_) => None,
            other => panic!("a subscriber got {other:?}"),
        }
    }
}

fn pubrel(packet_id: PacketId) -> Packet<'static> {
    Packet::Pubrel(Ack::new(packet_id, ReasonCode::Success))
}

fn encode(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes).expect("test packets are encodable");
    bytes
}

/// Tells the story of a seed when it is asked for: `FLOTILLA_TRACE=1 FLOTILLA_SEEDS=12..13`.
pub(super) fn trace(line: impl FnOnce() -> String) {
    if std::env::var_os("FLOTILLA_TRACE").is_some() {
        println!("{}", line());
    }
}
