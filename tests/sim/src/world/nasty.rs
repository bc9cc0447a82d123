//! Clients that wish the broker ill. They keep out of the topics and groups of the honest ones;
//! whatever they send, it costs them their own connection at most.

use flotilla_mqtt::{
    Ack, Auth, Connect, Disconnect, Packet, PacketId, Publish, ReasonCode, Requested, Subscribe,
    SubscribeFilters, SubscriptionOptions, Unsubscribe, UnsubscribeFilters, UserProperties,
    Version, Will,
};

use super::World;
use crate::bench::Wire;
use crate::bench::dice::Dice;
use crate::client::{QOS, encode};

const NAMES: [&str; 3] = ["n0", "n1", "n2"];
const TOPICS: [&str; 5] = ["n/a", "n/a/b", "n", "n/c/d", "$n/a"];
const FILTERS: [&str; 6] = ["n/a", "#", "n/+", "$share/n/#", "$share/n/n/a", "+/c/d"];

/// Their connections.
#[derive(Default)]
pub(super) struct Nasty {
    wires: Vec<(Wire, Version)>,
}

impl Nasty {
    pub(super) fn forget(&mut self) {
        self.wires.clear();
    }
}

impl World {
    pub(super) fn nasty_connects(&mut self, d: &mut Dice) {
        let version = if d.one_in(3) { Version::V3_1_1 } else { Version::V5 };
        let name = if d.one_in(24) { "" } else { NAMES[d.below(3)] };
        let mut connect = Connect::new(version, name);
        connect.session_expiry_interval_s = [0, 2, 60, u32::MAX][d.below(4)];
        connect.clean_start = d.one_in(3);
        if version == Version::V3_1_1 {
            connect.clean_start = d.one_in(2);
            connect.session_expiry_interval_s = if connect.clean_start { 0 } else { u32::MAX };
        } else {
            connect.receive_maximum = 1 + d.below(4) as u16;
            connect.maximum_packet_size = d.one_in(4).then_some(30);
            connect.keep_alive_s = d.below(4) as u16;
            if d.one_in(8) {
                connect.authentication_method = Some("any");
                connect.authentication_data = Some(b"me");
            }
        }
        let mut will = Will::new(TOPICS[d.below(5)], b"will", QOS[d.below(3)], d.one_in(3));
        if version == Version::V5 {
            will.delay_interval_s = d.below(4) as u32;
        }
        connect.will = d.one_in(2).then_some(will);
        let shard = d.below(self.bench.shards.len()) as u16;
        if d.one_in(10) {
            self.bench.refuse_next = Some(ReasonCode::NotAuthorized);
        }
        let mut bytes = encode(&Packet::Connect(connect), version);
        if d.one_in(10) {
            let at = d.below(bytes.len());
            bytes[at] ^= 1 << d.below(8);
        }
        let wire = self.bench.open(shard, version);
        if d.one_in(8) {
            // It says half a word.
            bytes.truncate(d.below(bytes.len()));
        }
        self.bench.send_bytes(wire, &bytes);
        self.nasty.wires.push((wire, version));
        if self.nasty.wires.len() > 8 {
            let (old, _) = self.nasty.wires.remove(0);
            self.bench.cut(old);
        }
        self.tell(|| format!("nasty opens wire {wire}"));
    }

    pub(super) fn nasty_sends(&mut self, d: &mut Dice) {
        let wires = &self.nasty.wires;
        if wires.is_empty() {
            return;
        }
        let (wire, version) = wires[d.below(wires.len())];
        if !self.bench.is_open(wire) {
            return;
        }
        let Some(packet_id) = PacketId::new(1 + d.below(6) as u16) else { return };
        let code = if version == Version::V5 && d.one_in(5) {
            ReasonCode::UnspecifiedError
        } else {
            ReasonCode::Success
        };
        let ack = Ack::new(packet_id, code);
        let long = [b'!'; 100];
        let filters = [FILTERS[d.below(6)]];
        let mut options = SubscriptionOptions::new(QOS[d.below(3)]);
        options.retain_as_published = version == Version::V5 && d.one_in(3);
        let wishes = [Requested { filter: filters[0], options }];
        let packet = match d.below(16) {
            0..=4 => {
                let qos = QOS[d.below(3)];
                let payload = [&b""[..], b"!", b"!!", &long][d.below(4)];
                let mut publish = Publish::new(TOPICS[d.below(5)], payload);
                (publish.qos, publish.retain) = (qos, d.one_in(4));
                publish.packet_id = (qos.bits() > 0).then_some(packet_id);
                if version == Version::V5 && d.one_in(4) {
                    publish.topic_alias = Some(1 + d.below(6) as u16);
                    publish.topic = ["", publish.topic][d.below(2)];
                }
                Packet::Publish(publish)
            }
            5 | 6 => Packet::Subscribe(Subscribe {
                packet_id,
                subscription_id: None,
                user_properties: UserProperties::EMPTY,
                filters: SubscribeFilters::from_slice(&wishes),
            }),
            7 => Packet::Unsubscribe(Unsubscribe {
                packet_id,
                user_properties: UserProperties::EMPTY,
                filters: UnsubscribeFilters::from_slice(&filters),
            }),
            8 | 9 => Packet::Puback(ack),
            10 => Packet::Pubrec(ack),
            11 => Packet::Pubrel(Ack::new(packet_id, ReasonCode::Success)),
            12 => Packet::Pubcomp(Ack::new(packet_id, ReasonCode::Success)),
            13 if version == Version::V5 && d.one_in(4) => {
                Packet::Auth(Auth::new(ReasonCode::ReAuthenticate, "any"))
            }
            14 if d.one_in(3) => Packet::Disconnect(Disconnect::new(ReasonCode::Success)),
            _ => Packet::Pingreq,
        };
        let mut bytes = encode(&packet, version);
        if d.one_in(12) {
            let at = d.below(bytes.len());
            bytes[at] ^= 1 << d.below(8);
        }
        self.bench.send_bytes(wire, &bytes);
        self.tell(|| format!("nasty sends on wire {wire}: {bytes:02x?}"));
    }

    pub(super) fn nasty_rests(&mut self, d: &mut Dice) {
        let wires = &self.nasty.wires;
        if wires.is_empty() {
            return;
        }
        let (wire, _) = wires[d.below(wires.len())];
        match d.below(6) {
            0 => self.bench.cut(wire),
            1 => self.bench.stuff(wire, true),
            2 => self.bench.stuff(wire, false),
            _ => drop(self.bench.take_bytes(wire, usize::MAX)),
        }
    }

    pub(super) fn nasty_goes(&mut self) {
        for (wire, _) in std::mem::take(&mut self.nasty.wires) {
            self.bench.cut(wire);
        }
    }
}
