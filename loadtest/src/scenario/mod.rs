//! The scenarios, each as a script for a [`Run`](crate::run::Run).

mod connect_storm;
mod flow;
mod idle_fleet;
mod mixed_fleet;
mod offline;
mod retained;
mod visits;
mod wildcards;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, atomic::AtomicBool},
};

use crate::{
    cli::{Common, Scenario},
    error::Error,
    report::Report,
    run::Run,
};

/// Runs it.
///
/// # Errors
/// When it ends without figures.
pub(crate) fn run(scenario: &Scenario, stopped: Arc<AtomicBool>) -> Result<Report, Error> {
    let is_resuming = matches!(scenario, Scenario::ConnectStorm(storm) if storm.resume);
    let run = Run::new(scenario.common(), is_resuming, stopped)?;
    match scenario {
        Scenario::P2p(pairs) => flow::p2p(run, pairs),
        Scenario::FanOut(fan_out) => flow::fan_out(run, fan_out),
        Scenario::FanIn(fan_in) => flow::fan_in(run, fan_in),
        Scenario::Shared(shared) => flow::shared(run, shared),
        Scenario::Wildcards(it) => wildcards::wildcards(run, it),
        Scenario::Retained(it) => retained::retained(run, it),
        Scenario::Rate(rate) => flow::rate(run, rate),
        Scenario::Offline(it) => offline::offline(run, it),
        Scenario::ConnectStorm(it) => connect_storm::connect_storm(run, it),
        Scenario::MixedFleet(it) => mixed_fleet::mixed_fleet(run, it),
        Scenario::IdleFleet(it) => idle_fleet::idle_fleet(run, it),
    }
}

impl Scenario {
    pub(crate) const fn common(&self) -> &Common {
        match self {
            Self::P2p(it) => &it.common,
            Self::FanOut(it) => &it.common,
            Self::FanIn(it) => &it.common,
            Self::Shared(it) => &it.common,
            Self::Wildcards(it) => &it.common,
            Self::Retained(it) => &it.common,
            Self::Rate(it) => &it.common,
            Self::Offline(it) => &it.common,
            Self::ConnectStorm(it) => &it.common,
            Self::IdleFleet(it) => &it.common,
            Self::MixedFleet(it) => &it.common,
        }
    }
}

/// How long sessions outlive their connection where they are to, in seconds.
const EXPIRY_S: u32 = 3_600;

/// The topic, or the name, number so many of this kind.
fn numbered(kind: &str, number: u32) -> String {
    format!("load/{kind}/{number:05}")
}

/// Where connection `number` comes from, of so many addresses: 127.0.0.1 and up; all of 127.0.0.0/8
/// is this machine. `None`: the operating system's choice.
fn source(number: u32, sources: u32) -> Option<IpAddr> {
    let first = u32::from(Ipv4Addr::LOCALHOST);
    (sources > 1).then(|| IpAddr::V4(Ipv4Addr::from(first + number % sources)))
}

/// What a report says of the settings that all scenarios have.
fn words(common: &Common, rest: &str) -> String {
    words_with(common, &common.qos.to_string(), rest)
}

/// The same, with another QoS than the one that was asked for.
fn words_with(common: &Common, qos: &str, rest: &str) -> String {
    let mqtt = if common.mqtt == crate::cli::Mqtt::V5 { "5" } else { "3.1.1" };
    let scheme = common.url.scheme.name();
    format!("MQTT {mqtt} on {scheme}, QoS {qos}, {} B, {rest}", common.payload)
}
