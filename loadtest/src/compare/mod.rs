//! Several brokers side by side: each started in turn, the same scenarios on each, in rounds.

mod broker;
mod goals;
mod pin;
mod table;

use std::{
    env,
    io::{self, Write},
    process::{Command, Stdio},
};

use serde::Serialize;

use self::{broker::Recipe, goals::Goal, table::Table};
use crate::{cli::Compare, error::Error, report::Report};

/// The broker whose goals are looked at.
const OURS: &str = "flotilla";
/// What is compared when nothing is asked for.
const SCENARIOS: [&str; 4] = ["p2p", "p2p --qos 1", "fan-out", "fan-in --qos 1"];

/// What came of a goal.
#[derive(Clone, Debug, Serialize)]
struct Verdict {
    name: String,
    goal: String,
    figure: Option<f64>,
    is_reached: bool,
}

/// Whether all goals are reached; true without goals.
///
/// # Errors
/// When a broker does not start, or a scenario gives no figures on any broker.
pub(crate) fn compare(options: &Compare) -> Result<bool, Error> {
    let recipes: Vec<Recipe> =
        options.broker.iter().map(|text| Recipe::parse(text)).collect::<Result<_, _>>()?;
    let goals = options.goals.as_deref().map(goals::read).transpose()?.unwrap_or_default();
    let (mut table, mut verdicts) = (Table::default(), Vec::new());
    for scenario in scenarios(options, &goals) {
        let mut brokers: Vec<(String, Vec<Report>)> =
            recipes.iter().map(|recipe| (recipe.name.clone(), Vec::new())).collect();
        for round in 1..=options.rounds {
            for (recipe, (name, reports)) in recipes.iter().zip(&mut brokers) {
                tracing::info!("{scenario}: {name}, round {round} of {}", options.rounds);
                match measure(recipe, &scenario, !options.no_pin) {
                    Ok(report) => reports.push(report),
                    // The others still have figures.
                    Err(error @ Error::Scenario { .. }) => tracing::warn!("{error}"),
                    Err(error) => return Err(error),
                }
            }
        }
        let ours = brokers.iter().find(|(name, _)| name == OURS);
        if let Some((_, reports)) = ours {
            let goals = goals.iter().filter(|goal| goal.arguments == scenario);
            verdicts.extend(goals.map(|goal| verdict(goal, reports)));
        }
        table.add(&scenario, &brokers);
    }
    let text = if options.json {
        let all = serde_json::json!({ "table": table.rows, "goals": verdicts });
        format!("{all:#}\n")
    } else {
        format!("{table}{}", text_of(&verdicts))
    };
    // A closed pipe is no reason to fail: what was asked for is done.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(verdicts.iter().all(|verdict| verdict.is_reached))
}

/// Those asked for; else those of the goals, each once; else some.
fn scenarios(options: &Compare, goals: &[Goal]) -> Vec<String> {
    let mut scenarios: Vec<String> = Vec::new();
    if !options.scenario.is_empty() {
        scenarios.extend(options.scenario.iter().map(|it| it.trim().to_owned()));
    } else if goals.is_empty() {
        scenarios.extend(SCENARIOS.map(str::to_owned));
    }
    if options.scenario.is_empty() {
        for goal in goals {
            if !scenarios.contains(&goal.arguments) {
                scenarios.push(goal.arguments.clone());
            }
        }
    }
    scenarios
}

/// Runs one scenario on a broker of its own, in a process of its own, so that no run sees what
/// another left behind.
fn measure(recipe: &Recipe, scenario: &str, is_pinned: bool) -> Result<Report, Error> {
    let broker = recipe.start(is_pinned)?;
    let failed = |reason: String| Error::Scenario {
        name: recipe.name.clone(),
        arguments: scenario.to_owned(),
        reason,
    };
    let program = env::current_exe().map_err(|error| failed(error.to_string()))?;
    let output = Command::new(program)
        .args(scenario.split_whitespace())
        .args(recipe.arguments)
        .args(["--json", "--quiet", "--url", &format!("tcp://{}", broker.address)])
        .args(["--pid", &broker.pid().to_string()])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    // A run that failed its checks has figures, too.
    serde_json::from_slice(&output.stdout)
        .map_err(|_| failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

fn verdict(goal: &Goal, reports: &[Report]) -> Verdict {
    let figure = goal.median(reports);
    Verdict {
        name: goal.name.clone(),
        goal: goal.text(),
        figure,
        is_reached: figure.is_some_and(|figure| goal.is_reached(figure)),
    }
}

fn text_of(verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    if !verdicts.is_empty() {
        text += &format!("\n{:34} {:>10} {:>10}\n", "goal of flotilla", "goal", "figure");
    }
    for verdict in verdicts {
        let figure = verdict.figure.map_or_else(|| "-".to_owned(), |it| format!("{it:.2}"));
        let reached = if verdict.is_reached { "reached" } else { "not reached" };
        text += &format!("{:34} {:>10} {figure:>10}  {reached}\n", verdict.name, verdict.goal);
    }
    text
}
