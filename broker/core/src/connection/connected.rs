//! A connection that has its session.

use flotilla_mqtt::{Ack, AckProperties, Packet, QoS, ReasonCode, ReasonCodes, Suback};

use crate::connection::alias::Aliases;
use crate::connection::authenticate::Enhanced;
use crate::connection::await_session::Welcome;
use crate::connection::explain::explain;
use crate::connection::negotiated::Negotiated;
use crate::connection::outbox::Outbox;
use crate::connection::owed::{Acknowledgement, Due, Owed};
use crate::connection::refusal::Refusal;
use crate::connection::shorthand::Shorthand;
use crate::connection::{exchange, leave, publish, subscribe};
use crate::id::{ConnectionKey, SessionKey};
use crate::session::Session;
use crate::shard::desk::{Desk, Waiter};
use crate::turn::{Question, Turn};

/// What ends with the connection; what does not is in the [`Session`].
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) key: ConnectionKey,
    pub(crate) session: SessionKey,
    pub(crate) negotiated: Negotiated,
    /// What CONNACK will say; `None`: it has left. Most connections are older than that.
    pub(crate) welcome: Option<Box<Welcome>>,
    pub(crate) aliases: Aliases,
    /// Topic Aliases towards the client, if it takes any.
    pub(crate) shorthand: Option<Box<Shorthand>>,
    /// The enhanced authentication by which it came, if by any.
    pub(crate) enhanced: Option<Box<Enhanced>>,
    pub(crate) owed: Owed,
    /// Whether it is not read because it is owed so much.
    pub(crate) is_owed_much: bool,
    /// Whether it has a timer for Keep Alive; else the one for CONNECT, which rings sooner, goes on as
    /// that.
    pub(crate) is_watched: bool,
    /// QoS 1 and 2 messages from the client that are not acknowledged ([MQTT-3.3.4-7]).
    pub(crate) unacknowledged: u16,
    /// Monotonic milliseconds.
    pub(crate) last_received_ms: u64,
}

/// Whether the connection goes on after a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// It does.
    Stay,
    /// DISCONNECT came; whether the Will is to be published.
    Leave { publish_will: bool },
}

impl Connected {
    pub(crate) fn new(
        key: ConnectionKey,
        session: SessionKey,
        negotiated: Negotiated,
        welcome: Welcome,
        enhanced: Option<Box<Enhanced>>,
        monotonic_ms: u64,
    ) -> Self {
        Self {
            key,
            session,
            negotiated,
            welcome: Some(Box::new(welcome)),
            aliases: Aliases::default(),
            shorthand: (negotiated.topic_aliases_max > 0)
                .then(|| Box::new(Shorthand::new(negotiated.topic_aliases_max))),
            enhanced,
            owed: Owed::default(),
            is_owed_much: false,
            is_watched: false,
            unacknowledged: 0,
            last_received_ms: monotonic_ms,
        }
    }

    /// A packet came.
    ///
    /// # Errors
    /// When it ends the connection through the client's fault.
    pub(crate) fn received(
        &mut self,
        packet: &Packet<'_>,
        session: &mut Session,
        outbox: &mut Outbox,
        desk: &mut Desk,
        out: &mut Turn,
    ) -> Result<Flow, Refusal> {
        match packet {
            Packet::Publish(publish) => publish::received(publish, self, session, desk)?,
            Packet::Puback(ack) => exchange::puback(ack, self, session, outbox, desk, out),
            Packet::Pubrec(ack) => exchange::pubrec(ack, self, session, outbox, desk, out),
            Packet::Pubrel(ack) => exchange::pubrel(ack, self, desk),
            Packet::Pubcomp(ack) => exchange::pubcomp(ack, self, session, outbox, desk, out),
            Packet::Subscribe(packet) => subscribe::subscribe(packet, self, desk),
            Packet::Unsubscribe(packet) => subscribe::unsubscribe(packet, self, desk),
            Packet::Pingreq => {
                let version = self.negotiated.version;
                outbox.push(&Packet::Pingresp, version, &mut desk.counters);
            }
            Packet::Disconnect(packet) => return leave::disconnect(packet, session, desk),
            Packet::Auth(auth) => {
                let Some(enhanced) = &mut self.enhanced else {
                    return Err(Refusal::new(
                        ReasonCode::ProtocolError,
                        "AUTH came, and CONNECT had no Authentication Method [MQTT-4.12.0-7]",
                    ));
                };
                let (exchange, client_id) = (enhanced.received(auth)?, session.client_id.as_str());
                out.questions.push(Question::of_exchange(self.key, client_id.into(), exchange));
            }
            Packet::Connect(_) => {
                return Err(Refusal::new(
                    ReasonCode::ProtocolError,
                    "a second CONNECT came [MQTT-3.1.0-2]",
                ));
            }
            Packet::Connack(_) | Packet::Suback(_) | Packet::Unsuback(_) | Packet::Pingresp => {
                return Err(Refusal::new(
                    ReasonCode::ProtocolError,
                    "a packet came that only a server sends",
                ));
            }
        }
        desk.touch(self.key, outbox);
        Ok(Flow::Stay)
    }

