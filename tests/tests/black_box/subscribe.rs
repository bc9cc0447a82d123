//! SUBSCRIBE, UNSUBSCRIBE: what a client gets from then on.

use std::thread;

use flotilla_tests::{
    Connect, Link, Packet, Property, Publish, Scene, Settings, every_link,
    packet::{subscribe, unsubscribe},
    v5_links, v311_links,
};

every_link! {
    each_filter_has_its_code_in_order,
    effective_when_acknowledged,
    overlapping_filters_deliver_at_the_highest_qos,
    a_new_subscription_replaces_the_old,
    replacing_loses_no_message,
    lowering_loses_no_message,
    unsubscribe_compares_letter_by_letter,
    unsubscribe_stops_new_messages_only,
    subscriptions_have_a_limit,
    a_client_gets_what_it_publishes,
}
v5_links! {
    unsuback_has_a_code_for_each_filter,
    overlapping_filters_deliver_all_ids,
    subscription_ids_of_every_size,
    subscription_id_is_replaced_too,
    no_local_spares_the_publisher,
    no_local_looks_at_the_client_not_the_connection,
    retain_as_published_keeps_the_flag,
}
v311_links! { unsuback_has_no_codes }

/// [MQTT-3.8.4-1], [MQTT-3.8.4-2], [MQTT-3.8.4-5], [MQTT-3.8.4-6], [MQTT-3.8.4-7],
/// [MQTT-3.9.3-1], [MQTT-3.9.3-2], [MQTT-2.2.1-6]
fn each_filter_has_its_code_in_order(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    let filters = [("a", 2), ("$share/g/a", 1), ("b/#", 0), ("c/+", 1), ("a", 1)];
    client.send(&subscribe(link.version, 0xBEEF, &filters, &[]));
    let answer = client.next_packet();
    let Packet::Suback(id, codes, _) = answer else { panic!("{answer:?}") };
    assert_eq!((id, codes), (0xBEEF, vec![2, 1, 0, 1, 1]));
}

/// SUBACK does not come before the subscription works, whichever worker the publisher is on.
fn effective_when_acknowledged(link: Link) {
    let scene = Scene::shared(link);
    let mut publishers: Vec<_> =
        (0..4).map(|number| scene.connect(&format!("publisher{number}"))).collect();
    let mut subscriber = scene.connect("subscriber");
    for round in 0..40 {
        let topic = scene.topic(&format!("round/{round}"));
        subscriber.subscribe(&topic, 1);
        publishers[round % 4].publish(&topic, "at once", (round % 2) as u8);
        assert_eq!(subscriber.take().topic, topic);
    }
}

/// [MQTT-3.3.4-2]: one copy, at the highest QoS (docs/choices.md).
fn overlapping_filters_deliver_at_the_highest_qos(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x/#"), 1);
    client.subscribe(&scene.topic("x/+"), 2);
    client.subscribe(&scene.topic("x/y"), 0);
    client.publish(&scene.topic("x/y"), "x", 2);
    client.publish(&scene.topic("x"), "end", 2);
    assert_eq!(client.take_content(), (scene.topic("x/y"), "x".into(), 2, false));
    assert_eq!(client.take().text(), "end");
}

/// [MQTT-3.8.4-3]: one subscription, with the new QoS.
fn a_new_subscription_replaces_the_old(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    for qos in [2, 0, 1] {
        client.subscribe(&scene.topic("x"), qos);
        client.publish(&scene.topic("x"), "x", 2);
        assert_eq!(client.take().qos, qos);
        client.publish(&scene.topic("x"), "end", 2);
        assert_eq!(client.take_until("end"), <[&str; 0]>::default(), "one copy");
    }
}

/// [MQTT-3.8.4-4]
fn replacing_loses_no_message(link: Link) {
    const MESSAGES: usize = 100;
    let scene = Scene::shared(link);
    let topic = scene.topic("x");
    let mut subscriber = scene.connect("subscriber");
    subscriber.subscribe(&topic, 1);
    let mut publisher = scene.connect("publisher");
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..MESSAGES {
                publisher.publish(&topic, number.to_string(), 1);
            }
        });
        for number in 0..MESSAGES {
            if number % 5 == 0 {
                subscriber.subscribe(&topic, 1 + (number % 2) as u8);
            }
            assert_eq!(subscriber.take().text(), number.to_string());
        }
    });
}

