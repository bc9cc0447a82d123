//! The table of a comparison.

use std::fmt::{self, Display};

use serde::Serialize;

use crate::{compare::goals::median, report::Report};

/// A line: what one broker did in one phase of one scenario, medians of all rounds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) scenario: String,
    pub(crate) phase: String,
    pub(crate) broker: String,
    pub(crate) broker_cpu_s_per_million: Option<f64>,
    /// To the same figure of the first broker.
    pub(crate) ratio: Option<f64>,
    pub(crate) per_second: f64,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) lost: u64,
}

/// All lines.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
}

impl Table {
    /// Adds what the brokers did in one scenario; the first is the measure of the others.
    pub(crate) fn add(&mut self, scenario: &str, brokers: &[(String, Vec<Report>)]) {
        let phases = brokers.iter().flat_map(|(_, reports)| reports.first());
        let count = phases.map(|report| report.phases.len()).max().unwrap_or(0);
        for at in 0..count {
            let mut first = None;
            for (name, reports) in brokers {
                let phases: Vec<_> = reports.iter().filter_map(|it| it.phases.get(at)).collect();
                let Some(phase) = phases.first() else { continue };
                let cpu =
                    median(phases.iter().filter_map(|it| it.broker_cpu_s_per_million).collect());
                first = first.or(cpu);
                let p50 = phases.iter().filter_map(|it| it.latency_us).map(|it| it.p50).collect();
                let p99 = phases.iter().filter_map(|it| it.latency_us).map(|it| it.p99).collect();
                self.rows.push(Row {
                    scenario: scenario.to_owned(),
                    phase: phase.name.clone(),
                    broker: name.clone(),
                    broker_cpu_s_per_million: cpu,
                    ratio: cpu.zip(first).map(|(cpu, first)| cpu / first),
                    per_second: median(phases.iter().map(|it| it.per_second).collect())
                        .unwrap_or_default(),
                    p50_us: median(p50),
                    p99_us: median(p99),
                    lost: reports.iter().map(|it| it.checks.lost).max().unwrap_or(0),
                });
            }
        }
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.scenario.len()).max().unwrap_or(0).max(8);
        writeln!(
            f,
            "{:width$} {:9} {:12} {:>9} {:>7} {:>11} {:>9} {:>9} {:>7}",
            "scenario",
            "phase",
            "broker",
            "CPU s/M",
            "ratio",
            "a second",
            "p50 µs",
            "p99 µs",
            "lost"
        )?;
        let number = |figure: Option<f64>, digits: usize| match figure {
            Some(figure) => format!("{figure:.digits$}"),
            None => "-".to_owned(),
        };
        for row in &self.rows {
            writeln!(
                f,
                "{:width$} {:9} {:12} {:>9} {:>7} {:>11.0} {:>9} {:>9} {:>7}",
                row.scenario,
                row.phase,
                row.broker,
                number(row.broker_cpu_s_per_million, 3),
                number(row.ratio, 2),
                row.per_second,
                number(row.p50_us, 0),
                number(row.p99_us, 0),
                row.lost
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_broker_is_the_measure() {
        let mut table = Table::default();
        let one = ("one".to_owned(), [0.5, 9.0, 0.4].map(Report::example).to_vec());
        table.add("p2p", &[one, ("two".to_owned(), vec![Report::example(2.0)])]);
        assert_eq!(table.rows[0].ratio, Some(1.0));
        assert_eq!(table.rows[1].ratio, Some(4.0));
        assert!(table.to_string().contains("two"));
    }
}
