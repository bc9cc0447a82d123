//! The command line.

use std::{num::NonZeroU32, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{
    auth::{self, Kind},
    config::{Bind, Level, Overrides},
    ops::log::LogFormat,
};

/// An MQTT broker for fleets of devices.
#[derive(Debug, Parser)]
#[command(name = "flotilla", version, about, long_about = None, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: Serve,
    #[command(flatten)]
    pub(crate) log: Log,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the broker; the same as no command at all
    Serve(Serve),
    /// Read a configuration, with the files it names, as `serve` would
    Check {
        /// Configuration file
        file: PathBuf,
    },
    /// Print the complete reference configuration, every key with its default, unit and meaning
    DefaultConfig,
    /// Add or change a user in a password file; the password comes from the terminal or from stdin
    Passwd(Passwd),
    /// Show what lies in the log, who holds it, and what would be cleaned next, whether a broker
    /// runs or not
    Backlog(Backlog),
    /// Copy a data directory, whether a broker runs on it or not; a broker can start from the copy
    Snapshot(Snapshot),
    /// Check a data directory, whether a broker runs on it or not: count by kind, name what is
    /// damaged; exit 0, or 1 when something is
    Verify {
        /// Data directory
        data: PathBuf,
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Snapshot {
    /// Directory to make; it must be new, or empty
    pub(crate) dir: PathBuf,
    /// Configuration file of the broker, which names the data directory
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Data directory; default: that of the configuration
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Backlog {
    /// Configuration file of the broker, which names the data directory and the limits
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Data directory; default: that of the configuration
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Also what would be cleaned next, and who would lose messages by it
    #[arg(long)]
    pub(crate) plan: bool,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Serve {
    /// Configuration file (TOML); without it the defaults of `flotilla default-config` are in force
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Directory of everything the broker keeps
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Listen here, for example tcp://127.0.0.1:1883; repeatable, replaces the listeners of the
    /// configuration
    #[arg(long, value_name = "URL")]
    pub(crate) listen: Vec<Bind>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Log {
    /// error, warn, info, debug or trace; default: log.level of the configuration, which is info
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<Level>,
    /// How log lines are written
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Passwd {
    /// Password file; made when it is not there
    pub(crate) file: PathBuf,
    /// User Name
    pub(crate) user: String,
    /// Write a SCRAM-SHA-256 verifier instead of an argon2id hash: the user can then authenticate
    /// with AUTH packets (MQTT 5) as well as with a Password in CONNECT
    #[arg(long)]
    scram: bool,
    /// How often the verifier is hashed: the work of each client at each connection
    #[arg(long, value_name = "NUMBER", requires = "scram", default_value_t = auth::ITERATIONS,
          value_parser = iterations)]
    iterations: NonZeroU32,
}

impl Passwd {
    /// How to hash the password.
    pub(crate) fn kind(&self) -> Kind {
        if self.scram { Kind::Scram(self.iterations) } else { Kind::Argon2 }
    }
}

fn iterations(text: &str) -> Result<NonZeroU32, String> {
    let (least, most) = (auth::ITERATIONS_MIN, auth::ITERATIONS_MAX);
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("it must be a number from {least} to {most}"))
}

impl Serve {
    /// What these arguments say over the configuration file.
    pub(crate) fn overrides(&self, level: Option<Level>) -> Overrides {
        Overrides { data: self.data.clone(), listen: self.listen.clone(), level }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from([
            "flotilla",
            "--listen",
            "tcp://127.0.0.1:1",
            "--listen",
            "tls://127.0.0.1:2",
            "--data",
            "d",
            "--log-level",
            "debug",
            "--log-format",
            "json",
        ])
        .unwrap();
        assert_eq!(cli.serve.listen.len(), 2);
        assert_eq!(cli.log.log_level, Some(Level::Debug));
        assert_eq!(cli.log.log_format, LogFormat::Json);
        let cli =
            Cli::try_parse_from(["flotilla", "serve", "--config", "f", "--log-level", "warn"]);
        assert!(matches!(
            cli.unwrap().command,
            Some(Command::Serve(Serve { config: Some(_), .. }))
        ));
        let wrong = Cli::try_parse_from(["flotilla", "--listen", "udp://127.0.0.1:1"]).unwrap_err();
        assert_eq!(wrong.exit_code(), 2);
        assert!(wrong.to_string().contains("none of tcp://"), "{wrong}");
    }
}
