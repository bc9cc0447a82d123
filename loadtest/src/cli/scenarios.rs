//! The scenarios and their options.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::{Common, count, in_flight, level, time};

#[derive(Subcommand)]
pub(crate) enum Scenario {
    /// As many publishers as subscribers, each to one of its own
    P2p(Pairs),
    /// Few publishers, each message to all subscribers
    FanOut(FanOut),
    /// Many publishers to one subscriber
    FanIn(FanIn),
    /// Many publishers to the members of one shared subscription
    Shared(Shared),
    /// Publishers into many wildcard subscriptions, of which one matches each message
    Wildcards(Wildcards),
    /// Many retained messages are stored, then one subscriber asks for all
    Retained(Retained),
    /// As p2p at a fixed rate, whatever the broker does; latency from the time when a message was
    /// due
    Rate(Rate),
    /// A backlog is published for sessions without a connection, which then come and get it
    Offline(Offline),
    /// Connections that come and go at once, as many a second as the broker takes
    ConnectStorm(ConnectStorm),
    /// Devices of all kinds that come and go, and those who listen to them; for as long as you like
    MixedFleet(MixedFleet),
    /// Connections that do nothing: how much memory does each take?
    IdleFleet(IdleFleet),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Pairs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Publishers, and subscribers
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = count())]
    pub(crate) pairs: u32,
    /// Messages of a publisher that are on their way at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = in_flight())]
    pub(crate) in_flight: u64,
    /// Subscribers with sessions that outlive the connection (Clean Start 0, one hour)
    #[arg(long)]
    pub(crate) persistent: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct FanOut {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Publishers
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = count())]
    pub(crate) publishers: u32,
    /// Subscribers
    #[arg(long, value_name = "NUMBER", default_value_t = 500, value_parser = count())]
    pub(crate) subscribers: u32,
    /// Messages of a publisher that are on their way at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = in_flight())]
    pub(crate) in_flight: u64,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct FanIn {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Publishers
    #[arg(long, value_name = "NUMBER", default_value_t = 500, value_parser = count())]
    pub(crate) publishers: u32,
    /// Messages of a publisher that are on their way at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = in_flight())]
    pub(crate) in_flight: u64,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Shared {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Publishers
    #[arg(long, value_name = "NUMBER", default_value_t = 500, value_parser = count())]
    pub(crate) publishers: u32,
    /// Members of the group
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = count())]
    pub(crate) members: u32,
    /// Messages of a publisher that are on their way at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = in_flight())]
    pub(crate) in_flight: u64,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Wildcards {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Subscriptions, each with a wildcard
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000,
        value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) subscriptions: u32,
    /// Connections that have them; the default is 500 subscriptions each
    #[arg(long, value_name = "NUMBER", value_parser = count())]
    pub(crate) connections: Option<u32>,
    /// Publishers
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = count())]
    pub(crate) publishers: u32,
    /// Messages of a publisher that are on their way at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = in_flight())]
    pub(crate) in_flight: u64,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Retained {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Topics with a retained message
    #[arg(long, value_name = "NUMBER", default_value_t = 200_000,
        value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) topics: u64,
    /// Messages that are on their way at the same time, above QoS 0
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = in_flight())]
    pub(crate) in_flight: u64,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct IdleFleet {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Connections
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = count())]
    pub(crate) connections: u32,
    /// Addresses that they come from, 127.0.0.1 and up, where the broker is on 127.x.y.z
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = count())]
    pub(crate) sources: u32,
    /// Sessions that outlive the connection, one hour
    #[arg(long)]
    pub(crate) persistent: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Rate {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Publishers, and subscribers
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = count())]
    pub(crate) pairs: u32,
    /// Messages a second, of all publishers together
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) rate: u32,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Offline {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Sessions, without a connection while messages are published
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = count())]
    pub(crate) sessions: u32,
    /// Messages of all publishers together, each to one of the sessions; QoS 1 or 2
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) backlog: u64,
    /// Publishers
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = count())]
    pub(crate) publishers: u32,
    /// Messages of a publisher that are on their way at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = in_flight())]
    pub(crate) in_flight: u64,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ConnectStorm {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Connections, one after the other, at most 100 at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 50_000,
        value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) connections: u32,
    /// Addresses that they come from, 127.0.0.1 and up, where the broker is on 127.x.y.z
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = count())]
    pub(crate) sources: u32,
    /// Each comes with a TLS ticket of an earlier one, except the first hundred, which are not counted
    #[arg(long)]
    pub(crate) resume: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct MixedFleet {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Devices; a third of them at each QoS, half with sessions that outlive their connection
    #[arg(long, value_name = "NUMBER", default_value_t = 300,
        value_parser = clap::value_parser!(u32).range(4..=100_000))]
    pub(crate) devices: u32,
    /// Messages a second of all devices together; for ten of them there is a command to a device
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub(crate) rate: u32,
    /// Time in which each device leaves once, for a quarter of it
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub(crate) cycle: Duration,
    /// What topics and Client Identifiers begin with: fleets of different names can be on one broker
    #[arg(long, value_name = "NAME", default_value = "load", value_parser = level)]
    pub(crate) name: String,
}
