//! Topic Names, Topic Filters: which match, which are refused.

use flotilla_tests::{
    Link, Publish, Scene, Settings, every_link,
    packet::{field, frame, subscribe},
};

every_link! {
    filters_match_as_the_table_says,
    dollar_topics_are_not_for_clients,
    nothing_is_normalized,
    filters_that_are_not_allowed,
    filters_that_are_not_strings,
    very_long_topics,
    levels_have_a_limit,
}

/// Filter, topics that match, topics that do not. Sections 4.7.1 and 4.7.2
const TABLE: &[(&str, &[&str], &[&str])] = &[
    ("a", &["a"], &["/a", "a/", "A", "b", "a/a"]),
    ("a/b", &["a/b"], &["a", "a/", "a/b/", "a/b/c", "a/B"]),
    ("a/#", &["a", "a/", "a/b", "a/b/c", "a//"], &["b", "/a", "ab"]),
    ("a/+", &["a/", "a/b"], &["a", "a/b/c", "a/b/"]),
    ("a/+/c", &["a/b/c", "a//c"], &["a/c", "a/b/d/c", "a/b/c/"]),
    ("+/b", &["a/b", "/b"], &["b", "a/a/b", "a/b/"]),
    ("+/+", &["a/b", "/b", "/", "a/"], &["a", "a/b/c"]),
    ("+", &["a", "b"], &["a/", "/", "a/b"]),
    ("/+", &["/a", "/"], &["a", "a/b", "//"]),
    ("/#", &["/", "/a", "/a/b", "//"], &["a", "a/"]),
    ("#", &["a", "/", "a/b", "a/b/c/d", "//"], &[]),
    ("+/#", &["a", "/", "a/b/c"], &[]),
    ("a/+/#", &["a/b", "a/b/c", "a/"], &["a", "b/a"]),
    ("a/+/+/d", &["a/b/c/d", "a///d"], &["a/b/d"]),
    (
        "sport/tennis/player1/#",
        &["sport/tennis/player1", "sport/tennis/player1/ranking"],
        &["sport/tennis"],
    ),
];

/// [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-3.3.2-3]
fn filters_match_as_the_table_says(link: Link) {
    let scene = Scene::alone(link, Settings::new());
    let mut publisher = scene.connect("publisher");
    for (row, (filter, matching, others)) in TABLE.iter().enumerate() {
        let mut subscriber = scene.connect(&format!("subscriber{row}"));
        subscriber.subscribe(filter, 0);
        // Not a topic of the table, so that it ends each row.
        let end = format!("end/{row}");
        subscriber.subscribe(&end, 0);
        for topic in others.iter().chain(*matching) {
            publisher.publish(topic, *topic, 0);
        }
        publisher.publish(&end, "end", 0);
        let mut got = subscriber.take_until("end");
        // '#' and the like match the end, too: it may come twice.
        got.retain(|topic| topic != "end");
        assert_eq!(got, *matching, "'{filter}'");
        subscriber.unsubscribe(&[filter, &end]);
        subscriber.disconnect();
    }
}

/// [MQTT-4.7.2-1], section 4.7.2: topics that start with `$` are not for clients to exchange
/// messages, so none gets through, with a wildcard or without.
fn dollar_topics_are_not_for_clients(link: Link) {
    let scene = Scene::alone(link, Settings::new());
    let mut watcher = scene.connect("watcher");
    for filter in ["#", "+/x", "+/#", "$fleet/#", "$fleet/x"] {
        watcher.subscribe(filter, 1);
    }
    for retain in [false, true] {
        let mut client = scene.connect("a");
        let publish = Publish { retain, ..Publish::new("$fleet/x", "hidden").qos(1, 1) };
        if link.is_v5() {
            assert_eq!(client.try_publish(publish), 0x87);
        } else {
            client.send(&publish.bytes(link.version));
            client.expect_closed();
        }
    }
    let mut client = scene.connect("a");
    client.publish("fleet/x", "seen", 1);
    assert_eq!(watcher.take().text(), "seen");
    client.subscribe("$fleet/#", 1);
    client.subscribe("#", 1);
    client.publish("fleet/x", "end", 1);
    assert_eq!(client.take_until("end"), <[&str; 0]>::default());
}

