//! Rounds of work that end with a fault of the broker or its machine, then the verdict.

use std::{
    fmt,
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use super::{
    Cut, Kind, Loses, Record, Verdict, check, look_again_and_again,
    reader::{Reader, Reading},
    stage::{Phase, Stage},
    writer::{Writer, Writing},
};
use crate::{Broker, Dice, Transport, Version};

/// How a round ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interruption {
    /// SIGKILL; so many times again while it started.
    Killed(u32),
    /// SIGTERM.
    Terminated,
    /// The machine lost its power, and with it what was not synced, if that was allowed.
    PowerCut(Loses),
    /// The disk was full for a while; the process was killed meanwhile, or not.
    DiskFull {
        /// SIGKILL in between.
        with_kill: bool,
    },
}

/// What is played.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of the dice.
    pub seed: u64,
    /// How many.
    pub rounds: u32,
    /// How long a round is.
    pub length: Range<Duration>,
    /// Longest pause of a writer between two bursts.
    pub pause: Duration,
    /// How long a client waits for an answer. A disk that others write to can hold up a sync for
    /// long.
    pub patience: Duration,
}

/// What happened.
#[derive(Clone, Debug)]
pub struct Summary {
    seed: u64,
    rounds: u32,
    kills: u32,
    kills_in_start: u32,
    terminations: u32,
    power_cuts: u32,
    full_disks: u32,
    looks: usize,
    slowest_start: Duration,
    took: Duration,
    verdict: Verdict,
}

impl Summary {
    /// What the checker found, faults aside.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, rounds, kills, kills_in_start, terminations, power_cuts, .. } = self;
        let Self { full_disks, looks, slowest_start, took, verdict, .. } = self;
        let Verdict { messages, acknowledged, owed, received, redelivered, resumed, .. } = verdict;
        let (lost, refused) = (verdict.lost_unsynced, verdict.refused);
        write!(
            f,
            "seed {seed}: {rounds} rounds in {took:.1?}; SIGKILL {kills}, during start-up \
             {kills_in_start}, SIGTERM {terminations}, power cuts {power_cuts}, full disks {full_disks}; slowest start \
             {slowest_start:.2?}; {messages} messages, {acknowledged} acknowledged, {refused} refused; {owed} \
             deliveries owed, {received} received, {redelivered} with DUP; {resumed} sessions \
             resumed; {looks} looks at retained messages; lost because not synced {lost}"
        )
    }
}

/// Plays the rounds; `interrupt` ends each one and brings the broker back.
///
/// # Panics
/// When the checker finds a fault, with the seed; when a client gets no answer.
pub fn play(
    plan: &Plan,
    mut broker: Broker,
    mut interrupt: impl FnMut(&mut Broker, &mut Dice) -> Interruption,
) -> Summary {
    eprintln!("seed {}", plan.seed);
    let started = Instant::now();
    let mut dice = Dice::new(plan.seed);
    let stage = Stage::new(plan.patience);
    let writers = writers(plan.pause);
    let readers = readers();
    let mut summary = Summary {
        seed: plan.seed,
        rounds: plan.rounds,
        kills: 0,
        kills_in_start: 0,
        terminations: 0,
        power_cuts: 0,
        full_disks: 0,
        looks: 0,
        slowest_start: broker.started_in(),
        took: Duration::ZERO,
        verdict: Verdict::default(),
    };
    let mut record = Record::default();
    stage.offer(&broker);
    thread::scope(|scope| {
        let _alarm = stage.alarm();
        let (stage, seeds) = (&stage, dice.clone());
        let writing: Vec<_> = (1..)
            .zip(writers)
            .map(|(number, writing)| {
                let writer = Writer::new(number, writing, &seeds);
                scope.spawn(move || writer.run(stage))
            })
            .collect();
        let subscribers = readers.len();
        let reading: Vec<_> = (1..)
            .zip(readers)
            .map(|(number, reading)| {
                let reader = Reader::new(number, reading, &seeds);
                scope.spawn(move || reader.run(stage))
            })
            .collect();
        let looking = scope.spawn(|| look_again_and_again("ret/#", stage));

        for round in 1..=plan.rounds {
            stage.watch(dice.time(plan.length.clone()));
            stage.withdraw();
            let from = stage.clock.tick();
            let interruption = interrupt(&mut broker, &mut dice);
            let loses = match interruption {
                Interruption::PowerCut(loses) => loses,
                Interruption::Killed(_)
                | Interruption::Terminated
                | Interruption::DiskFull { .. } => Loses::Nothing,
            };
            let until = stage.clock.tick();
            record.cuts.push(Cut { from, until, loses });
            eprintln!("round {round}: {interruption:?} at {from}, there again at {until}");
            summary.count(interruption, broker.started_in());
            stage.next_round(loses == Loses::Unsynced);
            stage.offer(&broker);
        }
        stage.set_phase(Phase::Settling);
        stage.await_settled(subscribers, plan.patience * 2);
        stage.set_phase(Phase::Closing);
        let history = |client: thread::ScopedJoinHandle<'_, _>| client.join();
        let whole = "a client has failed, see above";
        record.clients.extend(writing.into_iter().map(|it| history(it).expect(whole)));
        stage.set_phase(Phase::Draining);
        record.clients.extend(reading.into_iter().map(|it| history(it).expect(whole)));
        record.looks = looking.join().expect(whole);
    });
    summary.looks = record.looks.len();
    summary.took = started.elapsed();
    summary.verdict = check(&record);
    assert_no_fault(&summary, &record);
    let log = broker.log();
    assert!(!log.contains("panicked"), "{log}");
    summary
}

