//! Starting the broker, step by step.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::ExitCode,
    sync::{Arc, RwLock},
    thread::JoinHandle,
    time::Duration,
};

use flotilla_core::{
    id::ShardId,
    router::Router,
    shard::Shard,
    turn::{Page, Replay},
};
use flotilla_store::{Engine, Options, Phase, Progress, Recovered, Rocks};
use rustls::crypto::aws_lc_rs;
use tokio::{runtime::Builder, sync::mpsc};
use tracing::{error, info};

use crate::{
    FAILURE, WRONG,
    auth::Checker,
    cli,
    clock::Clock,
    commits::Commits,
    config::{self, Settings},
    crew::{Crew, Sharing},
    files::Files,
    net::{
        development::DevelopmentCertificate,
        listener::{self, Listener},
        mailbox::{Inbound, Mailbox},
        sockets::Sockets,
    },
    ops::{
        admin,
        control::Control,
        log,
        opening::OpeningLog,
        operations::{Operations, Serving},
        process::{open_files_max, raise_open_files_limit, use_small_pages},
        shutdown::{Alarm, Signals, abort_on_panic},
    },
    refuse,
    worker::{self, Shared},
};

/// Threads that read pages of the log: one may wait for the disk while the other computes.
const READERS: usize = 2;
/// Sessions that catch up read the same blocks: pages of two threads would cost twice as much as
/// those of one. A thread that takes longer waits for the disk.
const READING: Sharing = Sharing { at_once: 1024, patience: Duration::from_millis(20) };

