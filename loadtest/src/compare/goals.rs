//! Goals: what a figure of a broker is to be.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    compare::case::{Case, Setup},
    error::Error,
    report::Report,
};

/// The phase that most scenarios measure.
const FLOW: &str = "flow";

/// A file of goals.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Options that are added to each scenario.
    #[serde(default)]
    arguments: String,
    goal: Vec<Written>,
}

/// A goal as it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    arguments: String,
    #[serde(default)]
    setup: Setup,
    phase: Option<String>,
    figure: Figure,
    goal: f64,
    against: Option<String>,
    than: Option<Than>,
}

/// What the figure is divided by: the same figure of another case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Than {
    arguments: String,
    #[serde(default)]
    setup: Setup,
}

/// One figure of one case.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    /// For people.
    pub(crate) name: String,
    pub(crate) case: Case,
    phase: String,
    pub(crate) figure: Figure,
    pub(crate) goal: f64,
    pub(crate) measure: Measure,
}

/// What a figure is measured by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Itself.
    Absolute,
    /// The same figure of the broker of this name: how many times better.
    Against(String),
    /// The same figure of another case: how many times as much.
    Than(Case),
}

/// Which figure of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Figure {
    /// CPU seconds of the broker per million.
    Cpu,
    /// Of what the phase counts, a second.
    Rate,
    /// Of what the phase counts, a second of the broker's CPU: what a core of its own would do.
    CoreRate,
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

fn parse(text: &str) -> Result<Vec<Goal>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    let case = |arguments: String, setup| {
        let arguments = format!("{arguments} {}", file.arguments).trim().to_owned();
        Case { arguments, setup }
    };
    let goal = |written: Written| {
        let measure = match (written.against, written.than) {
            (None, None) => Measure::Absolute,
            (Some(broker), None) => Measure::Against(broker),
            (None, Some(than)) => Measure::Than(case(than.arguments, than.setup)),
            (Some(_), Some(_)) => {
                return Err(format!("'{}' has both 'against' and 'than'", written.name));
            }
        };
        Ok(Goal {
            name: written.name,
            case: case(written.arguments, written.setup),
            phase: written.phase.unwrap_or_else(|| FLOW.to_owned()),
            figure: written.figure,
            goal: written.goal,
            measure,
        })
    };
    file.goal.into_iter().map(goal).collect()
}

impl Goal {
    /// The cases that it looks at.
    pub(crate) fn cases(&self) -> impl Iterator<Item = &Case> {
        let than = match &self.measure {
            Measure::Than(case) => Some(case),
            Measure::Absolute | Measure::Against(_) => None,
        };
        // What it is measured by comes first, so that the two are beside each other in time.
        than.into_iter().chain([&self.case])
    }

    /// The median of its figure in these reports; `None` where none has it.
    pub(crate) fn median(&self, reports: &[Report]) -> Option<f64> {
        median(reports.iter().filter_map(|report| self.figure(report)).collect())
    }

    /// Whether more is better.
    pub(crate) const fn is_at_least(&self) -> bool {
        match self.measure {
            Measure::Absolute => matches!(self.figure, Figure::Rate | Figure::CoreRate),
            Measure::Against(_) => true,
            Measure::Than(_) => false,
        }
    }

    /// Whether this is good enough.
    pub(crate) fn is_reached(&self, figure: f64) -> bool {
        if self.is_at_least() { figure >= self.goal } else { figure <= self.goal }
    }

    fn figure(&self, report: &Report) -> Option<f64> {
        let phase = report.phases.iter().find(|phase| phase.name == self.phase)?;
        match self.figure {
            Figure::Cpu => phase.broker_cpu_s_per_million,
            Figure::Rate => Some(phase.per_second),
            Figure::CoreRate => {
                phase.broker_cpu_s.filter(|cpu_s| *cpu_s > 0.0).map(|it| phase.count as f64 / it)
            }
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

    #[test]
    fn the_median_decides() {
        let goals = "arguments = '--duration 2s'\n\
                     [[goal]]\nname = 'a'\narguments = 'p2p'\nfigure = 'cpu'\ngoal = 0.4\n\
                     [[goal]]\nname = 'b'\narguments = 'p2p'\nfigure = 'core-rate'\ngoal = 2\n\
                     [[goal]]\nname = 'c'\narguments = 'p2p'\nfigure = 'bytes'\ngoal = 2\n";
        let goals = parse(goals).unwrap();
        let reports = [0.9, 0.3, 0.4].map(Report::example);
        assert_eq!(goals[0].case.arguments, "p2p --duration 2s");
        assert_eq!(goals[0].median(&reports), Some(0.4));
        assert!(goals[0].is_reached(0.4) && !goals[0].is_reached(0.41));
        assert!(goals[1].is_reached(2.5) && !goals[1].is_reached(1.9));
        assert_eq!(goals[2].median(&reports), None);
    }

    #[test]
    fn a_goal_is_measured_by_one_thing() {
        let goal = "[[goal]]\nname = 'a'\narguments = 'p2p'\nfigure = 'cpu'\ngoal = 2\n";
        let against = format!("{goal}against = 'mosquitto'\n");
        let parsed = parse(&against).unwrap();
        assert!(parsed[0].is_reached(2.1) && !parsed[0].is_reached(1.9));
        let than = format!("{goal}than = {{ arguments = 'rate' }}\n");
        let parsed = parse(&than).unwrap();
        assert!(parsed[0].is_reached(1.9) && !parsed[0].is_reached(2.1));
        assert_eq!(parsed[0].cases().count(), 2);
        let both = format!("{against}than = {{ arguments = 'rate' }}\n");
        assert!(parse(&both).unwrap_err().contains("both"));
    }

    #[test]
    fn the_goals_of_this_repository_can_be_read() {
        let goals = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("goals.toml")).unwrap();
        assert!(goals.iter().any(|goal| goal.case.arguments.starts_with("p2p")));
    }
}
