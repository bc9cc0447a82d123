//! What the broker says, at the instant when it says it.

use flotilla_core::durability::Class;
use flotilla_mqtt::{Packet, PacketId, Publish, QoS, ReasonCode, decode};

use super::World;
use crate::bench::describe;
use crate::client::Line;
use crate::model::Who;
use crate::tally::Happening;

impl World {
    /// Hears what was pushed to sockets of honest clients since the last time.
    pub(super) fn hear(&mut self) {
        self.note_stored();
        let spoken = self.bench.spoken.as_mut().map(std::mem::take).unwrap_or_default();
        for (wire, bytes) in spoken {
            let line = self.open_lines.iter().copied().find(|&line| self.lines[line].wire == wire);
            let Some(line) = line else { continue };
            let who = self.lines[line].who;
            let version = self.clients[who].profile.version;
            let mut rest = bytes.as_slice();
            while let Some((packet, len)) = decode(rest, version, u32::MAX).expect("valid packets")
            {
                let size_max = self.clients[who].profile.maximum_packet_size;
                let is_right = size_max.is_none_or(|max| len <= max as usize);
                assert!(is_right, "c{who}: {len} bytes are too many");
                self.tell(|| format!("   c{who} on {line}: {}", describe(&packet)));
                self.heard(who, line, &packet);
                rest = &rest[len..];
            }
            assert!(rest.is_empty(), "the broker sends whole packets");
        }
        for line in std::mem::take(&mut self.open_lines) {
            if self.bench.is_open(self.lines[line].wire) {
                self.open_lines.push(line);
            } else {
                self.closed(self.lines[line].who, line);
            }
        }
    }

    /// The broker has ended; nobody hears its last words.
    pub(super) fn hear_no_more(&mut self) {
        for line in self.open_lines.drain(..) {
            self.lines[line].is_closed = true;
        }
    }

    fn closed(&mut self, who: Who, line: usize) {
        self.lines[line].is_closed = true;
        self.publish_will(line);
        let session = &mut self.model.sessions[who];
        session.lost_line = Some(self.model.now);
        session.gone_at_ms = Some(self.bench.now.unix_ms);
        let is_kept = self.clients[who].profile.expiry_s > 0;
        if !is_kept && self.lines[line].has_connack {
            for wish in &mut self.model.wishes {
                if wish.client == who && wish.line == line {
                    wish.ending.get_or_insert(self.model.now);
                }
            }
        }
    }

    /// The Will of a connection that has ended in disorder is on its way.
    fn publish_will(&mut self, line: usize) {
        let line = &self.lines[line];
        let Some(number) = line.will.filter(|_| line.is_accepted && line.has_prompt_will) else {
            return;
        };
        let will = &mut self.model.publications[number];
        if !will.is_cancelled {
            will.sent = Some(self.model.now);
            // While events gather it waits for the end of the turn, and others may come before it.
            will.acknowledged = Some(self.model.now).filter(|_| !self.bench.holds_turn);
        }
    }

    /// The client has left in order: its Will is not published.
    pub(super) fn left(&mut self, line: usize) {
        let Some(will) = self.lines[line].will else { return };
        self.model.publications[will].is_cancelled = self.lines[line].has_connack;
    }

