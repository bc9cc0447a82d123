//! Connections that do not speak MQTT, or stop in the middle: each costs only itself.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use flotilla_tests::{
    Client, Connect, DEADLINE, Link, Packet, Publish, Scene, Settings, Transport, Version,
    every_link,
    packet::{PINGREQ, frame},
};

every_link! {
    garbage_ends_its_connection,
    a_length_of_300_megabytes,
    lengths_that_are_not_lengths,
    connect_byte_by_byte,
    any_packet_byte_by_byte,
    publish_cut_in_the_middle,
    silence_after_opening,
    half_a_connect,
}

/// Another client that must not notice anything.
fn witness(scene: &Scene) -> Client {
    let mut witness = scene.connect("witness");
    witness.subscribe(&scene.topic("witness"), 1);
    witness
}

#[track_caller]
fn assert_undisturbed(scene: &Scene, witness: &mut Client) {
    witness.publish(&scene.topic("witness"), "well", 1);
    assert_eq!(witness.take().text(), "well");
}

/// Before CONNECT nothing is answered; afterwards MQTT 5 is told why. [MQTT-4.13.1-1]
fn garbage_ends_its_connection(link: Link) {
    let scene = Scene::shared(link);
    let mut witness = witness(&scene);
    let noise: Vec<u8> = (0..2_000_u32).map(|number| ((number * 7_919) >> 3) as u8).collect();
    for garbage in [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        vec![0; 1_000],
        vec![0xFF; 1_000],
        noise,
    ] {
        let mut client = scene.open();
        client.send_lossy(&garbage);
        client.expect_closed();
        let mut client = scene.connect("bad");
        client.send_lossy(&garbage);
        client.expect_refused(&[0x81, 0x82, 0x95]);
        assert_undisturbed(&scene, &mut witness);
    }
}

/// [MQTT-3.2.2-15]: refused for what it announces, no memory is set aside for it.
fn a_length_of_300_megabytes(link: Link) {
    let scene = Scene::alone(link, Settings::new());
    let mut witness = witness(&scene);
    let before = scene.broker().resident_bytes();
    for _ in 0..20 {
        for (length, codes) in [
            // 268,435,455: the largest that can be written.
            (&[0xFF, 0xFF, 0xFF, 0x7F][..], &[0x95][..]),
            // 300,000,000: needs a byte too many.
            (&[0x80, 0xC6, 0x86, 0x8F, 0x01], &[0x81, 0x95]),
        ] {
            let mut client = scene.open();
            client.send_lossy(&[&[0x10], length].concat());
            client.expect_closed();
            let mut client = scene.connect("bad");
            client.send_lossy(&[&[0x30], length].concat());
            client.expect_refused(codes);
        }
    }
    assert_undisturbed(&scene, &mut witness);
    let grown = scene.broker().resident_bytes().saturating_sub(before);
    assert!(grown < 50_000_000, "{grown} bytes more");
}

/// [MQTT-1.5.5-1]: five bytes; more bytes than needed.
fn lengths_that_are_not_lengths(link: Link) {
    let scene = Scene::shared(link);
    for length in [&[0x80, 0x80, 0x80, 0x80, 0x01][..], &[0xFF, 0xFF, 0xFF, 0xFF]] {
        let mut client = scene.open();
        client.send_lossy(&[&[0x10], length].concat());
        client.expect_closed();
        let mut client = scene.connect("bad");
        client.send_lossy(&[&[0xC0], length].concat());
        client.expect_refused(&[0x81]);
    }
    // MQTT 3.1.1 does not ask for the shortest form.
    let mut client = scene.connect("bad");
    client.send_lossy(&[0xC0, 0x80, 0x00]);
    if link.is_v5() {
        client.expect_refused(&[0x81]);
    } else {
        client.expect(&Packet::Pingresp);
    }
}

/// However the bytes are cut, they are one packet.
fn connect_byte_by_byte(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.open();
    for byte in Connect::new(scene.id("a")).bytes(link.version) {
        client.send(&[byte]);
    }
    assert!(matches!(client.next_packet(), Packet::Connack(false, 0, _)));
    client.ping();
}

/// The same for all that follows, and for many packets in one piece.
fn any_packet_byte_by_byte(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x"), 0);
    let packets: Vec<u8> = (1..=3)
        .flat_map(|id| {
            Publish::new(scene.topic("x"), "x".repeat(150)).qos(1, id).bytes(link.version)
        })
        .chain(PINGREQ.iter().copied())
        .collect();
    for piece in [1, 2, 3, 7, packets.len()] {
        for piece in packets.chunks(piece) {
            client.send(piece);
        }
        for id in 1..=3 {
            client.await_puback(id);
            client.take();
        }
        client.await_packet(|packet| matches!(packet, Packet::Pingresp).then_some(()));
    }
}

/// What has not come whole is not a message.
fn publish_cut_in_the_middle(link: Link) {
    let scene = Scene::shared(link);
    let mut witness = witness(&scene);
    let bytes = Publish::new(scene.topic("witness"), "half").qos(1, 1).bytes(link.version);
    for length in [1, 2, 5, bytes.len() - 1] {
        let mut client = scene.connect("bad");
        client.send(&bytes[..length]);
        if length % 2 == 0 { client.cut() } else { client.reset() }
    }
    assert_undisturbed(&scene, &mut witness);
}

