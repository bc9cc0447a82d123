//! Random packets from a seed.

use flotilla_mqtt::{
    Ack, AckProperties, Auth, Connack, ConnackProperties, Connect, Disconnect, Forwarded, Packet,
    PacketId, Publish, QoS, ReasonCode, ReasonCodes, Requested, RetainHandling, Suback, Subscribe,
    SubscribeFilters, SubscriptionIds, SubscriptionOptions, Unsubscribe, UnsubscribeFilters,
    UserProperties, Version, Will,
};

/// SplitMix64, so that a seed gives the same packets for ever.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// 0 to `end` without it.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.next() & 1 == 1
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Often a border, sometimes anything.
    fn u32(&mut self) -> u32 {
        match self.below(4) {
            0 => self.pick(&[0, 1, 127, 128, 65_535, u32::MAX]),
            _ => self.next() as u32,
        }
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flip().then(|| make(self))
    }

    /// Any bytes; sometimes long enough for a Remaining Length of two or three bytes.
    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        let end = self.pick(&[1, 4, 20, 200, 20_000]);
        (0..self.below(end)).map(|_| self.next() as u8).collect()
    }

    fn text(&mut self) -> String {
        const SIGNS: &[char] =
            &['a', 'Z', '0', ' ', '/', '$', '+', '#', 'é', '日', '𝄞', '\u{FEFF}'];
        let end = self.pick(&[1, 4, 20]);
        (0..self.below(end)).map(|_| self.pick(SIGNS)).collect()
    }

    pub(crate) fn topic(&mut self) -> String {
        let levels = ["", "a", "b", "é", "$x", "long level", "日本"];
        let topic = (0..=self.below(4)).map(|_| self.pick(&levels)).collect::<Vec<_>>().join("/");
        if topic.is_empty() { "t".to_owned() } else { topic }
    }

    pub(crate) fn filter(&mut self) -> String {
        let levels = ["", "a", "b", "é", "$x", "+", "+"];
        let mut filter =
            (0..=self.below(4)).map(|_| self.pick(&levels)).collect::<Vec<_>>().join("/");
        match self.below(5) {
            0 => filter = "#".to_owned(),
            1 => filter.push_str("/#"),
            _ if filter.is_empty() => filter.push('f'),
            _ => {}
        }
        filter
    }
}

/// What a random packet borrows from.
pub(crate) struct Material {
    texts: Vec<String>,
    bytes: Vec<Vec<u8>>,
    topics: Vec<String>,
    filters: Vec<String>,
    shared: Vec<String>,
    /// Encoded properties that are forwarded, in random order.
    forwarded: Vec<u8>,
    ids: Vec<u32>,
}

impl Material {
    pub(crate) fn new(random: &mut Random) -> Self {
        let mut list = |make: fn(&mut Random) -> String| -> Vec<String> {
            (0..4).map(|_| make(random)).collect()
        };
        let texts = list(Random::text);
        let topics = list(Random::topic);
        let filters = list(Random::filter);
        let shared = filters.iter().map(|filter| format!("$share/g/{filter}")).collect();
        let bytes = (0..3).map(|_| random.bytes()).collect();
        let forwarded = forwarded(random);
        let ids = (0..random.below(4)).map(|_| random.u32() % 268_435_455 + 1).collect();
        Self { texts, bytes, topics, filters, shared, forwarded, ids }
    }

