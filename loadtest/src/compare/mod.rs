//! Several brokers side by side: each started in turn, the same scenarios on each, in rounds.

mod broker;
mod case;
mod goals;
mod pin;
mod recipe;
mod table;
mod verdict;

use std::{
    env,
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
};

use flotilla_certs::{Authority, CERTIFICATE_FILE};
use tempfile::TempDir;

use self::{
    broker::Broker,
    case::{Case, Setup},
    goals::{Goal, Measure},
    recipe::Recipe,
    table::Table,
    verdict::Verdicts,
};
use crate::{cli::Compare, error::Error, report::Report};

/// The broker whose goals are looked at.
const OURS: &str = "flotilla";
/// What is compared when nothing is asked for.
const SCENARIOS: [&str; 4] = ["p2p", "p2p --qos 1", "fan-out", "fan-in --qos 1"];

/// All rounds of a case: the reports of each broker.
struct Measured {
    case: Case,
    brokers: Vec<(String, Vec<Report>)>,
}

/// Whether all goals are reached; true without goals.
///
/// # Errors
/// When a broker does not start, or something that is asked for does not exist.
pub(crate) fn compare(options: &Compare) -> Result<bool, Error> {
    let recipes: Vec<Recipe> =
        options.broker.iter().map(|text| Recipe::parse(text)).collect::<Result<_, _>>()?;
    let goals = goals_of(options)?;
    let certificates = certificates()?;
    let mut measured: Vec<Measured> = Vec::new();
    for case in cases(options, &goals) {
        let wanted: Vec<&Recipe> =
            recipes.iter().filter(|it| is_wanted(it, &case, options, &goals)).collect();
        let mut brokers: Vec<(String, Vec<Report>)> =
            wanted.iter().map(|recipe| (recipe.name.clone(), Vec::new())).collect();
        for round in 1..=options.rounds {
            for (recipe, (name, reports)) in wanted.iter().zip(&mut brokers) {
                tracing::info!("{case}: {name}, round {round} of {}", options.rounds);
                match measure(recipe, &case, certificates.path(), !options.no_pin) {
                    Ok(report) => reports.push(report),
                    // The others still have figures.
                    Err(error @ Error::Scenario { .. }) => tracing::warn!("{error}"),
                    Err(error) => return Err(error),
                }
            }
        }
        measured.push(Measured { case, brokers });
    }
    let verdicts = Verdicts::new(&goals, &measured);
    let mut table = Table::default();
    for Measured { case, brokers } in &measured {
        table.add(&case.to_string(), brokers);
    }
    let text = if options.json {
        let all = serde_json::json!({ "table": table.rows, "goals": verdicts });
        format!("{all:#}\n")
    } else if goals.is_empty() {
        table.to_string()
    } else {
        verdicts.to_string()
    };
    // A closed pipe is no reason to fail: what was asked for is done.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(verdicts.are_reached())
}

/// Those of the file, or those of them that are named.
fn goals_of(options: &Compare) -> Result<Vec<Goal>, Error> {
    let mut goals = options.goals.as_deref().map(goals::read).transpose()?.unwrap_or_default();
    if !options.only.is_empty() {
        let is_asked =
            |goal: &Goal| options.only.iter().any(|part| goal.name.contains(part.trim()));
        goals.retain(is_asked);
        if goals.is_empty() {
            let reason = "no goal has that in its name".to_owned();
            return Err(Error::Usage { option: "--only", reason });
        }
    }
    Ok(goals)
}

/// Those of the goals, each once; else those asked for; else some.
fn cases(options: &Compare, goals: &[Goal]) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for case in goals.iter().flat_map(Goal::cases) {
        if !cases.contains(case) {
            cases.push(case.clone());
        }
    }
    if goals.is_empty() {
        let setup = Setup { transport: options.transport, ..Setup::default() };
        let case = |arguments: &str| Case { arguments: arguments.trim().to_owned(), setup };
        if options.scenario.is_empty() {
            cases.extend(SCENARIOS.map(case));
        } else {
            cases.extend(options.scenario.iter().map(|arguments| case(arguments)));
        }
    }
    cases
}

/// Goals are ours; others are measured where one is about them, or all is asked for.
fn is_wanted(recipe: &Recipe, case: &Case, options: &Compare, goals: &[Goal]) -> bool {
    goals.is_empty()
        || options.all
        || recipe.name == OURS
        || goals
            .iter()
            .any(|goal| goal.case == *case && goal.measure == Measure::Against(recipe.name.clone()))
}

/// An authority and a certificate for brokers on this machine, for those that listen with TLS.
fn certificates() -> Result<TempDir, Error> {
    let dir = tempfile::tempdir();
    let dir = dir.map_err(|source| Error::System { what: "cannot make a directory", source })?;
    let authority = Authority::generate("flotilla-load", 2)?;
    authority.save(dir.path())?;
    authority.issue_server(&["127.0.0.1".to_owned()], 1)?.save(dir.path(), "server")?;
    Ok(dir)
}

/// Runs one scenario on a broker of its own, in a process of its own, so that no run sees what
/// another left behind.
fn measure(
    recipe: &Recipe,
    case: &Case,
    certificates: &Path,
    is_pinned: bool,
) -> Result<Report, Error> {
    let Setup { transport, .. } = case.setup;
    recipe.check(transport)?;
    let broker = Broker::start(recipe, case.setup, certificates, is_pinned)?;
    let failed = |reason: String| Error::Scenario {
        name: recipe.name.clone(),
        arguments: case.arguments.clone(),
        reason,
    };
    let program = env::current_exe().map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(program);
    command
        .args(case.arguments.split_whitespace())
        .args(recipe.scenario_options())
        .args(["--json", "--quiet", "--url", &format!("{}://{}", transport.name(), broker.address)])
        .args(["--pid", &broker.pid().to_string()])
        .stdin(Stdio::null());
    if transport.is_tls() {
        command.arg("--ca").arg(certificates.join(CERTIFICATE_FILE));
    }
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    // A run that failed its checks has figures, too.
    serde_json::from_slice(&output.stdout)
        .map_err(|_| failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
