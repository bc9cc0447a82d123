//! Clients that we did not write, over TLS: mosquitto's, paho-mqtt, MQTT.js.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use flotilla_tests::{Broker, DEADLINE, Link, Scene, Settings, Transport};

/// A script of `tests/foreign` has this long; it has deadlines of its own for each step.
const SCRIPT_TIME: Duration = Duration::from_secs(60);

fn host_and_port(broker: &Broker) -> (String, String) {
    let address = broker.endpoint(Transport::Tls).address;
    (address.ip().to_string(), address.port().to_string())
}

/// Runs to the end; stdout.
#[track_caller]
fn finish(command: &mut Command, time: Duration, how_to_get_it: &str) -> String {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}; {how_to_get_it}"));
    let until = Instant::now() + time;
    // The pipes must be read meanwhile: a program that says much would wait for ever.
    let read = |pipe: Option<Box<dyn std::io::Read + Send>>| {
        thread::spawn(move || {
            let mut text = String::new();
            for line in BufReader::new(pipe.expect("it is piped")).lines().map_while(Result::ok) {
                text.push_str(&line);
                text.push('\n');
            }
            text
        })
    };
    let output = read(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let errors = read(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break Some(status);
        }
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let output = output.join().expect("the output is read");
    let errors = errors.join().expect("the errors are read");
    let Some(status) = status else { panic!("{command:?} still ran after {time:?}: {errors}") };
    assert!(status.success(), "{command:?}: {status}\n{output}{errors}");
    output
}

mod scripts {
    use super::*;

    fn run(program: OsString, script: &str, version: &str, node_path: Option<OsString>) {
        let scene = Scene::shared(Link::V5_TLS);
        let broker = scene.broker();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign").join(script);
        let (host, port) = host_and_port(broker);
        let mut command = Command::new(program);
        command.arg(script).args([host, port]).arg(broker.ca()).arg(version);
        if let Some(path) = node_path {
            command.env("NODE_PATH", path);
        }
        finish(&mut command, SCRIPT_TIME, "'make test' gets what the tests need");
    }

    fn paho(version: &str) {
        let python = env::var_os("FLOTILLA_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        run(python, "paho_client.py", version, None);
    }

    fn mqtt_js(version: &str) {
        let modules = env::var_os("FLOTILLA_TEST_NODE_MODULES");
        run("node".into(), "mqtt_js_client.js", version, modules);
    }

    #[test]
    fn paho_v311() {
        paho("3.1.1");
    }

    #[test]
    fn paho_v5() {
        paho("5");
    }

    #[test]
    fn mqtt_js_v311() {
        mqtt_js("3.1.1");
    }

    #[test]
    fn mqtt_js_v5() {
        mqtt_js("5");
    }
}

mod mosquitto {
    use super::*;

    const HOW_TO_GET_IT: &str = "'make test' gets what the tests need; on Debian it is in \
                                 mosquitto-clients";

    struct Mosquitto {
        scene: Scene,
        version: &'static str,
    }

    impl Mosquitto {
        fn new(version: &'static str) -> Self {
            Self { scene: Scene::alone(Link::V5_TLS, Settings::new()), version }
        }

        fn command(&self, program: &str, arguments: &[&str]) -> Command {
            let (host, port) = host_and_port(self.scene.broker());
            let ca: PathBuf = self.scene.broker().ca();
            let mut command = Command::new(program);
            command.args(["-h", &host, "-p", &port, "-V", self.version, "--cafile"]).arg(ca);
            command.args(arguments.iter().map(OsStr::new));
            command
        }

        #[track_caller]
        fn publish(&self, arguments: &[&str]) {
            finish(&mut self.command("mosquitto_pub", arguments), DEADLINE, HOW_TO_GET_IT);
        }

        /// Subscribes until it has what it waits for: topic, QoS, RETAIN, payload of each message.
        #[track_caller]
        fn subscribe(&self, arguments: &[&str]) -> Vec<String> {
            let mut command = self.command("mosquitto_sub", &["-F", "%t %q %r %p"]);
            let output = finish(command.args(arguments), DEADLINE, HOW_TO_GET_IT);
            output.lines().map(str::to_owned).collect()
        }

        /// With a session that stays.
        #[track_caller]
        fn persistent(&self, arguments: &[&str]) -> Vec<String> {
            let session: &[&str] = if self.version == "mqttv5" {
                &["-c", "-x", "3600", "-i", "sleeper"]
            } else {
                &["-c", "-i", "sleeper"]
            };
            self.subscribe(&[session, arguments].concat())
        }
    }

    /// Retained messages tell what was published at which QoS, and that wildcards find them.
    fn every_qos(version: &'static str) {
        let mosquitto = Mosquitto::new(version);
        for qos in ["0", "1", "2"] {
            let topic = format!("kept/{qos}/x");
            mosquitto.publish(&["-t", &topic, "-m", "hello world", "-q", qos, "-r"]);
        }
        for granted in 0..=2 {
            let options = ["-t", "kept/+/#", "-q", &granted.to_string(), "-C", "3", "-W", "20"];
            let mut got = mosquitto.subscribe(&options);
            got.sort();
            let expected: Vec<String> = (0..=2)
                .map(|qos| format!("kept/{qos}/x {} 1 hello world", granted.min(qos)))
                .collect();
            assert_eq!(got, expected);
        }
        mosquitto.publish(&["-t", "kept/0/x", "-r", "-n"]);
        let got = mosquitto.subscribe(&["-t", "kept/#", "-q", "2", "-C", "2", "-W", "20"]);
        assert_eq!(got.len(), 2, "{got:?}");
    }