/// `connect_timeout`
fn silence_after_opening(link: Link) {
    let scene = Scene::alone(link, Settings::new().tables("[limits]\nconnect_timeout = \"500ms\""));
    let opened = Instant::now();
    let mut client = scene.open();
    client.expect_closed();
    let waited = opened.elapsed();
    assert!(waited >= Duration::from_millis(400), "closed after {waited:?}");
    assert!(waited < Duration::from_secs(10), "closed after {waited:?}");
    // One who has said CONNECT in time may be silent afterwards.
    let mut client = scene.connect("a");
    flotilla_tests::elapse(Duration::from_millis(700));
    client.ping();
}

/// `connect_timeout` holds until the CONNECT is whole; a byte now and then does not help.
fn half_a_connect(link: Link) {
    let scene = Scene::alone(link, Settings::new().tables("[limits]\nconnect_timeout = \"500ms\""));
    let mut client = scene.open();
    let opened = Instant::now();
    for byte in Connect::new("x".repeat(1_000)).bytes(link.version) {
        client.send_lossy(&[byte]);
        match client.try_read(Instant::now() + Duration::from_millis(20)) {
            Ok(None) => break,
            Ok(Some(packet)) => panic!("{packet:?}"),
            Err(_) => assert!(opened.elapsed() < Duration::from_secs(10), "still open"),
        }
    }
    assert!(opened.elapsed() >= Duration::from_millis(400), "closed after {:?}", opened.elapsed());
}

/// Opened, no handshake, or half of one: others are served, it is closed after `connect_timeout`.
#[test]
fn half_open_tls_handshakes() {
    let settings = Settings::new().tables("[limits]\nconnect_timeout = \"1500ms\"");
    let scene = Scene::alone(Link::V5_TLS, settings);
    let address = scene.endpoint().address;
    // The beginning of a ClientHello.
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xFC, 0x03, 0x03];
    let opened = Instant::now();
    let mut half_open: Vec<TcpStream> = (0..50)
        .map(|number| {
            let mut tcp = TcpStream::connect(address).expect("the listener takes connections");
            tcp.set_read_timeout(Some(DEADLINE)).expect("a socket takes a timeout");
            tcp.write_all(&hello[..number % hello.len()]).expect("the listener reads");
            tcp
        })
        .collect();
    let mut witness = witness(&scene);
    assert_undisturbed(&scene, &mut witness);
    assert!(opened.elapsed() < Duration::from_millis(1_400), "served too late to tell");
    for tcp in &mut half_open {
        // An alert may come before the end.
        let mut rest = Vec::new();
        if let Err(error) = tcp.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
    }
    assert_undisturbed(&scene, &mut witness);
}

/// Plain MQTT on the TLS listener, TLS on the plain one.
#[test]
fn the_wrong_transport() {
    let scene = Scene::shared(Link::V5_TLS);
    let mut endpoint = scene.endpoint();
    endpoint.ca = None;
    let mut client = Client::open(&endpoint, Version::V5);
    client.send(&Connect::new(scene.id("a")).bytes(Version::V5));
    // A TLS alert is not a packet: the bytes are not looked at.
    let mut tcp = TcpStream::connect(endpoint.address).expect("the listener takes connections");
    tcp.set_read_timeout(Some(DEADLINE)).expect("a socket takes a timeout");
    tcp.write_all(&Connect::new(scene.id("a")).bytes(Version::V5)).expect("the listener reads");
    let mut answer = Vec::new();
    if let Err(error) = tcp.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    assert!(answer.len() < 100, "{answer:?}");

    let mut plain = scene.broker().endpoint(Transport::Tcp);
    plain.ca = Some(scene.broker().ca());
    let mut tls = flotilla_tests::Socket::open(&plain).expect("the listener takes connections");
    let hello = tls.send(&frame(0x10, &[]));
    assert!(hello.is_err(), "a handshake with a plain listener");
}

/// A thousand connections of garbage, one after another in groups that are open together.
#[test]
fn memory_stays_bounded_with_a_thousand_bad_connections() {
    let scene = Scene::alone(Link::V5_TCP, Settings::new());
    let mut witness = witness(&scene);
    assert_undisturbed(&scene, &mut witness);
    let address = scene.endpoint().address;
    let before = scene.broker().resident_bytes();
    for _ in 0..10 {
        let group: Vec<TcpStream> = (0..100_u8)
            .map(|number| {
                let mut tcp = TcpStream::connect(address).expect("the listener takes connections");
                let garbage = [&[0x10, 0x90, 0x4E, 0, 4][..], &[number; 1_000]].concat();
                // The broker may close at the first wrong byte.
                let _ = tcp.write_all(&garbage);
                tcp
            })
            .collect();
        assert_undisturbed(&scene, &mut witness);
        drop(group);
    }
    scene.broker().await_metric("flotilla_connections", &[], |count| count == 1.0);
    let grown = scene.broker().resident_bytes().saturating_sub(before);
    assert!(grown < 30_000_000, "{grown} bytes more");
    assert_undisturbed(&scene, &mut witness);
}