    /// Whether this may have to be stored, and the client cannot be told that it is not: where the
    /// only answer is yes, it must wait for one.
    pub(crate) fn must_not_publish(&self, packet: &Packet<'_>) -> bool {
        let needs_answer = |packet: &Packet<'_>| match packet {
            Packet::Publish(publish) => publish.qos > QoS::AtMostOnce,
            _ => false,
        };
        !self.negotiated.can_be_told && needs_answer(packet)
    }

    /// Owes the client an acknowledgement; one that is due leaves at once.
    pub(crate) fn owe(
        &mut self,
        due: Due,
        acknowledgement: Acknowledgement,
        outbox: &mut Outbox,
        desk: &mut Desk,
    ) {
        if due == Due::Now && self.owed.is_empty() {
            self.push(&acknowledgement, outbox, desk);
            return desk.touch(self.key, outbox);
        }
        self.owed.push(due, acknowledgement);
        match due {
            Due::Now => self.acknowledge(outbox, desk),
            Due::Stored(_, class) => desk.wait(class, Waiter::Connection(self.key)),
            // The session waits for its record, then the connection for that batch.
            Due::Recorded => {}
        }
    }

    /// Sends what is due. Messages that waited for a SUBACK may leave then.
    pub(crate) fn acknowledge(&mut self, outbox: &mut Outbox, desk: &mut Desk) {
        while let Some(acknowledgement) = self.owed.pop(desk.reached) {
            self.push(&acknowledgement, outbox, desk);
        }
        desk.touch(self.key, outbox);
    }

    fn push(&mut self, acknowledgement: &Acknowledgement, outbox: &mut Outbox, desk: &mut Desk) {
        let Negotiated { version, packet_size_max, wants_reasons, .. } = self.negotiated;
        let mut packet = self.packet(acknowledgement, None);
        if let (true, Some(why)) = (wants_reasons, explain(acknowledgement)) {
            let explained = self.packet(acknowledgement, Some(why));
            // [MQTT-3.4.2-2], [MQTT-3.5.2-2], [MQTT-3.7.2-2], [MQTT-3.9.2-1]
            if explained.encoded_len(version) <= packet_size_max as usize {
                packet = explained;
            }
        }
        if acknowledgement.ends_publish() {
            self.unacknowledged = self.unacknowledged.saturating_sub(1);
        }
        desk.buffer(outbox);
        outbox.push(&packet, version, &mut desk.counters);
    }

    fn packet<'a>(&self, acknowledgement: &'a Acknowledgement, why: Option<&'a str>) -> Packet<'a> {
        let properties = AckProperties { reason_string: why, ..AckProperties::EMPTY };
        let ack = |packet_id, reason_code| Ack {
            properties,
            ..Ack::new(packet_id, self.negotiated.positive(reason_code))
        };
        let suback = |packet_id, reason_codes| Suback {
            packet_id,
            properties,
            reason_codes: ReasonCodes::from_slice(reason_codes),
        };
        match acknowledgement {
            &Acknowledgement::Puback(packet_id, code) => Packet::Puback(ack(packet_id, code)),
            &Acknowledgement::Pubrec(packet_id, code) => Packet::Pubrec(ack(packet_id, code)),
            &Acknowledgement::Pubcomp(packet_id, code) => Packet::Pubcomp(ack(packet_id, code)),
            Acknowledgement::Suback(packet_id, codes) => Packet::Suback(suback(*packet_id, codes)),
            Acknowledgement::Unsuback(packet_id, codes) => {
                Packet::Unsuback(suback(*packet_id, codes))
            }
        }
    }
}
