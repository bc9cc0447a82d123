//! `flotilla backlog`: what lies in the log, who holds it, what would be cleaned next.

mod text;

use std::process::ExitCode;

use flotilla_store::{Backlog, Loss, PartitionBacklog, Reason, backlog_closed};
use serde::{Deserialize, Serialize};

use crate::{
    FAILURE, WRONG,
    ask::{Unanswered, ask},
    cli,
    config::{self, Overrides},
    ops::control::PLAN,
    print, refuse,
};

/// So many of the sessions that would lose most are named.
pub(crate) const NAMED_MAX: usize = 20;

/// What is reported. Scripts read it as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    partitions: Vec<Partition>,
    /// Present with `--plan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Plan>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Partition {
    /// The first level of its topics; null: those that have no partition of their own.
    name: Option<String>,
    messages: u64,
    bytes: u64,
    oldest_age_seconds: Option<u64>,
    /// null: nobody wants anything of it.
    held_by: Option<Holder>,
    /// What would go next.
    going: Vec<Going>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Holder {
    client_id: String,
    /// Where in the log it stands.
    cursor: u64,
    /// null: it is connected, or was when the broker stopped.
    away_seconds: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Going {
    reason: String,
    messages: u64,
    bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Plan {
    /// Sessions that would lose messages.
    sessions: u64,
    /// Messages, each counted for each session that has not had it.
    messages: u64,
    expired: u64,
    unread_blocks: u64,
    /// Those that would lose most.
    most: Vec<Loser>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Loser {
    client_id: String,
    messages: u64,
}

/// Asks the broker that runs on the data directory; looks itself when none runs.
pub(crate) fn run(arguments: &cli::Backlog) -> ExitCode {
    let overrides = Overrides { data: arguments.data.clone(), ..Overrides::default() };
    let settings = match config::load(arguments.config.as_deref(), &overrides) {
        Ok(settings) => settings,
        Err(refusal) => return refuse(WRONG, &refusal),
    };
    let wish = if arguments.plan { PLAN } else { b"" };
    let report = match ask(&settings.data, "/backlog", wish, |_| {}) {
        Ok(report) => serde_json::from_value(report).map_err(|error| error.to_string()),
        Err(Unanswered::Refused(sentence)) => Err(sentence),
        Err(Unanswered::NobodyThere) => {
            let most = arguments.plan.then_some(NAMED_MAX);
            let backlog = backlog_closed(&settings.store_dir(), &settings.store_options(), most);
            backlog.map(Report::from).map_err(|error| error.to_string())
        }
    };
    match report {
        Ok(report) if arguments.json => print(&format!("{}\n", serde_json::json!(report))),
        Ok(report) => print(&report.text()),
        Err(sentence) => refuse(FAILURE, &sentence),
    }
}

impl From<Backlog> for Report {
    fn from(backlog: Backlog) -> Self {
        let Backlog { unix_ms, partitions, plan } = backlog;
        let partitions = partitions.into_iter().map(|one| Partition::new(one, unix_ms));
        Self { partitions: partitions.collect(), plan: plan.map(Plan::from) }
    }
}

impl Partition {
    fn new(backlog: PartitionBacklog, unix_ms: u64) -> Self {
        let since = |at_ms: u64| unix_ms.saturating_sub(at_ms) / 1000;
        let going = Reason::ALL.iter().zip(backlog.going);
        let going = going.filter(|(_, taken)| taken.messages > 0);
        Self {
            name: backlog.name.map(String::from),
            messages: backlog.messages,
            bytes: backlog.bytes,
            oldest_age_seconds: backlog.oldest_ms.map(since),
            held_by: backlog.lowest.map(|lowest| Holder {
                client_id: lowest.client_id.as_str().to_owned(),
                cursor: lowest.position.0,
                away_seconds: lowest.disconnected_at_ms.map(since),
            }),
            going: going
                .map(|(reason, taken)| Going {
                    reason: reason.name().to_owned(),
                    messages: taken.messages,
                    bytes: taken.bytes,
                })
                .collect(),
        }
    }
}

impl From<Loss> for Plan {
    fn from(loss: Loss) -> Self {
        let Loss { sessions, messages, expired, most, unread_blocks } = loss;
        let most = most.into_iter().map(|one| Loser {
            client_id: one.client_id.as_str().to_owned(),
            messages: one.messages,
        });
        Self { sessions, messages, expired, unread_blocks, most: most.collect() }
    }
}
