//! The broker as a process, with its data in a temporary directory.

mod descriptors;
mod threads;

pub use descriptors::Descriptors;

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{DEADLINE, Endpoint, Identity, Settings, Transport, output::Log, program};

/// A running broker. Dropped, it is killed with its data.
#[derive(Debug)]
pub struct Broker {
    settings: Settings,
    home: TempDir,
    running: Running,
}

/// How a broker ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None`: ended by a signal.
    pub code: Option<i32>,
    /// All that it wrote to stderr.
    pub log: String,
    /// All that it wrote to stdout, where that was looked at.
    pub output: String,
}

#[derive(Debug)]
struct Running {
    child: Child,
    guard: Child,
    log: Arc<Log>,
    started_in: Duration,
    tcp: SocketAddr,
    tls: SocketAddr,
    ws: SocketAddr,
    wss: SocketAddr,
    operations: SocketAddr,
}

impl Broker {
    /// Starts a broker and waits until it is ready.
    ///
    /// # Panics
    /// When it ends instead, or is not ready at the deadline; with its log.
    pub fn start(settings: Settings) -> Self {
        Self::start_in(new_home(), settings)
    }

    /// As [`Broker::start`], where the directory `data` of `home` is the data directory.
    ///
    /// # Panics
    /// When it ends instead, or is not ready at the deadline; with its log.
    pub fn start_in(home: TempDir, settings: Settings) -> Self {
        let running = Running::start(&settings, home.path());
        Self { settings, home, running }
    }

    /// As [`Broker::start_in`], where the broker may refuse to.
    ///
    /// # Errors
    /// How it ended instead.
    ///
    /// # Panics
    /// When it neither ends nor is ready at the deadline; with its log.
    pub fn try_start_in(home: TempDir, settings: Settings) -> Result<Self, Ended> {
        let running = Running::try_start(&settings, home.path())?;
        Ok(Self { settings, home, running })
    }

    /// Runs the program where it is expected to end by itself: wrong usage, a configuration that
    /// it refuses.
    ///
    /// # Panics
    /// When it still runs at the deadline.
    pub fn run(arguments: &[&str]) -> Ended {
        Self::run_with(arguments, "")
    }

    /// As [`Broker::run`], with something to read on stdin.
    ///
    /// # Panics
    /// When it still runs at the deadline.
    pub fn run_with(arguments: &[&str], input: &str) -> Ended {
        let mut command = command();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the broker's program runs");
        let log = Log::follow(&mut child);
        let mut stdin = child.stdin.take().expect("stdin is piped");
        // A program that does not read may be gone already.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let mut ended = wait(&mut child, &log);
        let mut stdout = child.stdout.take().expect("stdout is piped");
        stdout.read_to_string(&mut ended.output).expect("the output is text");
        ended
    }

    /// Starts a second broker with the configuration of this one, changed as asked.
    ///
    /// # Panics
    /// When it still runs at the deadline.
    pub fn run_beside(&self, change: impl Fn(String) -> String) -> Ended {
        let config = self.home.path().join("second.toml");
        let toml = change(self.settings.toml(self.home.path()));
        fs::write(&config, toml).expect("the temporary directory can be written");
        Self::run(&["--config", &config.to_string_lossy()])
    }

    /// The directory of this test, for files of its own.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The broker's data directory.
    pub fn data(&self) -> PathBuf {
        self.settings.data(self.home.path())
    }

    /// From the start of the process until it said that it is ready.
    pub fn started_in(&self) -> Duration {
        self.running.started_in
    }

    /// Where a transport listens, with what a client needs to trust it.
    pub fn endpoint(&self, transport: Transport) -> Endpoint {
        let (address, is_encrypted, is_websocket) = match transport {
            Transport::Tcp => (self.running.tcp, false, false),
            Transport::Tls => (self.running.tls, true, false),
            Transport::Ws => (self.running.ws, false, true),
            Transport::Wss => (self.running.wss, true, true),
        };
        Endpoint { address, ca: is_encrypted.then(|| self.ca()), identity: None, is_websocket }
    }

    /// The TLS listener, for a client with a certificate, where `ca` signed the broker's.
    pub fn mutual_tls(&self, ca: &Path, identity: Option<Identity>) -> Endpoint {
        Endpoint {
            address: self.running.tls,
            ca: Some(ca.to_owned()),
            identity,
            is_websocket: false,
        }
    }

    /// The development authority that the broker made at its first start, PEM.
    pub fn ca(&self) -> PathBuf {
        self.data().join("certs/ca.pem")
    }

    /// All that the broker has written to stderr since its last start.
    pub fn log(&self) -> String {
        self.running.log.text()
    }

    /// Waits until a line of the log contains `part`.
    ///
    /// # Panics
    /// When there is none at the deadline.
    pub fn await_log(&self, part: &str) -> String {
        let found = self.running.log.find(part, Instant::now() + DEADLINE);
        found.unwrap_or_else(|| panic!("no '{part}' in the log:\n{}", self.log()))
    }

