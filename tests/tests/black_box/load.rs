//! `flotilla-load`, the load generator, against a broker.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use flotilla_tests::{Broker, Certificates, Settings, Transport, program};

/// Runs a scenario with these arguments, figures as JSON.
fn load(broker: &Broker, arguments: &[&str]) -> Output {
    let address = broker.endpoint(Transport::Tcp).address;
    Command::new(program("flotilla-load"))
        .args(arguments)
        .args(["--json", "--url", &format!("tcp://{address}")])
        .output()
        .expect("the program starts")
}

/// The number behind `"name":`, the first of that name.
fn number(json: &str, name: &str) -> u64 {
    let (_, behind) = json.split_once(&format!("\"{name}\":")).expect(name);
    let digits = behind.trim_start().split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).expect(name)
}

#[test]
fn every_message_of_every_scenario_arrives_once() {
    let broker = Broker::start(Settings::new());
    for (arguments, sent, delivered) in [
        (&["p2p", "--pairs", "3", "--messages", "50"][..], 150, 150),
        (&["p2p", "--pairs", "2", "--messages", "50", "--persistent"], 100, 100),
        (&["fan-out", "--subscribers", "4", "--messages", "50"], 50, 200),
        (&["fan-in", "--publishers", "5", "--messages", "40"], 200, 200),
        (
            &["wildcards", "--subscriptions", "300", "--publishers", "2", "--messages", "200"],
            400,
            400,
        ),
        (&["retained", "--topics", "200"], 200, 200),
        (&["offline", "--sessions", "3", "--backlog", "200", "--publishers", "2"], 200, 200),
        (&["rate", "--pairs", "2", "--rate", "1000", "--messages", "100"], 200, 200),
    ] {
        for mqtt in ["3.1.1", "5"] {
            for qos in ["0", "1", "2"] {
                if arguments[0] == "offline" && qos == "0" {
                    continue;
                }
                let output = load(&broker, &[arguments, &["--mqtt", mqtt, "--qos", qos]].concat());
                let json = String::from_utf8_lossy(&output.stdout);
                let log = String::from_utf8_lossy(&output.stderr);
                let what = format!("{arguments:?} {mqtt} {qos}: {json}{log}");
                assert!(output.status.success(), "{what}");
                assert_eq!(number(&json, "sent"), sent, "{what}");
                assert_eq!(number(&json, "delivered"), delivered, "{what}");
                for fault in ["lost", "duplicated", "reordered"] {
                    assert_eq!(number(&json, fault), 0, "{what}");
                }
                let acknowledged = if qos == "0" { 0 } else { sent };
                assert_eq!(number(&json, "acknowledged"), acknowledged, "{what}");
            }
        }
    }
}

#[test]
fn a_fleet_that_does_nothing_is_counted() {
    let broker = Broker::start(Settings::new());
    let arguments = ["idle-fleet", "--connections", "300", "--sources", "3", "--duration", "100ms"];
    let output = load(&broker, &arguments);
    let json = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(number(&json, "count"), 300);
    let arguments = ["connect-storm", "--connections", "300", "--sources", "3"];
    let output = load(&broker, &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(broker.metric("flotilla_connection_attempts_total", &[]) >= 600.0);
}

#[test]
fn of_a_mixed_fleet_nothing_is_lost_and_what_is_lost_is_told() {
    let arguments = ["--devices", "40", "--rate", "1000", "--cycle", "600ms"];
    let arguments =
        [&["mixed-fleet", "--warm-up", "0s", "--duration", "1500ms"], &arguments[..]].concat();
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let picture = dir.path().join("latency.svg");
    let broker = Broker::start(Settings::new());
    for mqtt in ["3.1.1", "5"] {
        let plot = ["--mqtt", mqtt, "--plot", picture.to_str().expect("it is UTF-8")];
        let output = load(&broker, &[&arguments[..], &plot].concat());
        let json = String::from_utf8_lossy(&output.stdout);
        let what = format!("{json}{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{what}");
        assert!(number(&json, "sent") > 500, "{what}");
        for fault in ["lost", "reordered", "wills_wrong", "retained_wrong"] {
            assert_eq!(number(&json, fault), 0, "{what}");
        }
        assert!(!json.contains(" 0 returns") && !json.contains(" 0 cut"), "{what}");
        let svg = std::fs::read_to_string(&picture).expect("the picture is there");
        assert!(svg.contains("<polyline") && svg.contains("mixed-fleet"), "{svg}");
    }
    // Sessions end with their connections, so nobody finds what came while he was away.
    let broker = Broker::start(Settings::new().tables("[session]\nexpiry_max = \"0s\""));
    let output = load(&broker, &arguments);
    let json = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{json}");
    assert!(number(&json, "lost") > 0, "{json}");
}

#[test]
fn scenarios_run_on_tls_with_certificates_and_tickets() {
    let certificates = Certificates::make();
    let broker = Broker::start(Settings::new().tls(&certificates.listener()));
    let url =
        |host: &str| format!("tls://{host}:{}", broker.endpoint(Transport::Tls).address.port());
    let run = |url: &str, arguments: &[&str], files: &[(&str, PathBuf)]| {
        let mut command = Command::new(program("flotilla-load"));
        command.args(arguments).args(["--json", "--url", url]);
        for (option, file) in files {
            command.arg(option).arg(file);
        }
        let output = command.output().expect("the program starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let device = certificates.device("load");
    let trusted = ("--ca", certificates.ca());
    let files =
        [trusted.clone(), ("--cert", device.certificate.clone()), ("--key", device.key.clone())];
    let p2p = ["p2p", "--pairs", "3", "--messages", "200", "--payload", "50000", "--qos", "1"];
    let storm = ["connect-storm", "--connections", "150"];

    let (code, json, log) = run(&url("127.0.0.1"), &p2p, &files);
    assert_eq!((code, number(&json, "delivered")), (Some(0), 600), "{json}{log}");
    let (code, json, log) = run(&url("localhost"), &storm, &files);
    assert_eq!((code, number(&json, "count")), (Some(0), 150), "{json}{log}");
    let (code, json, log) = run(&url("localhost"), &[&storm[..], &["--resume"]].concat(), &files);
    assert_eq!(code, Some(0), "{json}{log}");
    assert!(json.contains("150 resumed"), "{json}{log}");

    // Nobody comes in without a certificate, nor without knowing whom to trust.
    let (code, _, log) = run(&url("localhost"), &p2p, &[trusted]);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("CertificateRequired") && log.contains("--cert"), "{log}");
    let (code, _, log) = run(&url("localhost"), &p2p, &[]);
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("--ca"), "{log}");
    let stranger = Certificates::make();
    let (code, _, log) = run(&url("localhost"), &p2p, &[("--ca", stranger.ca())]);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("invalid peer certificate"), "{log}");
}