/// [MQTT-3.8.4-4]: what waits for a client that comes back is not lost either when it wants less.
fn lowering_loses_no_message(link: Link) {
    // More than a client may have unacknowledged.
    const MESSAGES: usize = 1_500;
    let scene = Scene::shared(link);
    let topic = scene.topic("x");
    let (mut subscriber, _) = scene.resume("subscriber");
    subscriber.subscribe(&topic, 1);
    subscriber.disconnect();
    let mut publisher = scene.connect("publisher");
    for number in 0..MESSAGES {
        publisher.publish(&topic, number.to_string(), 1);
    }
    let mut subscriber = scene.come_back("subscriber");
    subscriber.subscribe(&topic, 0);
    for number in 0..MESSAGES {
        let publish = subscriber.take();
        assert_eq!((publish.text(), publish.qos), (&*number.to_string(), 1));
    }
    publisher.publish(&topic, "new", 1);
    let publish = subscriber.take();
    assert_eq!((publish.text(), publish.qos), ("new", 0));
}

/// [MQTT-3.10.4-1], [MQTT-3.10.4-4], [MQTT-3.10.4-5]
fn unsubscribe_compares_letter_by_letter(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x/+"), 1);
    for other in ["x/#", "x/y", "X/+", "x/+/", "#"] {
        client.unsubscribe(&[&scene.topic(other)]);
    }
    client.publish(&scene.topic("x/y"), "still subscribed", 1);
    assert_eq!(client.take().text(), "still subscribed");
    client.unsubscribe(&[&scene.topic("x/+")]);
    client.publish(&scene.topic("x/y"), "not subscribed", 1);
    client.subscribe(&scene.topic("end"), 1);
    client.publish(&scene.topic("end"), "end", 1);
    assert_eq!(client.take_until("end"), <[&str; 0]>::default());
}

/// [MQTT-3.10.4-2], [MQTT-3.10.4-3]: what is under way is completed.
fn unsubscribe_stops_new_messages_only(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x"), 2);
    client.publish(&scene.topic("x"), "under way", 2);
    let publish = client.await_publish();
    client.unsubscribe(&[&scene.topic("x")]);
    client.publish(&scene.topic("x"), "too late", 2);
    client.acknowledge(&publish);
    client.subscribe(&scene.topic("end"), 0);
    client.publish(&scene.topic("end"), "end", 0);
    assert_eq!(client.take_until("end"), <[&str; 0]>::default());
}

/// `subscriptions_max`: 0x97 for those above; an existing one can still be changed.
fn subscriptions_have_a_limit(link: Link) {
    let settings = Settings::new().tables("[limits]\nsubscriptions_max = 2");
    let scene = Scene::alone(link, settings);
    let mut client = scene.connect("a");
    let codes = client.subscribe_with(&[("a", 1), ("b", 1), ("c", 1), ("b", 2)], &[]);
    assert_eq!(codes, [1, 1, link.refused_filter(0x97), 2]);
    client.unsubscribe(&["a"]);
    client.subscribe("c", 1);
    client.publish("c", "x", 1);
    assert_eq!(client.take().text(), "x");
}

/// MQTT 3.1.1 has no way to ask for anything else.
fn a_client_gets_what_it_publishes(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x"), 0);
    client.publish(&scene.topic("x"), "mine", 2);
    assert_eq!(client.take_content(), (scene.topic("x"), "mine".into(), 0, false));
}

/// [MQTT-3.10.4-6], [MQTT-3.11.3-1], [MQTT-3.11.3-2]: 0x11 for what was not there.
fn unsuback_has_a_code_for_each_filter(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe_with(&[("a", 1), ("b/#", 1)], &[]);
    client.send(&unsubscribe(link.version, 0xBEEF, &["x", "a", "b/+", "b/#", "a"]));
    let answer = client.next_packet();
    let Packet::Unsuback(id, codes, _) = answer else { panic!("{answer:?}") };
    assert_eq!((id, codes), (0xBEEF, vec![0x11, 0, 0x11, 0, 0x11]));
}

/// MQTT 3.1.1, section 3.11.3: one UNSUBACK of four bytes, however many filters.
fn unsuback_has_no_codes(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe("a", 1);
    client.send(&unsubscribe(link.version, 0xBEEF, &["x", "a", "b"]));
    client.expect(&Packet::Unsuback(0xBEEF, vec![], vec![]));
    client.ping();
}

