//! What an operator sees: metrics, health, signals, exit codes, sentences.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use flotilla_tests::{
    Broker, Certificates, Client, Connect, Ended, Link, Publish, Scene, Settings, Transport,
    Version,
};
use rustix::process::Signal;

/// A broker that did not start: exit code 2, one sentence that names each of `parts`.
#[track_caller]
fn assert_refused(ended: &Ended, parts: &[&str]) {
    assert_eq!(ended.code, Some(2), "{}", ended.log);
    for part in parts {
        assert!(ended.log.contains(part), "no '{part}' in: {}", ended.log);
    }
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
    assert!(ended.log.lines().count() <= 6, "more than a person reads: {}", ended.log);
}

/// Runs with a configuration file of these lines.
fn run(toml: &str) -> Ended {
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    let data = home.path().join("data");
    let config = home.path().join("flotilla.toml");
    let toml = toml.replace("DATA", &data.to_string_lossy());
    fs::write(&config, toml).expect("a temporary directory is writable");
    Broker::run(&["--config", &config.to_string_lossy()])
}

#[test]
fn health_ready_metrics() {
    let broker = Broker::start(Settings::new());
    let (status, body) = broker.get("/health");
    assert!(status == 200 && body.contains("\"status\":\"ok\""), "{status} {body}");
    assert_eq!(broker.get("/ready").0, 200);
    assert_eq!(broker.get("/nothing").0, 404);
    let (status, page) = broker.get("/metrics");
    assert_eq!(status, 200);
    for name in [
        "flotilla_build_info",
        "flotilla_connections",
        "flotilla_connection_attempts_total",
        "flotilla_sessions",
        "flotilla_subscriptions",
        "flotilla_retained_messages",
        "flotilla_shared_groups",
        "flotilla_packets_received_total",
        "flotilla_packets_sent_total",
        "flotilla_messages_received_total",
        "flotilla_messages_delivered_total",
        "flotilla_messages_dropped_total",
        "flotilla_received_bytes_total",
        "flotilla_sent_bytes_total",
        "flotilla_store_commits_total",
        "flotilla_tls_handshakes_total",
        "flotilla_process_cpu_seconds_total",
        "flotilla_process_resident_memory_bytes",
        "flotilla_process_open_fds",
    ] {
        assert!(page.contains(&format!("# TYPE {name} ")), "no {name} in:\n{page}");
    }
    // Every line is a comment or a sample with a number.
    for line in page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let number = line.rsplit(' ').next().map(str::parse::<f64>);
        assert!(line.starts_with("flotilla_") && matches!(number, Some(Ok(_))), "'{line}'");
    }
}

/// Received = delivered + held + dropped.
#[test]
fn metrics_account_for_every_message() {
    let scene = Scene::alone(Link::V5_TLS, Settings::new());
    let broker = scene.broker();
    let mut subscriber = scene.connect("subscriber");
    subscriber.subscribe("x/#", 2);
    let (mut sleeper, _) = scene.resume("sleeper");
    sleeper.subscribe("x/#", 1);
    sleeper.disconnect();
    let mut publisher = scene.connect("publisher");
    for _ in 0..10 {
        for qos in 0..=2 {
            publisher.publish("x/y", "x", qos);
            subscriber.take();
        }
    }
    publisher.publish("nobody", "x", 1);
    publisher.publish_packet(Publish::new("kept", "x").qos(1, 0).retained());
    let exactly = |expected: f64| move |value: f64| value == expected;
    for (qos, received) in [("\"0\"", 10.0), ("\"1\"", 12.0), ("\"2\"", 10.0)] {
        broker.await_metric("flotilla_messages_received_total", &[qos], exactly(received));
        broker.await_metric("flotilla_messages_delivered_total", &[qos], exactly(10.0));
    }
    broker.await_metric("flotilla_messages_stored_total", &[], exactly(20.0));
    broker.await_metric("flotilla_retained_messages", &[], exactly(1.0));
    broker.await_metric("flotilla_connections", &[], exactly(2.0));
    broker.await_metric("flotilla_subscriptions", &[], exactly(2.0));
    broker.await_metric("flotilla_sessions", &["\"connected\""], exactly(2.0));
    broker.await_metric("flotilla_sessions", &["\"disconnected\""], exactly(1.0));
    broker.await_metric("flotilla_tls_handshakes_total", &["\"accepted\""], exactly(3.0));
    broker.await_metric("flotilla_packets_received_total", &["\"connect\""], exactly(3.0));
    let (mut sleeper, _) = scene.resume("sleeper");
    for _ in 0..20 {
        sleeper.take();
    }
    broker.await_metric("flotilla_messages_delivered_total", &["\"1\""], exactly(30.0));
}

