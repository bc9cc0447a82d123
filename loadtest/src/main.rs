//! `flotilla-load`: loads MQTT brokers from the command line, measures, compares.

mod cli;
mod client;
mod compare;
mod desk;
mod error;
mod fleet;
mod link;
mod log;
mod plot;
mod process;
mod progress;
mod publisher;
mod report;
mod run;
mod scenario;
mod scheme;
mod stamp;
mod stream;
mod tally;
mod template;
mod timeline;
mod tls;
mod websocket;

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::{
    cli::{Cli, Command, Scenario},
    error::Error,
};

/// Usage is wrong; `clap` uses the same.
const WRONG: u8 = 2;

fn main() -> ExitCode {
    // Wrong usage ends here, with exit code 2.
    let cli = Cli::parse();
    log::start(cli.log_level, cli.log_format);
    let done = match &cli.command {
        Command::Scenario(scenario) => run(scenario),
        Command::Compare(options) => compare::compare(options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!("{error}");
            if error.is_usage() { ExitCode::from(WRONG) } else { ExitCode::FAILURE }
        }
    }
}

/// Whether all checks passed.
fn run(scenario: &Scenario) -> Result<bool, Error> {
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The first signal ends the run, which still gives its figures; the second one ends all.
        let what = "cannot listen to signals";
        let known = |source| Error::System { what, source };
        signal_hook::flag::register_conditional_shutdown(signal, 1, stopped.clone())
            .map_err(known)?;
        signal_hook::flag::register(signal, stopped.clone()).map_err(known)?;
    }
    let report = scenario::run(scenario, stopped)?;
    let common = scenario.common();
    let text = if common.json {
        let json = serde_json::to_string_pretty(&report);
        json.expect("a report is numbers and names") + "\n"
    } else {
        report.to_string()
    };
    // A closed pipe is no reason to fail: what was asked for is done.
    let _ = io::stdout().write_all(text.as_bytes());
    let is_passed = report.checks.is_passed();
    if !is_passed {
        tracing::error!("the broker did not keep what MQTT promises, see 'checks'");
    }
    Ok(is_passed)
}
