//! The log is cleaned: what goes is shown before, counted, told.

use flotilla_tests::{Broker, Client, Connect, Property, Settings, Transport, Version, new_home};

/// Two segments of 32 MiB, and a little more.
const MESSAGES: u64 = 85;
const PAYLOAD_BYTES: usize = 900 * 1024;

fn client(broker: &Broker, connect: &Connect) -> (Client, Vec<Property>) {
    let mut client = Client::open(&broker.endpoint(Transport::Tcp), Version::V5);
    let (_, properties) = client.connect(connect);
    (client, properties)
}

/// The number behind `before`.
#[track_caller]
fn number(text: &str, before: &str) -> u64 {
    let rest = text.split_once(before).map(|(_, rest)| rest);
    let rest = rest.unwrap_or_else(|| panic!("no '{before}' in {text}"));
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().unwrap_or_else(|_| panic!("no number behind '{before}' in {text}"))
}

#[test]
fn who_is_overtaken_is_shown_before_and_told_afterwards() {
    let home = new_home();
    let data = home.path().join("data");
    let mut broker = Broker::start(Settings::new().data_in(&data));
    for (name, filter) in [("away", "load/#"), ("quiet", "cmd/quiet")] {
        let (mut sleeper, _) = client(&broker, &Connect::persistent(name));
        sleeper.subscribe(filter, 1);
        sleeper.disconnect();
    }
    let (mut publisher, _) = client(&broker, &Connect::new("publisher"));
    publisher.publish("cmd/quiet", "stay", 1);
    for number in 0..MESSAGES {
        let mut payload = format!("{number:05}").into_bytes();
        // Not all the same, so that it does not compress to nothing.
        payload.resize_with(PAYLOAD_BYTES, || b'x');
        publisher.publish("load/a", payload, 1);
    }
    broker.await_metric("flotilla_store_log_segments", &[], |segments| segments >= 2.0);
    assert!(broker.metric("flotilla_store_log_bytes", &[]) > 64.0 * f64::from(1 << 20));
    assert_eq!(broker.metric("flotilla_store_log_partitions", &[]), 2.0);
    let data_argument = data.to_string_lossy().into_owned();
    let shown = Broker::run(&["backlog", "--data", &data_argument, "--plan"]);
    assert_eq!(shown.code, Some(0), "{}", shown.log);
    let row = shown.output.lines().find(|line| line.starts_with("load ")).expect("a partition");
    assert!(row.contains(&MESSAGES.to_string()) && row.contains("away at 1"), "{row}");
    assert!(shown.output.contains("next: nothing goes"), "{}", shown.output);
    broker.terminate();

    // From now on there is room for less.
    let limits = "[store]\ndisk_bytes_max = \"50MiB\"";
    let config = home.path().join("small.toml");
    std::fs::write(&config, limits).expect("a temporary directory is writable");
    let config = config.to_string_lossy().into_owned();
    let arguments = ["backlog", "--config", &config, "--data", &data_argument, "--plan"];
    let shown = Broker::run(&arguments);
    assert_eq!(shown.code, Some(0), "{}", shown.log);
    let going = number(&shown.output, "next: ");
    assert!((30..50).contains(&going), "{}", shown.output);
    let told = format!("{going} messages would be lost to 1 sessions");
    assert!(shown.output.contains(&told), "{}", shown.output);
    assert!(shown.output.contains(&format!("  away: {going}\n")), "{}", shown.output);
    let mut arguments = arguments.to_vec();
    arguments.push("--json");
    let shown = Broker::run(&arguments);
    assert!(shown.output.contains("\"reason\":\"bytes\""), "{}", shown.output);

    let broker = Broker::start(Settings::new().data_in(&data).tables(limits));
    let cleaned = [r#"reason="cleaned""#];
    broker.await_metric("flotilla_messages_dropped_total", &cleaned, |lost| lost > 0.0);
    let lost = broker.metric("flotilla_messages_dropped_total", &cleaned);
    assert_eq!(lost as u64, going);
    assert_eq!(broker.metric("flotilla_sessions_overtaken_total", &[]), 1.0);
    let gone = broker.metric("flotilla_store_messages_cleaned_total", &[r#"reason="bytes""#]);
    assert_eq!(gone as u64, going);
    let line = broker.await_log("cleaning took");
    assert!(line.contains(&format!("away ({going})")), "{line}");

    let (mut sleeper, properties) = client(&broker, &Connect::persistent("away"));
    let property = Property::user("messages-cleaned", &going.to_string());
    assert!(properties.contains(&property), "{properties:?}");
    for number in going..MESSAGES {
        let publish = sleeper.take();
        assert_eq!(publish.payload[..5], *format!("{number:05}").as_bytes());
    }
    sleeper.disconnect();
    let (_, properties) = client(&broker, &Connect::persistent("away"));
    let is_told = |property: &Property| format!("{property:?}").contains("messages-cleaned");
    assert!(!properties.iter().any(is_told), "it is told once: {properties:?}");
    let (mut quiet, properties) = client(&broker, &Connect::persistent("quiet"));
    assert!(!properties.iter().any(is_told), "it has lost nothing: {properties:?}");
    assert_eq!(quiet.take().text(), "stay", "a flood does not push it out");
}

#[test]
fn a_backlog_of_nothing() {
    let home = new_home();
    let data = home.path().join("none");
    let shown = Broker::run(&["backlog", "--data", &data.to_string_lossy()]);
    assert_eq!(shown.code, Some(1));
    assert!(shown.log.contains("no store"), "{}", shown.log);
    let broker = Broker::start(Settings::new());
    let shown = Broker::run(&["backlog", "--data", &broker.data().to_string_lossy(), "--json"]);
    assert_eq!((shown.code, shown.output.as_str()), (Some(0), "{\"partitions\":[]}\n"));
}
