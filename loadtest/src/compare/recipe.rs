//! How a broker is started: its command, the file that it needs.

use std::{env, path::Path};

use crate::{compare::case::Setup, error::Error, scheme::Scheme};

/// How to start one.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) name: String,
    pub(crate) command: String,
    preset: Option<&'static Preset>,
}

/// A broker that is known here.
#[derive(Debug)]
struct Preset {
    name: &'static str,
    /// What follows the program.
    arguments: &'static str,
    file: &'static str,
    text: &'static str,
    /// In the place of `{tls}`, where it listens with TLS.
    tls: &'static str,
    /// In the place of `{ws}`, where it listens with WebSocket; `None`: it cannot.
    websocket: Option<&'static str>,
    /// In the place of `{workers}` and `{sync}`, where something is asked for.
    workers: &'static str,
    sync: &'static str,
    /// Added to each scenario.
    scenario: &'static [&'static str],
}

const PRESETS: [Preset; 3] = [
    Preset {
        name: "flotilla",
        arguments: "--config {dir}/flotilla.toml --data {dir}/flotilla-data",
        file: "flotilla.toml",
        text: "[[listener]]\nbind = \"{scheme}://127.0.0.1:{port}\"\n{tls}\
               [ops]\nbind = \"http://127.0.0.1:0\"\n[session]\nqueue_messages_max = 2000000\n\
               queue_bytes_max = \"1GiB\"\ninflight_max = 65535\n{workers}{sync}",
        tls: "certificate = \"{cert}\"\nkey = \"{key}\"\n",
        websocket: Some(""),
        workers: "[node]\nworkers = {number}\n",
        sync: "[store]\nsync = \"{when}\"\n",
        scenario: &[],
    },
    Preset {
        name: "mosquitto",
        arguments: "-c {dir}/mosquitto.conf",
        file: "mosquitto.conf",
        text: "user root\nlistener {port} 127.0.0.1\n{tls}allow_anonymous true\nmax_queued_messages 0\n\
               max_inflight_messages 65535\n{ws}",
        tls: "certfile {cert}\nkeyfile {key}\n",
        // Without another listener it ends at once.
        websocket: Some("protocol websockets\nlistener 0 {dir}/mosquitto.sock\n"),
        workers: "",
        sync: "",
        scenario: &[],
    },
    Preset {
        name: "rumqttd",
        arguments: "--config {dir}/rumqttd.toml",
        file: "rumqttd.toml",
        text: "id = 0\n[router]\nid = 0\nmax_connections = 20000\n\
               max_outgoing_packet_count = 200\nmax_segment_size = 104857600\n\
               max_segment_count = 10\n[v4.1]\nname = \"v4-1\"\nlisten = \"127.0.0.1:{port}\"\n\
               next_connection_delay_ms = 0\n{tls}[v4.1.connections]\n\
               connection_timeout_ms = 60000\nmax_payload_size = 1048576\n\
               max_inflight_count = 500\ndynamic_filters = true\n",
        tls: "[v4.1.tls]\ncertpath = \"{cert}\"\nkeypath = \"{key}\"\n",
        websocket: None,
        workers: "",
        sync: "",
        scenario: &["--mqtt", "3.1.1"],
    },
];

/// What takes the places in a command or file.
pub(crate) struct Places<'a> {
    pub(crate) port: u16,
    pub(crate) dir: &'a Path,
    /// Where the certificate of the broker and its key are.
    pub(crate) certificates: &'a Path,
    pub(crate) setup: Setup,
}

