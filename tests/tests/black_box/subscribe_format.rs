//! SUBSCRIBE, UNSUBSCRIBE packets that break the format: the connection ends, nothing else does.

use flotilla_tests::{
    Link, Property, Scene, every_link,
    packet::{field, frame, subscribe, unsubscribe},
    v5_links, v311_links,
};

every_link! { options_that_are_not_allowed, packets_without_a_filter, packets_without_an_id }
v5_links! {
    options_that_only_mqtt_5_has,
    no_local_on_a_shared_subscription,
    properties_that_are_not_allowed,
}
v311_links! { options_that_mqtt_5_added }

#[track_caller]
fn assert_refused(scene: &Scene, bytes: &[u8], codes: &[u8]) {
    let mut client = scene.connect("bad");
    client.send(bytes);
    client.expect_refused(codes);
}

/// [MQTT-3.8.3-5]: reserved bits are malformed, QoS 3 is a Protocol Error (section 3.8.3.1).
fn options_that_are_not_allowed(link: Link) {
    let scene = Scene::shared(link);
    for (options, code) in [(3, 0x82), (0x40, 0x81), (0x80, 0x81), (0xC1, 0x81)] {
        let bytes = subscribe(link.version, 1, &[("a", 0), ("b", options)], &[]);
        assert_refused(&scene, &bytes, &[code]);
    }
}

/// [MQTT-3.8.3-2], [MQTT-3.10.3-2]
fn packets_without_a_filter(link: Link) {
    let scene = Scene::shared(link);
    assert_refused(&scene, &subscribe(link.version, 1, &[], &[]), &[0x82]);
    assert_refused(&scene, &unsubscribe(link.version, 1, &[]), &[0x82]);
    let head: &[u8] = if link.is_v5() { &[0, 1, 0] } else { &[0, 1] };
    let without_options = frame(0x82, &[head, &field("a")].concat());
    assert_refused(&scene, &without_options, &[0x81]);
}

/// [MQTT-2.2.1-3]
fn packets_without_an_id(link: Link) {
    let scene = Scene::shared(link);
    assert_refused(&scene, &subscribe(link.version, 0, &[("a", 0)], &[]), &[0x81, 0x82]);
    assert_refused(&scene, &unsubscribe(link.version, 0, &["a"]), &[0x81, 0x82]);
}

/// Section 3.8.3.1: Retain Handling 3.
fn options_that_only_mqtt_5_has(link: Link) {
    let scene = Scene::shared(link);
    assert_refused(&scene, &subscribe(link.version, 1, &[("a", 0x30)], &[]), &[0x82]);
}

/// [MQTT-3.8.3-4]
fn no_local_on_a_shared_subscription(link: Link) {
    let scene = Scene::shared(link);
    assert_refused(&scene, &subscribe(link.version, 1, &[("$share/g/a", 4)], &[]), &[0x82]);
}

/// MQTT 3.1.1, [MQTT-3.8.3-4]: there they are reserved.
fn options_that_mqtt_5_added(link: Link) {
    let scene = Scene::shared(link);
    for options in [0x04, 0x08, 0x10, 0x20] {
        assert_refused(&scene, &subscribe(link.version, 1, &[("a", options)], &[]), &[]);
    }
}

/// Section 3.8.2.1: a Subscription Identifier of 0, two of them, others' properties.
fn properties_that_are_not_allowed(link: Link) {
    let scene = Scene::shared(link);
    for (properties, code) in [
        (vec![Property::SubscriptionId(0)], 0x82),
        (vec![Property::SubscriptionId(1), Property::SubscriptionId(2)], 0x82),
        (vec![Property::TopicAlias(1)], 0x81),
        (vec![Property::MessageExpiry(1)], 0x81),
    ] {
        let bytes = subscribe(link.version, 1, &[("a", 0)], &properties);
        assert_refused(&scene, &bytes, &[code]);
    }
    let five_bytes = [&[0, 1, 6, 0x0B, 0xFF, 0xFF, 0xFF, 0xFF, 0x01][..], &field("a"), &[0]];
    assert_refused(&scene, &frame(0x82, &five_bytes.concat()), &[0x81]);
}