/// [MQTT-4.7.3-4]: case, spaces, empty levels, composed and decomposed letters all differ.
fn nothing_is_normalized(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    let topics = ["é", "e\u{301}", "É", "x y", "x  y", "x/", "x", "x//", ".", "./x", "../x", "%41"];
    for topic in topics {
        client.subscribe(&scene.topic(topic), 0);
        for other in topics {
            client.publish(&scene.topic(other), other, 0);
        }
        let got = client.take();
        assert_eq!((got.topic.as_str(), got.text()), (scene.topic(topic).as_str(), topic));
        client.publish(&scene.topic(topic), "end", 0);
        assert_eq!(client.take_until("end"), <[&str; 0]>::default());
        client.unsubscribe(&[&scene.topic(topic)]);
    }
}

/// [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1], [MQTT-4.8.2-1], [MQTT-4.8.2-2]: a malformed
/// packet, not a refused subscription (docs/choices.md).
fn filters_that_are_not_allowed(link: Link) {
    let scene = Scene::shared(link);
    for filter in [
        "",
        "a/#/b",
        "#/a",
        "a#",
        "a/b#",
        "##",
        "+a",
        "a+",
        "a/+b",
        "a/b+/c",
        "++",
        "a/++",
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//a",
        "$share/+/a",
        "$share/#/a",
        "$share/a+/b",
        "$share/g/a#",
    ] {
        let mut client = scene.connect("a");
        client.send(&subscribe(link.version, 1, &[("fine", 0), (filter, 0)], &[]));
        client.expect_refused(&[0x8F]);
    }
}

/// [MQTT-3.8.3-1], [MQTT-3.10.3-1], [MQTT-4.7.3-2]
fn filters_that_are_not_strings(link: Link) {
    let scene = Scene::shared(link);
    let head: &[u8] = if link.is_v5() { &[0, 1, 0] } else { &[0, 1] };
    for filter in [&b"a\0b"[..], b"\xFF", b"a/\xED\xA0\x80"] {
        for (first, options) in [(0x82, &[0][..]), (0xA2, &[])] {
            let mut client = scene.connect("a");
            client.send(&frame(first, &[head, &field(filter), options].concat()));
            client.expect_refused(&[0x81, 0x82, 0x8F]);
        }
    }
}

/// [MQTT-4.7.3-3]: up to 65,535 bytes.
fn very_long_topics(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    let name = scene.topic(&"x".repeat(65_535 - scene.topic("").len()));
    assert_eq!(name.len(), 65_535);
    client.subscribe(&name, 1);
    client.publish(&name, "long", 1);
    let publish = client.take();
    assert_eq!((publish.text(), publish.topic == name), ("long", true));
}

/// `topic_levels_max`, 32: above it a filter is refused, a message too; neither silently.
fn levels_have_a_limit(link: Link) {
    let scene = Scene::shared(link);
    let most = scene.topic(&["x"; 31].join("/"));
    let more = format!("{most}/x");
    let mut client = scene.connect("a");
    client.subscribe(&most, 1);
    client.publish(&most, "deep", 1);
    assert_eq!(client.take().text(), "deep");
    let codes = client.subscribe_with(&[(&more, 1)], &[]);
    assert_eq!(codes, [link.refused_filter(0x8F)]);
    let publish = Publish::new(&more, "too deep").qos(1, 0);
    if link.is_v5() {
        assert_eq!(client.try_publish(publish), 0x90);
        client.ping();
    } else {
        client.send(&publish.qos(1, 99).bytes(link.version));
        client.expect_closed();
    }
}
