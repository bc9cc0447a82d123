//! CONNECT packets that break the format: the connection ends, nothing else does.

use flotilla_tests::{
    Connect, Link, Packet, Property, Scene, Version, Will, every_link, newer_links,
    packet::{field, frame},
    v5_links, v311_links,
};

every_link! {
    other_levels_are_refused,
    strings_that_are_not_utf_8,
    will_on_a_topic_nobody_may_publish_to,
}
newer_links! {
    other_names_are_refused,
    flags_that_contradict_each_other,
    payload_that_does_not_match_the_flags,
}
v311_links! { password_needs_a_user_name }
v5_links! { password_without_a_user_name, properties_that_connect_may_not_have }

/// A CONNECT from its parts.
fn connect(version: Version, name: &[u8], level: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut rest = field(name);
    rest.extend([level, flags, 0, 0]);
    if version == Version::V5 {
        rest.push(0);
    }
    rest.extend(payload);
    frame(0x10, &rest)
}

/// The broker closes; MQTT 5 may name the fault in a CONNACK before, MQTT 3.1.1 may not.
/// [MQTT-3.1.4-1]
#[track_caller]
fn assert_malformed(scene: &Scene, bytes: &[u8], codes: &[u8], why: &str) {
    assert_refused(scene, bytes, if scene.link.is_v5() { codes } else { &[] }, why);
}

/// The broker closes, and may say why with one of the codes.
#[track_caller]
fn assert_refused(scene: &Scene, bytes: &[u8], codes: &[u8], why: &str) {
    let mut client = scene.open();
    client.send(bytes);
    match client.until_closed().as_slice() {
        [] => {}
        [Packet::Connack(false, code, _)] if codes.contains(code) => {}
        other => panic!("{why}: {other:?}"),
    }
}

/// [MQTT-3.1.2-2]; the refusal may be worded in either version.
fn other_levels_are_refused(link: Link) {
    let scene = Scene::shared(link);
    for level in [0, 1, 2, 3, 6, 127, 255, 0x84] {
        let bytes = connect(link.version, b"MQTT", level, 2, &field("a"));
        assert_refused(&scene, &bytes, &[0x84, 0x01], &format!("level {level}"));
    }
}

/// [MQTT-3.1.2-1]
fn other_names_are_refused(link: Link) {
    let scene = Scene::shared(link);
    for name in ["", "MQT", "mqtt", "MQTTT", "HTTP"] {
        let bytes = connect(link.version, name.as_bytes(), link.version.level(), 2, &field("a"));
        assert_refused(&scene, &bytes, &[0x84, 0x01], name);
    }
    let old = connect(Version::V311, b"MQIsdp", 4, 2, &field("a"));
    assert_refused(&scene, &old, &[0x84, 0x01], "the name of MQTT 3.1 with the level of 3.1.1");
}

/// [MQTT-3.1.2-3], [MQTT-3.1.2-11], [MQTT-3.1.2-12], [MQTT-3.1.2-13]
fn flags_that_contradict_each_other(link: Link) {
    let scene = Scene::shared(link);
    let mut will = field("a");
    if link.is_v5() {
        will.push(0);
    }
    will.extend([0, 1, b't', 0, 1, b'p']);
    for (flags, payload, why) in [
        (0b0000_0011, &field("a"), "reserved"),
        (0b0000_1010, &field("a"), "Will QoS 1 without a Will"),
        (0b0001_0010, &field("a"), "Will QoS 2 without a Will"),
        (0b0010_0010, &field("a"), "Will Retain without a Will"),
        (0b0001_1110, &will, "Will QoS 3"),
    ] {
        let bytes = connect(
            link.version,
            link.version.name().as_bytes(),
            link.version.level(),
            flags,
            payload,
        );
        assert_malformed(&scene, &bytes, &[0x81, 0x82], why);
    }
}

/// [MQTT-3.1.2-9], [MQTT-3.1.2-16] to [MQTT-3.1.2-19], [MQTT-3.1.3-1], [MQTT-3.1.3-3]
fn payload_that_does_not_match_the_flags(link: Link) {
    let scene = Scene::shared(link);
    let two = [field("a"), field("b")].concat();
    for (flags, payload, why) in [
        (0b0000_0010, vec![], "no Client Identifier"),
        (0b0000_0010, vec![0], "half a length"),
        (0b0000_0010, vec![0, 5, b'a'], "a Client Identifier that is cut"),
        (0b0000_0010, two.clone(), "a field without a flag"),
        (0b1000_0010, field("a"), "a User Name flag without a field"),
        (0b1100_0010, two, "a Password flag without a field"),
        (0b0000_0110, field("a"), "a Will flag without fields"),
    ] {
        let bytes = connect(
            link.version,
            link.version.name().as_bytes(),
            link.version.level(),
            flags,
            &payload,
        );
        assert_malformed(&scene, &bytes, &[0x81, 0x82, 0x85], why);
    }
    assert_malformed(&scene, &frame(0x10, &[]), &[0x81], "nothing at all");
    let mut flags = Connect::new(scene.id("a")).bytes(link.version);
    flags[0] = 0x11;
    assert_malformed(&scene, &flags, &[0x81], "[MQTT-2.1.3-1] flags of the fixed header");
}

