//! What the broker's program does. What reads bytes or files of others is public, so that fuzzers
//! can give it any.

mod announce;
mod ask;
pub mod auth;
mod backlog;
mod cli;
mod clock;
mod commits;
pub mod config;
mod crew;
mod files;
pub mod net;
mod ops;
mod passwd;
mod run;
mod snapshot;
mod start;
mod verify;
mod worker;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

use cli::{Cli, Command};

/// Something failed.
const FAILURE: u8 = 1;
/// Usage or configuration are wrong; `clap` uses the same.
const WRONG: u8 = 2;

/// Does what the command line says.
pub fn run_program() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None => start::serve(&cli.serve, &cli.log),
        Some(Command::Serve(serve)) => start::serve(&serve, &cli.log),
        Some(Command::Check { file }) => start::check(&file),
        Some(Command::DefaultConfig) => print(config::REFERENCE),
        Some(Command::Passwd(passwd)) => passwd::run(&passwd.file, &passwd.user, passwd.kind()),
        Some(Command::Backlog(arguments)) => backlog::run(&arguments),
        Some(Command::Snapshot(snapshot)) => snapshot::run(&snapshot),
        Some(Command::Verify { data, json }) => verify::run(&data, json),
    }
}

/// Standard output may be a pipe that nobody reads to its end.
fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(FAILURE),
    }
}

/// One sentence on standard error.
fn refuse(code: u8, sentence: &impl std::fmt::Display) -> ExitCode {
    eprintln!("flotilla: {sentence}");
    ExitCode::from(code)
}