    /// Pairs for [`Self::packet`] to point at.
    pub(crate) fn pairs<'a>(&'a self, random: &mut Random) -> Vec<(&'a str, &'a str)> {
        (0..random.below(4)).map(|_| (self.text(random), self.text(random))).collect()
    }

    /// Subscriptions for [`Self::packet`] to point at.
    pub(crate) fn requested<'a>(
        &'a self,
        version: Version,
        random: &mut Random,
    ) -> Vec<Requested<'a>> {
        (0..=random.below(3))
            .map(|_| {
                let is_shared = random.flip();
                let filters = if is_shared { &self.shared } else { &self.filters };
                let filter = &filters[random.below(filters.len())];
                let qos = qos(random);
                let mut options = SubscriptionOptions::new(qos);
                if version == Version::V5 {
                    options = SubscriptionOptions {
                        qos,
                        no_local: !is_shared && random.flip(),
                        retain_as_published: random.flip(),
                        retain_handling: random.pick(&[
                            RetainHandling::SendAlways,
                            RetainHandling::SendIfNew,
                            RetainHandling::DoNotSend,
                        ]),
                    };
                }
                Requested { filter, options }
            })
            .collect()
    }

    fn text(&self, random: &mut Random) -> &str {
        &self.texts[random.below(self.texts.len())]
    }

    fn some_bytes(&self, random: &mut Random) -> &[u8] {
        &self.bytes[random.below(self.bytes.len())]
    }

    fn topic(&self, random: &mut Random) -> &str {
        &self.topics[random.below(self.topics.len())]
    }

    /// A random packet that `version` can say.
    pub(crate) fn packet<'a>(&'a self, lists: &'a Lists<'a>, random: &mut Random) -> Packet<'a> {
        let version = lists.version;
        let is_v5 = version == Version::V5;
        let packet_id = PacketId::new(random.next() as u16).unwrap_or(PacketId::MAX);
        let user_properties = UserProperties::from_pairs(if is_v5 { &lists.pairs } else { &[] });
        let reason_string = random.maybe(|random| self.text(random)).filter(|_| is_v5);
        let properties = AckProperties { reason_string, user_properties };
        let ack = |random: &mut Random, codes: &[u8]| Ack {
            packet_id,
            reason_code: if is_v5 { code(random, codes) } else { ReasonCode::Success },
            properties,
        };
        let ended = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
        match random.below(if is_v5 { 15 } else { 14 }) {
            0 => Packet::Connect(self.connect(version, user_properties, random)),
            1 => Packet::Connack(self.connack(is_v5, properties, random)),
            2 => Packet::Publish(self.publish(is_v5, packet_id, random)),
            3 => Packet::Puback(ack(random, &ended)),
            4 => Packet::Pubrec(ack(random, &ended)),
            5 => Packet::Pubrel(ack(random, &[0x00, 0x92])),
            6 => Packet::Pubcomp(ack(random, &[0x00, 0x92])),
            7 => Packet::Subscribe(Subscribe {
                packet_id,
                subscription_id: self.ids.first().copied().filter(|_| is_v5),
                user_properties,
                filters: SubscribeFilters::from_slice(&lists.requested),
            }),
            8 => Packet::Suback(Suback {
                packet_id,
                properties,
                reason_codes: ReasonCodes::from_slice(&lists.suback_codes),
            }),
            9 => Packet::Unsubscribe(Unsubscribe {
                packet_id,
                user_properties,
                filters: UnsubscribeFilters::from_slice(&lists.filters),
            }),
            10 => Packet::Unsuback(Suback {
                packet_id,
                properties,
                reason_codes: ReasonCodes::from_slice(&lists.unsuback_codes),
            }),
            11 => Packet::Pingreq,
            12 => Packet::Pingresp,
            13 if !is_v5 => Packet::Disconnect(Disconnect::new(ReasonCode::Success)),
            13 => Packet::Disconnect(Disconnect {
                reason_code: code(random, &[0x00, 0x04, 0x81, 0x8E, 0x9C]),
                session_expiry_interval_s: random.maybe(Random::u32),
                server_reference: random.maybe(|random| self.text(random)),
                reason_string,
                user_properties,
            }),
            _ => Packet::Auth(Auth {
                reason_code: code(random, &[0x00, 0x18, 0x19]),
                authentication_method: Some(self.text(random)),
                authentication_data: random.maybe(|random| self.some_bytes(random)),
                reason_string,
                user_properties,
            }),
        }
    }

    fn connect<'a>(
        &'a self,
        version: Version,
        user_properties: UserProperties<'a>,
        random: &mut Random,
    ) -> Connect<'a> {
        let is_v5 = version == Version::V5;
        let clean_start = random.flip();
        let mut connect = Connect {
            clean_start,
            keep_alive_s: random.next() as u16,
            client_id: if clean_start { self.text(random) } else { "kept" },
            will: random.maybe(|random| self.will(is_v5, random)),
            username: random.maybe(|random| self.text(random)),
            user_properties,
            ..Connect::new(version, "")
        };
        if is_v5 || connect.username.is_some() {
            connect.password = random.maybe(|random| self.some_bytes(random));
        }
        if is_v5 {
            connect.session_expiry_interval_s = random.u32();
            connect.receive_maximum = (random.next() as u16).max(1);
            connect.maximum_packet_size = random.maybe(|random| random.u32().max(1));
            connect.topic_alias_maximum = random.next() as u16;
            connect.request_response_information = random.flip();
            connect.request_problem_information = random.flip();
            connect.authentication_method = random.maybe(|random| self.text(random));
            if connect.authentication_method.is_some() {
                connect.authentication_data = random.maybe(|random| self.some_bytes(random));
            }
        } else if !clean_start {
            connect.session_expiry_interval_s = u32::MAX;
        }
        connect
    }

    fn will(&self, is_v5: bool, random: &mut Random) -> Will<'_> {
        let payload = self.some_bytes(random);
        let will = Will::new(self.topic(random), payload, qos(random), random.flip());
        if !is_v5 {
            return will;
        }
        Will {
            delay_interval_s: random.u32(),
            message_expiry_interval_s: random.maybe(Random::u32),
            forwarded: Forwarded::from_encoded(&self.forwarded),
            ..will
        }
    }

    fn connack<'a>(
        &'a self,
        is_v5: bool,
        ack: AckProperties<'a>,
        random: &mut Random,
    ) -> Connack<'a> {
        if !is_v5 {
            let reason_code = random.pick(&[
                ReasonCode::Success,
                ReasonCode::UnsupportedProtocolVersion,
                ReasonCode::ClientIdentifierNotValid,
                ReasonCode::ServerUnavailable,
                ReasonCode::BadUserNameOrPassword,
                ReasonCode::NotAuthorized,
            ]);
            return Connack::new(reason_code == ReasonCode::Success && random.flip(), reason_code);
        }
        let reason_code = code(random, &[0x00, 0x00, 0x81, 0x87, 0x9F]);
        let method = random.maybe(|random| self.text(random));
        Connack {
            session_present: reason_code == ReasonCode::Success && random.flip(),
            reason_code,
            properties: ConnackProperties {
                session_expiry_interval_s: random.maybe(Random::u32),
                receive_maximum: random.maybe(|random| (random.next() as u16).max(1)),
                maximum_qos: random.pick(&[None, Some(QoS::AtMostOnce), Some(QoS::AtLeastOnce)]),
                retain_available: random.maybe(Random::flip),
                maximum_packet_size: random.maybe(|random| random.u32().max(1)),
                assigned_client_id: random.maybe(|random| self.text(random)),
                topic_alias_maximum: random.maybe(|random| random.next() as u16),
                reason_string: ack.reason_string,
                user_properties: ack.user_properties,
                wildcard_subscription_available: random.maybe(Random::flip),
                subscription_ids_available: random.maybe(Random::flip),
                shared_subscription_available: random.maybe(Random::flip),
                server_keep_alive_s: random.maybe(|random| random.next() as u16),
                response_information: random.maybe(|random| self.text(random)),
                server_reference: random.maybe(|random| self.text(random)),
                authentication_method: method,
                authentication_data: method
                    .and_then(|_| random.maybe(|random| self.some_bytes(random))),
            },
        }
    }

    fn publish(&self, is_v5: bool, packet_id: PacketId, random: &mut Random) -> Publish<'_> {
        let qos = qos(random);
        let mut publish = Publish {
            dup: qos > QoS::AtMostOnce && random.flip(),
            qos,
            retain: random.flip(),
            packet_id: (qos > QoS::AtMostOnce).then_some(packet_id),
            ..Publish::new(self.topic(random), self.some_bytes(random))
        };
        if is_v5 {
            publish.topic_alias = random.maybe(|random| (random.next() as u16).max(1));
            if publish.topic_alias.is_some() && random.flip() {
                publish.topic = "";
            }
            publish.message_expiry_interval_s = random.maybe(Random::u32);
            publish.subscription_ids = SubscriptionIds::List(&self.ids);
            publish.forwarded = Forwarded::from_encoded(&self.forwarded);
        }
        publish
    }
}