/// SIGTERM, SIGINT: within ten seconds, whatever clients do.
#[test]
fn signals_end_it() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut scene = Scene::alone(Link::V5_TLS, Settings::new());
        // One who does not read, one who has not said CONNECT, one in the handshake.
        let mut deaf = scene.connect("deaf");
        deaf.subscribe("x", 0);
        let _silent = scene.open();
        let _half = TcpStream::connect(scene.endpoint().address);
        let mut publisher = scene.connect("publisher");
        for _ in 0..100 {
            publisher.publish("x", vec![b'x'; 64 * 1024], 0);
        }
        publisher.ping();
        let asked = Instant::now();
        scene.broker().signal(signal);
        let ended = scene.broker_mut().wait();
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    }
}

/// A crowd takes every file descriptor that connections may have: those who are connected are served,
/// the store has files for what they publish, and the others come in when there is room.
#[test]
fn no_file_descriptor_left() {
    let scene = Scene::alone(Link::V5_TCP, Settings::new().open_files_max(120));
    let mut client = scene.connect("a");
    client.subscribe("x", 1);
    let (mut subscriber, _) = scene.resume("away");
    subscriber.subscribe("kept", 1);
    subscriber.disconnect();
    let address = scene.endpoint().address;
    let crowd: Vec<_> = (0..200).map(|_| TcpStream::connect(address)).collect();
    scene.broker().await_log("connections are open");
    for number in 0..20 {
        client.publish("x", number.to_string(), 1);
        assert_eq!(client.take().text(), number.to_string());
    }
    // Several of the store's buffers, of which each becomes a file.
    for _ in 0..300 {
        client.publish("kept", vec![0; 64 * 1024], 1);
    }
    drop(crowd);
    let mut subscriber = scene.come_back("away");
    for _ in 0..300 {
        assert_eq!(subscriber.take().payload.len(), 64 * 1024);
    }
    scene.connect("b").publish("x", "room", 1);
    assert_eq!(client.take().text(), "room");
    assert!(scene.broker().metric("flotilla_listener_full_total", &[]) > 0.0);
}

/// SIGHUP does not disturb clients.
#[test]
fn hang_up_reloads() {
    let scene = Scene::alone(Link::V5_TLS, Settings::new());
    let mut client = scene.connect("a");
    client.subscribe("x", 1);
    scene.broker().signal(Signal::HUP);
    client.publish("x", "well", 1);
    assert_eq!(client.take().text(), "well");
    scene.connect("b").ping();
}

#[test]
fn a_second_broker_on_the_same_data() {
    let scene = Scene::alone(Link::V5_TCP, Settings::new());
    let mut client = scene.connect("a");
    client.subscribe("x", 1);
    let ended = scene.broker().run_beside(|toml| toml);
    let data = scene.broker().data();
    assert_refused(&ended, &[&data.to_string_lossy(), "use"]);
    client.publish("x", "unharmed", 1);
    assert_eq!(client.take().text(), "unharmed");
}

#[test]
fn a_taken_port() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    let ended = run(&format!(
        "[node]\ndata = \"DATA\"\n[[listener]]\nbind = \"tcp://{address}\"\n[ops]\nbind = \"off\""
    ));
    assert_refused(&ended, &[&address, "in use"]);
    let ended = run(&format!(
        "[node]\ndata = \"DATA\"\n[[listener]]\nbind = \"tcp://127.0.0.1:0\"\n[ops]\nbind = \
         \"http://{address}\""
    ));
    assert_refused(&ended, &[&address, "in use"]);
}

/// Missing, garbage, of another certificate.
#[test]
fn an_unreadable_key() {
    let certificates = Certificates::make();
    let other = Certificates::make();
    let garbage = certificates.file("garbage.pem");
    fs::write(&garbage, "not a key").expect("a temporary directory is writable");
    for (certificate, key, named) in [
        (certificates.file("server.pem"), certificates.file("missing.key"), "missing.key"),
        (certificates.file("server.pem"), garbage.clone(), "garbage.pem"),
        (certificates.file("server.pem"), other.file("server.key"), "server.key"),
        (garbage, certificates.file("server.key"), "garbage.pem"),
        (certificates.file("missing.pem"), certificates.file("server.key"), "missing.pem"),
    ] {
        let ended = run(&format!(
            "[node]\ndata = \"DATA\"\n[[listener]]\nbind = \"tls://127.0.0.1:0\"\ncertificate = \
             \"{}\"\nkey = \"{}\"\n[ops]\nbind = \"off\"",
            certificate.display(),
            key.display()
        ));
        assert_refused(&ended, &[named]);
    }
}

