//! What honest clients make of what they read.

use flotilla_mqtt::{Ack, Auth, Packet, PacketId, QoS, ReasonCode, Version, decode};

use super::World;
use super::actions::METHOD;
use crate::client::What;
use crate::model::Who;
use crate::tally::Happening;

/// A packet as a client keeps it.
enum Read {
    Connack { is_success: bool, is_present: bool, receive_maximum: usize },
    Publish { packet_id: Option<PacketId>, qos: QoS },
    Puback(PacketId),
    Pubrec(PacketId, ReasonCode),
    Pubrel(PacketId),
    Pubcomp(PacketId),
    Suback(PacketId),
    Auth(ReasonCode),
    Nothing,
}

impl World {
    /// The client reads so many bytes at most.
    pub(super) fn down(&mut self, who: Who, bytes: usize) {
        let Some(line) = self.clients[who].line else { return };
        let wire = self.lines[line].wire;
        let taken = self.bench.take_bytes(wire, bytes);
        let is_over = !self.bench.is_open(wire) && self.bench.inbox(wire).is_empty();
        let version = self.clients[who].profile.version;
        self.clients[who].downlink.extend(taken);
        while let Some((packet, len)) =
            decode(&self.clients[who].downlink, version, u32::MAX).expect("valid packets")
        {
            let read = read(&packet);
            self.clients[who].downlink.drain(..len);
            self.read(who, read);
        }
        if is_over {
            self.clients[who].forget_line();
            self.tell(|| format!("c{who} sees the end of connection {line}"));
        }
    }

    fn read(&mut self, who: Who, read: Read) {
        let client = &mut self.clients[who];
        match read {
            Read::Connack { is_success: false, .. } | Read::Nothing => {}
            Read::Connack { is_present, receive_maximum, .. } => {
                client.is_connected = true;
                client.window_max = receive_maximum.min(4);
                if !is_present {
                    client.open.clear();
                    // Nobody knows what became of these.
                    client.window.clear();
                }
                for at in 0..client.window.len() {
                    let (packet_id, number) =
                        (client.window[at].packet_id, client.window[at].number);
                    if client.window[at].is_received {
                        client.pubrel(packet_id);
                    } else {
                        let publication = &self.model.publications[number];
                        client.publish(number, publication, Some(packet_id), true, None);
                        self.tally.count(Happening::PublishAgain);
                    }
                }
            }
            Read::Publish { packet_id: None, .. } => {}
            // Now and then it cannot take one.
            Read::Publish { packet_id: Some(packet_id), qos }
                if client.profile.version == Version::V5 && packet_id.get() % 16 == 9 =>
            {
                let ack = Ack::new(packet_id, ReasonCode::ImplementationSpecificError);
                client.open.remove(&packet_id);
                let packet = match qos {
                    QoS::ExactlyOnce => Packet::Pubrec(ack),
                    _ => Packet::Puback(ack),
                };
                client.answer(&packet, What::Refused(packet_id));
            }
            Read::Publish { packet_id: Some(packet_id), qos } => {
                let ack = Ack::new(packet_id, ReasonCode::Success);
                if qos == QoS::ExactlyOnce {
                    client.open.insert(packet_id);
                    client.answer(&Packet::Pubrec(ack), What::Received(packet_id));
                } else {
                    client.answer(&Packet::Puback(ack), What::Done(packet_id));
                }
            }
            Read::Pubrel(packet_id) => {
                client.open.remove(&packet_id);
                let ack = Ack::new(packet_id, ReasonCode::Success);
                client.answer(&Packet::Pubcomp(ack), What::Done(packet_id));
            }
            Read::Puback(packet_id) => {
                let first = client
                    .window
                    .iter()
                    .find(|it| self.model.publications[it.number].qos == QoS::AtLeastOnce);
                let first = first.map(|it| it.packet_id);
                assert_eq!(first, Some(packet_id), "c{who}: PUBACK comes in order [MQTT-4.6.0-2]");
                client.window.retain(|it| it.packet_id != packet_id);
            }
            Read::Pubrec(packet_id, code) if code.code() >= 0x80 => {
                client.window.retain(|it| it.packet_id != packet_id);
            }
            Read::Pubrec(packet_id, _) => {
                let entry = client.window.iter_mut().find(|it| it.packet_id == packet_id);
                if let Some(entry) = entry {
                    entry.is_received = true;
                    client.pubrel(packet_id);
                }
            }
            Read::Pubcomp(packet_id) => client.window.retain(|it| it.packet_id != packet_id),
            Read::Auth(ReasonCode::ContinueAuthentication) => {
                let mut auth = Auth::new(ReasonCode::ContinueAuthentication, METHOD);
                auth.authentication_data = Some(client.shows.unwrap_or("me").as_bytes());
                client.send(&Packet::Auth(auth), What::Other);
            }
            Read::Auth(_) => {
                let shown = client.shows.take();
                assert_eq!(shown, Some("me"), "c{who} is still who it was");
                self.tally.count(Happening::Reauthenticated);
            }
            Read::Suback(packet_id) => client.asked.retain(|(asked, _)| *asked != packet_id),
        }
    }
}

fn read(packet: &Packet<'_>) -> Read {
    match packet {
        Packet::Connack(connack) => Read::Connack {
            is_success: connack.reason_code == ReasonCode::Success,
            is_present: connack.session_present,
            receive_maximum: connack.properties.receive_maximum.unwrap_or(u16::MAX).into(),
        },
        Packet::Publish(publish) => {
            Read::Publish { packet_id: publish.packet_id, qos: publish.qos }
        }
        Packet::Puback(ack) => Read::Puback(ack.packet_id),
        Packet::Pubrec(ack) => Read::Pubrec(ack.packet_id, ack.reason_code),
        Packet::Pubrel(ack) => Read::Pubrel(ack.packet_id),
        Packet::Pubcomp(ack) => Read::Pubcomp(ack.packet_id),
        Packet::Suback(ack) => Read::Suback(ack.packet_id),
        Packet::Unsuback(ack) => Read::Suback(ack.packet_id),
        Packet::Auth(auth) => Read::Auth(auth.reason_code),
        _ => Read::Nothing,
    }
}
