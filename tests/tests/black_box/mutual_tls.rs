//! Client certificates on the TLS listener.

use std::fs;

use flotilla_tests::{Broker, Certificates, Client, Connect, Identity, Settings, Version};
use rustix::process::Signal;

/// Whether one with this identity gets through the handshake, so that its CONNECT is answered.
fn is_accepted(broker: &Broker, certificates: &Certificates, identity: Option<Identity>) -> bool {
    let endpoint = broker.mutual_tls(&certificates.ca(), identity);
    let answers = [Version::V311, Version::V5].map(|version| {
        let mut client = Client::open(&endpoint, version);
        client.send_lossy(&Connect::new("a").bytes(version));
        client.is_answered()
    });
    assert_eq!(answers[0], answers[1]);
    answers[0]
}

#[test]
fn only_certificates_of_the_fleet_are_accepted() {
    let fleet = Certificates::make();
    let strangers = Certificates::make();
    let broker = Broker::start(Settings::new().tls(&fleet.listener()));
    assert!(is_accepted(&broker, &fleet, Some(fleet.device("pump"))));
    assert!(!is_accepted(&broker, &fleet, None), "no certificate");
    assert!(!is_accepted(&broker, &fleet, Some(strangers.device("pump"))), "another authority");
    let server = Identity { certificate: fleet.file("server.pem"), key: fleet.file("server.key") };
    assert!(!is_accepted(&broker, &fleet, Some(server)), "a certificate for servers");
    broker.await_metric("flotilla_tls_handshakes_total", &["failed"], |count| count == 6.0);
}

/// The common name is the identity: no password is asked for.
#[test]
fn the_common_name_is_the_identity() {
    let fleet = Certificates::make();
    let settings = Settings::new().tls(&fleet.listener()).tables("[log]\nlevel = \"debug\"");
    let broker = Broker::start(settings);
    let endpoint = broker.mutual_tls(&fleet.ca(), Some(fleet.device("pump-17")));
    let mut client = Client::open(&endpoint, Version::V5);
    client.connect(&Connect::new("a"));
    client.ping();
    client.disconnect();
}

/// SIGHUP: a new certificate for the next connection; one that is broken changes nothing.
#[test]
fn certificates_are_reloaded() {
    let fleet = Certificates::make();
    let renewed = Certificates::make();
    let broker = Broker::start(Settings::new().tls(&fleet.listener()));
    let pump = fleet.device("pump");
    let open = |ca: &Certificates| {
        let endpoint = broker.mutual_tls(&ca.ca(), Some(pump.clone()));
        Client::open(&endpoint, Version::V5)
    };
    let mut connected = open(&fleet);
    connected.connect(&Connect::new("a"));

    fs::write(fleet.file("server.pem"), "broken").expect("the directory is writable");
    broker.signal(Signal::HUP);
    let refusal = broker.await_log("nothing was reloaded");
    assert!(refusal.contains("server.pem"), "{refusal}");
    open(&fleet).connect(&Connect::new("b"));

    for name in ["server.pem", "server.key"] {
        fs::copy(renewed.file(name), fleet.file(name)).expect("the directory is writable");
    }
    broker.signal(Signal::HUP);
    broker.await_log("SIGHUP: reloaded");
    open(&renewed).connect(&Connect::new("c"));
    connected.ping();
}