/// Lists that a packet points at, made from a [`Material`].
pub(crate) struct Lists<'a> {
    version: Version,
    pairs: Vec<(&'a str, &'a str)>,
    requested: Vec<Requested<'a>>,
    filters: Vec<&'a str>,
    suback_codes: Vec<ReasonCode>,
    unsuback_codes: Vec<ReasonCode>,
}

impl<'a> Lists<'a> {
    pub(crate) fn new(version: Version, material: &'a Material, random: &mut Random) -> Self {
        let is_v5 = version == Version::V5;
        let codes: &[u8] = if is_v5 { &[0, 1, 2, 0x80, 0x87, 0xA2] } else { &[0, 1, 2, 0x80] };
        let requested = material.requested(version, random);
        let count = requested.len();
        Self {
            version,
            pairs: material.pairs(random),
            filters: requested.iter().map(|requested| requested.filter).collect(),
            requested,
            suback_codes: (0..count).map(|_| code(random, codes)).collect(),
            unsuback_codes: (0..count)
                .filter(|_| is_v5)
                .map(|_| code(random, &[0x00, 0x11, 0x87]))
                .collect(),
        }
    }
}

fn qos(random: &mut Random) -> QoS {
    random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn code(random: &mut Random, codes: &[u8]) -> ReasonCode {
    ReasonCode::from_u8(random.pick(codes)).expect("a code of MQTT 5")
}

/// Encoded by hand, in random order: what the crate forwards it must not have encoded itself.
fn forwarded(random: &mut Random) -> Vec<u8> {
    let field = |id: u8, bytes: &[u8]| {
        let mut field = vec![id];
        field.extend((bytes.len() as u16).to_be_bytes());
        field.extend(bytes);
        field
    };
    let mut properties = vec![
        vec![0x01, u8::from(random.flip())],
        field(0x03, random.text().as_bytes()),
        field(0x08, random.topic().as_bytes()),
        field(0x09, &random.bytes()),
    ];
    properties.retain(|_| random.flip());
    for _ in 0..random.below(3) {
        let mut pair = field(0x26, random.text().as_bytes());
        pair.extend_from_slice(&field(0, random.text().as_bytes())[1..]);
        properties.push(pair);
    }
    for at in (1..properties.len()).rev() {
        properties.swap(at, random.below(at + 1));
    }
    properties.concat()
}