    /// An HTTP GET of the operations listener: status, body.
    ///
    /// # Panics
    /// When there is no answer at the deadline.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut http = TcpStream::connect_timeout(&self.running.operations, DEADLINE)
            .expect("the operations listener takes connections");
        http.set_read_timeout(Some(DEADLINE)).expect("a socket takes a timeout");
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        http.write_all(request.as_bytes()).expect("the operations listener reads");
        let mut answer = String::new();
        http.read_to_string(&mut answer).expect("the operations listener answers");
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status.expect("an HTTP answer has a status"), body.to_owned())
    }

    /// The sum of the samples of a metric whose labels contain each of `labels`.
    ///
    /// # Panics
    /// When the metric does not exist at all.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (_, text) = self.get("/metrics");
        let samples: Vec<&str> = text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .collect();
        assert!(!samples.is_empty(), "there is no metric {name}:\n{text}");
        samples
            .iter()
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until `is_reached` says yes to a metric.
    ///
    /// # Panics
    /// When it does not at the deadline.
    pub fn await_metric(&self, name: &str, labels: &[&str], is_reached: impl Fn(f64) -> bool) {
        let until = Instant::now() + DEADLINE;
        loop {
            let value = self.metric(name, labels);
            if is_reached(value) {
                return;
            }
            assert!(Instant::now() < until, "{name} {labels:?} stays at {value}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Memory of the process that is in use, in bytes.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.running.child.id());
        let status = fs::read_to_string(path).expect("the broker runs");
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.expect("a process has VmRSS") * 1024
    }

    /// Kills the process with SIGKILL, as a power cut would.
    pub fn kill(&mut self) {
        self.running.stop();
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.running.child), signal).expect("the broker runs");
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Panics
    /// When it still runs at the deadline.
    pub fn wait(&mut self) -> Ended {
        wait(&mut self.running.child, &self.running.log)
    }

    /// SIGTERM, and its end.
    pub fn terminate(&mut self) -> Ended {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Starts the program again, on the same data. Ports are new ones.
    pub fn restart(&mut self) {
        self.running.stop();
        self.running = Running::start(&self.settings, self.home.path());
    }

    /// Starts the program again and kills it so long afterwards, ready or not.
    pub fn restart_and_kill(&mut self, after: Duration) -> Ended {
        self.running.stop();
        let (mut child, mut guard, log) = Running::spawn(&self.settings, self.home.path());
        thread::sleep(after);
        stop([&mut guard, &mut child]);
        log.await_end(Instant::now() + DEADLINE);
        Ended { code: None, log: log.text(), output: String::new() }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "--- the broker's threads wait for:\n{}---",
                threads::waits(&self.running.child)
            );
        }
        self.running.stop();
        if thread::panicking() {
            eprintln!("--- the broker said:\n{}---", self.running.log.text());
        }
    }
}

impl Running {
    /// The process, its guard, what it writes.
    fn spawn(settings: &Settings, home: &Path) -> (Child, Child, Arc<Log>) {
        let config = home.join("flotilla.toml");
        fs::write(&config, settings.toml(home)).expect("a temporary directory is writable");
        let mut command = piped(settings.command(&program("flotilla")));
        command.arg("--config").arg(&config);
        let mut child = command.spawn().expect("the broker's program runs");
        let guard = guard(child.id(), home);
        let log = Log::follow(&mut child);
        (child, guard, log)
    }

    fn start(settings: &Settings, home: &Path) -> Self {
        Self::try_start(settings, home)
            .unwrap_or_else(|ended| panic!("the broker did not start:\n{}", ended.log))
    }

    fn try_start(settings: &Settings, home: &Path) -> Result<Self, Ended> {
        let started = Instant::now();
        let (mut child, mut guard, log) = Self::spawn(settings, home);
        let until = started + DEADLINE;
        let find = |before: &str| {
            let line = log.find(before, until)?;
            let end = |c: char| !(c.is_ascii_digit() || c == '.' || c == ':');
            line.split_once(before)?.1.split(end).next()?.parse().ok()
        };
        let addresses = (|| {
            let tcp = find("listening on tcp://")?;
            let tls = find("listening on tls://")?;
            let ws = find("listening on ws://")?;
            let wss = find("listening on wss://")?;
            let operations = find("operations on http://")?;
            log.find("ready", until)?;
            Some((tcp, tls, ws, wss, operations))
        })();
        let Some((tcp, tls, ws, wss, operations)) = addresses else {
            let waits = threads::waits(&child);
            // Its log has ended, or it is too late.
            if log.has_ended() {
                let ended = wait(&mut child, &log);
                stop([&mut guard, &mut child]);
                return Err(ended);
            }
            stop([&mut guard, &mut child]);
            let log = log.text();
            panic!("the broker is not ready; its threads wait for:\n{waits}it said:\n{log}");
        };
        let started_in = started.elapsed();
        Ok(Self { child, guard, log, started_in, tcp, tls, ws, wss, operations })
    }

    fn stop(&mut self) {
        stop([&mut self.guard, &mut self.child]);
    }
}

/// A temporary directory for a broker.
///
/// # Panics
/// When it cannot be made.
pub fn new_home() -> TempDir {
    let home = tempfile::Builder::new().prefix("flotilla-test-").tempdir();
    home.expect("a temporary directory can be made")
}

/// Ends the guard, then the broker: afterwards its process id may belong to another program.
fn stop(children: [&mut Child; 2]) {
    for child in children {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn command() -> Command {
    piped(Command::new(program("flotilla")))
}

fn piped(mut command: Command) -> Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Ends the broker and removes its directory when the test process goes without doing so: it was
/// killed, or the broker is one that many tests share.
fn guard(broker: u32, home: &Path) -> Child {
    Command::new("sh")
        .args(["-c", "read _; kill -9 $1; sleep 0.3; rm -rf \"$2\"", "guard"])
        .arg(broker.to_string())
        .arg(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell is there")
}

fn wait(child: &mut Child, log: &Log) -> Ended {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            log.await_end(until);
            return Ended { code: status.code(), log: log.text(), output: String::new() };
        }
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the broker still ran after {DEADLINE:?}:\n{}", log.text());
        }
        thread::sleep(Duration::from_millis(5));
    }
}
