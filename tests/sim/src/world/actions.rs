//! What honest clients do of their own accord.

use flotilla_mqtt::{
    Auth, Connect, Disconnect, Packet, QoS, ReasonCode, Requested, RetainHandling, Subscribe,
    SubscribeFilters, SubscriptionOptions, Unsubscribe, UnsubscribeFilters, UserProperties,
    Version, Will,
};

use super::World;
use crate::bench::dice::Dice;
use crate::client::{Line, QOS, What, payload};
use crate::model::{Publication, Who, Wish};
use crate::tally::Happening;

const FILTERS: [&str; 8] =
    ["t/#", "t/+/0", "+/c0/#", "t/c1/1", "#", "t/+/+", "$share/g/t/#", "$share/h/t/+/1"];

/// Of those that show who they are in several steps.
pub(super) const METHOD: &str = "any";

impl World {
    pub(super) fn connect(&mut self, who: Who, d: &mut Dice) {
        let shard = d.below(self.bench.shards.len()) as u16;
        let profile = self.clients[who].profile;
        let is_v5 = profile.version == Version::V5;
        let clean_one_in = profile.clean_start_one_in;
        let is_clean = match is_v5 {
            true => clean_one_in > 0 && d.one_in(clean_one_in),
            false => profile.expiry_s == 0,
        };
        let will = (profile.has_wills && d.one_in(2)).then(|| self.will(who, d));
        let name = self.clients[who].name.clone();
        let mut connect = Connect::new(profile.version, &name);
        connect.clean_start = is_clean;
        connect.session_expiry_interval_s = profile.expiry_s;
        connect.receive_maximum = profile.receive_maximum;
        connect.maximum_packet_size = profile.maximum_packet_size;
        connect.keep_alive_s = profile.keep_alive_s;
        connect.topic_alias_maximum = profile.topic_alias_maximum;
        if profile.has_method {
            connect.authentication_method = Some(METHOD);
            connect.authentication_data = Some(b"me");
        }
        let will_payload;
        let mut has_prompt_will = false;
        if let Some(number) = will {
            let publication = &self.model.publications[number];
            will_payload = payload(number, publication);
            let (qos, retain) = (publication.qos, publication.retain);
            let mut will = Will::new(&publication.topic, &will_payload, qos, retain);
            if is_v5 {
                will.delay_interval_s = d.below(3) as u32;
                will.message_expiry_interval_s = publication.expiry_s;
            }
            self.tally.count(Happening::Will);
            self.tally.count_if(will.delay_interval_s > 0, Happening::WillDelay);
            self.tally.count_if(publication.expiry_s.is_some(), Happening::WillExpiry);
            has_prompt_will = will.delay_interval_s == 0;
            connect.will = Some(will);
        }
        let wire = self.bench.open(shard, profile.version);
        self.lines.push(Line {
            who,
            wire,
            is_clean,
            has_connack: false,
            receive_maximum: usize::from(profile.receive_maximum),
            aliases: Default::default(),
            on_wire: Default::default(),
            is_closed: false,
            connected_at: None,
            is_accepted: false,
            has_prompt_will,
            will,
        });
        let line = self.lines.len() - 1;
        self.open_lines.push(line);
        if is_clean {
            self.model.sessions[who].begins_anew = Some(line);
        }
        let client = &mut self.clients[who];
        self.tally.count(if is_v5 { Happening::ConnectV5 } else { Happening::ConnectV3 });
        self.tally.count_if(client.line.is_some(), Happening::ConnectAgain);
        self.tally.count_if(is_clean, Happening::CleanStart);
        client.forget_line();
        client.line = Some(line);
        client.send(&Packet::Connect(connect), What::Connect { will });
        self.tell(|| {
            format!(
                "c{who} opens connection {line} to shard {shard}, clean {is_clean}, will {will:?}"
            )
        });
    }