    fn heard(&mut self, who: Who, line: usize, packet: &Packet<'_>) {
        assert!(
            self.lines[line].has_connack || matches!(packet, Packet::Connack(_) | Packet::Auth(_)),
            "c{who}: the first packet is CONNACK, or AUTH [MQTT-3.2.0-1]"
        );
        match packet {
            Packet::Connack(connack) => {
                assert!(!self.lines[line].has_connack, "c{who}: CONNACK again");
                self.lines[line].has_connack = true;
                let properties = connack.properties.user_properties.iter();
                let mut told = properties.filter(|(name, _)| *name == "messages-cleaned");
                self.tally.count_if(told.next().is_some(), Happening::ToldCleaned);
                self.tally.count_if(connack.session_present, Happening::Resumed);
                self.tally.count_if(connack.reason_code.code() >= 0x80, Happening::Refused);
                if connack.reason_code == ReasonCode::Success {
                    self.lines[line].is_accepted = true;
                    let is_clean = self.lines[line].is_clean;
                    let welcomed = self.model.sessions[who].welcomed;
                    let may_have_expired =
                        !matches!(self.model.profile(who).expiry_s, 0 | u32::MAX);
                    self.model.sessions[who].is_murky = self.lines.iter().any(|other| {
                        other.who == who
                            && !other.has_connack
                            && other.connected_at.is_some_and(|at| at >= welcomed)
                            && (other.is_clean || may_have_expired)
                    });
                    self.model.sessions[who].welcomed =
                        self.lines[line].connected_at.unwrap_or_default();
                    self.model.welcomed(who, line, connack.session_present, is_clean);
                    // An earlier connection may still have its turn, and begin anew.
                    let is_waiting = |other: &Line| {
                        other.who == who
                            && other.is_clean
                            && other.connected_at.is_some()
                            && !(other.has_connack || other.is_closed)
                    };
                    if let Some(other) = self.lines.iter().position(is_waiting) {
                        self.model.sessions[who].begins_anew.get_or_insert(other);
                    }
                }
            }
            Packet::Publish(publish) => {
                let topic = self.topic_of(who, line, publish);
                let publish = &Publish { topic: &topic, ..*publish };
                self.count_delivery(publish);
                if let Some(packet_id) = publish.packet_id {
                    let max = self.lines[line].receive_maximum;
                    let on_wire = &mut self.lines[line].on_wire;
                    on_wire.insert(packet_id);
                    let count = on_wire.len();
                    assert!(count <= max, "c{who}: {count} on the wire, Receive Maximum is {max}");
                }
                self.model.pushed(who, line, publish);
                if publish.qos == QoS::ExactlyOnce
                    && let Some(packet_id) = publish.packet_id
                {
                    self.model.sessions[who].open.insert(packet_id);
                }
            }
            Packet::Puback(ack) => {
                self.acknowledged(who, line, ack.packet_id, ack.reason_code, QoS::AtLeastOnce);
            }
            Packet::Pubrec(ack) => {
                self.acknowledged(who, line, ack.packet_id, ack.reason_code, QoS::ExactlyOnce);
            }
            // Whoever asked on a connection that has been left has forgotten it.
            Packet::Suback(_) | Packet::Unsuback(_) if self.clients[who].line != Some(line) => {}
            Packet::Suback(suback) => {
                let asked = self.clients[who].asked.iter().find(|(id, _)| *id == suback.packet_id);
                let Some((_, wishes)) = asked.cloned() else {
                    panic!("c{who}: SUBACK for nothing")
                };
                let codes: Vec<_> = suback.reason_codes.iter().collect();
                for (at, code) in wishes.into_iter().zip(codes) {
                    self.granted(who, at, code);
                }
            }
            Packet::Unsuback(unsuback) => {
                let asked =
                    self.clients[who].asked.iter().find(|(id, _)| *id == unsuback.packet_id);
                let Some((_, wishes)) = asked.cloned() else {
                    panic!("c{who}: UNSUBACK for nothing")
                };
                for at in wishes {
                    self.model.wishes[at].ended.get_or_insert(self.model.now);
                }
            }
            _ => {}
        }
    }

    /// The topic of a PUBLISH, which may be known by a number.
    fn topic_of(&mut self, who: Who, line: usize, publish: &Publish<'_>) -> String {
        let Some(alias) = publish.topic_alias else {
            assert!(!publish.topic.is_empty(), "c{who}: a PUBLISH without a topic");
            return publish.topic.to_owned();
        };
        let max = self.clients[who].profile.topic_alias_maximum;
        assert!((1..=max).contains(&alias), "c{who}: Topic Alias {alias} above {max}");
        let aliases = &mut self.lines[line].aliases;
        if publish.topic.is_empty() {
            self.tally.count(Happening::GotAlias);
            let known = aliases.get(&alias).cloned();
            return known.unwrap_or_else(|| panic!("c{who}: Topic Alias {alias} is not known"));
        }
        let known = aliases.insert(alias, publish.topic.to_owned());
        let is_moved = known.is_some_and(|known| known != publish.topic);
        self.tally.count(Happening::GotAliasSet);
        self.tally.count_if(is_moved, Happening::GotAliasMoved);
        publish.topic.to_owned()
    }

