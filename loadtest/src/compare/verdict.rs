//! Which goals are reached.

use std::fmt::{self, Display};

use serde::Serialize;

use crate::{
    compare::{
        Measured, OURS,
        case::Case,
        goals::{Figure, Goal, Measure},
    },
    report::Report,
};

/// What came of a goal.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) name: String,
    pub(crate) case: Case,
    kind: Figure,
    /// Whether the goal is the least that is good enough; otherwise it is the most.
    is_at_least: bool,
    goal: f64,
    /// How many times as good or as much, where the goal is that.
    is_ratio: bool,
    /// Of the broker whose goals they are; `null`: not measured.
    figure: Option<f64>,
    /// The same figure of others, where they were measured.
    others: Vec<(String, f64)>,
    /// Messages that broker lost, reordered or, where that may not be, repeated.
    faults: u64,
    pub(crate) is_reached: bool,
}

/// All of them.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Verdicts {
    pub(crate) verdicts: Vec<Verdict>,
}

impl Verdicts {
    pub(crate) fn new(goals: &[Goal], measured: &[Measured]) -> Self {
        Self { verdicts: goals.iter().map(|goal| verdict(goal, measured)).collect() }
    }

    /// Whether all are reached.
    pub(crate) fn are_reached(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.is_reached)
    }
}

fn verdict(goal: &Goal, measured: &[Measured]) -> Verdict {
    let reports = |case: &Case, broker: &str| -> &[Report] {
        let case = measured.iter().find(|it| it.case == *case);
        let broker = case.and_then(|it| it.brokers.iter().find(|(name, _)| name == broker));
        broker.map_or(&[], |(_, reports)| reports)
    };
    let ours = reports(&goal.case, OURS);
    let own = goal.median(ours);
    let figure = match &goal.measure {
        Measure::Absolute => own,
        Measure::Against(broker) => {
            let theirs = goal.median(reports(&goal.case, broker));
            own.zip(theirs).map(|(own, theirs)| match goal.figure {
                Figure::Rate | Figure::CoreRate => own / theirs,
                Figure::Cpu | Figure::P50 | Figure::P99 | Figure::Bytes => theirs / own,
            })
        }
        Measure::Than(case) => {
            own.zip(goal.median(reports(case, OURS))).map(|(own, than)| own / than)
        }
    };
    let is_ratio = goal.measure != Measure::Absolute;
    let brokers = measured.iter().filter(|it| it.case == goal.case).flat_map(|it| &it.brokers);
    let others = brokers
        .filter(|(name, _)| name != OURS && !is_ratio)
        .filter_map(|(name, reports)| Some((name.clone(), goal.median(reports)?)))
        .collect();
    let faults = ours.iter().map(|it| it.checks.lost + it.checks.reordered).max().unwrap_or(0);
    Verdict {
        name: goal.name.clone(),
        case: goal.case.clone(),
        kind: goal.figure,
        is_at_least: goal.is_at_least(),
        goal: goal.goal,
        is_ratio,
        figure,
        others,
        faults,
        is_reached: faults == 0 && figure.is_some_and(|figure| goal.is_reached(figure)),
    }
}

impl Verdict {
    fn number(&self, figure: f64) -> String {
        match self.kind {
            _ if self.is_ratio => format!("{figure:.2} ×"),
            Figure::Cpu => format!("{figure:.3} s/M"),
            Figure::Rate | Figure::CoreRate => format!("{figure:.0} /s"),
            Figure::P50 | Figure::P99 => format!("{figure:.0} µs"),
            Figure::Bytes => format!("{figure:.0} B"),
        }
    }
}

impl Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.verdicts.is_empty() {
            return Ok(());
        }
        writeln!(f, "{:42} {:>13} {:>13}  ", "goal", "to reach", OURS)?;
        for verdict in &self.verdicts {
            let sign = if verdict.is_at_least { "≥" } else { "≤" };
            let goal = format!("{sign} {}", verdict.number(verdict.goal));
            let figure = verdict.figure.map_or_else(|| "-".to_owned(), |it| verdict.number(it));
            let reached = match verdict {
                Verdict { is_reached: true, .. } => "reached".to_owned(),
                Verdict { figure: None, .. } => "NOT measured".to_owned(),
                Verdict { faults: 0, .. } => "NOT reached".to_owned(),
                Verdict { faults, .. } => format!("NOT reached: {faults} lost or reordered"),
            };
            write!(f, "{:42} {goal:>13} {figure:>13}  {reached}", verdict.name)?;
            for (name, figure) in &verdict.others {
                write!(f, "  {name} {}", verdict.number(*figure))?;
            }
            writeln!(f)?;
        }
        let reached = self.verdicts.iter().filter(|verdict| verdict.is_reached).count();
        writeln!(f, "{reached} of {} goals reached", self.verdicts.len())
    }
}