    fn will(&mut self, who: Who, d: &mut Dice) -> usize {
        let topic = format!("t/c{who}/{}", d.below(3));
        let (qos, retain) = (QOS[d.below(3)], d.one_in(4));
        let can_expire = self.clients[who].profile.version == Version::V5;
        self.model.publications.push(Publication {
            publisher: who,
            topic,
            qos,
            retain,
            expiry_s: (can_expire && d.one_in(6)).then(|| 1 + d.below(4) as u32),
            is_will: true,
            is_empty: false,
            is_long: false,
            sent: None,
            acknowledged: None,
            routed: None,
            is_refused: false,
            copies: 1,
            is_excused: false,
            is_cancelled: false,
        });
        self.model.publications.len() - 1
    }

    pub(super) fn publish(&mut self, who: Who, d: &mut Dice) {
        let client = &mut self.clients[who];
        if !client.is_connected || client.window.len() >= client.window_max {
            return;
        }
        let qos = QOS[d.below(3)];
        let packet_id = match qos {
            QoS::AtMostOnce => None,
            _ => match client.free_id() {
                Some(packet_id) => Some(packet_id),
                None => return,
            },
        };
        // Whom a refusal cannot reach is sent away, and comes back with the same message.
        let is_refusable = self.setup.limits.retained_messages_max < 1_000;
        let is_deaf = client.profile.version == Version::V3_1_1;
        let retain = d.one_in(5) && !(is_refusable && is_deaf);
        let publication = Publication {
            publisher: who,
            topic: format!("t/c{who}/{}", d.below(3)),
            qos,
            retain,
            expiry_s: (client.profile.version == Version::V5 && d.one_in(8))
                .then(|| 1 + d.below(4) as u32),
            is_will: false,
            is_empty: retain && d.one_in(4),
            is_long: d.one_in(12),
            sent: None,
            acknowledged: None,
            routed: None,
            is_refused: false,
            copies: 0,
            is_excused: false,
            is_cancelled: false,
        };
        let number = self.model.publications.len();
        let aliases_max = usize::from(self.setup.limits.topic_aliases_max);
        let is_v5 = client.profile.version == Version::V5;
        let alias = (is_v5 && d.one_in(3)).then(|| 1 + d.below(aliases_max) as u16);
        let topic = alias.and_then(|alias| client.aliases.get(&alias));
        let is_known = topic == Some(&publication.topic);
        self.tally.count_if(is_known, Happening::PublishAlias);
        self.tally.count_if(publication.retain, Happening::PublishRetained);
        self.tally.count_if(publication.is_empty, Happening::PublishEmpty);
        self.tally.count_if(publication.expiry_s.is_some(), Happening::PublishExpiry);
        self.tally.count_if(publication.is_long, Happening::PublishLong);
        self.tally.count(match qos {
            QoS::AtMostOnce => Happening::PublishQoS0,
            QoS::AtLeastOnce => Happening::PublishQoS1,
            QoS::ExactlyOnce => Happening::PublishQoS2,
        });
        client.publish(number, &publication, packet_id, false, alias);
        if let Some(packet_id) = packet_id {
            client.window.push_back(crate::client::Outgoing {
                packet_id,
                number,
                is_received: false,
            });
        }
        self.tell(|| {
            format!(
                "c{who} publishes {number} q{} to {} retain={retain}",
                qos.bits(),
                publication.topic
            )
        });
        self.model.publications.push(publication);
    }

    pub(super) fn subscribe(&mut self, who: Who, d: &mut Dice) {
        let client = &mut self.clients[who];
        if !client.is_connected || client.asked.len() > 2 {
            return;
        }
        let Some(packet_id) = client.free_id() else { return };
        let is_v5 = client.profile.version == Version::V5;
        // Through which of several subscriptions it came can only be told by identifiers.
        let filter = FILTERS[d.below(if is_v5 { 8 } else { 6 })];
        let is_shared = filter.starts_with('$');
        let mut options = SubscriptionOptions::new(QOS[d.below(3)]);
        if is_v5 {
            options.no_local = !is_shared && d.one_in(6);
            options.retain_as_published = d.one_in(3);
            options.retain_handling =
                [RetainHandling::SendAlways, RetainHandling::SendIfNew, RetainHandling::DoNotSend]
                    [d.below(3)];
        }
        let mut wishes = vec![Requested { filter, options }];
        let other = FILTERS[d.below(6)];
        // One identifier would stand for both.
        if !is_v5 && other != filter && d.one_in(3) {
            let options = SubscriptionOptions::new(QOS[d.below(3)]);
            wishes.push(Requested { filter: other, options });
            self.tally.count(Happening::SubscribeTwice);
        }
        let number = self.model.wishes.len();
        let numbers: Vec<_> = (number..number + wishes.len()).collect();
        let packet = Packet::Subscribe(Subscribe {
            packet_id,
            subscription_id: is_v5.then_some(number as u32 + 1),
            user_properties: UserProperties::EMPTY,
            filters: SubscribeFilters::from_slice(&wishes),
        });
        client.send(&packet, What::Subscribe(numbers.clone()));
        client.asked.push_back((packet_id, numbers));
        let line = client.line.expect("it is connected");
        wishes.iter().for_each(|wish| self.wish(who, line, wish));
    }

