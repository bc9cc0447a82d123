//! The scenarios, each as a script for a [`Run`](crate::run::Run).

mod closed;
mod idle_fleet;
mod retained;
mod wildcards;

use std::sync::{Arc, atomic::AtomicBool};

use crate::{
    cli::{Command, Common},
    error::Error,
    report::Report,
    run::Run,
};

/// Runs it.
///
/// # Errors
/// When it ends without figures.
pub(crate) fn run(command: &Command, stopped: Arc<AtomicBool>) -> Result<Report, Error> {
    let run = Run::new(command.common(), stopped)?;
    match command {
        Command::P2p(pairs) => closed::p2p(run, pairs),
        Command::FanOut(fan_out) => closed::fan_out(run, fan_out),
        Command::FanIn(fan_in) => closed::fan_in(run, fan_in),
        Command::Shared(shared) => closed::shared(run, shared),
        Command::Wildcards(it) => wildcards::wildcards(run, it),
        Command::Retained(it) => retained::retained(run, it),
        Command::IdleFleet(it) => idle_fleet::idle_fleet(run, it),
    }
}

impl Command {
    pub(crate) const fn common(&self) -> &Common {
        match self {
            Self::P2p(it) => &it.common,
            Self::FanOut(it) => &it.common,
            Self::FanIn(it) => &it.common,
            Self::Shared(it) => &it.common,
            Self::Wildcards(it) => &it.common,
            Self::Retained(it) => &it.common,
            Self::IdleFleet(it) => &it.common,
        }
    }
}

/// The topic, or the name, number so many of this kind.
fn numbered(kind: &str, number: u32) -> String {
    format!("load/{kind}/{number:05}")
}

/// What a report says of the settings that all scenarios have.
fn words(common: &Common, rest: &str) -> String {
    let mqtt = if common.mqtt == crate::cli::Mqtt::V5 { "5" } else { "3.1.1" };
    format!("MQTT {mqtt}, QoS {}, {} B, {rest}", common.qos, common.payload)
}