impl Recipe {
    /// `NAME`, `NAME=PROGRAM` of a broker that is known, `NAME=COMMAND` of any.
    ///
    /// # Errors
    /// When it is none of these.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let (name, command) = text.split_once('=').unwrap_or((text, ""));
        if command.contains("{port}") {
            return Ok(Self { name: name.into(), command: command.into(), preset: None });
        }
        // `flotilla-old` is a flotilla, too.
        let preset = PRESETS.iter().find(|preset| name.starts_with(preset.name)).ok_or_else(|| {
            let reason = format!(
                "'{text}' is neither NAME=COMMAND with {{port}} in the command, nor does it begin \
                 with flotilla, mosquitto or rumqttd"
            );
            Error::Usage { option: "--broker", reason }
        })?;
        let program =
            if command.is_empty() { beside(preset.name) } else { command.trim().to_owned() };
        let command = format!("{program} {}", preset.arguments);
        Ok(Self { name: name.to_owned(), command, preset: Some(preset) })
    }

    /// Whether it can listen like this.
    ///
    /// # Errors
    /// When the command has no place for a certificate, or it has no WebSocket.
    pub(crate) fn check(&self, transport: Scheme) -> Result<(), Error> {
        let has_place = self.preset.is_some() || self.command.contains("{cert}");
        if transport.is_tls() && !has_place {
            let reason = format!(
                "for TLS the command of '{}' needs {{cert}} and {{key}} where the files are named",
                self.name
            );
            return Err(Error::Usage { option: "--broker", reason });
        }
        let can_frame = self.preset.is_none_or(|preset| preset.websocket.is_some());
        if transport.is_websocket() && !can_frame {
            let reason = format!("'{}' is not known to have WebSocket", self.name);
            return Err(Error::Usage { option: "--broker", reason });
        }
        Ok(())
    }

    /// The file that it needs: its name, its text.
    pub(crate) fn file(&self, places: &Places<'_>) -> Option<(&'static str, String)> {
        let preset = self.preset?;
        let Setup { transport, workers, sync } = places.setup;
        let workers = workers.map(|it| preset.workers.replace("{number}", &it.to_string()));
        let sync = sync.map(|it| preset.sync.replace("{when}", it.name()));
        let text = preset
            .text
            .replace("{tls}", if transport.is_tls() { preset.tls } else { "" })
            .replace("{ws}", preset.websocket.filter(|_| transport.is_websocket()).unwrap_or(""))
            .replace("{workers}", &workers.unwrap_or_default())
            .replace("{sync}", &sync.unwrap_or_default());
        Some((preset.file, places.fill(&text)))
    }

    /// Options that each scenario needs on it.
    pub(crate) fn scenario_options(&self) -> &'static [&'static str] {
        self.preset.map_or(&[], |preset| preset.scenario)
    }
}

impl Places<'_> {
    pub(crate) fn fill(&self, text: &str) -> String {
        let file = |name: &str| self.certificates.join(name).to_string_lossy().into_owned();
        text.replace("{port}", &self.port.to_string())
            .replace("{dir}", &self.dir.to_string_lossy())
            .replace("{scheme}", self.setup.transport.name())
            .replace("{cert}", &file("server.pem"))
            .replace("{key}", &file("server.key"))
    }
}

/// The program of this name beside this one, else the one that the shell would find.
fn beside(name: &str) -> String {
    let beside = env::current_exe().ok().map(|path| path.with_file_name(name));
    match beside.filter(|path| path.is_file()) {
        Some(path) => path.to_string_lossy().into_owned(),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::case::Sync;

    fn places(setup: Setup) -> Places<'static> {
        Places { port: 1884, dir: Path::new("/tmp/a"), certificates: Path::new("/tmp/c"), setup }
    }

    #[test]
    fn a_command_has_a_name_and_places() {
        let recipe = Recipe::parse("mine=/bin/broker --port={port} {dir}/x").unwrap();
        assert_eq!(recipe.name, "mine");
        let filled = places(Setup::default()).fill(&recipe.command);
        assert_eq!(filled, "/bin/broker --port=1884 /tmp/a/x");
        assert!(recipe.check(Scheme::Tcp).is_ok() && recipe.check(Scheme::Tls).is_err());
        assert!(Recipe::parse("unknown").is_err() && Recipe::parse("mine=/bin/broker").is_err());
    }

    #[test]
    fn a_known_broker_may_be_elsewhere() {
        let recipe = Recipe::parse("flotilla-old=/opt/old/flotilla").unwrap();
        assert!(recipe.command.starts_with("/opt/old/flotilla --config"), "{}", recipe.command);
    }

    #[test]
    fn the_file_has_what_is_asked_for_and_nothing_else() {
        let setup = Setup { transport: Scheme::Tls, workers: Some(2), sync: Some(Sync::Always) };
        for preset in &PRESETS {
            let recipe = Recipe::parse(preset.name).unwrap();
            let (_, text) = recipe.file(&places(setup)).unwrap();
            assert!(text.contains("/tmp/c/server.pem") && !text.contains('{'), "{text}");
            let (_, text) = recipe.file(&places(Setup::default())).unwrap();
            assert!(!text.contains("/tmp/c/") && !text.contains('{'), "{text}");
            assert!(!text.contains("workers") && !text.contains("sync"), "{text}");
        }
        let (_, text) = Recipe::parse("flotilla").unwrap().file(&places(setup)).unwrap();
        assert!(text.contains("workers = 2") && text.contains("sync = \"always\""), "{text}");
    }
}
