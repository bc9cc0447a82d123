//! A broker as a process: how it is started, that it is ready, that it ends.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{compare::pin, error::Error};

/// How long a broker may take until its port accepts.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How long it may take to end when it is told to.
const END_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked whether it is so far.
const LOOK: Duration = Duration::from_millis(20);

/// How to start one.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) name: String,
    command: String,
    /// A file that it needs: name in {dir}, text.
    file: Option<(&'static str, &'static str)>,
    /// Added to each scenario.
    pub(crate) arguments: &'static [&'static str],
}

const FLOTILLA_TOML: &str = "[[listener]]\nbind = \"tcp://127.0.0.1:{port}\"\n\
    [ops]\nbind = \"http://127.0.0.1:0\"\n[session]\nqueue_messages_max = 2000000\n\
    queue_bytes_max = \"1GiB\"\n";
const MOSQUITTO_CONF: &str = "listener {port} 127.0.0.1\nallow_anonymous true\n\
    max_queued_messages 0\n";
const RUMQTTD_TOML: &str = "id = 0\n[router]\nid = 0\nmax_connections = 20000\n\
    max_outgoing_packet_count = 200\nmax_segment_size = 104857600\nmax_segment_count = 10\n\
    [v4.1]\nname = \"v4-1\"\nlisten = \"127.0.0.1:{port}\"\nnext_connection_delay_ms = 0\n\
    [v4.1.connections]\nconnection_timeout_ms = 60000\nmax_payload_size = 1048576\n\
    max_inflight_count = 500\ndynamic_filters = true\n";

impl Recipe {
    /// # Errors
    /// When it is neither NAME=COMMAND nor the name of one that is known.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        if let Some((name, command)) = text.split_once('=') {
            let (name, command) = (name.to_owned(), command.to_owned());
            return Ok(Self { name, command, file: None, arguments: &[] });
        }
        let (command, file, arguments): (_, _, &[&str]) = match text {
            "flotilla" => {
                let command = "--config {dir}/flotilla.toml --data {dir}/flotilla-data";
                (format!("{} {command}", beside("flotilla")), ("flotilla.toml", FLOTILLA_TOML), &[])
            }
            "mosquitto" => {
                let command = "mosquitto -c {dir}/mosquitto.conf".to_owned();
                (command, ("mosquitto.conf", MOSQUITTO_CONF), &[])
            }
            "rumqttd" => {
                let command = "rumqttd --config {dir}/rumqttd.toml".to_owned();
                (command, ("rumqttd.toml", RUMQTTD_TOML), &["--mqtt", "3.1.1"])
            }
            _ => {
                let reason = format!(
                    "'{text}' is neither NAME=COMMAND nor one of flotilla, mosquitto, rumqttd"
                );
                return Err(Error::Usage { option: "--broker", reason });
            }
        };
        Ok(Self { name: text.to_owned(), command, file: Some(file), arguments })
    }

    /// Starts it on a free port of the loopback and waits until that accepts.
    ///
    /// # Errors
    /// When it ends, or does not accept in time.
    pub(crate) fn start(&self, is_pinned: bool) -> Result<Broker, Error> {
        let failed = |reason: String| Error::Broker {
            name: self.name.clone(),
            command: self.command.clone(),
            reason,
        };
        let dir = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
        let port = free_port().map_err(|error| failed(error.to_string()))?;
        if let Some((name, text)) = self.file {
            fs::write(dir.path().join(name), fill(text, port, dir.path()))
                .map_err(|error| failed(error.to_string()))?;
        }
        let command = fill(&self.command, port, dir.path());
        let mut words = command.split_whitespace();
        let program = words.next().ok_or_else(|| failed("the command is empty".into()))?;
        let mut command = Command::new(program);
        command.args(words).current_dir(dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // What is started inherits the core.
        pin::to(is_pinned.then_some(pin::BROKER))?;
        let child = command.spawn();
        pin::to(is_pinned.then_some(pin::TOOL))?;
        let child = child.map_err(|error| failed(error.to_string()))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut broker = Broker { child, address, _dir: dir };
        let end = Instant::now() + READY_WITHIN;
        while TcpStream::connect(address).is_err() {
            if let Ok(Some(status)) = broker.child.try_wait() {
                return Err(failed(format!("it ended with {status}")));
            }
            if Instant::now() > end {
                return Err(failed(format!("nobody accepts connections on {address}")));
            }
            thread::sleep(LOOK);
        }
        Ok(broker)
    }
}

/// A broker that runs. Dropped, it is ended.
pub(crate) struct Broker {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Removed behind it.
    _dir: TempDir,
}

impl Broker {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            // It may have ended already.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let end = Instant::now() + END_WITHIN;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > end {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(LOOK);
        }
    }
}

fn fill(text: &str, port: u16, dir: &Path) -> String {
    text.replace("{port}", &port.to_string()).replace("{dir}", &dir.to_string_lossy())
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
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

    #[test]
    fn a_command_has_a_name() {
        let recipe = Recipe::parse("mine=/bin/broker --port={port} {dir}/x").unwrap();
        assert_eq!(recipe.name, "mine");
        let filled = fill(&recipe.command, 1884, Path::new("/tmp/a"));
        assert_eq!(filled, "/bin/broker --port=1884 /tmp/a/x");
        assert!(Recipe::parse("unknown").is_err());
    }

    #[test]
    fn what_ends_at_once_is_told() {
        let ended = Recipe::parse("false=false").unwrap().start(false).err().unwrap();
        assert!(ended.to_string().contains("it ended with"), "{ended}");
    }
}
