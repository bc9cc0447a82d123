//! Whole exchanges of a client that behaves: publish with acknowledgement, subscribe, ping.

use crate::{
    Ack, Client, Packet, Property, Publish,
    packet::{DISCONNECT, PINGREQ, puback, pubcomp, pubrec, pubrel, subscribe, unsubscribe},
};

/// What a message looks like where only its content matters: topic, payload as text, QoS, RETAIN.
pub type Received = (String, String, u8, bool);

impl Client {
    /// Subscribes and returns the codes; the options byte of a filter is at least its QoS.
    ///
    /// # Panics
    /// Without a SUBACK.
    #[track_caller]
    pub fn subscribe_with(&mut self, filters: &[(&str, u8)], properties: &[Property]) -> Vec<u8> {
        let id = self.packet_id();
        self.send(&subscribe(self.version(), id, filters, properties));
        self.await_packet(|packet| match packet {
            Packet::Suback(of, codes, _) if *of == id => Some(codes.clone()),
            _ => None,
        })
    }

    /// Subscribes to one filter, which must be granted.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn subscribe(&mut self, filter: &str, options: u8) {
        let codes = self.subscribe_with(&[(filter, options)], &[]);
        assert_eq!(codes, [options & 3], "granted for '{filter}'");
    }

    /// Unsubscribes and returns the codes.
    ///
    /// # Panics
    /// Without an UNSUBACK.
    #[track_caller]
    pub fn unsubscribe(&mut self, filters: &[&str]) -> Vec<u8> {
        let id = self.packet_id();
        self.send(&unsubscribe(self.version(), id, filters));
        self.await_packet(|packet| match packet {
            Packet::Unsuback(of, codes, _) if *of == id => Some(codes.clone()),
            _ => None,
        })
    }

    /// Publishes and goes through the whole acknowledgement.
    ///
    /// # Panics
    /// When the broker refuses the message, or does not acknowledge it.
    #[track_caller]
    pub fn publish(&mut self, topic: &str, payload: impl AsRef<[u8]>, qos: u8) {
        self.publish_packet(Publish::new(topic, payload).qos(qos, 0));
    }

    /// As [`Client::publish`], with all that a packet can carry; the Packet Identifier is set here.
    ///
    /// # Panics
    /// When the broker refuses the message, or does not acknowledge it.
    #[track_caller]
    pub fn publish_packet(&mut self, publish: Publish) {
        let code = self.try_publish(publish);
        assert!(code < 0x80, "refused with 0x{code:02X}");
    }

    /// As [`Client::publish_packet`], returns the Reason Code.
    ///
    /// # Panics
    /// When the broker does not acknowledge it.
    #[track_caller]
    pub fn try_publish(&mut self, mut publish: Publish) -> u8 {
        if publish.qos > 0 {
            publish.id = self.packet_id();
        }
        self.send(&publish.bytes(self.version()));
        match publish.qos {
            0 => 0,
            1 => self.await_puback(publish.id).code,
            _ => {
                let code = self.await_pubrec(publish.id).code;
                if code < 0x80 {
                    self.send(&pubrel(publish.id));
                    assert_eq!(self.await_pubcomp(publish.id).code, 0);
                }
                code
            }
        }
    }

    /// The PUBACK for a Packet Identifier.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn await_puback(&mut self, id: u16) -> Ack {
        self.await_packet(|packet| match packet {
            Packet::Puback(ack) if ack.id == id => Some(ack.clone()),
            _ => None,
        })
    }

    /// The PUBREC for a Packet Identifier.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn await_pubrec(&mut self, id: u16) -> Ack {
        self.await_packet(|packet| match packet {
            Packet::Pubrec(ack) if ack.id == id => Some(ack.clone()),
            _ => None,
        })
    }

    /// The PUBREL for a Packet Identifier.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn await_pubrel(&mut self, id: u16) -> Ack {
        self.await_packet(|packet| match packet {
            Packet::Pubrel(ack) if ack.id == id => Some(ack.clone()),
            _ => None,
        })
    }

    /// The PUBCOMP for a Packet Identifier.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn await_pubcomp(&mut self, id: u16) -> Ack {
        self.await_packet(|packet| match packet {
            Packet::Pubcomp(ack) if ack.id == id => Some(ack.clone()),
            _ => None,
        })
    }

    /// The next PUBLISH, not acknowledged.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn await_publish(&mut self) -> Publish {
        self.await_packet(|packet| match packet {
            Packet::Publish(publish) => Some(publish.clone()),
            _ => None,
        })
    }

    /// The next PUBLISH, acknowledged to the end. A PUBREL that the broker sends again before it,
    /// because a PUBCOMP was lost, is answered.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn take(&mut self) -> Publish {
        loop {
            let packet = self.await_packet(|packet| {
                matches!(packet, Packet::Publish(_) | Packet::Pubrel(_)).then(|| packet.clone())
            });
            match packet {
                Packet::Publish(publish) => {
                    self.acknowledge(&publish);
                    return publish;
                }
                Packet::Pubrel(ack) => self.send(&pubcomp(ack.id)),
                other => unreachable!("not selected: {other:?}"),
            }
        }
    }

    /// Acknowledges a PUBLISH to the end.
    ///
    /// # Panics
    /// When the broker does not go on at QoS 2.
    #[track_caller]
    pub fn acknowledge(&mut self, publish: &Publish) {
        match publish.qos {
            0 => {}
            1 => self.send(&puback(publish.id)),
            _ => {
                self.send(&pubrec(publish.id));
                self.await_pubrel(publish.id);
                self.send(&pubcomp(publish.id));
            }
        }
    }

    /// As [`Client::take`], the content only.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn take_content(&mut self) -> Received {
        let publish = self.take();
        let text = publish.text().to_owned();
        (publish.topic, text, publish.qos, publish.retain)
    }

    /// The payloads of the next messages, each acknowledged, up to one with the payload `last`.
    ///
    /// # Panics
    /// When that one does not come.
    #[track_caller]
    pub fn take_until(&mut self, last: &str) -> Vec<String> {
        let mut payloads = Vec::new();
        loop {
            let publish = self.take();
            if publish.payload == last.as_bytes() {
                return payloads;
            }
            payloads.push(publish.text().to_owned());
        }
    }

    /// PINGREQ, PINGRESP: the broker has read all that was sent before.
    ///
    /// # Panics
    /// Without PINGRESP.
    #[track_caller]
    pub fn ping(&mut self) {
        self.send(PINGREQ);
        self.await_packet(|packet| matches!(packet, Packet::Pingresp).then_some(()));
    }

    /// DISCONNECT, and the broker's end of the connection.
    ///
    /// # Panics
    /// When the broker does not close.
    #[track_caller]
    pub fn disconnect(mut self) {
        self.send(DISCONNECT);
        self.until_closed();
    }
}