    /// What MQTT 5 added, as far as a command line can ask for it.
    #[test]
    fn features_of_mqtt_5() {
        let mosquitto = Mosquitto::new("mqttv5");
        let mut options = vec!["-t", "kept/x", "-m", "hello", "-q", "1", "-r"];
        options.extend(["-D", "publish", "content-type", "text/plain"]);
        options.extend(["-D", "publish", "response-topic", "answers/1"]);
        options.extend(["-D", "publish", "correlation-data", "42"]);
        options.extend(["-D", "publish", "user-property", "b", "1"]);
        options.extend(["-D", "publish", "user-property", "a", "2"]);
        options.extend(["-D", "publish", "message-expiry-interval", "100"]);
        mosquitto.publish(&options);
        let options = ["-t", "kept/+", "-q", "1", "-C", "1", "-W", "20"];
        let id = ["-D", "subscribe", "subscription-identifier", "7"];
        let mut command = mosquitto.command("mosquitto_sub", &["-F", "%C|%R|%D|%P|%S|%E|%p"]);
        let output = finish(command.args(options).args(id), DEADLINE, HOW_TO_GET_IT);
        let parts: Vec<&str> = output.trim().split('|').collect();
        assert_eq!(parts[..5], ["text/plain", "answers/1", "42", "b:1 a:2", "7"], "{output}");
        let left: u32 = parts[5].parse().expect("seconds");
        assert!((90..=100).contains(&left), "{output}");
        assert_eq!(parts[6], "hello");
        // A group whose only member is away, with a session that stays.
        mosquitto.persistent(&["-t", "$share/g/work/#", "-q", "1", "-E"]);
        mosquitto.publish(&["-t", "work/1", "-m", "kept", "-q", "1"]);
        let options = ["-t", "$share/g/work/#", "-q", "1", "-C", "1", "-W", "20"];
        assert_eq!(mosquitto.persistent(&options), ["work/1 1 0 kept"]);
    }

    fn a_session_that_waits(version: &'static str) {
        let mosquitto = Mosquitto::new(version);
        mosquitto.persistent(&["-t", "x/+/y", "-q", "2", "-E"]);
        for (qos, lines) in [("1", "1\n2\n3\n"), ("2", "4\n5\n6\n")] {
            let home = mosquitto.scene.broker().home().join(qos);
            std::fs::write(&home, lines).expect("a temporary directory is writable");
            let input = std::fs::File::open(&home).expect("it was written");
            let mut command = mosquitto.command("mosquitto_pub", &["-t", "x/1/y", "-q", qos, "-l"]);
            let status = command.stdin(input).status();
            let status = status.unwrap_or_else(|error| panic!("{error}; {HOW_TO_GET_IT}"));
            assert!(status.success(), "{status}");
        }
        mosquitto.publish(&["-t", "x/1/other", "-q", "1", "-m", "not subscribed"]);
        let got = mosquitto.persistent(&["-t", "x/+/y", "-q", "2", "-C", "6", "-W", "20"]);
        let of_qos = |qos: &str| -> Vec<&str> {
            let lines = got.iter().filter(|line| line.starts_with(&format!("x/1/y {qos} 0 ")));
            lines.filter_map(|line| line.rsplit(' ').next()).collect()
        };
        assert_eq!((of_qos("1"), of_qos("2")), (vec!["1", "2", "3"], vec!["4", "5", "6"]));
    }

    fn a_will(version: &'static str) {
        let mosquitto = Mosquitto::new(version);
        let mut watcher = mosquitto.scene.connect("watcher");
        watcher.subscribe("will/#", 1);
        watcher
            .publish_packet(flotilla_tests::Publish::new("connected", "yes").qos(1, 0).retained());
        let will = ["--will-topic", "will/x", "--will-payload", "gone", "--will-qos", "1"];
        let mut command = mosquitto.command("mosquitto_sub", &["-t", "connected"]);
        let child = command.args(will).stdout(Stdio::piped()).spawn();
        let mut child: Child = child.unwrap_or_else(|error| panic!("{error}; {HOW_TO_GET_IT}"));
        // It is connected when the retained message has come.
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it prints what comes");
        child.kill().expect("it still runs");
        child.wait().expect("it can be waited for");
        assert_eq!(line.trim(), "yes");
        assert_eq!(watcher.take_content(), ("will/x".into(), "gone".into(), 1, false));
    }

    #[test]
    fn every_qos_v311() {
        every_qos("mqttv311");
    }

    #[test]
    fn every_qos_v5() {
        every_qos("mqttv5");
    }

    #[test]
    fn a_session_that_waits_v311() {
        a_session_that_waits("mqttv311");
    }

    #[test]
    fn a_session_that_waits_v5() {
        a_session_that_waits("mqttv5");
    }

    #[test]
    fn a_will_v311() {
        a_will("mqttv311");
    }

    #[test]
    fn a_will_v5() {
        a_will("mqttv5");
    }
}
