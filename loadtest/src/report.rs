//! What a run found out.

use std::fmt::{self, Display};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The figures of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) scenario: String,
    /// What was asked for, in words.
    pub(crate) setting: String,
    /// One or more, in order.
    pub(crate) phases: Vec<Phase>,
    pub(crate) checks: Checks,
    /// Of the broker, at the end; `null` without its process.
    pub(crate) memory: Option<MemoryFigures>,
    /// Whether a signal ended it early.
    pub(crate) is_interrupted: bool,
}

/// A part of a run that is measured for itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Phase {
    pub(crate) name: String,
    pub(crate) seconds: f64,
    /// What is counted: `deliveries`, `messages`, `connections`.
    pub(crate) unit: String,
    pub(crate) count: u64,
    pub(crate) per_second: f64,
    /// User and system time of the broker; `null` without its process.
    pub(crate) broker_cpu_s: Option<f64>,
    pub(crate) broker_cpu_s_per_million: Option<f64>,
    /// User and system time of this program.
    pub(crate) tool_cpu_s: f64,
    /// From publisher to receiver; `null` where nothing is received.
    pub(crate) latency_us: Option<Latency>,
}

/// Points of a distribution, in microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    #[serde(rename = "p99.9")]
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
}

/// What happened to the messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checks {
    /// Connections that the broker accepted, ever.
    pub(crate) connections: u64,
    pub(crate) sent: u64,
    /// The same, by the QoS of the messages.
    pub(crate) sent_by_qos: [u64; 3],
    /// All that came for the first time, by the QoS that it came with: what counts as delivered, and
    /// Wills, retained and foreign messages.
    pub(crate) arrived_by_qos: [u64; 3],
    /// Connections with a Will that were cut: so many messages more that the broker had to send, at
    /// QoS 1.
    pub(crate) wills: u64,
    /// Acknowledged by the broker.
    pub(crate) acknowledged: u64,
    /// Acknowledged with an error.
    pub(crate) refused: u64,
    /// Arrived, each receiver's counted once.
    pub(crate) delivered: u64,
    /// Sent, and not arrived where they should.
    pub(crate) lost: u64,
    /// Arrived again.
    pub(crate) duplicated: u64,
    /// Of these, at QoS 1, where it may be.
    pub(crate) duplicated_qos1: u64,
    /// Arrived behind one that was sent later.
    pub(crate) reordered: u64,
    /// Not of this run.
    pub(crate) foreign: u64,
    /// Wills that did not come though their connection was cut, or came though it was not.
    pub(crate) wills_wrong: u64,
    /// Topics whose retained message is not the last that was published.
    pub(crate) retained_wrong: u64,
}

/// Resident memory of the broker, in bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MemoryFigures {
    pub(crate) peak_bytes: u64,
    pub(crate) now_bytes: u64,
    /// Before the scenario began.
    pub(crate) before_bytes: u64,
    /// What it grew by, for each `unit`; where the scenario is about memory.
    pub(crate) bytes_each: Option<f64>,
    /// A `connection`, a `message`, a `topic`.
    pub(crate) unit: Option<String>,
}

impl Latency {
    /// `None`: nothing was measured.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Self> {
        if histogram.is_empty() {
            return None;
        }
        let us = |ns: u64| ns as f64 / 1_000.0;
        Some(Self {
            p50: us(histogram.value_at_quantile(0.5)),
            p99: us(histogram.value_at_quantile(0.99)),
            p99_9: us(histogram.value_at_quantile(0.999)),
            max: us(histogram.max()),
        })
    }
}

impl Checks {
    /// Whether the broker did what MQTT promises. At QoS 1 a message may come twice.
    pub(crate) const fn is_passed(&self) -> bool {
        self.lost == 0
            && self.reordered == 0
            && self.duplicated == self.duplicated_qos1
            && self.wills_wrong == 0
            && self.retained_wrong == 0
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.scenario, self.setting)?;
        for phase in &self.phases {
            write!(f, "{phase}")?;
        }
        let checks = &self.checks;
        writeln!(
            f,
            "  checks   {} sent, {} acknowledged, {} refused, {} delivered: {} lost, {} \
             duplicated, {} reordered",
            checks.sent,
            checks.acknowledged,
            checks.refused,
            checks.delivered,
            checks.lost,
            checks.duplicated,
            checks.reordered
        )?;
        if checks.wills_wrong + checks.retained_wrong > 0 {
            writeln!(
                f,
                "           {} Wills and {} retained messages wrong",
                checks.wills_wrong, checks.retained_wrong
            )?;
        }
        if let Some(memory) = &self.memory {
            let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
            write!(
                f,
                "  memory   {:.1} MiB before, {:.1} MiB now, {:.1} MiB at most",
                mib(memory.before_bytes),
                mib(memory.now_bytes),
                mib(memory.peak_bytes)
            )?;
            if let (Some(bytes), Some(unit)) = (memory.bytes_each, &memory.unit) {
                write!(f, ": {bytes:.0} bytes a {unit}")?;
            }
            writeln!(f)?;
        }
        if self.is_interrupted {
            writeln!(f, "  interrupted by a signal")?;
        }
        Ok(())
    }
}

impl Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  {:8} {} {} in {:.2} s: {:.0} a second",
            self.name, self.count, self.unit, self.seconds, self.per_second
        )?;
        if let (Some(cpu), Some(each)) = (self.broker_cpu_s, self.broker_cpu_s_per_million) {
            writeln!(
                f,
                "           {each:.3} CPU s per million (broker {cpu:.2} s, this program {:.2} s)",
                self.tool_cpu_s
            )?;
        }
        if let Some(latency) = &self.latency_us {
            writeln!(
                f,
                "           latency p50 {:.0} µs, p99 {:.0} µs, p99.9 {:.0} µs, max {:.0} µs",
                latency.p50, latency.p99, latency.p99_9, latency.max
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
impl Report {
    /// One phase, `flow`, of one message, at this cost.
    pub(crate) fn example(cpu_s_per_million: f64) -> Self {
        let phase = Phase {
            name: "flow".into(),
            seconds: 1.0,
            unit: "deliveries".into(),
            count: 1,
            per_second: 1.0,
            broker_cpu_s: Some(cpu_s_per_million / 1e6),
            broker_cpu_s_per_million: Some(cpu_s_per_million),
            tool_cpu_s: 0.0,
            latency_us: None,
        };
        Self {
            scenario: "p2p".into(),
            setting: String::new(),
            phases: vec![phase],
            checks: Checks::default(),
            memory: None,
            is_interrupted: false,
        }
    }
}
