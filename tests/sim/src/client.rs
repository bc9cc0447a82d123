//! An honest client: what it remembers, what it sends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flotilla_mqtt::{Ack, Packet, PacketId, Publish, QoS, ReasonCode, Version};

use crate::bench::Wire;
use crate::model::{Publication, Step};
use crate::plan::Profile;

/// A client, with the connection that it uses.
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) profile: Profile,
    pub(crate) line: Option<usize>,
    /// CONNACK was read.
    pub(crate) is_connected: bool,
    /// Packets on their way, the first of them less what has arrived.
    pub(crate) uplink: VecDeque<Sent>,
    /// Bytes that were read and are no whole packet.
    pub(crate) downlink: Vec<u8>,
    /// Answers that it has put off.
    pub(crate) answers: VecDeque<Sent>,
    /// Published, not acknowledged.
    pub(crate) window: VecDeque<Outgoing>,
    pub(crate) window_max: usize,
    pub(crate) next_id: PacketId,
    /// QoS 2 identifiers that were received and not released.
    pub(crate) open: BTreeSet<PacketId>,
    /// Of SUBSCRIBE and UNSUBSCRIBE: with the wishes that it is about.
    pub(crate) asked: VecDeque<(PacketId, Vec<usize>)>,
    /// Topics that the broker knows by a number on this connection.
    pub(crate) aliases: BTreeMap<u16, String>,
    /// It waits for the end of an exchange of AUTH packets, and says that it is this one.
    pub(crate) shows: Option<&'static str>,
}

/// A message that the client has published.
pub(crate) struct Outgoing {
    pub(crate) packet_id: PacketId,
    pub(crate) number: usize,
    pub(crate) is_received: bool,
}

/// A packet on its way to the broker.
pub(crate) struct Sent {
    pub(crate) bytes: Vec<u8>,
    pub(crate) what: What,
}

/// What the model must know of a packet when its last byte has come.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Connect {
        will: Option<usize>,
    },
    Publish(usize),
    Subscribe(Vec<usize>),
    Unsubscribe(Vec<usize>),
    /// PUBACK or PUBCOMP: the identifier is free.
    Done(PacketId),
    /// PUBACK or PUBREC that refuses the message.
    Refused(PacketId),
    /// PUBREC with success.
    Received(PacketId),
    Disconnect,
    DisconnectWithWill,
    Other,
}

/// A socket, on which the broker can be heard.
pub(crate) struct Line {
    pub(crate) who: usize,
    pub(crate) wire: Wire,
    pub(crate) is_clean: bool,
    pub(crate) has_connack: bool,
    /// Of CONNECT.
    pub(crate) receive_maximum: usize,
    /// Topics by Topic Alias, as the broker has set them.
    pub(crate) aliases: BTreeMap<u16, String>,
    /// Pushed at QoS 1 or 2 on this connection, not acknowledged.
    pub(crate) on_wire: BTreeSet<PacketId>,
    pub(crate) is_closed: bool,
    /// When CONNECT had come.
    pub(crate) connected_at: Option<Step>,
    /// CONNACK said yes.
    pub(crate) is_accepted: bool,
    /// Its Will is published as soon as the connection is gone.
    pub(crate) has_prompt_will: bool,
    pub(crate) will: Option<usize>,
}

impl Client {
    pub(crate) fn new(at: usize, profile: Profile) -> Self {
        Self {
            name: format!("c{at}"),
            profile,
            line: None,
            is_connected: false,
            uplink: VecDeque::new(),
            downlink: Vec::new(),
            answers: VecDeque::new(),
            window: VecDeque::new(),
            window_max: 4,
            next_id: PacketId::MIN,
            open: BTreeSet::new(),
            asked: VecDeque::new(),
            aliases: BTreeMap::new(),
            shows: None,
        }
    }

    /// Its connection is no more.
    pub(crate) fn forget_line(&mut self) {
        self.line = None;
        self.is_connected = false;
        self.uplink.clear();
        self.downlink.clear();
        self.answers.clear();
        self.asked.clear();
        self.aliases.clear();
        self.shows = None;
    }

    pub(crate) fn send(&mut self, packet: &Packet<'_>, what: What) {
        let bytes = encode(packet, self.profile.version);
        self.uplink.push_back(Sent { bytes, what });
    }

    /// Few identifiers, so that each is soon used for another message.
    pub(crate) fn free_id(&mut self) -> Option<PacketId> {
        let ids = (1..=8).filter_map(PacketId::new);
        let is_free = |id: &PacketId| {
            self.window.iter().all(|entry| entry.packet_id != *id)
                && self.asked.iter().all(|(asked, _)| asked != id)
        };
        let later = ids.clone().filter(|id| *id > self.next_id).chain(ids);
        let free = later.clone().find(is_free)?;
        self.next_id = free;
        Some(free)
    }

    pub(crate) fn publish(
        &mut self,
        number: usize,
        publication: &Publication,
        packet_id: Option<PacketId>,
        dup: bool,
        alias: Option<u16>,
    ) {
        let payload = payload(number, publication);
        let mut publish = Publish::new(&publication.topic, &payload);
        if let Some(alias) = alias {
            let known = self.aliases.insert(alias, publication.topic.clone());
            publish.topic_alias = Some(alias);
            if known.is_some_and(|known| known == publication.topic) {
                publish.topic = "";
            }
        }
        (publish.qos, publish.packet_id, publish.dup) = (publication.qos, packet_id, dup);
        publish.retain = publication.retain;
        publish.message_expiry_interval_s = publication.expiry_s;
        self.send(&Packet::Publish(publish), What::Publish(number));
    }

    /// Answers at once, or later.
    pub(crate) fn answer(&mut self, packet: &Packet<'_>, what: What) {
        let bytes = encode(packet, self.profile.version);
        self.answers.push_back(Sent { bytes, what });
        if !self.profile.is_lazy {
            self.uplink.append(&mut self.answers);
        }
    }

    pub(crate) fn pubrel(&mut self, packet_id: PacketId) {
        let packet = Packet::Pubrel(Ack::new(packet_id, ReasonCode::Success));
        self.send(&packet, What::Other);
    }
}

/// With the number in front, so that it can be told.
pub(crate) fn payload(number: usize, publication: &Publication) -> Vec<u8> {
    match (publication.is_empty, publication.is_long) {
        (true, _) => Vec::new(),
        (_, true) => format!("m{number} {}", "long ".repeat(20)).into_bytes(),
        _ => format!("m{number}").into_bytes(),
    }
}

pub(crate) fn encode(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes).expect("packets of the simulator can be encoded");
    bytes
}

/// The three of them.
pub(crate) const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
