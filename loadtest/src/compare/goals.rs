//! Goals: what a figure of a broker is to be.

use std::{fs, path::Path};

use serde::Deserialize;

use crate::{error::Error, report::Report};

/// The phase that most scenarios measure.
const FLOW: &str = "flow";

/// A file of goals.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    goal: Vec<Goal>,
}

/// One figure of one scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Goal {
    /// For people.
    pub(crate) name: String,
    /// Scenario with its options.
    pub(crate) arguments: String,
    /// Name of the phase, `flow` if it is left out.
    phase: Option<String>,
    figure: Figure,
    goal: f64,
}

/// Which figure of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Figure {
    /// CPU seconds of the broker per million.
    Cpu,
    /// Of what the phase counts, a second.
    Rate,
    /// Median latency in microseconds.
    P50,
    /// The latency that one in a hundred exceeds, in microseconds.
    P99,
    /// Bytes of memory for each of what the scenario is about.
    Bytes,
}

/// Reads a file of goals.
///
/// # Errors
/// With the line where it is wrong.
pub(crate) fn read(file: &Path) -> Result<Vec<Goal>, Error> {
    let wrong = |reason| Error::Usage { option: "--goals", reason };
    let text = fs::read_to_string(file)
        .map_err(|error| wrong(format!("cannot read '{}': {error}", file.display())))?;
    parse(&text).map_err(|error| wrong(format!("in '{}': {error}", file.display())))
}

fn parse(text: &str) -> Result<Vec<Goal>, toml::de::Error> {
    toml::from_str(text).map(|file: File| file.goal)
}

impl Goal {
    /// The median of its figure in these reports; `None` where none has it.
    pub(crate) fn median(&self, reports: &[Report]) -> Option<f64> {
        median(reports.iter().filter_map(|report| self.figure(report)).collect())
    }

    /// Whether this is good enough.
    pub(crate) fn is_reached(&self, figure: f64) -> bool {
        match self.figure {
            Figure::Rate => figure >= self.goal,
            Figure::Cpu | Figure::P50 | Figure::P99 | Figure::Bytes => figure <= self.goal,
        }
    }

    /// The goal as a person writes it.
    pub(crate) fn text(&self) -> String {
        let sign = if self.figure == Figure::Rate { "≥" } else { "≤" };
        format!("{sign} {}", self.goal)
    }

    fn figure(&self, report: &Report) -> Option<f64> {
        let wanted = self.phase.as_deref().unwrap_or(FLOW);
        let phase = report.phases.iter().find(|phase| phase.name == wanted)?;
        match self.figure {
            Figure::Cpu => phase.broker_cpu_s_per_million,
            Figure::Rate => Some(phase.per_second),
            Figure::P50 => phase.latency_us.map(|it| it.p50),
            Figure::P99 => phase.latency_us.map(|it| it.p99),
            Figure::Bytes => report.memory.as_ref()?.bytes_each,
        }
    }
}

/// The middle one, of two the lower.
pub(crate) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Checks, Phase};

    fn report(cpu: f64) -> Report {
        let phase = Phase {
            name: "flow".into(),
            seconds: 1.0,
            unit: "deliveries".into(),
            count: 1,
            per_second: 1.0 / cpu,
            broker_cpu_s: Some(cpu),
            broker_cpu_s_per_million: Some(cpu),
            tool_cpu_s: 0.0,
            latency_us: None,
        };
        Report {
            scenario: "p2p".into(),
            setting: String::new(),
            phases: vec![phase],
            checks: Checks::default(),
            memory: None,
            is_interrupted: false,
        }
    }

    #[test]
    fn the_median_decides() {
        let goals = "[[goal]]\nname = 'a'\narguments = 'p2p'\nfigure = 'cpu'\ngoal = 0.4\n\
                     [[goal]]\nname = 'b'\narguments = 'p2p'\nfigure = 'rate'\ngoal = 2\n\
                     [[goal]]\nname = 'c'\narguments = 'p2p'\nfigure = 'bytes'\ngoal = 2\n";
        let goals = parse(goals).unwrap();
        let reports = [report(0.9), report(0.3), report(0.4)];
        assert_eq!(goals[0].median(&reports), Some(0.4));
        assert!(goals[0].is_reached(0.4) && !goals[0].is_reached(0.41));
        assert!(goals[1].is_reached(2.5) && !goals[1].is_reached(1.9));
        assert_eq!(goals[2].median(&reports), None);
    }

    #[test]
    fn the_goals_of_this_repository_can_be_read() {
        let goals = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("goals.toml")).unwrap();
        assert!(goals.iter().any(|goal| goal.arguments == "p2p"));
    }
}