#[test]
fn brokers_are_compared_side_by_side() {
    let flotilla = program("flotilla").display().to_string();
    let other = format!("other={flotilla} --data {{dir}}/d --listen tcp://127.0.0.1:{{port}}");
    let output = Command::new(program("flotilla-load"))
        .args(["compare", "--no-pin", "--rounds", "1", "--json", "--broker", "flotilla"])
        .args(["--broker", &other, "--scenario", "p2p --pairs 2 --messages 500"])
        .output()
        .expect("the program starts");
    let json = String::from_utf8_lossy(&output.stdout);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{json}{log}");
    for broker in ["\"flotilla\"", "\"other\""] {
        assert!(json.contains(broker), "{json}{log}");
    }
    assert_eq!(number(&json, "lost"), 0, "{json}{log}");
    assert!(number(&json, "per_second") > 0, "{json}{log}");
}

#[test]
fn goals_decide_the_exit_code() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let run = |goals: &str, arguments: &[&str]| {
        let file = dir.path().join("goals.toml");
        std::fs::write(&file, goals).expect("it can be written");
        let output = Command::new(program("flotilla-load"))
            .args(["compare", "--no-pin", "--rounds", "1", "--broker", "flotilla", "--goals"])
            .arg(&file)
            .args(arguments)
            .output()
            .expect("the program starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let goal = |name: &str, goal: u32, more: &str| {
        format!(
            "[[goal]]\nname = '{name}'\narguments = 'p2p --pairs 2'\nfigure = 'rate'\n\
             goal = {goal}\n{more}\n"
        )
    };
    let easy = goal("easy", 1, "setup = { transport = 'tls', workers = 2, sync = 'always' }");
    let same = goal("same", 1_000, "than = { arguments = 'p2p --pairs 1' }");
    let hard = goal("hard", 4_000_000_000, "");
    let elsewhere = goal("elsewhere", 1, "against = 'mosquitto'");
    let all = format!("arguments = '--messages 500'\n{easy}{same}{hard}{elsewhere}");

    let (code, table, log) = run(&all, &[]);
    assert_eq!(code, Some(1), "{table}{log}");
    assert!(table.contains("2 of 4 goals reached"), "{table}{log}");
    assert!(table.contains("NOT reached") && table.contains("NOT measured"), "{table}{log}");
    let (code, table, log) = run(&all, &["--only", "easy,same"]);
    assert_eq!(code, Some(0), "{table}{log}");
    let (code, json, log) = run(&all, &["--only", "hard", "--json"]);
    assert_eq!(code, Some(1), "{json}{log}");
    assert!(json.contains("\"is_reached\": false"), "{json}{log}");
    let (code, _, log) = run(&all, &["--only", "nothing"]);
    assert_eq!(code, Some(2), "{log}");
}

#[test]
fn without_a_broker_it_says_what_to_do() {
    // Nobody listens on port 1 of this address.
    let output = Command::new(program("flotilla-load"))
        .args(["p2p", "--pairs", "1", "--url", "tcp://127.0.0.1:1"])
        .output()
        .expect("the program starts");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("cannot connect to 127.0.0.1:1"), "{log}");
    assert!(log.contains("Is the broker running"), "{log}");
}
