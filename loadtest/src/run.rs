//! A run of a scenario: the fleet, what it is asked to do, what is measured meanwhile.

use std::{
    collections::HashSet,
    fs,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use flotilla_mqtt::{QoS, Version};

use crate::{
    cli::Common,
    desk::Watch,
    error::Error,
    fleet::{Fleet, Target},
    plot,
    process::{Memory, Process},
    progress::Progress,
    publisher::{Pace, Publisher},
    report::{Checks, Latency, MemoryFigures, Phase, Report},
    stamp::STAMP_LEN,
    stream::Stream,
    template::{Style, Template, Topics},
};

/// How long nothing may arrive before what is missing counts as lost.
const QUIET: Duration = Duration::from_secs(5);

/// A run.
pub(crate) struct Run {
    pub(crate) fleet: Fleet,
    pub(crate) qos: QoS,
    payload_len: usize,
    pub(crate) version: Version,
    process: Option<Process>,
    before: Option<Memory>,
    progress: Progress,
    plot: Option<PathBuf>,
    pub(crate) phases: Vec<Phase>,
    pub(crate) bytes_each: Option<(f64, String)>,
    /// Messages a second of all publishers, in an open loop.
    pub(crate) rate: Option<f64>,
    /// Connections with a Will that were cut.
    pub(crate) wills: u64,
    /// Topics with a retained message that somebody asked for.
    pub(crate) retained: u64,
}

/// One publisher.
pub(crate) struct Publishing {
    pub(crate) client: usize,
    pub(crate) topics: Topics,
    pub(crate) window: u64,
    /// How many get each message.
    pub(crate) receivers: u64,
    pub(crate) limit: Option<u64>,
    pub(crate) pace: Option<Pace>,
    pub(crate) retain: bool,
    pub(crate) qos: QoS,
}

/// Where a measurement begins.
pub(crate) struct Mark {
    at: Instant,
    broker_cpu_s: Option<f64>,
    tool_cpu_s: f64,
    sent: u64,
    acknowledged: u64,
    delivered: u64,
}

/// What a phase counts.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// Messages that arrived.
    Deliveries,
    /// Messages that the broker took: acknowledged, or sent at QoS 0.
    Messages,
    /// Something else, so many of it.
    Other(&'static str, u64),
}

impl Run {
    /// # Errors
    /// When the broker's process is not there.
    pub(crate) fn new(
        common: &Common,
        is_resuming: bool,
        stopped: Arc<AtomicBool>,
    ) -> Result<Self, Error> {
        let process = common.pid.map(Process::new).transpose()?;
        let version = common.mqtt.into();
        let credentials = common.credentials()?;
        let tls = common.tls(is_resuming)?;
        let target = Target {
            address: common.url.address,
            websocket: common.websocket(),
            tls,
            version,
            credentials,
            keep_alive_s: common.keep_alive,
        };
        let payload_len = common.payload.max(STAMP_LEN);
        Ok(Self {
            fleet: Fleet::new(target, payload_len, stopped)?,
            qos: common.qos(),
            payload_len,
            version,
            before: process.map(Process::memory).transpose()?,
            process,
            progress: Progress::new(common.quiet),
            plot: common.plot.clone(),
            phases: Vec::new(),
            bytes_each: None,
            rate: None,
            wills: 0,
            retained: 0,
        })
    }

    /// Makes `count` streams, for a receiver of that many publishers, the first with this number.
    pub(crate) fn watch(&mut self, publisher: u32, count: u32, is_ordered: bool) -> Watch {
        let stream = self.fleet.desk.streams.len();
        self.fleet.desk.streams.resize_with(stream + count as usize, Stream::default);
        Watch { stream, publisher, count, is_ordered, is_timed: true }
    }

    /// Room for what a session at QoS 2 notes, for as long as it lives.
    pub(crate) fn inbox(&mut self) -> usize {
        self.fleet.desk.inboxes.push(HashSet::new());
        self.fleet.desk.inboxes.len() - 1
    }

    /// Lets a publisher send no more, or, by the clock, from now on.
    pub(crate) fn pause(&mut self, publisher: u32, is_paused: bool) {
        let desk = &mut self.fleet.desk;
        let publisher = &mut desk.publishers[publisher as usize];
        publisher.limit = if is_paused { publisher.sent } else { u64::MAX };
        if let Some(pace) = &mut publisher.pace {
            // What was due meanwhile is not made up for.
            let passed_ns = (publisher.sent as f64 * pace.interval_ns) as i64;
            pace.start_ns = desk.now_ns.cast_signed() - passed_ns;
        }
    }

    /// Whether all that it sent is acknowledged.
    pub(crate) fn is_acknowledged(&self, publisher: u32) -> bool {
        let publisher = &self.fleet.desk.publishers[publisher as usize];
        !publisher.is_acknowledged() || publisher.acknowledged >= publisher.sent
    }

    /// Lets a connection that is ready publish; the number of the publisher.
    ///
    /// # Errors
    /// When its topic or payload is too long for a packet.
    pub(crate) fn publish(&mut self, publishing: Publishing) -> Result<u32, Error> {
        let style = Style {
            version: self.version,
            qos: publishing.qos,
            payload_len: self.payload_len,
            retain: publishing.retain,
        };
        let number = u32::try_from(self.fleet.desk.publishers.len()).expect("fewer than sockets");
        self.fleet.desk.paced.extend(publishing.pace.map(|_| number));
        self.fleet.desk.publishers.push(Publisher {
            client: publishing.client,
            number,
            template: Template::new(publishing.topics, style)?,
            qos: publishing.qos,
            window: publishing.window,
            receive_maximum: u64::from(self.fleet.receive_maximum(publishing.client)),
            receivers: publishing.receivers,
            pace: publishing.pace,
            limit: publishing.limit.unwrap_or(u64::MAX),
            sent: 0,
            acknowledged: 0,
            refused: 0,
            delivered: 0,
            is_touched: false,
        });
        self.fleet.publish_from(publishing.client, number);
        Ok(number)
    }

    /// When publisher `number` of so many is to send; `None`: as fast as it may.
    pub(crate) fn pace(&self, number: usize, publishers: usize) -> Option<Pace> {
        let interval_ns = publishers as f64 / self.rate? * 1e9;
        // One after the other, not all at once.
        let offset_ns = interval_ns / publishers as f64 * number as f64;
        Some(Pace {
            start_ns: self.fleet.desk.now_ns.cast_signed() + offset_ns as i64,
            interval_ns,
        })
    }

    /// Lets messages flow for this long.
    pub(crate) fn flow(&mut self, time: Duration) -> Result<(), Error> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.fleet.is_stopped() || self.is_sent() {
                return Ok(());
            }
            self.fleet.turn(left)?;
            self.progress.show(&mut self.fleet.desk);
        }
    }

    /// Sends nothing new; waits until all that was sent has arrived, or nothing does any more.
    pub(crate) fn drain(&mut self) -> Result<(), Error> {
        for publisher in &mut self.fleet.desk.publishers {
            publisher.limit = publisher.limit.min(publisher.sent);
        }
        self.finish(QUIET)
    }

    /// Waits until all that is to be sent has been, and has arrived, or nothing does for `quiet`.
    pub(crate) fn finish(&mut self, quiet: Duration) -> Result<(), Error> {
        let (mut seen, mut since) = (0, Instant::now());
        while !self.fleet.is_stopped() {
            let desk = &self.fleet.desk;
            if self.is_sent() && desk.publishers.iter().all(Publisher::is_done) {
                return Ok(());
            }
            let moved = desk.tally.delivered + desk.tally.acknowledged + desk.tally.sent;
            if moved != seen {
                (seen, since) = (moved, Instant::now());
            } else if since.elapsed() > quiet {
                return Ok(());
            }
            self.fleet.turn(quiet)?;
            self.progress.show(&mut self.fleet.desk);
        }
        Ok(())
    }

    /// Lets time pass in which nothing is sent.
    pub(crate) fn wait(&mut self, time: Duration) -> Result<(), Error> {
        let end = Instant::now() + time;
        while Instant::now() < end && !self.fleet.is_stopped() {
            self.fleet.turn(end.saturating_duration_since(Instant::now()))?;
            self.progress.show(&mut self.fleet.desk);
        }
        Ok(())
    }

    /// The broker's memory has grown since the run began by what `count` of these take.
    pub(crate) fn grown(&mut self, unit: &str, count: u64) -> Result<(), Error> {
        if let Some((now, before)) = self.memory()?.zip(self.before) {
            let bytes = now.now.saturating_sub(before.now);
            self.bytes_each = Some((bytes as f64 / count as f64, unit.to_owned()));
        }
        Ok(())
    }

    fn is_sent(&self) -> bool {
        self.fleet.desk.publishers.iter().all(|it| it.sent >= it.limit)
    }

    /// A measurement begins.
    pub(crate) fn mark(&mut self) -> Result<Mark, Error> {
        self.fleet.desk.tally.latency.reset();
        let tally = &self.fleet.desk.tally;
        Ok(Mark {
            at: Instant::now(),
            broker_cpu_s: self.process.map(Process::cpu_s).transpose()?,
            tool_cpu_s: Process::own().cpu_s()?,
            sent: tally.sent,
            acknowledged: tally.acknowledged,
            delivered: tally.delivered,
        })
    }

    /// It ends.
    pub(crate) fn measured(&mut self, name: &str, unit: Unit, since: &Mark) -> Result<(), Error> {
        let seconds = since.at.elapsed().as_secs_f64();
        let tally = &self.fleet.desk.tally;
        let (unit, count) = match unit {
            Unit::Deliveries => ("deliveries", tally.delivered - since.delivered),
            Unit::Messages if self.qos == QoS::AtMostOnce => ("messages", tally.sent - since.sent),
            Unit::Messages => ("messages", tally.acknowledged - since.acknowledged),
            Unit::Other(unit, count) => (unit, count),
        };
        let now_s = self.process.map(Process::cpu_s).transpose()?;
        let broker_cpu_s = now_s.zip(since.broker_cpu_s).map(|(now, before)| now - before);
        self.phases.push(Phase {
            name: name.to_owned(),
            seconds,
            unit: unit.to_owned(),
            count,
            per_second: count as f64 / seconds,
            broker_cpu_s,
            broker_cpu_s_per_million: broker_cpu_s
                .filter(|_| count > 0)
                .map(|cpu_s| cpu_s * 1e6 / count as f64),
            tool_cpu_s: Process::own().cpu_s()? - since.tool_cpu_s,
            latency_us: Latency::of(&tally.latency),
        });
        Ok(())
    }

    /// Resident memory of the broker now.
    pub(crate) fn memory(&self) -> Result<Option<Memory>, Error> {
        self.process.map(Process::memory).transpose()
    }

    /// Puts all together.
    pub(crate) fn report(mut self, scenario: &str, setting: String) -> Result<Report, Error> {
        self.progress.end();
        if let Some(file) = &self.plot {
            let picture =
                plot::svg(&format!("{scenario}: {setting}"), &self.progress.timeline.points);
            fs::write(file, picture).map_err(|error| Error::Usage {
                option: "--plot",
                reason: format!("cannot write '{}': {error}", file.display()),
            })?;
        }
        let memory = self.memory()?;
        self.fleet.leave()?;
        let tally = &self.fleet.desk.tally;
        let mut sent_by_qos = [0; 3];
        for publisher in &self.fleet.desk.publishers {
            sent_by_qos[publisher.qos as usize] += publisher.sent;
        }
        let checks = Checks {
            connections: self.fleet.readied as u64,
            sent: tally.sent,
            sent_by_qos,
            arrived_by_qos: tally.arrived,
            wills: self.wills,
            acknowledged: tally.acknowledged,
            refused: tally.refused,
            delivered: tally.delivered,
            lost: self.fleet.desk.publishers.iter().map(Publisher::lost).sum(),
            duplicated: tally.duplicated,
            duplicated_qos1: tally.duplicated_qos1,
            reordered: tally.reordered,
            foreign: tally.foreign,
            wills_wrong: self.wills.abs_diff(tally.wills),
            retained_wrong: self.retained.abs_diff(tally.last),
        };
        let memory = memory.zip(self.before).map(|(memory, before)| {
            let (bytes_each, unit) = self.bytes_each.clone().unzip();
            MemoryFigures {
                peak_bytes: memory.peak,
                now_bytes: memory.now,
                before_bytes: before.now,
                bytes_each,
                unit,
            }
        });
        Ok(Report {
            scenario: scenario.to_owned(),
            setting,
            phases: self.phases,
            checks,
            memory,
            is_interrupted: self.fleet.is_stopped(),
        })
    }
}