/// [MQTT-3.3.4-3], [MQTT-3.3.4-4], [MQTT-3.3.4-5]
fn overlapping_filters_deliver_all_ids(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    let (deep, one, exact) = (scene.topic("x/#"), scene.topic("x/+"), scene.topic("x/y"));
    client.subscribe_with(&[(&deep, 1)], &[Property::SubscriptionId(7)]);
    client.subscribe_with(&[(&one, 2)], &[Property::SubscriptionId(268_435_455)]);
    client.subscribe_with(&[(&exact, 0)], &[]);
    client.subscribe_with(&[(&scene.topic("other"), 0)], &[Property::SubscriptionId(9)]);
    for qos in 0..=2 {
        client.publish(&exact, "x", qos);
        client.publish(&scene.topic("x"), "end", qos);
        assert_eq!(client.take().subscription_ids(), [7, 268_435_455]);
        let end = client.take();
        assert_eq!((end.text(), end.subscription_ids()), ("end", vec![7]));
    }
}

/// Section 3.8.2.1.2: 1 to 268,435,455, one for all filters of a packet.
fn subscription_ids_of_every_size(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    for id in [1, 127, 128, 16_384, 2_097_152, 268_435_455] {
        let filters = [scene.topic(&format!("{id}/a")), scene.topic(&format!("{id}/b"))];
        let pairs = [(filters[0].as_str(), 1), (filters[1].as_str(), 1)];
        client.subscribe_with(&pairs, &[Property::SubscriptionId(id)]);
        for topic in &filters {
            client.publish(topic, "x", 1);
            assert_eq!(client.take().subscription_ids(), [id]);
        }
    }
}

/// [MQTT-3.8.4-3]: with it goes the Subscription Identifier.
fn subscription_id_is_replaced_too(link: Link) {
    let scene = Scene::shared(link);
    let topic = scene.topic("x");
    let mut client = scene.connect("a");
    for id in [Some(1), Some(2), None] {
        let properties: Vec<_> = id.into_iter().map(Property::SubscriptionId).collect();
        client.subscribe_with(&[(&topic, 1)], &properties);
        client.publish(&topic, "x", 1);
        assert_eq!(client.take().subscription_ids(), Vec::from_iter(id));
    }
}

/// [MQTT-3.8.3-3]
fn no_local_spares_the_publisher(link: Link) {
    let scene = Scene::shared(link);
    let mut one = scene.connect("one");
    let mut two = scene.connect("two");
    one.subscribe(&scene.topic("x"), 1 | 4);
    two.subscribe(&scene.topic("x"), 1);
    one.publish(&scene.topic("x"), "from one", 1);
    two.publish(&scene.topic("x"), "from two", 1);
    assert_eq!(one.take().text(), "from two");
    // Messages of different publishers have no order.
    let mut got = [two.take().text().to_owned(), two.take().text().to_owned()];
    got.sort();
    assert_eq!(got, ["from one", "from two"]);
    // Beside it a filter without the option delivers.
    one.subscribe(&scene.topic("+"), 1);
    one.publish(&scene.topic("x"), "from one again", 1);
    assert_eq!(one.take().text(), "from one again");
}

/// [MQTT-3.8.3-3]: also what waited for it while it was away.
fn no_local_looks_at_the_client_not_the_connection(link: Link) {
    let scene = Scene::shared(link);
    let (mut client, _) = scene.resume("a");
    client.subscribe(&scene.topic("x"), 1 | 4);
    client.publish(&scene.topic("x"), "mine", 1);
    client.disconnect();
    let mut other = scene.connect("other");
    other.publish(&scene.topic("x"), "other's", 1);
    let mut client = scene.come_back("a");
    client.publish(&scene.topic("x"), "mine again", 1);
    other.publish(&scene.topic("x"), "end", 1);
    assert_eq!(client.take_until("end"), ["other's"]);
}

/// [MQTT-3.3.1-12], [MQTT-3.3.1-13]: live, and for one who was away.
fn retain_as_published_keeps_the_flag(link: Link) {
    let scene = Scene::shared(link);
    let mut publisher = scene.connect("publisher");
    for (name, options, expected) in [("as published", 1 | 8, true), ("cleared", 1, false)] {
        let topic = scene.topic(name);
        let connect = Connect::persistent(scene.id(name));
        let (mut subscriber, _, _) = scene.connect_with(&connect);
        subscriber.subscribe(&topic, options);
        let mut publish = |retain| {
            let publish = Publish::new(&topic, "x").qos(1, 0);
            publisher.publish_packet(Publish { retain, ..publish });
        };
        publish(true);
        publish(false);
        assert_eq!(subscriber.take().retain, expected, "{name}, live");
        assert!(!subscriber.take().retain, "{name}, live, not retained");
        subscriber.disconnect();
        publish(true);
        publish(false);
        let (mut subscriber, _, _) = scene.connect_with(&connect);
        assert_eq!(subscriber.take().retain, expected, "{name}, away");
        assert!(!subscriber.take().retain, "{name}, away, not retained");
    }
}