    fn wish(&mut self, who: Who, line: usize, wish: &Requested<'_>) {
        let Requested { filter, options } = *wish;
        let is_shared = filter.starts_with('$');
        let number = self.model.wishes.len();
        let mut earlier = self.model.wishes.iter().rev();
        let earlier = earlier.find(|wish| wish.client == who && wish.filter == filter);
        if let Some(earlier) = earlier.filter(|wish| wish.ending.is_none()) {
            let takes_back = earlier.no_local && !options.no_local;
            self.tally.count(Happening::SubscribeAgain);
            self.tally.count_if(takes_back, Happening::NoLocalOff);
            self.tally.count_if(options.qos < earlier.qos, Happening::Lowered);
        }
        self.tally.count(Happening::Subscribe);
        self.tally.count_if(is_shared, Happening::SubscribeShared);
        self.tally.count_if(options.no_local, Happening::NoLocal);
        self.tally.count_if(options.retain_as_published, Happening::RetainAsPublished);
        self.model.wishes.push(Wish {
            client: who,
            filter: filter.to_owned(),
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            wants_retained: !is_shared && options.retain_handling != RetainHandling::DoNotSend,
            line,
            asked: None,
            granted: None,
            ending: None,
            ended: None,
            replaced_by: None,
            is_open: false,
        });
        self.tell(|| format!("c{who} subscribes {number} to {filter} {options:?}"));
    }

    pub(super) fn unsubscribe(&mut self, who: Who, d: &mut Dice) {
        let client = &mut self.clients[who];
        if !client.is_connected || client.asked.len() > 2 {
            return;
        }
        let Some(packet_id) = client.free_id() else { return };
        let filter = FILTERS[d.below(8)];
        let of_filter = |(_, wish): &(usize, &Wish)| wish.client == who && wish.filter == filter;
        let wishes = self.model.wishes.iter().enumerate().filter(of_filter);
        let wishes: Vec<_> = wishes.map(|(at, _)| at).collect();
        self.tally.count_if(!wishes.is_empty(), Happening::Unsubscribe);
        let filters = [filter];
        let packet = Packet::Unsubscribe(Unsubscribe {
            packet_id,
            user_properties: UserProperties::EMPTY,
            filters: UnsubscribeFilters::from_slice(&filters),
        });
        client.send(&packet, What::Unsubscribe(wishes.clone()));
        client.asked.push_back((packet_id, wishes));
        self.tell(|| format!("c{who} unsubscribes {filter}"));
    }

    pub(super) fn leave(&mut self, who: Who, d: &mut Dice) {
        let client = &mut self.clients[who];
        if !client.is_connected {
            return;
        }
        let wants_will = client.profile.version == Version::V5 && d.one_in(4);
        let (reason_code, what, happening) = match wants_will {
            true => (ReasonCode::DisconnectWithWill, What::DisconnectWithWill, Happening::WillTold),
            false => (ReasonCode::Success, What::Disconnect, Happening::Leave),
        };
        client.send(&Packet::Disconnect(Disconnect::new(reason_code)), what);
        client.is_connected = false;
        self.tally.count(happening);
        self.tell(|| format!("c{who} leaves, with its Will: {wants_will}"));
    }

