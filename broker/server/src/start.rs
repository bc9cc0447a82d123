//! Starting the broker, step by step; ending it.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::ExitCode,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use flotilla_core::{id::ShardId, router::Router, shard::Shard, turn::Replay};
use flotilla_store::{Engine, Options, Recovered, Rocks};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use tokio::{runtime::Builder, sync::mpsc, task::JoinSet, time::timeout};
use tracing::{error, info, warn};

use crate::{
    FAILURE, WRONG,
    auth::{Checker, Passwords},
    cli,
    clock::Clock,
    commits::Commits,
    config::{self, Refusal, Scheme, ServerCertificate, Settings, Sync},
    crew::Crew,
    net::{
        development::DevelopmentCertificate,
        listener::{self, Listener},
        mailbox::{Inbound, Mailbox},
        tls,
    },
    ops::{
        admin::{self, Operations},
        log,
        shutdown::{Alarm, Order, Signals},
    },
    refuse,
    worker::{self, Shared},
};

/// Threads that read pages of the log: one may wait for the disk while the other computes.
const READERS: usize = 2;
/// How long the workers have for their last bytes; a little more than they take themselves.
const WORKERS_END_TIME: Duration = Duration::from_secs(4);
/// How long the store has for its last commit.
const STORE_END_TIME: Duration = Duration::from_secs(5);

/// Runs the broker.
pub(crate) fn serve(arguments: &cli::Serve, log: &cli::Log) -> ExitCode {
    let clock = Clock::start();
    let overrides = arguments.overrides(log.log_level);
    let settings = match config::load(arguments.config.as_deref(), &overrides) {
        Ok(settings) => settings,
        Err(refusal) => return refuse(WRONG, &refusal),
    };
    log::start(log.log_format, settings.level);
    let reread = || config::load(arguments.config.as_deref(), &overrides);
    match Broker::start(settings, clock) {
        Ok(broker) => broker.run(&reread),
        Err(sentence) => {
            error!("{sentence}");
            ExitCode::from(WRONG)
        }
    }
}

/// Reads a configuration and the files it names.
pub(crate) fn check(file: &Path) -> ExitCode {
    let settings = match config::load(Some(file), &config::Overrides::default()) {
        Ok(settings) => settings,
        Err(refusal) => return refuse(WRONG, &refusal),
    };
    match Files::read(&settings) {
        Ok(_) => ExitCode::SUCCESS,
        Err(sentence) => refuse(WRONG, &format!("{}: {sentence}", file.display())),
    }
}

/// What the files say that a configuration names.
struct Files {
    /// By listener.
    tls: Vec<Option<Arc<ServerConfig>>>,
    passwords: Option<Passwords>,
}

impl Files {
    /// Reads them all. Development certificates that do not exist yet are left out.
    fn read(settings: &Settings) -> Result<Self, String> {
        let development = DevelopmentCertificate::new(&settings.certificates_dir());
        let mut configs = Vec::new();
        for listener in &settings.listeners {
            let tls = listener.tls.as_ref().filter(|tls| {
                tls.certificate != ServerCertificate::Development || development.key.exists()
            });
            let config = tls.map(|tls| {
                tls::configure(tls, (&development.certificate, &development.key))
                    .map_err(|error| format!("{}: {error}", listener.bind))
            });
            configs.push(config.transpose()?);
        }
        let passwords = settings.password_file.as_deref().map(Passwords::load).transpose();
        Ok(Self { tls: configs, passwords: passwords.map_err(|error| error.to_string())? })
    }
}

/// A broker whose ports are open.
struct Broker {
    settings: Settings,
    listeners: Vec<(Arc<Listener>, TcpListener)>,
    operations: Arc<Operations>,
    workers: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
    alarms: mpsc::UnboundedReceiver<String>,
}

