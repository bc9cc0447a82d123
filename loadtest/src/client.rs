//! One MQTT connection of the run: what it says, what it makes of what it hears.

use std::net::IpAddr;

use flotilla_mqtt::{
    Connect, Disconnect, Packet, PacketId, Publish, QoS, ReasonCode, Requested, Subscribe,
    SubscribeFilters, SubscriptionOptions, Version, Will, decode,
};

use crate::{
    desk::{Desk, Watch},
    error::Error,
    fleet::Target,
    link::Link,
};

/// Filters in one SUBSCRIBE.
const FILTERS_EACH: usize = 100;
/// Largest packet that is accepted, in bytes.
pub(crate) const PACKET_SIZE_MAX: u32 = 1 << 28;

/// What a connection is to be.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub(crate) client_id: String,
    pub(crate) clean_start: bool,
    pub(crate) session_expiry_interval_s: u32,
    /// What it subscribes to; emptied when that is done.
    pub(crate) filters: Vec<String>,
    /// QoS of the subscriptions.
    pub(crate) qos: QoS,
    pub(crate) receives: Receives,
    /// Its publisher, if it publishes.
    pub(crate) publisher: Option<u32>,
    pub(crate) will: Option<LastWords>,
    /// Where the QoS 2 messages are noted that it has and the broker does not know it; for those
    /// whose sessions outlive their connection.
    pub(crate) inbox: Option<usize>,
    /// The address it comes from.
    pub(crate) source: Option<IpAddr>,
    /// Whether it leaves as soon as it is ready.
    pub(crate) is_passing: bool,
}

impl Role {
    /// Somebody who only publishes, or only is there.
    pub(crate) const fn new(client_id: String) -> Self {
        Self {
            client_id,
            clean_start: true,
            session_expiry_interval_s: 0,
            filters: Vec::new(),
            qos: QoS::AtMostOnce,
            receives: Receives::Nothing,
            publisher: None,
            will: None,
            inbox: None,
            source: None,
            is_passing: false,
        }
    }
}

/// What a connection makes of the messages that it gets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Receives {
    /// None is for it.
    Nothing,
    /// Those of the publishers that it looks at.
    Streams(Watch),
    /// Wills of connections that were cut.
    Wills,
    /// Retained messages: of each publisher its last.
    Last,
}

/// A Will, at QoS 1.
#[derive(Clone, Debug)]
pub(crate) struct LastWords {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
}

/// User Name and Password.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    AwaitConnack,
    /// This many SUBACK are to come.
    AwaitSuback(usize),
    Ready,
    /// It reads no more: it will be cut.
    Deaf,
    /// It has said goodbye.
    Left,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) link: Link,
    pub(crate) role: Role,
    pub(crate) phase: Phase,
    /// What the broker takes unacknowledged.
    pub(crate) receive_maximum: u16,
    /// What the broker asks for instead of what CONNECT said.
    pub(crate) server_keep_alive_s: Option<u16>,
    /// PINGRESP that are to come.
    pub(crate) pings: u32,
}

impl Client {
    /// Says CONNECT.
    pub(crate) fn new(mut link: Link, role: Role, target: &Target) -> Result<Self, Error> {
        let (version, credentials) = (target.version, target.credentials.as_ref());
        let mut connect = Connect::new(version, &role.client_id);
        connect.clean_start = role.clean_start;
        connect.session_expiry_interval_s = role.session_expiry_interval_s;
        connect.keep_alive_s = target.keep_alive_s;
        let will = role.will.as_ref();
        connect.will = will.map(|it| Will::new(&it.topic, &it.payload, QoS::AtLeastOnce, false));
        connect.username = credentials.map(|it| it.username.as_str());
        connect.password = credentials.map(|it| it.password.as_slice());
        Packet::Connect(connect).encode(version, link.out())?;
        Ok(Self {
            link,
            role,
            phase: Phase::AwaitConnack,
            receive_maximum: u16::MAX,
            server_keep_alive_s: None,
            pings: 0,
        })
    }

    /// Takes the whole packets at the front of `bytes`; how many bytes they were.
    pub(crate) fn received(&mut self, bytes: &[u8], desk: &mut Desk) -> Result<usize, Error> {
        let mut taken = 0;
        loop {
            let packet = decode(&bytes[taken..], desk.version, PACKET_SIZE_MAX);
            let packet = packet.map_err(|source| Error::Decode {
                client_id: self.role.client_id.clone(),
                source,
            })?;
            let Some((packet, len)) = packet else { return Ok(taken) };
            taken += len;
            match packet {
                // It has said goodbye: what it does not acknowledge comes again, if it comes again.
                _ if self.phase == Phase::Left => {}
                Packet::Publish(publish) => self.delivered(&publish, desk),
                other => self.answered(&other, desk)?,
            }
        }
    }

    fn delivered(&mut self, publish: &Publish<'_>, desk: &mut Desk) {
        if let Some(packet_id) = publish.packet_id {
            let first = if publish.qos == QoS::AtLeastOnce { PUBACK } else { PUBREC };
            self.acknowledge(first, packet_id);
            // Again, because the broker does not know that it came [MQTT-4.3.3-10].
            if publish.qos == QoS::ExactlyOnce
                && let Some(inbox) = self.role.inbox
                && !desk.inboxes[inbox].insert(packet_id)
            {
                return;
            }
        }
        desk.received(publish, self.role.receives);
    }

