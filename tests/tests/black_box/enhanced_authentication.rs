//! AUTH: SCRAM-SHA-256 before CONNACK, and again on a connection that stands.

use std::{path::Path, time::Duration};

use flotilla_tests::{
    Broker, Client, Connect, Link, Packet, Property, Publish, Scene, Scram, Settings, elapse,
    every_link,
    packet::{DISCONNECT, PINGREQ, auth, frame},
    v5_links, v311_links,
};
use tempfile::TempDir;

every_link! { a_verifier_checks_passwords_too }
v5_links! {
    a_client_proves_that_it_knows_the_password,
    one_that_does_not_is_refused,
    who_is_there_is_not_told,
    only_auth_may_follow,
    silence_is_not_waited_for,
    a_connection_authenticates_again,
    failing_again_ends_the_connection,
    small_packets_only,
    methods_that_the_listener_has_not,
}
v311_links! { auth_is_no_packet_of_mqtt_3_1_1 }

/// A broker whose password file knows Ann by a verifier, Bob too, Old by a hash of the password.
fn scene(link: Link) -> (Scene, TempDir) {
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    let file = home.path().join("passwords");
    put(&file, &["--scram"], "ann", "correct horse");
    put(&file, &["--scram", "--iterations", "4096"], "bob", "battery staple");
    put(&file, &[], "old", "correct horse");
    let tables = format!(
        "[auth]\npassword_file = \"{}\"\n[limits]\nconnect_timeout = \"2s\"",
        file.display()
    );
    (Scene::alone(link, Settings::new().tables(&tables)), home)
}

