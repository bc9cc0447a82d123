//! The command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};
use flotilla_certs::{
    LEAF_DAYS, ROOT_DAYS, check_common_name, check_file_name, check_host, check_identity,
};

use crate::log::{Format, Level};

/// Where everything lies if nothing else is said.
const DIRECTORY: &str = "fleet-certs";

/// Makes a development fleet's certificates: an authority, servers, devices, a revocation list.
///
/// Not for production: the authority's key lies unencrypted in the directory. An authority that
/// another tool made is never used.
#[derive(Parser)]
#[command(name = "flotilla-certs", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// The least important messages to show (on stderr).
    #[arg(long, global = true, value_enum, default_value_t = Level::Info)]
    pub(crate) log_level: Level,
    /// How messages are written.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) log_format: Format,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Makes an authority: ca.pem, ca.key, an empty revocation list ca.crl
    Ca(Ca),
    /// Makes a certificate for a server: NAME.pem, NAME.key
    Server(Server),
    /// Makes certificates for devices: devices/NAME.pem, devices/NAME.key
    Device(Device),
    /// Revokes every certificate of the names, writes the revocation list ca.crl
    Revoke(Revoke),
}

#[derive(Args)]
pub(crate) struct Ca {
    /// Directory to write to
    #[arg(long, value_name = "DIRECTORY", default_value = DIRECTORY)]
    pub(crate) dir: PathBuf,
    /// Common name of the authority
    #[arg(long, default_value = "Flotilla development CA", value_parser = common_name)]
    pub(crate) name: String,
    /// Validity in days
    #[arg(long, default_value_t = ROOT_DAYS, value_parser = days())]
    pub(crate) days: u32,
}

#[derive(Args)]
pub(crate) struct Server {
    /// DNS names and IP addresses under which clients reach the server
    #[arg(required = true, value_name = "NAME_OR_IP", value_parser = host)]
    pub(crate) names: Vec<String>,
    /// Directory of the authority
    #[arg(long, value_name = "DIRECTORY", default_value = DIRECTORY)]
    pub(crate) dir: PathBuf,
    /// Name of the files
    #[arg(long, value_name = "NAME", default_value = "server", value_parser = file_name)]
    pub(crate) out: String,
    /// Validity in days
    #[arg(long, default_value_t = LEAF_DAYS, value_parser = days())]
    pub(crate) days: u32,
}

#[derive(Args)]
#[command(group = ArgGroup::new("which").required(true).args(["name", "count"]))]
pub(crate) struct Device {
    /// Identity of one device: common name and name of the files
    #[arg(value_parser = identity)]
    name: Option<String>,
    /// How many devices to make, named PREFIX1, PREFIX2, …
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: Option<u32>,
    /// What stands before the number
    #[arg(long, conflicts_with = "name", default_value = "device-", value_parser = prefix)]
    prefix: String,
    /// The first number
    #[arg(long, value_name = "NUMBER", conflicts_with = "name", default_value_t = 1)]
    first: u32,
    /// Directory of the authority
    #[arg(long, value_name = "DIRECTORY", default_value = DIRECTORY)]
    pub(crate) dir: PathBuf,
    /// Validity in days
    #[arg(long, default_value_t = LEAF_DAYS, value_parser = days())]
    pub(crate) days: u32,
}

impl Device {
    /// The identities asked for, at least one.
    pub(crate) fn names(&self) -> Vec<String> {
        match (&self.name, self.count) {
            (Some(name), _) => vec![name.clone()],
            (None, count) => {
                let first = u64::from(self.first);
                let end = first + u64::from(count.unwrap_or(1));
                (first..end).map(|number| format!("{}{number}", self.prefix)).collect()
            }
        }
    }
}

#[derive(Args)]
pub(crate) struct Revoke {
    /// Names under which the certificates were made; without any, the list is only written anew
    pub(crate) names: Vec<String>,
    /// Directory of the authority
    #[arg(long, value_name = "DIRECTORY", default_value = DIRECTORY)]
    pub(crate) dir: PathBuf,
}

fn days() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=36_500)
}

fn common_name(text: &str) -> Result<String, flotilla_certs::Error> {
    check_common_name(text).map(|()| text.to_owned())
}

fn host(text: &str) -> Result<String, flotilla_certs::Error> {
    check_host(text).map(|()| text.to_owned())
}

fn file_name(text: &str) -> Result<String, flotilla_certs::Error> {
    check_file_name(text).map(|()| text.to_owned())
}

fn identity(text: &str) -> Result<String, flotilla_certs::Error> {
    check_identity(text).map(|()| text.to_owned())
}

/// What is an identity with the longest number behind it.
fn prefix(text: &str) -> Result<String, flotilla_certs::Error> {
    check_identity(&format!("{text}{}", u64::from(u32::MAX) + 100_000)).map(|()| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[&str]) -> Result<Vec<String>, i32> {
        let all = ["flotilla-certs", "device"].iter().chain(arguments);
        match Cli::try_parse_from(all).map_err(|e| e.exit_code())?.command {
            Command::Device(device) => Ok(device.names()),
            _ => panic!("another command"),
        }
    }

    #[test]
    fn devices_by_name_or_number() {
        assert_eq!(names(&["pump"]).unwrap(), ["pump"]);
        assert_eq!(names(&["--count", "2"]).unwrap(), ["device-1", "device-2"]);
        assert_eq!(
            names(&["--count", "2", "--prefix", "p", "--first", "9"]).unwrap(),
            ["p9", "p10"]
        );
    }

    #[test]
    fn wrong_usage() {
        for arguments in [
            &[][..],
            &["pump", "--count", "2"],
            &["--count", "0"],
            &["--count", "2", "--prefix", "a/"],
            &["pump", "--first", "3"],
            &["a+b"],
            &["pump", "--days", "0"],
        ] {
            assert_eq!(names(arguments), Err(2), "{arguments:?}");
        }
    }
}