    fn answered(&mut self, packet: &Packet<'_>, desk: &mut Desk) -> Result<(), Error> {
        match (packet, self.phase) {
            (Packet::Puback(ack) | Packet::Pubcomp(ack), Phase::Ready) => {
                self.acknowledged(ack.reason_code, desk)
            }
            (Packet::Pubrec(ack), Phase::Ready) if ack.reason_code.is_error() => {
                self.acknowledged(ack.reason_code, desk)
            }
            (Packet::Pubrec(ack), Phase::Ready) => {
                self.acknowledge(PUBREL, ack.packet_id);
                Ok(())
            }
            (Packet::Pubrel(ack), _) => {
                if let Some(inbox) = self.role.inbox {
                    desk.inboxes[inbox].remove(&ack.packet_id);
                }
                self.acknowledge(PUBCOMP, ack.packet_id);
                Ok(())
            }
            (Packet::Connack(connack), Phase::AwaitConnack) => {
                if connack.reason_code.is_error() {
                    let reason = connack.reason_code.text();
                    let client_id = self.role.client_id.clone();
                    return Err(Error::Refused { client_id, reason });
                }
                self.receive_maximum = connack.properties.receive_maximum.unwrap_or(u16::MAX);
                self.server_keep_alive_s = connack.properties.server_keep_alive_s;
                self.subscribe(desk.version)
            }
            (Packet::Suback(suback), Phase::AwaitSuback(left)) => {
                if let Some(code) = suback.reason_codes.iter().find(|code| code.is_error()) {
                    let client_id = self.role.client_id.clone();
                    return Err(Error::SubscriptionRefused { client_id, reason: code.text() });
                }
                self.phase = if left == 1 { Phase::Ready } else { Phase::AwaitSuback(left - 1) };
                Ok(())
            }
            (Packet::Disconnect(disconnect), _) => Err(Error::Disconnected {
                client_id: self.role.client_id.clone(),
                reason: disconnect.reason_code.text(),
            }),
            (Packet::Pingresp, _) => {
                self.pings = self.pings.saturating_sub(1);
                Ok(())
            }
            (other, phase) => Err(Error::Unexpected {
                client_id: self.role.client_id.clone(),
                packet: other.packet_type().name(),
                when: phase.name(),
            }),
        }
    }

    /// Says PINGREQ.
    pub(crate) fn ping(&mut self, version: Version) -> Result<(), Error> {
        self.pings += 1;
        Ok(Packet::Pingreq.encode(version, self.link.out())?)
    }

    /// Says DISCONNECT; the broker closes.
    pub(crate) fn leave(&mut self, version: Version) -> Result<(), Error> {
        Packet::Disconnect(Disconnect::new(ReasonCode::Success))
            .encode(version, self.link.out())?;
        self.phase = Phase::Left;
        Ok(())
    }

    fn subscribe(&mut self, version: Version) -> Result<(), Error> {
        let filters = std::mem::take(&mut self.role.filters);
        let mut packet_id = PacketId::MIN;
        for filters in filters.chunks(FILTERS_EACH) {
            let options = SubscriptionOptions::new(self.role.qos);
            let requested: Vec<Requested<'_>> =
                filters.iter().map(|filter| Requested { filter, options }).collect();
            let subscribe = Subscribe {
                packet_id,
                subscription_id: None,
                user_properties: flotilla_mqtt::UserProperties::EMPTY,
                filters: SubscribeFilters::from_slice(&requested),
            };
            Packet::Subscribe(subscribe).encode(version, self.link.out())?;
            packet_id = packet_id.next();
        }
        self.phase = match filters.len().div_ceil(FILTERS_EACH) {
            0 => Phase::Ready,
            packets => Phase::AwaitSuback(packets),
        };
        Ok(())
    }

    fn acknowledged(&mut self, reason_code: ReasonCode, desk: &mut Desk) -> Result<(), Error> {
        let Some(publisher) = self.role.publisher else {
            return Err(Error::Unexpected {
                client_id: self.role.client_id.clone(),
                packet: "acknowledgement",
                when: "for who publishes nothing",
            });
        };
        desk.acknowledged(publisher, reason_code.is_error());
        Ok(())
    }

    /// Success, which both versions say in the same four bytes.
    fn acknowledge(&mut self, first: u8, packet_id: PacketId) {
        let [high, low] = packet_id.get().to_be_bytes();
        self.link.out().extend_from_slice(&[first, 2, high, low]);
    }
}

// First bytes of acknowledgements: type and the flags that belong to it.
const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

impl Phase {
    /// Whether it is on its way to be ready.
    pub(crate) const fn is_opening(self) -> bool {
        matches!(self, Self::AwaitConnack | Self::AwaitSuback(_))
    }

    /// For sentences.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AwaitConnack => "before CONNACK",
            Self::AwaitSuback(_) => "before SUBACK",
            Self::Ready => "while messages flow",
            Self::Deaf => "while it hangs",
            Self::Left => "after DISCONNECT",
        }
    }
}
