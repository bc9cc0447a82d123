//! rumqttc through what MQTT 5 added.

use std::time::Duration;

use flotilla_tests::{DEADLINE, Link, Publish, Scene};
use rumqttc::v5::{
    Client, Connection, Event, MqttOptions,
    mqttbytes::{
        QoS,
        v5::{
            Filter, LastWill, LastWillProperties, Packet, Publish as Received, PublishProperties,
            RetainForwardRule, SubscribeProperties, SubscribeReasonCode,
        },
    },
};

use crate::rumqttc_client::carrier;

#[test]
fn over_tcp() {
    tour(Link::V5_TCP);
}

#[test]
fn over_tls() {
    tour(Link::V5_TLS);
}

struct Tourist {
    client: Client,
    connection: Connection,
}

impl Tourist {
    fn arrive(scene: &Scene, name: &str, prepare: impl FnOnce(&mut MqttOptions)) -> Self {
        let address = scene.endpoint().address;
        let mut options =
            MqttOptions::new(scene.id(name), address.ip().to_string(), address.port());
        options.set_keep_alive(Duration::from_secs(30)).set_transport(carrier(scene));
        prepare(&mut options);
        let (client, connection) = Client::new(options, 100);
        let mut tourist = Self { client, connection };
        tourist.wait(|packet| matches!(packet, Packet::ConnAck(_)).then_some(()));
        tourist
    }

    /// The first packet that is wanted.
    fn wait<T>(&mut self, want: impl Fn(&Packet) -> Option<T>) -> T {
        loop {
            let event = self.connection.recv_timeout(DEADLINE).expect("a packet");
            if let Event::Incoming(packet) = event.expect("the connection stays")
                && let Some(wanted) = want(&packet)
            {
                return wanted;
            }
        }
    }

    fn subscribe(&mut self, filter: Filter, id: Option<usize>) {
        let granted = SubscribeReasonCode::Success(filter.qos);
        let properties = SubscribeProperties { id, user_properties: Vec::new() };
        self.client.subscribe_many_with_properties([filter], properties).expect("a request");
        let codes = self.wait(|packet| match packet {
            Packet::SubAck(suback) => Some(suback.return_codes.clone()),
            _ => None,
        });
        assert_eq!(codes, [granted]);
    }

    fn publish(&mut self, topic: &str, payload: &str, retain: bool, more: PublishProperties) {
        let payload = payload.to_owned();
        let request =
            self.client.publish_with_properties(topic, QoS::AtLeastOnce, retain, payload, more);
        request.expect("a request");
        self.wait(|packet| matches!(packet, Packet::PubAck(_)).then_some(()));
    }

    fn take(&mut self) -> (Received, PublishProperties) {
        self.wait(|packet| match packet {
            Packet::Publish(it) => Some((it.clone(), it.properties.clone().unwrap_or_default())),
            _ => None,
        })
    }

    fn take_text(&mut self) -> String {
        String::from_utf8(self.take().0.payload.to_vec()).expect("text was published")
    }
}

fn filter(path: String) -> Filter {
    Filter::new(path, QoS::AtLeastOnce)
}

/// Properties that travel, Subscription Identifiers, No Local, Retain As Published, Retain
/// Handling, Topic Aliases both ways, a shared subscription, a Will with properties.
fn tour(link: Link) {
    let scene = Scene::shared(link);
    let (ask, own, work) = (scene.topic("ask"), scene.topic("own"), scene.topic("work"));
    let mut service = Tourist::arrive(&scene, "service", |options| {
        options.set_topic_alias_max(Some(10));
    });
    let mut asker = Tourist::arrive(&scene, "asker", |options| {
        let properties = LastWillProperties {
            delay_interval: None,
            payload_format_indicator: Some(1),
            message_expiry_interval: Some(100),
            content_type: Some("text/plain".to_owned()),
            response_topic: None,
            correlation_data: None,
            user_properties: vec![("why".to_owned(), "cut".to_owned())],
        };
        let topic = scene.topic("will");
        let will = LastWill::new(topic, "gone", QoS::AtLeastOnce, false, Some(properties));
        options.set_last_will(will);
    });

    service.subscribe(filter(ask.clone()), Some(7));
    let users = [("z", "1"), ("a", "2"), ("z", "3")];
    let users: Vec<_> = users.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let request = PublishProperties {
        payload_format_indicator: Some(1),
        message_expiry_interval: Some(100),
        topic_alias: Some(1),
        response_topic: Some(scene.topic("answers")),
        correlation_data: Some(b"\x00\xff".to_vec().into()),
        user_properties: users.clone(),
        content_type: Some("text/plain".to_owned()),
        ..PublishProperties::default()
    };
    let mut alias = None;
    for number in 0..3 {
        asker.publish(&ask, &number.to_string(), false, request.clone());
        let (asked, properties) = service.take();
        assert_eq!(&*asked.payload, number.to_string().as_bytes());
        // rumqttc shows an alias as it came: at first with the topic, then in its place.
        if asked.topic.is_empty() {
            assert!(alias.is_some() && properties.topic_alias == alias);
        } else {
            assert_eq!(&*asked.topic, ask.as_bytes());
            alias = properties.topic_alias;
        }
        assert_eq!(properties.subscription_identifiers, [7]);
        assert_eq!(properties.user_properties, users);
        assert_eq!(properties.response_topic, request.response_topic);
        assert_eq!(properties.correlation_data, request.correlation_data);
        assert_eq!(properties.content_type, request.content_type);
        assert_eq!(properties.payload_format_indicator, Some(1));
        assert!(matches!(properties.message_expiry_interval, Some(99 | 100)));
    }
    assert!(alias.is_some(), "the broker uses aliases");

    let mut options = filter(own.clone());
    (options.nolocal, options.preserve_retain) = (true, true);
    service.subscribe(options, None);
    service.publish(&own, "mine", false, PublishProperties::default());
    asker.publish(&own, "other's", true, PublishProperties::default());
    let (others, _) = service.take();
    assert_eq!((&*others.payload, others.retain), (&b"other's"[..], true));
    let mut options = filter(own.clone());
    options.retain_forward_rule = RetainForwardRule::Never;
    asker.subscribe(options, None);
    let mut publisher = scene.connect("publisher");
    publisher.publish_packet(Publish::new(&own, "live").qos(1, 0));
    assert_eq!([asker.take_text(), service.take_text()], ["live", "live"]);

    let group = format!("$share/group/{work}");
    for member in [&mut asker, &mut service] {
        member.subscribe(filter(group.clone()), None);
    }
    for number in 0..10 {
        publisher.publish(&work, number.to_string(), 1);
    }
    let mut got: Vec<_> = (0..5).flat_map(|_| [asker.take_text(), service.take_text()]).collect();
    got.sort();
    assert_eq!(got, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());

    service.subscribe(filter(scene.topic("will")), None);
    // Its socket goes with it; it has not said DISCONNECT.
    drop(asker);
    // What it has not acknowledged of the group's may come before.
    let (payload, properties) = service.wait(|packet| match packet {
        Packet::Publish(it) if *it.topic == *scene.topic("will").as_bytes() => {
            Some((it.payload.clone(), it.properties.clone().unwrap_or_default()))
        }
        _ => None,
    });
    assert_eq!(&*payload, b"gone");
    assert_eq!(properties.user_properties, [("why".to_owned(), "cut".to_owned())]);
    assert_eq!(properties.content_type.as_deref(), Some("text/plain"));
}