impl Broker {
    /// Everything up to the line "ready".
    fn start(settings: Settings, clock: Clock) -> Result<Self, String> {
        if settings.needs_development_certificate() {
            DevelopmentCertificate::make(&settings.certificates_dir(), &settings.node_name)?;
        }
        let files = Files::read(&settings)?;

        let (alarm, alarms) = Alarm::new();
        let mailboxes: Arc<[_]> =
            (0..settings.workers).map(|_| Arc::new(Mailbox::default())).collect();
        let commits = Commits { mailboxes: Arc::clone(&mailboxes), alarm: alarm.clone() };
        let options = Options { sync: store_sync(settings.sync), ..Options::default() };
        let (rocks, recovered) = Rocks::open(&settings.data.join("store"), &options, commits)
            .map_err(|error| error.to_string())?;
        let engine: Arc<dyn Engine> = Arc::new(rocks);

        let (sessions, retained) = (recovered.sessions.len(), recovered.retained.len());
        let (shards, router) = recover(&settings, recovered, clock)?;

        let mut listeners = Vec::new();
        for (settings, tls) in settings.listeners.iter().zip(&files.tls) {
            listeners.push(Listener::open(settings, tls.clone())?);
        }
        let ops = settings.ops.map(open_operations).transpose()?;

        let no_thread = |error| format!("no thread can be started: {error}; raise ulimit -u");
        let shared = Arc::new(Shared {
            router: RwLock::new(router),
            mailboxes,
            readers: readers(&engine).map_err(no_thread)?,
            engine,
            checker: Checker::start(files.passwords, usize::from(settings.workers).div_ceil(2))
                .map_err(no_thread)?,
            handshake_time: Duration::from_millis(settings.limits.connect_timeout_ms),
            clock,
        });
        let mut workers = Vec::new();
        for (number, shard) in shards.into_iter().enumerate() {
            let worker = worker::start(number, shard, Arc::clone(&shared), alarm.clone());
            workers.push(worker.map_err(no_thread)?);
        }
        let operations = Arc::new(Operations {
            node_name: settings.node_name.clone(),
            sync: settings.sync,
            is_ready: AtomicBool::new(true),
            listeners: listeners.iter().map(|(listener, _)| Arc::clone(listener)).collect(),
            shared: Arc::clone(&shared),
        });
        let ops_address = ops.as_ref().and_then(|socket| socket.local_addr().ok());
        if let Some(socket) = ops {
            admin::start(socket, Arc::clone(&operations)).map_err(no_thread)?;
        }
        let broker = Self { settings, listeners, operations, workers, shared, alarms };
        broker.announce(ops_address, sessions, retained);
        Ok(broker)
    }

    fn announce(&self, ops: Option<SocketAddr>, sessions: usize, retained: usize) {
        let settings = &self.settings;
        info!("flotilla {} as node {}", env!("CARGO_PKG_VERSION"), settings.node_name);
        for ((listener, _), settings) in self.listeners.iter().zip(&settings.listeners) {
            info!("listening on {}", listener.bind);
            let development = settings.tls.as_ref().map(|tls| &tls.certificate);
            let is_public = !listener.bind.address.ip().to_canonical().is_loopback();
            if is_public && development == Some(&ServerCertificate::Development) {
                warn!(
                    "{} shows a development certificate, which other machines do not trust; set \
                     certificate and key",
                    listener.bind
                );
            }
        }
        if let Some(address) = ops {
            info!("operations on http://{address}");
        }
        info!("data in {}, {}", settings.data.display(), durability(settings.sync));
        info!(
            "{sessions} sessions and {retained} retained messages recovered, {} workers",
            settings.workers
        );
        for (listener, _) in &self.listeners {
            info!("try: {}", line_to_try(listener, settings));
        }
        info!("ready after {} ms", self.shared.clock.elapsed().as_millis());
    }