/// [MQTT-1.5.4-1], [MQTT-1.5.4-2], [MQTT-3.1.3-4], [MQTT-3.1.3-11], [MQTT-3.1.3-12]
fn strings_that_are_not_utf_8(link: Link) {
    let scene = Scene::shared(link);
    for bytes in [&b"a\0b"[..], b"\xFF", b"\xC0\x80", b"\xED\xA0\x80", b"\xF5\x80\x80\x80"] {
        let level = link.version.level();
        let id = connect(link.version, link.version.name().as_bytes(), level, 2, &field(bytes));
        assert_malformed(
            &scene,
            &id,
            &[0x81, 0x82, 0x85],
            &format!("Client Identifier {bytes:X?}"),
        );
        let user = [field("a"), field(bytes)].concat();
        let user = connect(link.version, link.version.name().as_bytes(), level, 0x82, &user);
        assert_malformed(&scene, &user, &[0x81, 0x82], &format!("User Name {bytes:X?}"));
        let properties: &[u8] = if link.is_v5() { &[0] } else { &[] };
        let will = [field("a"), properties.to_vec(), field(bytes), field("x")].concat();
        let will = connect(link.version, link.version.name().as_bytes(), level, 0x06, &will);
        assert_malformed(&scene, &will, &[0x81, 0x82], &format!("Will Topic {bytes:X?}"));
    }
}

/// [MQTT-4.7.0-1], [MQTT-4.7.3-1]; the topics that the broker keeps for itself.
fn will_on_a_topic_nobody_may_publish_to(link: Link) {
    let scene = Scene::shared(link);
    let with = |topic| Connect::new(scene.id("a")).will(Will::new(topic, "x")).bytes(link.version);
    for topic in ["a/+", "#", ""] {
        assert_malformed(&scene, &with(topic), &[0x81, 0x82, 0x90], topic);
    }
    let refusal = if link.is_v5() { [0x87, 0x90] } else { [0x05, 0x05] };
    for topic in ["$SYS/broker/x", "$dead/x"] {
        assert_refused(&scene, &with(topic), &refusal, topic);
    }
}

/// MQTT 3.1.1, [MQTT-3.1.2-22]
fn password_needs_a_user_name(link: Link) {
    let scene = Scene::shared(link);
    let payload = [field("a"), field("secret")].concat();
    assert_malformed(
        &scene,
        &connect(link.version, link.version.name().as_bytes(), 4, 0x42, &payload),
        &[],
        "a password",
    );
}

/// Section 3.1.2.9: new in MQTT 5.
fn password_without_a_user_name(link: Link) {
    let scene = Scene::shared(link);
    let connect = Connect { password: Some(vec![0, 0xFF]), ..Connect::new(scene.id("a")) };
    scene.connect_with(&connect).0.disconnect();
}

/// Section 3.1.2.11: twice or with a value that is not allowed is a Protocol Error (0x82); one that
/// CONNECT does not have is malformed (0x81, section 2.2.2.2).
fn properties_that_connect_may_not_have(link: Link) {
    let scene = Scene::shared(link);
    for (properties, code) in [
        (vec![Property::ReceiveMaximum(0)], 0x82),
        (vec![Property::MaximumPacketSize(0)], 0x82),
        (vec![Property::RequestProblemInformation(2)], 0x82),
        (vec![Property::RequestResponseInformation(2)], 0x82),
        (vec![Property::SessionExpiry(1), Property::SessionExpiry(1)], 0x82),
        (vec![Property::ReceiveMaximum(1), Property::ReceiveMaximum(1)], 0x82),
        (vec![Property::AuthenticationData(vec![1])], 0x82),
        (vec![Property::ServerKeepAlive(1)], 0x81),
        (vec![Property::TopicAlias(1)], 0x81),
        (vec![Property::WillDelay(1)], 0x81),
    ] {
        let connect = Connect { properties, ..Connect::new(scene.id("a")) };
        let why = format!("{:?}", connect.properties);
        assert_malformed(&scene, &connect.bytes(link.version), &[code], &why);
    }
    let unknown = [field("MQTT"), vec![5, 2, 0, 0, 2, 0x7F, 0x00], field("a")].concat();
    assert_malformed(&scene, &frame(0x10, &unknown), &[0x81], "an unknown property");
    let longer = [field("MQTT"), vec![5, 2, 0, 0, 9, 0x21, 0, 1], field("a")].concat();
    assert_malformed(&scene, &frame(0x10, &longer), &[0x81], "properties that are cut");
    let will = Will::new(scene.topic("a"), "x").with(Property::SessionExpiry(1));
    let bytes = Connect::new(scene.id("a")).will(will).bytes(link.version);
    assert_malformed(&scene, &bytes, &[0x81], "a Will with a Session Expiry Interval");
}