fn put(file: &Path, options: &[&str], user: &str, password: &str) {
    let file = file.to_string_lossy();
    let arguments = [&["passwd"], options, &[&file, user]].concat();
    let ended = Broker::run_with(&arguments, password);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

fn method() -> Property {
    Property::AuthenticationMethod(Scram::METHOD.into())
}

fn step(code: u8, data: &[u8]) -> Vec<u8> {
    auth(code, &[method(), Property::AuthenticationData(data.to_vec())])
}

fn connect(scene: &Scene, data: Vec<u8>) -> Connect {
    let connect = Connect::new(scene.id("a")).with(method());
    connect.with(Property::AuthenticationData(data))
}

/// The Authentication Data of the next packet, AUTH 0x18 with the method.
#[track_caller]
fn challenge(client: &mut Client) -> Vec<u8> {
    let (code, properties) = client.await_packet(|packet| match packet {
        Packet::Auth(code, properties) => Some((*code, properties.clone())),
        _ => None,
    });
    assert_eq!(code, 0x18, "[MQTT-4.12.0-2]");
    data_in(&properties)
}

/// The method must stand beside it.
#[track_caller]
fn data_in(properties: &[Property]) -> Vec<u8> {
    assert!(properties.contains(&method()), "[MQTT-4.12.0-5] {properties:?}");
    let data = properties.iter().find_map(|property| match property {
        Property::AuthenticationData(data) => Some(data.clone()),
        _ => None,
    });
    data.expect("there is Authentication Data")
}

/// Connects; the properties of CONNACK.
#[track_caller]
fn authenticate(scene: &Scene, connect: &Connect, scram: &Scram) -> (Client, Vec<Property>) {
    let mut client = scene.open();
    client.send(&connect.bytes(client.version()));
    let (last, verdict) = scram.last(&challenge(&mut client));
    client.send(&step(0x18, &last));
    let Packet::Connack(false, 0, properties) = client.next_packet() else {
        panic!("not accepted");
    };
    assert_eq!(data_in(&properties), verdict, "the server knows the password, too");
    (client, properties)
}

fn ann() -> Scram {
    Scram::new("ann", "correct horse", "abcdefgh")
}

/// [MQTT-4.12.0-2], [MQTT-4.12.0-5], [MQTT-3.15.2-1], [MQTT-3.2.0-1]: in the way of section 4.12's
/// example.
fn a_client_proves_that_it_knows_the_password(link: Link) {
    let (scene, _home) = scene(link);
    let (mut client, _) = authenticate(&scene, &connect(&scene, ann().first()), &ann());
    client.subscribe("x", 1);
    client.publish("x", "in", 1);
    assert_eq!(client.take().text(), "in");
    client.disconnect();
    let bob = Scram::new("bob", "battery staple", "ijklmnop");
    authenticate(&scene, &connect(&scene, bob.first()), &bob).0.ping();
    scene.broker().await_metric("flotilla_connection_attempts_total", &["accepted"], |n| n == 2.0);
}

#[track_caller]
fn expect_connack(client: &mut Client, codes: &[u8]) {
    let answer = client.next_packet();
    let Packet::Connack(false, code, properties) = &answer else { panic!("{answer:?}") };
    assert!(codes.contains(code), "{answer:?}");
    let data = |property: &Property| matches!(property, Property::AuthenticationData(_));
    assert!(!properties.iter().any(data), "{answer:?}");
    client.expect_closed();
}

/// [MQTT-4.12.0-4]: a wrong password, a proof for another exchange, no sense at all.
fn one_that_does_not_is_refused(link: Link) {
    let (scene, _home) = scene(link);
    let wrong = Scram::new("ann", "wrong horse", "abcdefgh");
    let mut client = scene.open();
    client.send(&connect(&scene, wrong.first()).bytes(link.version));
    let (last, _) = wrong.last(&challenge(&mut client));
    client.send(&step(0x18, &last));
    expect_connack(&mut client, &[0x87]);

    let mut client = scene.open();
    client.send(&connect(&scene, ann().first()).bytes(link.version));
    let (heard, _) = ann().last(&challenge(&mut client));
    client.cut();
    let mut client = scene.open();
    client.send(&connect(&scene, ann().first()).bytes(link.version));
    challenge(&mut client);
    client.send(&step(0x18, &heard));
    expect_connack(&mut client, &[0x87]);

    for nonsense in ["", "hello", "p=tls-unique,,n=ann,r=x", "n,,n=ann", "n,a=bob,n=ann,r=x"] {
        let mut client = scene.open();
        client.send(&connect(&scene, nonsense.into()).bytes(link.version));
        expect_connack(&mut client, &[0x87]);
    }
    let mut client = scene.open();
    client.send(&Connect::new(scene.id("a")).with(method()).bytes(link.version));
    expect_connack(&mut client, &[0x87]);
}

/// A user that does not exist, and one without a verifier, are asked like others, always with the
/// same salt, and refused at the end.
fn who_is_there_is_not_told(link: Link) {
    let (scene, _home) = scene(link);
    let form = |challenge: &[u8]| {
        let text = String::from_utf8(challenge.to_vec()).expect("it is text");
        let lengths: Vec<usize> = text.split(',').map(str::len).collect();
        (lengths, text.split_once(",s=").expect("there is a salt").1.to_owned())
    };
    let ask = |user: &str| {
        let scram = Scram::new(user, "correct horse", "abcdefgh");
        let mut client = scene.open();
        client.send(&connect(&scene, scram.first()).bytes(link.version));
        let asked = challenge(&mut client);
        let (last, _) = scram.last(&asked);
        client.send(&step(0x18, &last));
        if user == "ann" {
            assert!(matches!(client.next_packet(), Packet::Connack(false, 0, _)));
        } else {
            expect_connack(&mut client, &[0x87]);
        }
        form(&asked)
    };
    let (lengths, salt) = ask("ann");
    for user in ["nobody", "old", "Ann"] {
        let (looks, other) = ask(user);
        assert_eq!(looks, lengths, "{user}");
        assert_ne!(other, salt, "{user}");
        assert_eq!(ask(user).1, other, "{user}");
    }
}

/// [MQTT-3.1.4-6], and what section 4.12 forbids a client before CONNACK.
fn only_auth_may_follow(link: Link) {
    let (scene, _home) = scene(link);
    let (mut watcher, _) = authenticate(&scene, &connect(&scene, ann().first()), &ann());
    watcher.subscribe("#", 0);
    let other = Property::AuthenticationMethod("SCRAM-SHA-1".into());
    let data = Property::AuthenticationData(b"x".to_vec());
    for (packet, is_told) in [
        (Publish::new("x", "forged").bytes(link.version), true),
        (PINGREQ.to_vec(), true),
        (step(0x19, b"x"), true),
        (step(0x00, b"x"), true),
        (auth(0x18, &[other, data]), true),
        (frame(0xF1, &[]), true),
        (DISCONNECT.to_vec(), false),
    ] {
        let mut client = scene.open();
        let other = Connect { client_id: scene.id("b"), ..connect(&scene, ann().first()) };
        client.send(&other.bytes(link.version));
        challenge(&mut client);
        client.send(&packet);
        if is_told { expect_connack(&mut client, &[0x81, 0x82]) } else { client.expect_closed() }
    }
    watcher.publish("x", "end", 0);
    assert_eq!(watcher.take_until("end"), <[&str; 0]>::default());
}

/// `connect_timeout` counts until the last word of the client.
fn silence_is_not_waited_for(link: Link) {
    let (scene, _home) = scene(link);
    let mut client = scene.open();
    client.send(&connect(&scene, ann().first()).bytes(link.version));
    challenge(&mut client);
    client.until_closed();
    // Afterwards it may be silent.
    let (mut client, _) = authenticate(&scene, &connect(&scene, ann().first()), &ann());
    elapse(Duration::from_millis(2_200));
    client.ping();
}

/// [MQTT-4.12.1-1], [MQTT-4.12.0-5]: messages flow meanwhile.
fn a_connection_authenticates_again(link: Link) {
    let (scene, _home) = scene(link);
    let (mut client, _) = authenticate(&scene, &connect(&scene, ann().first()), &ann());
    client.subscribe("x", 1);
    for round in 0..2 {
        let scram = Scram::new("ann", "correct horse", &format!("again{round}"));
        client.send(&step(0x19, &scram.first()));
        let asked = challenge(&mut client);
        client.publish("x", "meanwhile", 1);
        assert_eq!(client.take().text(), "meanwhile");
        let (last, verdict) = scram.last(&asked);
        client.send(&step(0x18, &last));
        let answer = client.next_packet();
        let Packet::Auth(0x00, properties) = &answer else { panic!("{answer:?}") };
        assert_eq!(data_in(properties), verdict);
    }
    client.ping();
    scene.broker().await_metric("flotilla_reauthentications_total", &["accepted"], |n| n == 2.0);
}

/// [MQTT-4.12.1-2]: a wrong password, another user; a step that is not due, another method.
fn failing_again_ends_the_connection(link: Link) {
    let (scene, _home) = scene(link);
    let wrong = Scram::new("ann", "wrong", "again");
    let bob = Scram::new("bob", "battery staple", "again");
    for scram in [wrong, bob] {
        let (mut client, _) = authenticate(&scene, &connect(&scene, ann().first()), &ann());
        client.send(&step(0x19, &scram.first()));
        let (last, _) = scram.last(&challenge(&mut client));
        client.send(&step(0x18, &last));
        client.expect_refused(&[0x87]);
    }
    let other = auth(0x19, &[Property::AuthenticationMethod("SCRAM-SHA-1".into())]);
    for packet in [step(0x18, b"x"), step(0x00, b"x"), other, frame(0xF0, &[])] {
        let (mut client, _) = authenticate(&scene, &connect(&scene, ann().first()), &ann());
        client.send(&packet);
        client.expect_refused(&[0x82]);
    }
    scene.broker().await_metric("flotilla_reauthentications_total", &["refused"], |n| n == 2.0);
}

/// [MQTT-3.15.2-2], [MQTT-3.15.2-3]: AUTH keeps to the size that the client takes, or is not sent.
fn small_packets_only(link: Link) {
    let (scene, _home) = scene(link);
    let small = |size| connect(&scene, ann().first()).with(Property::MaximumPacketSize(size));
    let mut client = scene.open();
    client.send(&small(60).bytes(link.version));
    expect_connack(&mut client, &[0x95]);
    let (client, _) = authenticate(&scene, &small(130), &ann());
    assert!(client.largest_packet() <= 130, "{} bytes", client.largest_packet());
}

/// [MQTT-4.12.0-1]: another method; none at all without a password file.
fn methods_that_the_listener_has_not(link: Link) {
    let (with_passwords, _home) = scene(link);
    let without = Scene::shared(link);
    for (scene, name) in [(&with_passwords, "SCRAM-SHA-1"), (&without, Scram::METHOD)] {
        let mut client = scene.open();
        let connect = Connect::new(scene.id("a"));
        let method = Property::AuthenticationMethod(name.into());
        client.send(&connect.with(method).bytes(link.version));
        expect_connack(&mut client, &[0x8C]);
    }
}

/// Who cannot speak AUTH says the password, by the same line of the file.
fn a_verifier_checks_passwords_too(link: Link) {
    let (scene, _home) = scene(link);
    for (user, password) in [("ann", "correct horse"), ("bob", "battery staple")] {
        scene.connect_with(&Connect::new(scene.id("a")).login(user, password)).0.ping();
        let mut client = scene.open();
        client.send(&Connect::new(scene.id("a")).login(user, "wrong").bytes(link.version));
        let code = if link.is_v5() { 0x86 } else { 4 };
        expect_connack(&mut client, &[code]);
    }
}

/// Packet type 15 is reserved there.
fn auth_is_no_packet_of_mqtt_3_1_1(link: Link) {
    let (scene, _home) = scene(link);
    let login = Connect::new(scene.id("a")).login("ann", "correct horse");
    let mut client = scene.connect_with(&login).0;
    client.send(&step(0x19, b"x"));
    client.expect_closed();
}