/// Runs the broker.
pub(crate) fn serve(arguments: &cli::Serve, log: &cli::Log) -> ExitCode {
    use_small_pages();
    let clock = Clock::start();
    let overrides = arguments.overrides(log.log_level);
    let settings = match config::load(arguments.config.as_deref(), &overrides) {
        Ok(settings) => settings,
        Err(refusal) => return refuse(WRONG, &refusal),
    };
    log::start(log.log_format, settings.level);
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(FAILURE, &error),
    };
    abort_on_panic();
    raise_open_files_limit();
    // From here on a signal waits until the broker has started, instead of ending it half-way.
    let context = runtime.enter();
    let signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return refuse(FAILURE, &error),
    };
    drop(context);
    let reread = || config::load(arguments.config.as_deref(), &overrides);
    match Broker::start(settings, clock) {
        Ok(broker) => {
            let code = runtime.block_on(broker.run(signals, &reread));
            // A store that does not close in time must not keep the process.
            runtime.shutdown_background();
            code
        }
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

/// A broker whose ports are open.
pub(crate) struct Broker {
    /// What is in force.
    pub(crate) settings: Settings,
    /// In the order of the settings, with their sockets.
    pub(crate) listeners: Vec<(Arc<Listener>, TcpListener)>,
    /// For the operations listener.
    pub(crate) operations: Arc<Operations>,
    /// By shard.
    pub(crate) workers: Vec<JoinHandle<()>>,
    /// Of all workers.
    pub(crate) shared: Arc<Shared>,
    /// For programs of this machine.
    pub(crate) control: Control,
    /// Lets threads that start later end the broker.
    pub(crate) alarm: Alarm,
    /// Why the broker must end.
    pub(crate) alarms: mpsc::UnboundedReceiver<String>,
}

impl Broker {
    /// Everything up to the line "ready".
    fn start(settings: Settings, clock: Clock) -> Result<Self, String> {
        if settings.needs_development_certificate() {
            DevelopmentCertificate::make(&settings.certificates_dir(), &settings.node_name)?;
        }
        let files = Files::read(&settings)?;

        let no_thread = |error| format!("no thread can be started: {error}; raise ulimit -u");

        // First, so that whoever waits can see what for.
        let progress = Arc::<Progress>::default();
        let operations = Arc::new(Operations::new(&settings, clock, Arc::clone(&progress)));
        if let Some(address) = settings.ops {
            let socket = open_operations(address)?;
            if let Ok(address) = socket.local_addr() {
                info!("operations on http://{address}");
            }
            admin::start(socket, Arc::clone(&operations)).map_err(no_thread)?;
        }
        let opening = OpeningLog::start(Arc::clone(&progress)).map_err(no_thread)?;

        let (alarm, alarms) = Alarm::new();
        let mailboxes: Arc<[_]> =
            (0..settings.workers).map(|_| Arc::new(Mailbox::default())).collect();
        let commits = Commits { mailboxes: Arc::clone(&mailboxes), alarm: alarm.clone() };
        let options = Options {
            quarantine_dir: Some(settings.data.join("quarantine")),
            progress: Arc::clone(&progress),
            ..settings.store_options()
        };
        let (rocks, mut recovered) = Rocks::open(&settings.store_dir(), &options, commits)
            .map_err(|error| error.to_string())?;
        let rocks = Arc::new(rocks);
        let control = Control::start(&settings.data, Arc::clone(&rocks), Arc::clone(&operations))?;
        let engine: Arc<dyn Engine> = rocks;

        let (sessions, retained) = (recovered.sessions.len(), recovered.retained.len());
        let (unclean_stop, end) = (recovered.unclean_stop.take(), recovered.end);
        progress.begin(Phase::Restoring, sessions as u64);
        let (shards, router) = recover(&settings, recovered, clock, &progress)?;
        progress.begin(Phase::Done, 0);
        drop(opening);

        let sockets = Sockets::within(open_files_max());
        let mut listeners = Vec::new();
        for (settings, tls) in settings.listeners.iter().zip(&files.tls) {
            listeners.push(Listener::open(settings, tls.clone(), &sockets)?);
        }
        let shared = Arc::new(Shared {
            router: RwLock::new(router),
            mailboxes,
            readers: readers(&engine).map_err(no_thread)?,
            engine,
            checker: Checker::start(files.passwords, usize::from(settings.workers).div_ceil(2))
                .map_err(no_thread)?,
            handshake_time: Duration::from_millis(settings.limits.connect_timeout_ms),
            request_bytes_max: settings.request_bytes_max,
            clock,
        });
        let mut workers = Vec::new();
        for (number, shard) in shards.into_iter().enumerate() {
            let worker = worker::start(number, shard, Arc::clone(&shared), alarm.clone());
            workers.push(worker.map_err(no_thread)?);
        }
        operations.opened(Serving {
            listeners: listeners.iter().map(|(listener, _)| Arc::clone(listener)).collect(),
            shared: Arc::clone(&shared),
            unclean_stop,
        });
        let broker =
            Self { settings, listeners, operations, workers, shared, control, alarm, alarms };
        broker.announce(sessions, retained, end);
        Ok(broker)
    }
}

fn recover(
    settings: &Settings,
    recovered: Recovered,
    clock: Clock,
    progress: &Progress,
) -> Result<(Vec<Shard>, Router), String> {
    let limits = Arc::new(settings.limits.clone());
    let durability = Arc::new(settings.durability.clone());
    let words = Arc::new(settings.words.clone());
    let random = aws_lc_rs::default_provider().secure_random;
    let mut shards = Vec::new();
    for number in 0..settings.workers {
        let mut seed = [0; 8];
        let filled = random.fill(&mut seed);
        filled.map_err(|_| "the operating system gives no random numbers".to_owned())?;
        let seed = u64::from_ne_bytes(seed);
        let (limits, durability) = (Arc::clone(&limits), Arc::clone(&durability));
        let shard = Shard::new(ShardId(number), settings.workers, limits, durability, seed);
        shards.push(shard.with_words(Arc::clone(&words)));
    }
    let mut router = Router::default();
    let now = clock.now();
    for session in recovered.sessions {
        let home = session.record.client_id.home(settings.workers);
        let shard = shards.get_mut(usize::from(home.0));
        let shard = shard.expect("home is one of the shards");
        shard.recover(session, recovered.end, &mut router, now);
        progress.step();
    }
    for message in recovered.retained {
        router.recover_retained(message);
    }
    Ok((shards, router))
}

/// Whoever waits for a page at the same time gets it from the same reading of the log.
fn readers(engine: &Arc<dyn Engine>) -> std::io::Result<Crew<(Replay, Arc<Mailbox>)>> {
    let engine = Arc::clone(engine);
    let read = move |jobs: Vec<(Replay, Arc<Mailbox>)>| {
        let (replays, mailboxes): (Vec<Replay>, Vec<Arc<Mailbox>>) = jobs.into_iter().unzip();
        let pages = engine.replay(&replays);
        let answer = |(page, replay): (Result<Page, _>, &Replay)| match page {
            Ok(page) => Inbound::Replayed(page),
            Err(error) => {
                error!("client {} was disconnected: {error}", replay.client_id);
                Inbound::Unreadable(replay.session)
            }
        };
        let answers = pages.into_iter().zip(&replays).map(answer);
        let mut by_mailbox: Vec<(&Arc<Mailbox>, Vec<Inbound>)> = Vec::new();
        for (mailbox, answer) in mailboxes.iter().zip(answers) {
            match by_mailbox.iter_mut().find(|(known, _)| Arc::ptr_eq(known, mailbox)) {
                Some((_, answers)) => answers.push(answer),
                None => by_mailbox.push((mailbox, vec![answer])),
            }
        }
        for (mailbox, answers) in by_mailbox {
            mailbox.push_all(answers);
        }
    };
    Crew::start("reader", READERS, usize::MAX, READING, read)
}

fn open_operations(address: SocketAddr) -> Result<TcpListener, String> {
    listener::listen(address)
        .map_err(|error| listener::why_not(&format!("http://{address}"), &error, "[ops] bind"))
}