    fn count_delivery(&mut self, publish: &Publish<'_>) {
        let ids: Vec<_> = publish.subscription_ids.iter().collect();
        let wish = |id: &u32| self.model.wishes.get(*id as usize - 1);
        let is_shared = ids.iter().filter_map(wish).any(crate::model::Wish::is_shared);
        self.tally.count_if(publish.dup, Happening::GotDup);
        self.tally.count_if(publish.retain, Happening::GotRetained);
        self.tally.count_if(is_shared, Happening::GotShared);
        self.tally.count_if(ids.len() > 1, Happening::GotIds);
        self.tally.count(match publish.qos {
            QoS::AtMostOnce => Happening::GotQoS0,
            QoS::AtLeastOnce => Happening::GotQoS1,
            QoS::ExactlyOnce => Happening::GotQoS2,
        });
    }

    fn granted(&mut self, who: Who, at: usize, code: ReasonCode) {
        let now = self.model.now;
        let wish = &self.model.wishes[at];
        if code.code() >= 0x80 {
            // What was there before stays as it was.
            self.tally.count(Happening::SubscribeRefused);
            self.model.wishes[at].ended = Some(now);
            return;
        }
        assert_eq!(code.code(), wish.qos.bits(), "c{who}: granted another QoS");
        let filter = wish.filter.clone();
        let profile = self.clients[who].profile;
        if profile.expiry_s == u32::MAX {
            let class = self.setup.durability.default_class().max(Class::Os);
            let stored = match class {
                Class::Fsync => self.bench.engine.synced_session(&format!("c{who}")),
                _ => self.bench.engine.session(&format!("c{who}")),
            };
            let has_it = stored.is_some_and(|stored| {
                stored.record.subscriptions.iter().any(|it| *it.filter == *filter)
            });
            // Another connection may have ended the session since.
            let is_over = self.model.wishes[at].ending.is_some()
                || self.model.sessions[who].begins_anew.is_some();
            assert!(has_it || is_over, "c{who}: SUBACK for {filter}, which is not stored");
        }
        self.model.wishes[at].granted = Some(now);
        for (earlier, wish) in self.model.wishes.iter_mut().enumerate() {
            if wish.client == who && wish.filter == filter && earlier < at {
                wish.ended.get_or_insert(now);
            }
        }
    }

    fn acknowledged(
        &mut self,
        who: Who,
        line: usize,
        packet_id: PacketId,
        code: ReasonCode,
        qos: QoS,
    ) {
        if self.clients[who].line != Some(line) {
            // Another connection has its place; whoever sent this has forgotten it.
            return;
        }
        let window = &self.clients[who].window;
        let entry = window.iter().find(|entry| entry.packet_id == packet_id);
        let Some(entry) = entry else { panic!("c{who}: an acknowledgement for nothing") };
        let number = entry.number;
        let publication = &self.model.publications[number];
        assert_eq!(publication.qos, qos, "c{who}: acknowledged as another QoS");
        if code.code() >= 0x80 {
            // Before, it may have been taken.
            self.tally.count(Happening::PublishRefused);
            self.model.publications[number].is_refused = publication.copies == 1;
            self.model.publications[number].is_excused = true;
            return;
        }
        let class = self.setup.durability.class_of(&publication.topic);
        let is_stored = match class {
            Class::Memory => true,
            Class::Os => self.stored.written.contains(&number),
            Class::Fsync => self.stored.synced.contains(&number),
        };
        let is_retained_only = publication.retain;
        if !is_stored && !is_retained_only {
            let must_be = self.model.must_be_stored(number);
            assert!(!must_be, "c{who}: message {number} is acknowledged, not stored ({class:?})");
        }
        let publication = &mut self.model.publications[number];
        publication.acknowledged.get_or_insert(self.model.now);
        publication.routed.get_or_insert(self.model.now);
    }

    fn note_stored(&mut self) {
        let engine = &self.bench.engine;
        let number = |payload: &[u8]| crate::model::number_of(payload);
        let stored = &mut self.stored;
        for message in engine.log().get(stored.written_to..).unwrap_or_default() {
            stored.written_to += 1;
            stored.written.extend(number(message.payload()));
        }
        for message in engine.synced_log().get(stored.synced_to..).unwrap_or_default() {
            stored.synced_to += 1;
            stored.synced.extend(number(message.payload()));
        }
    }
}