    /// Runs until somebody ends it.
    fn run(self, reread: &dyn Fn() -> Result<Settings, Refusal>) -> ExitCode {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return refuse(FAILURE, &error),
        };
        let code = runtime.block_on(self.run_to_its_end(reread));
        // A read of the log that has not come back must not keep the process.
        runtime.shutdown_background();
        code
    }

    async fn run_to_its_end(mut self, reread: &dyn Fn() -> Result<Settings, Refusal>) -> ExitCode {
        let mut signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => return refuse(FAILURE, &error),
        };
        let mut acceptors = JoinSet::new();
        let next = Arc::new(AtomicUsize::new(0));
        for (listener, socket) in self.listeners.drain(..) {
            let mailboxes = Arc::clone(&self.shared.mailboxes);
            acceptors.spawn(listener.accept(socket, mailboxes, Arc::clone(&next)));
        }
        loop {
            tokio::select! {
                order = signals.next() => match order {
                    Order::Reload => self.reload(reread),
                    Order::End(name) => {
                        info!("{name}: the broker ends");
                        break;
                    }
                },
                Some(why) = self.alarms.recv() => {
                    error!("{why}");
                    return ExitCode::from(FAILURE);
                }
                Some(Ok(Err(error))) = acceptors.join_next() => {
                    error!("a listener cannot accept connections any more: {error}");
                    return ExitCode::from(FAILURE);
                }
            }
        }
        self.operations.is_ready.store(false, Ordering::Release);
        acceptors.shutdown().await;
        tokio::select! {
            code = self.end() => code,
            order = impatience(&mut signals) => {
                error!("{order} again: the broker ends at once; what was acknowledged is stored");
                ExitCode::from(FAILURE)
            }
        }
    }

    async fn end(mut self) -> ExitCode {
        let start = Instant::now();
        for mailbox in self.shared.mailboxes.iter() {
            mailbox.push(Inbound::ShutDown);
        }
        let workers = async {
            while !self.workers.iter().all(JoinHandle::is_finished) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let clean = tokio::select! {
            end = timeout(WORKERS_END_TIME, workers) => end.is_ok(),
            Some(why) = self.alarms.recv() => {
                error!("{why}");
                return ExitCode::from(FAILURE);
            }
        };
        if !clean {
            warn!("some clients did not take their last bytes in time");
        }
        let engine = Arc::clone(&self.shared.engine);
        let close = tokio::task::spawn_blocking(move || engine.close());
        match timeout(STORE_END_TIME, close).await {
            Ok(Ok(Ok(()))) => {
                info!("ended after {} ms", start.elapsed().as_millis());
                ExitCode::SUCCESS
            }
            Ok(Ok(Err(error))) => {
                error!("the store did not close: {error}");
                ExitCode::from(FAILURE)
            }
            Ok(Err(_)) | Err(_) => {
                error!("the store did not close in time; what was acknowledged is stored");
                ExitCode::from(FAILURE)
            }
        }
    }

    /// Takes up what has changed in the files, all of it or nothing.
    fn reload(&self, reread: &dyn Fn() -> Result<Settings, Refusal>) {
        match reread() {
            Ok(settings) if settings != self.settings => warn!(
                "SIGHUP: the configuration has changed; that takes effect when the broker is \
                 started again, only certificates and passwords are reloaded"
            ),
            Ok(_) => {}
            Err(refusal) => {
                warn!("SIGHUP: {refusal}; the broker would not start with this configuration");
            }
        }
        match Files::read(&self.settings) {
            Ok(files) => {
                let users = files.passwords.as_ref().map(Passwords::len);
                let mut certificates = 0;
                for (listener, config) in self.operations.listeners.iter().zip(files.tls) {
                    if let Some(config) = config {
                        listener.replace_tls(config);
                        certificates += 1;
                    }
                }
                self.shared.checker.replace(files.passwords);
                info!(
                    "SIGHUP: reloaded the certificates of {certificates} listeners and {} users; \
                     connections that are open stay",
                    users.unwrap_or(0)
                );
            }
            Err(sentence) => {
                error!("SIGHUP: nothing was reloaded, everything stays as it was: {sentence}");
            }
        }
    }
}

