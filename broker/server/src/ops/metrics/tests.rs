//! Pages of metrics, read as Prometheus reads them.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, RwLock},
    time::Duration,
};

use flotilla_core::router::Router;
use flotilla_store::Memory;

use super::*;
use crate::{
    auth::Checker,
    clock::Clock,
    commits::Commits,
    config::{Overrides, load},
    crew::{Crew, Sharing},
    net::{listener::Listener, sockets::Sockets},
    ops::shutdown::Alarm,
    worker::Shared,
};

fn operations() -> Operations {
    let listen = vec!["tcp://127.0.0.1:0".parse().unwrap()];
    let mut settings = load(None, &Overrides { listen, ..Overrides::default() }).unwrap();
    settings.node_name = "site-a".to_owned();
    let commits = Commits { mailboxes: Arc::new([]), alarm: Alarm::new().0 };
    let shared = Shared {
        router: RwLock::new(Router::default()),
        mailboxes: Arc::new([]),
        engine: Arc::new(Memory::new(commits)),
        readers: Crew::start("reader", 0, 0, Sharing::ALONE, drop).unwrap(),
        checker: Checker::start(None, 0).unwrap(),
        handshake_time: Duration::from_secs(1),
        request_bytes_max: 8192,
        clock: Clock::start(),
    };
    let operations = Operations::new(&settings, shared.clock, Arc::default());
    operations.opened(Serving {
        listeners: vec![
            Listener::open(&settings.listeners[0], None, &Sockets::within(1024)).unwrap().0,
        ],
        shared: Arc::new(shared),
        unclean_stop: None,
    });
    operations
}

/// Series with their values; refuses what Prometheus would refuse.
fn parse(page: &str) -> HashMap<String, f64> {
    let (mut helped, mut typed) = (HashSet::new(), HashMap::new());
    let mut series = HashMap::new();
    for line in page.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(helped.insert(name) && help.ends_with('.'), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(typed.insert(name, kind).is_none(), "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(series.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{line}");
            let family = name.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| family.strip_suffix(suffix))
                .find(|family| typed.get(family) == Some(&"histogram"))
                .unwrap_or(family);
            assert!(helped.contains(family) && family.starts_with("flotilla_"), "{line}");
            assert_eq!(typed[family] == "counter", family.ends_with("_total"), "{line}");
        }
    }
    series
}

#[test]
fn a_page_for_prometheus() {
    let operations = operations();
    let mut metrics = Metrics::new();
    let mut report = Report::default();
    report.core.packets_received[3] = 7;
    report.core.messages_received = [4, 2, 1];
    report.core.connections_open = 5;
    report.core.drop_deliveries(DropReason::QueueFull, 9);
    report.commits.add_duration(Duration::from_micros(300));
    report.commits.add_duration(Duration::from_micros(400));
    let series =
        parse(&metrics.render(&operations, Some((operations.serving.get().unwrap(), &report))));
    let of = |name: &str| series[name];
    assert_eq!(of("flotilla_packets_received_total{type=\"publish\"}"), 7.0);
    assert_eq!(of("flotilla_messages_received_total{qos=\"1\"}"), 2.0);
    assert_eq!(of("flotilla_messages_dropped_total{reason=\"queue_full\"}"), 9.0);
    assert_eq!(of("flotilla_connections"), 5.0);
    assert_eq!(of("flotilla_store_commit_duration_seconds_bucket{le=\"0.00025\"}"), 0.0);
    assert_eq!(of("flotilla_store_commit_duration_seconds_bucket{le=\"0.0005\"}"), 2.0);
    assert_eq!(of("flotilla_store_commit_duration_seconds_count"), 2.0);
    assert!((of("flotilla_store_commit_duration_seconds_sum") - 0.0007).abs() < 1e-9);
    assert!(of("flotilla_process_cpu_seconds_total") >= 0.0);
    assert_eq!(of("flotilla_tls_handshake_duration_seconds_count"), 0.0);
    assert!(
        series.keys().any(
            |name| name.starts_with("flotilla_build_info{") && name.contains("node=\"site-a\"")
        )
    );
}

#[test]
fn a_second_page_adds_only_what_is_new() {
    let operations = operations();
    let mut metrics = Metrics::new();
    let mut report = Report::default();
    report.core.takeovers = 2;
    report.commits.add_duration(Duration::from_millis(2));
    metrics.render(&operations, Some((operations.serving.get().unwrap(), &report)));
    report.commits.add_duration(Duration::from_millis(4));
    let series =
        parse(&metrics.render(&operations, Some((operations.serving.get().unwrap(), &report))));
    assert_eq!(series["flotilla_takeovers_total"], 2.0);
    assert_eq!(series["flotilla_store_commit_duration_seconds_count"], 2.0);
    assert!((series["flotilla_store_commit_duration_seconds_sum"] - 0.006).abs() < 1e-9);
}

#[test]
fn there_is_a_page_while_the_store_is_opened() {
    let series = parse(&Metrics::new().render(&operations(), None));
    assert_eq!(series["flotilla_build_info{version=\"0.1.0\",node=\"site-a\"}"], 1.0);
    assert!(!series.contains_key("flotilla_connections"), "nothing that is not known");
}
