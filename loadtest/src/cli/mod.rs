//! The command line.

mod compare;
mod scenarios;
mod tls;
mod url;

use std::{fs, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use flotilla_mqtt::{QoS, Version};

pub(crate) use compare::Compare;
pub(crate) use scenarios::{
    ConnectStorm, FanIn, FanOut, IdleFleet, MixedFleet, Offline, Pairs, Rate, Retained, Scenario,
    Shared, Wildcards,
};
pub(crate) use tls::TlsFiles;
pub(crate) use url::Url;

use crate::{
    client::Credentials,
    error::Error,
    log::{Format, Level},
    stamp::STAMP_LEN,
    tls::Tls,
};

/// Loads an MQTT broker and measures what comes of it: rate, latency, CPU and memory of the
/// broker, lost, duplicated and reordered messages.
#[derive(Parser)]
#[command(name = "flotilla-load", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// The least important messages to show (on stderr)
    #[arg(long, global = true, value_enum, default_value_t = Level::Info)]
    pub(crate) log_level: Level,
    /// How messages are written
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) log_format: Format,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Scenario(Box<Scenario>),
    /// Start brokers in turn, run scenarios on each, print what they cost side by side
    Compare(Compare),
}

/// What all scenarios have.
#[derive(Args, Clone, Debug)]
pub(crate) struct Common {
    /// The broker: tcp://HOST:PORT, tls://HOST:PORT, ws://HOST:PORT/PATH or wss://HOST:PORT/PATH
    #[arg(long, default_value = "tcp://127.0.0.1:1883")]
    pub(crate) url: Url,
    /// Version of the protocol
    #[arg(long, value_enum, default_value_t = Mqtt::V5)]
    pub(crate) mqtt: Mqtt,
    /// QoS of messages and subscriptions
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) qos: u8,
    /// Bytes of a payload; the first 24 say whose it is, which, sent when
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = payload)]
    pub(crate) payload: usize,
    /// Time that messages flow before the measurement begins
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    pub(crate) warm_up: Duration,
    /// Time that is measured
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub(crate) duration: Duration,
    /// End after this many messages of each publisher, if that is earlier; without warm-up
    #[arg(long, value_name = "NUMBER")]
    pub(crate) messages: Option<u64>,
    /// The broker's process, to measure its CPU and memory
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// Write the figures as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw latency over time into this file, SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// No line of progress
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Longest time in which a connection says nothing, then PINGREQ; 0s: it may be silent for ever
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = keep_alive)]
    pub(crate) keep_alive: u16,
    /// User Name
    #[arg(long, requires = "password_file")]
    pub(crate) username: Option<String>,
    /// File with the password
    #[arg(long, value_name = "FILE", requires = "username")]
    pub(crate) password_file: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsFiles,
}

/// Version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mqtt {
    /// MQTT 3.1.1
    #[value(name = "3.1.1")]
    V3,
    /// MQTT 5
    #[value(name = "5")]
    V5,
}

impl From<Mqtt> for Version {
    fn from(mqtt: Mqtt) -> Self {
        match mqtt {
            Mqtt::V3 => Self::V3_1_1,
            Mqtt::V5 => Self::V5,
        }
    }
}

impl Common {
    pub(crate) fn qos(&self) -> QoS {
        QoS::from_bits(self.qos).expect("the parser accepts 0 to 2")
    }

    /// Host and path for WebSocket, where the URL says so.
    pub(crate) fn websocket(&self) -> Option<(String, String)> {
        let Url { scheme, authority, path, .. } = &self.url;
        scheme.is_websocket().then(|| (authority.clone(), path.clone()))
    }

    /// TLS, where the URL says so. `is_resuming`: who has been there comes back with a ticket.
    ///
    /// # Errors
    /// When a file cannot be read or used, or is given and not used.
    pub(crate) fn tls(&self, is_resuming: bool) -> Result<Option<Tls>, Error> {
        if self.url.scheme.is_tls() {
            return Tls::new(&self.tls, &self.url.host, is_resuming).map(Some);
        }
        let name = self.url.scheme.name();
        if self.tls.is_any() || is_resuming {
            let reason = format!("without TLS there are no certificates, and {name}:// has none");
            return Err(Error::Usage { option: "--url", reason });
        }
        Ok(None)
    }

    /// # Errors
    /// When the file of the password cannot be read.
    pub(crate) fn credentials(&self) -> Result<Option<Credentials>, Error> {
        let Some((username, file)) = self.username.clone().zip(self.password_file.as_ref()) else {
            return Ok(None);
        };
        let password = fs::read(file).map_err(|error| Error::Usage {
            option: "--password-file",
            reason: format!("cannot read '{}': {error}", file.display()),
        })?;
        let password = password.strip_suffix(b"\n").unwrap_or(&password).to_vec();
        Ok(Some(Credentials { username, password }))
    }
}

fn count() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=100_000)
}

fn in_flight() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(1..=60_000)
}

fn payload(text: &str) -> Result<usize, String> {
    let bytes: usize = text.parse().map_err(|_| "it is to be a number of bytes".to_owned())?;
    if (STAMP_LEN..=256 << 20).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(format!("it is to be {STAMP_LEN} or more, which is what a stamp takes"))
    }
}

/// The first level of topics.
fn level(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !text.is_empty() && text.chars().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("it is to be letters, digits and '-'".to_owned())
    }
}

/// Whole seconds.
fn keep_alive(text: &str) -> Result<u16, String> {
    let seconds = u16::try_from(time(text)?.as_secs());
    seconds.map_err(|_| "it is to be 65535s or less".to_owned())
}

/// `500ms`, `5s`, `2m`, `1h`.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no time, write for example 500ms, 5s, 2m or 1h");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        "h" => Ok(Duration::from_secs(number * 3_600)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_name_is_one_level_of_a_topic() {
        assert_eq!(level("site-7"), Ok("site-7".to_owned()));
        assert!(["", "a/b", "+", "$share"].into_iter().all(|text| level(text).is_err()));
    }

    #[test]
    fn times_have_units() {
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("2m"), Ok(Duration::from_secs(120)));
        assert!(time("5").is_err() && time("s").is_err() && time("").is_err());
    }
}