/// File, line, key, reason, the nearest known key.
#[test]
fn a_wrong_configuration() {
    for (toml, parts) in [
        (
            "[limits]\npacket_size_maxx = \"1MiB\"",
            &["flotilla.toml", "2", "packet_size_maxx", "packet_size_max"][..],
        ),
        ("[limitz]\npacket_size_max = \"1MiB\"", &["flotilla.toml", "limitz", "limits"]),
        ("[limits]\npacket_size_max = \"much\"", &["flotilla.toml", "2", "packet_size_max"]),
        ("[limits]\nconnect_timeout = 10", &["flotilla.toml", "2", "connect_timeout"]),
        ("[[listener]]\nbind = \"udp://127.0.0.1:1\"", &["flotilla.toml", "2", "udp"]),
        ("[node\n", &["flotilla.toml", "1"]),
        ("[node]\ndata = \"${FLOTILLA_TESTS_NOT_SET}\"", &["FLOTILLA_TESTS_NOT_SET"]),
        ("[auth]\npassword_file = \"missing\"", &["missing"]),
    ] {
        assert_refused(&run(toml), parts);
    }
    let ended = Broker::run(&["--config", "/nowhere/flotilla.toml"]);
    assert_refused(&ended, &["/nowhere/flotilla.toml"]);
}

/// On any address but loopback somebody must have decided who may come in.
#[test]
fn anonymous_clients_only_on_loopback() {
    let listener = "[node]\ndata = \"DATA\"\n[[listener]]\nbind = \"tcp://0.0.0.0:0\"\n[ops]\nbind \
                    = \"off\"\n";
    let ended = run(listener);
    assert_refused(&ended, &["0.0.0.0", "anonymous"]);
    let settings = Settings::new()
        .tables("[[listener]]\nbind = \"tcp://0.0.0.0:0\"\n[auth]\nanonymous = true");
    let broker = Broker::start(settings);
    Client::open(&broker.endpoint(Transport::Tcp), Version::V5).connect(&Connect::new("a"));
}

/// A data directory that is a file; one whose store is damaged.
#[test]
fn data_that_cannot_be_used() {
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    let file = home.path().join("file");
    fs::write(&file, "x").expect("a temporary directory is writable");
    let listen = ["--listen", "tcp://127.0.0.1:0"];
    let data = file.to_string_lossy();
    assert_refused(&Broker::run(&[&["--data", &data][..], &listen].concat()), &[&data]);

    let mut broker = Broker::start(Settings::new());
    let mut client = Client::open(&broker.endpoint(Transport::Tcp), Version::V5);
    client.connect(&Connect::persistent("a"));
    client.subscribe("x", 1);
    client.publish("x", "x", 1);
    broker.kill();
    let store = broker.data().join("store");
    fs::write(store.join("CURRENT"), "damaged\n").expect("the store is a directory of files");
    let ended = broker.run_beside(|toml| toml);
    assert!(matches!(ended.code, Some(1 | 2)), "{:?}: {}", ended.code, ended.log);
    assert!(ended.log.contains(&*store.to_string_lossy()), "{}", ended.log);
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
}

#[test]
fn check_and_default_config() {
    let printed = Broker::run(&["default-config"]);
    assert_eq!(printed.code, Some(0), "{}", printed.log);
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    let file = home.path().join("flotilla.toml");
    let check = |toml: &str| {
        fs::write(&file, toml).expect("a temporary directory is writable");
        Broker::run(&["check", &file.to_string_lossy()])
    };
    let ended = check(&printed.output);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert_refused(&check("[store]\nsink = \"always\""), &["flotilla.toml", "2", "sink", "sync"]);
    assert_eq!(fs::read_dir(home.path()).map(Iterator::count).ok(), Some(1), "nothing was made");
}

#[test]
fn usage() {
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["check", "--help"], 0),
        (&["--no-such-option"], 2),
        (&["no-such-command"], 2),
        (&["check"], 2),
        (&["--listen", "nonsense"], 2),
        (&["--log-level", "loud"], 2),
    ] {
        let ended = Broker::run(arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.log);
        let said = if code == 0 { &ended.output } else { &ended.log };
        assert!(!said.trim().is_empty(), "{arguments:?} says nothing");
    }
    assert!(Broker::run(&["--version"]).output.contains(env!("CARGO_PKG_VERSION")));
}

/// `--log-format json`: an object a line, the error among them.
#[test]
fn json_logs() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = format!("tcp://{}", taken.local_addr().expect("it is bound"));
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    let data = home.path().join("data");
    let data = data.to_string_lossy();
    let ended = Broker::run(&["--log-format", "json", "--data", &data, "--listen", &address]);
    assert_eq!(ended.code, Some(2), "{}", ended.log);
    for line in ended.log.lines() {
        assert!(line.starts_with('{') && line.ends_with('}'), "'{line}'");
    }
    assert!(ended.log.contains("in use"), "{}", ended.log);
}

/// The development certificates of the first start are those of the second.
#[test]
fn development_certificates_stay() {
    let mut broker = Broker::start(Settings::new());
    let ca = fs::read(broker.ca()).expect("the broker made an authority");
    broker.terminate();
    broker.restart();
    assert_eq!(fs::read(broker.ca()).expect("it stays"), ca);
    Client::open(&broker.endpoint(Transport::Tls), Version::V5).connect(&Connect::new("a"));
}