async fn impatience(signals: &mut Signals) -> &'static str {
    loop {
        if let Order::End(name) = signals.next().await {
            return name;
        }
    }
}

fn recover(
    settings: &Settings,
    recovered: Recovered,
    clock: Clock,
) -> Result<(Vec<Shard>, Router), String> {
    let limits = Arc::new(settings.limits.clone());
    let random = aws_lc_rs::default_provider().secure_random;
    let mut shards = Vec::new();
    for number in 0..settings.workers {
        let mut seed = [0; 8];
        let filled = random.fill(&mut seed);
        filled.map_err(|_| "the operating system gives no random numbers".to_owned())?;
        let seed = u64::from_ne_bytes(seed);
        shards.push(Shard::new(ShardId(number), settings.workers, Arc::clone(&limits), seed));
    }
    let mut router = Router::default();
    let now = clock.now();
    for session in recovered.sessions {
        let home = session.record.client_id.home(settings.workers);
        let shard = shards.get_mut(usize::from(home.0));
        let shard = shard.expect("home is one of the shards");
        shard.recover(session, recovered.end, &mut router, now);
    }
    for message in recovered.retained {
        router.recover_retained(message);
    }
    Ok((shards, router))
}

fn readers(engine: &Arc<dyn Engine>) -> std::io::Result<Crew<(Replay, Arc<Mailbox>)>> {
    let engine = Arc::clone(engine);
    Crew::start("reader", READERS, usize::MAX, move |(replay, mailbox): (Replay, Arc<Mailbox>)| {
        mailbox.push(match engine.replay(&replay) {
            Ok(page) => Inbound::Replayed(page),
            Err(error) => {
                error!("client {} was disconnected: {error}", replay.client_id);
                Inbound::Unreadable(replay.session)
            }
        });
    })
}

fn open_operations(address: SocketAddr) -> Result<TcpListener, String> {
    listener::listen(address)
        .map_err(|error| listener::why_not(&format!("http://{address}"), &error, "[ops] bind"))
}

fn store_sync(sync: Sync) -> flotilla_store::Sync {
    match sync {
        Sync::Always => flotilla_store::Sync::Always,
        Sync::Every(interval) => flotilla_store::Sync::Every(interval.into()),
        Sync::Never => flotilla_store::Sync::Never,
    }
}

fn durability(sync: Sync) -> String {
    match sync {
        Sync::Always => "synced to the disk before each acknowledgement".to_owned(),
        Sync::Every(interval) => format!(
            "synced to the disk every {interval}: a power cut loses what was acknowledged since"
        ),
        Sync::Never => "synced to the disk when the operating system likes: a power cut may lose \
                        what was acknowledged"
            .to_owned(),
    }
}

fn line_to_try(listener: &Listener, settings: &Settings) -> String {
    let mut line = "mosquitto_sub".to_owned();
    let address = listener.bind.address;
    if !address.ip().is_unspecified() && !address.ip().to_canonical().is_loopback() {
        line.push_str(&format!(" -h {}", address.ip()));
    }
    if listener.bind.scheme == Scheme::Tls {
        let of_listener = settings.listeners.iter().find(|known| known.bind.address == address);
        let is_development = of_listener
            .and_then(|known| known.tls.as_ref())
            .is_none_or(|tls| tls.certificate == ServerCertificate::Development);
        if is_development {
            let files = DevelopmentCertificate::new(&settings.certificates_dir());
            line.push_str(&format!(" --cafile {}", files.authority.display()));
        } else {
            line.push_str(" --cafile CA.pem");
        }
        if listener.access.certificate.is_some() {
            line.push_str(" --cert DEVICE.pem --key DEVICE.key");
        }
    }
    if !listener.access.anonymous && listener.access.passwords {
        line.push_str(" -u USER -P PASSWORD");
    }
    format!("{line} -p {} -t '#' -v", address.port())
}