    /// The client begins to show again who it is.
    pub(super) fn reauthenticate(&mut self, who: Who, d: &mut Dice) {
        let client = &mut self.clients[who];
        if !client.is_connected || !client.profile.has_method || client.shows.is_some() {
            return;
        }
        client.shows = Some(if d.one_in(4) { "you" } else { "me" });
        let mut auth = Auth::new(ReasonCode::ReAuthenticate, METHOD);
        auth.authentication_data = Some(b"me");
        client.send(&Packet::Auth(auth), What::Other);
        self.tally.count(Happening::Reauthenticate);
        self.tell(|| format!("c{who} shows again who it is"));
    }

    /// Bytes of the client come to the broker.
    pub(super) fn up(&mut self, who: Who, bytes: usize) {
        let Some(line) = self.clients[who].line else { return };
        let wire = self.lines[line].wire;
        let mut left = bytes;
        let mut parcel = Vec::new();
        let mut came = Vec::new();
        while let Some(first) = self.clients[who].uplink.front_mut()
            && left > 0
        {
            let count = left.min(first.bytes.len());
            parcel.extend(first.bytes.drain(..count));
            left -= count;
            if first.bytes.is_empty() {
                let sent = self.clients[who].uplink.pop_front();
                came.extend(sent.map(|sent| sent.what));
            }
        }
        if parcel.is_empty() || !self.bench.is_open(wire) {
            return;
        }
        let leaves = matches!(came.last(), Some(What::Disconnect));
        for what in came {
            self.came(who, line, what);
        }
        self.bench.send_bytes(wire, &parcel);
        if leaves && !self.bench.is_open(wire) && self.bench.unconsumed(wire) == 0 {
            // It was heard, unless the broker had another reason to end the connection.
            self.left(line);
        }
    }

    fn came(&mut self, who: Who, line: usize, what: What) {
        let now = self.model.now;
        match what {
            What::Connect { will } => {
                self.lines[line].connected_at = Some(now);
                let session = &mut self.model.sessions[who];
                session.may_be |=
                    self.clients[who].profile.expiry_s > 0 || !self.lines[line].is_clean;
                if self.lines[line].is_clean {
                    session.is_promised = false;
                    for wish in &mut self.model.wishes {
                        if wish.client == who && wish.line < line {
                            wish.ending.get_or_insert(now);
                        }
                    }
                }
                if let Some(number) = will {
                    self.model.publications[number].sent = Some(now);
                }
            }
            What::Publish(number) => {
                let profile = self.model.profile(who);
                let is_steady = profile.expiry_s == u32::MAX && profile.clean_start_one_in == 0;
                let publication = &mut self.model.publications[number];
                publication.sent.get_or_insert(now);
                publication.copies += 1;
                // Its session may be another one than the client believes.
                publication.is_excused |= publication.copies > 1 && !is_steady;
                // Under the same identifier it is a new message.
                publication.is_refused = false;
                if publication.qos == QoS::AtLeastOnce {
                    publication.routed = None;
                }
            }
            What::Subscribe(wishes) => {
                for at in wishes {
                    self.model.wishes[at].asked = Some(now);
                    let filter = self.model.wishes[at].filter.clone();
                    for (earlier, wish) in self.model.wishes.iter_mut().enumerate() {
                        let is_it = wish.client == who && wish.filter == filter && earlier < at;
                        if is_it && wish.ending.is_none() {
                            wish.ending = Some(now);
                            wish.replaced_by = Some(at);
                        }
                    }
                }
            }
            What::Unsubscribe(wishes) => {
                for at in wishes {
                    self.model.wishes[at].ending.get_or_insert(now);
                }
            }
            What::Done(packet_id) => {
                self.lines[line].on_wire.remove(&packet_id);
                self.model.sessions[who].unacknowledged.remove(&packet_id);
                self.model.sessions[who].open.remove(&packet_id);
            }
            What::Refused(packet_id) => {
                self.model.refused(who, packet_id);
                self.lines[line].on_wire.remove(&packet_id);
                self.tally.count(Happening::Refuse);
            }
            What::Received(packet_id) => {
                self.model.sessions[who].unacknowledged.remove(&packet_id);
            }
            // Whether it is read before the connection ends for another reason is open.
            What::Disconnect => self.lines[line].has_prompt_will = false,
            What::DisconnectWithWill | What::Other => {}
        }
    }
}
