//! Everybody is connected, publishes, receives, while the broker is killed again and again, or
//! clients come and go.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use flotilla_tests::{
    Broker, Client, Connect, DEADLINE, Endpoint, Link, Lost, Publish, Publisher, Scene, Series,
    Settings, Subscriber, Transport, Version, Will,
};

/// Connects as soon as there is a broker.
#[track_caller]
fn connect(
    endpoint: &Mutex<Endpoint>,
    mut connect: impl FnMut(&Endpoint) -> Result<bool, Lost>,
) -> bool {
    let until = Instant::now() + DEADLINE;
    loop {
        let now = endpoint.lock().expect("nobody panics holding it").clone();
        if let Ok(session_present) = connect(&now) {
            return session_present;
        }
        assert!(Instant::now() < until, "no broker within {DEADLINE:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Publishers and subscribers stay connected as well as they can; the broker is killed `KILLS`
/// times in between. Every message arrives in order, at QoS 2 once. [MQTT-4.3.3-10],
/// [MQTT-4.4.0-1], [MQTT-4.6.0-5]
fn killed_under_load(qos: u8) {
    const KILLS: u64 = 4;
    const EACH: u64 = 3_000;
    let mut broker = Broker::start(Settings::new());
    let endpoints = [Transport::Tcp, Transport::Tls].map(|it| Mutex::new(broker.endpoint(it)));
    let mut publishers: Vec<Publisher> = [("one", Version::V5), ("two", Version::V311)]
        .map(|(name, version)| {
            let topics = vec![format!("{name}/a"), format!("{name}/b"), format!("{name}/c")];
            Publisher::new(name, version, topics, qos, 200)
        })
        .into();
    let expected: Vec<Series> = publishers.iter().flat_map(|it| it.series(EACH)).collect();
    let mut subscribers: Vec<Subscriber> = [("three", Version::V311), ("four", Version::V5)]
        .map(|(name, version)| Subscriber::new(name, version, qos, &expected))
        .into();
    for (subscriber, endpoint) in subscribers.iter_mut().zip(&endpoints) {
        assert!(!connect(endpoint, |to| subscriber.connect(to)));
        subscriber.subscribe("+/+");
    }
    for (publisher, endpoint) in publishers.iter_mut().zip(&endpoints) {
        assert!(!connect(endpoint, |to| publisher.connect(to)));
    }

    let completed = [AtomicU64::new(0), AtomicU64::new(0)];
    thread::scope(|scope| {
        for ((publisher, endpoint), completed) in
            publishers.iter_mut().zip(&endpoints).zip(&completed)
        {
            scope.spawn(move || {
                while publisher.run(EACH, |now| completed.store(now, Ordering::Relaxed)).is_err() {
                    assert!(connect(endpoint, |to| publisher.connect(to)), "the session is gone");
                }
            });
        }
        for (subscriber, endpoint) in subscribers.iter_mut().zip(&endpoints) {
            scope.spawn(move || {
                while subscriber.run(subscriber.total()).is_err() {
                    assert!(connect(endpoint, |to| subscriber.connect(to)), "the session is gone");
                }
                subscriber.assert_complete();
            });
        }
        let sum = || completed.iter().map(|it| it.load(Ordering::Relaxed)).sum::<u64>();
        for kill in 1..=KILLS {
            let until = Instant::now() + DEADLINE;
            while sum() < kill * 2 * EACH / (KILLS + 1) {
                assert!(Instant::now() < until, "{} messages acknowledged", sum());
                thread::sleep(Duration::from_micros(200));
            }
            broker.kill();
            broker.restart();
            for (endpoint, transport) in endpoints.iter().zip([Transport::Tcp, Transport::Tls]) {
                *endpoint.lock().expect("nobody panics holding it") = broker.endpoint(transport);
            }
        }
    });
}

#[test]
fn killed_under_load_qos_1() {
    killed_under_load(1);
}

#[test]
fn killed_under_load_qos_2() {
    killed_under_load(2);
}

/// Clients that connect, subscribe, publish, leave in every way, under names of which some are
/// taken: one who only listens gets all that was acknowledged, and in the end nothing is left.
#[test]
fn clients_come_and_go() {
    const THREADS: u64 = 6;
    const ROUNDS: u64 = 25;
    let scene = Scene::alone(Link::V5_TLS, Settings::new());
    let (mut witness, _) = scene.resume("witness");
    witness.subscribe("load/#", 1);
    let acknowledged = AtomicU64::new(0);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (scene, acknowledged) = (&scene, &acknowledged);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let choice = number * 7 + round * 13;
                    let version = if choice % 2 == 0 { Version::V5 } else { Version::V311 };
                    let transport = if choice % 3 == 0 { Transport::Tls } else { Transport::Tcp };
                    let mut client = Client::open(&scene.broker().endpoint(transport), version);
                    // Each name is of two threads: one may take the session of the other.
                    let name = format!("load{}", number / 2 * 3 + choice % 3);
                    let will = Will::new("load/will", "will");
                    let connect = Connect::persistent(name).clean(choice % 5 != 0).will(will);
                    if client.try_connect(&connect).is_ok() {
                        let done = converse(&mut client, choice);
                        acknowledged.fetch_add(done, Ordering::Relaxed);
                    }
                    match choice % 4 {
                        0 => client.cut(),
                        1 => client.reset(),
                        _ => {
                            client.send_lossy(flotilla_tests::packet::DISCONNECT);
                        }
                    }
                }
            });
        }
    });
    // Names that were taken over come once more, to go for good.
    for number in 0..THREADS / 2 * 3 {
        let connect = Connect::new(format!("load{number}"));
        scene.connect_with(&connect).0.disconnect();
    }
    witness.publish("load/end", "end", 1);
    let mut messages = 0;
    loop {
        match witness.take().text() {
            "end" => break,
            "will" => {}
            _ => messages += 1,
        }
    }
    let acknowledged = acknowledged.load(Ordering::Relaxed);
    assert!(messages >= acknowledged, "{messages} of {acknowledged} acknowledged messages came");
    assert!(acknowledged > 0);
    let broker = scene.broker();
    broker.await_metric("flotilla_connections", &[], |count| count == 1.0);
    broker.await_metric("flotilla_sessions", &[], |count| count == 1.0);
    broker.await_metric("flotilla_subscriptions", &[], |count| count == 1.0);
    assert!(!broker.log().contains("panicked"), "{}", broker.log());
}

/// Sends much at once, ends when the connection ends; how many messages were acknowledged.
fn converse(client: &mut Client, choice: u64) -> u64 {
    let version = client.version();
    let filters = [("load/#", 2), ("load/+", (choice % 3) as u8), ("other/x", 1)];
    let mut bytes = flotilla_tests::packet::subscribe(version, 60_000, &filters, &[]);
    for id in 1..=10 {
        let publish = Publish::new("load/x", "x").qos(1 + (id % 2) as u8, id);
        bytes.extend(publish.bytes(version));
        bytes.extend(Publish::new("load/y", "y").bytes(version));
    }
    bytes.extend(flotilla_tests::packet::unsubscribe(version, 60_001, &["load/+", "never"]));
    client.send_lossy(&bytes);
    let mut acknowledged = 0;
    while acknowledged < 10 {
        match client.try_read(Instant::now() + DEADLINE) {
            Ok(Some(flotilla_tests::Packet::Puback(_))) => acknowledged += 1,
            Ok(Some(flotilla_tests::Packet::Pubrec(ack))) => {
                acknowledged += 1;
                client.send_lossy(&flotilla_tests::packet::pubrel(ack.id));
            }
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(kind) => panic!("no answer: {kind}"),
        }
    }
    acknowledged
}
