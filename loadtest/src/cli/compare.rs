//! The options of `compare`.

use std::path::PathBuf;

use clap::Args;

use crate::scheme::Scheme;

#[derive(Args, Clone, Debug)]
pub(crate) struct Compare {
    /// A broker: flotilla, mosquitto or rumqttd, with '=PROGRAM' behind it if it is not in the path
    /// (flotilla-old=/opt/old/flotilla is a flotilla, too); or any, as NAME=COMMAND, in which {port} is
    /// the port that it is to listen on, {dir} an empty directory, {cert} and {key} files for TLS.
    /// Repeatable, the first is the measure
    #[arg(long, value_name = "NAME[=COMMAND]", required = true)]
    pub(crate) broker: Vec<String>,
    /// A scenario with its options, for example 'p2p --qos 1'; several, with commas between them
    #[arg(long, value_name = "SCENARIO", value_delimiter = ',', conflicts_with = "goals")]
    pub(crate) scenario: Vec<String>,
    /// How often each is measured; brokers take turns, the median counts
    #[arg(long, value_name = "NUMBER", default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) rounds: u32,
    /// Goals that the broker named flotilla is to reach; see loadtest/goals.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) goals: Option<PathBuf>,
    /// Only the goals that have one of these, with commas between them, in their names
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "goals")]
    pub(crate) only: Vec<String>,
    /// Measure each broker in each scenario, not only where a goal is about it
    #[arg(long, requires = "goals")]
    pub(crate) all: bool,
    /// How clients connect; with goals, these say so
    #[arg(long, value_enum, default_value_t, conflicts_with = "goals")]
    pub(crate) transport: Scheme,
    /// Leave it to the operating system which core runs what; otherwise the broker is on core 0, this
    /// program on core 1
    #[arg(long)]
    pub(crate) no_pin: bool,
    /// Write the figures as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