impl Summary {
    fn count(&mut self, interruption: Interruption, started_in: Duration) {
        match interruption {
            Interruption::Killed(in_start) => {
                self.kills += 1;
                self.kills_in_start += in_start;
            }
            Interruption::Terminated => self.terminations += 1,
            Interruption::PowerCut(_) => self.power_cuts += 1,
            Interruption::DiskFull { with_kill } => {
                self.full_disks += 1;
                self.kills += u32::from(with_kill);
            }
        }
        self.slowest_start = self.slowest_start.max(started_in);
    }
}

/// Fails with the first faults, and the histories in a file.
fn assert_no_fault(summary: &Summary, record: &Record) {
    let faults = &summary.verdict.faults;
    if faults.is_empty() {
        return;
    }
    let path = std::env::temp_dir().join(format!("flotilla-histories-{}", summary.seed));
    let mut text = format!("{:#?}\n", record.cuts);
    for history in &record.clients {
        for (at, what) in &history.events {
            text.push_str(&format!("{at} {} {what:?}\n", history.client_id));
        }
    }
    for look in &record.looks {
        text.push_str(&format!("{look:?}\n"));
    }
    let written = std::fs::write(&path, text);
    // Of each kind a few.
    let mut kinds: Vec<(Kind, usize)> = Vec::new();
    let mut lines = String::new();
    for fault in faults {
        let at = kinds.iter().position(|(kind, _)| *kind == fault.kind).unwrap_or_else(|| {
            kinds.push((fault.kind, 0));
            kinds.len() - 1
        });
        kinds[at].1 += 1;
        if kinds[at].1 <= 5 {
            lines.push_str(&format!("\n  {fault}"));
        }
    }
    panic!(
        "{summary}\n{} faults {kinds:?}:{lines}\nhistories ({written:?}): {}",
        faults.len(),
        path.display()
    );
}

/// Ends a round with the process: SIGKILL, now and then once more during start-up, or SIGTERM.
pub fn end_the_process(broker: &mut Broker, dice: &mut Dice) -> Interruption {
    if dice.once_in(6) {
        let ended = broker.terminate();
        assert_eq!(ended.code, Some(0), "SIGTERM is an end in order:\n{}", ended.log);
        broker.restart();
        return Interruption::Terminated;
    }
    broker.kill();
    let mut in_start = 0;
    while dice.once_in(3) {
        let after = dice.time(Duration::ZERO..broker.started_in() * 2);
        let ended = broker.restart_and_kill(after);
        assert!(!ended.log.contains("panicked"), "{}", ended.log);
        in_start += 1;
    }
    broker.restart();
    Interruption::Killed(in_start)
}

fn writers(pause: Duration) -> Vec<Writing> {
    let writing = |version, transport, qos, topics| Writing {
        version,
        transport,
        qos,
        topics,
        prefix: "pub",
        retain: false,
        window: 40,
        pause,
        payload_min: 0,
        leaves_once_in: 60,
    };
    let retaining = |version, qos| Writing {
        prefix: "ret",
        retain: true,
        window: 5,
        ..writing(version, Transport::Tcp, qos, 3)
    };
    vec![
        writing(Version::V5, Transport::Tcp, 1, 4),
        writing(Version::V5, Transport::Tcp, 2, 3),
        writing(Version::V311, Transport::Tls, 1, 2),
        writing(Version::V311, Transport::Tcp, 2, 2),
        retaining(Version::V5, 1),
        retaining(Version::V5, 2),
        retaining(Version::V311, 1),
    ]
}

fn readers() -> Vec<Reading> {
    let reading = |version, filters: &[(&'static str, u8)]| Reading {
        version,
        transport: Transport::Tcp,
        filters: filters.to_vec(),
        changes: false,
        thinks: Duration::from_millis(1),
        stays_away: false,
        ends_sessions: false,
        receive_max: 100,
        leaves_once_in: 200,
    };
    let all: &[(&str, u8)] = &[("#", 2)];
    vec![
        reading(Version::V5, all),
        Reading { transport: Transport::Tls, ..reading(Version::V311, &[("pub/#", 1)]) },
        // Overlapping filters of different QoS.
        reading(Version::V5, &[("pub/+/0", 1), ("pub/1/#", 2), ("pub/2/+", 2), ("ret/#", 1)]),
        // One that cannot keep up.
        Reading {
            thinks: Duration::from_millis(30),
            receive_max: 10,
            ..reading(Version::V5, &[("pub/#", 2)])
        },
        Reading { stays_away: true, leaves_once_in: 20, ..reading(Version::V5, all) },
        Reading {
            stays_away: true,
            leaves_once_in: 20,
            ..reading(Version::V311, &[("pub/+/+", 2)])
        },
        Reading { changes: true, ..reading(Version::V5, &[("pub/1/#", 2), ("pub/+/1", 2)]) },
        Reading { changes: true, ..reading(Version::V311, &[("pub/3/+", 1), ("pub/2/0", 1)]) },
        Reading {
            ends_sessions: true,
            leaves_once_in: 30,
            ..reading(Version::V5, &[("pub/1/+", 1), ("pub/4/#", 2)])
        },
    ]
}
