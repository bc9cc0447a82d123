//! Scenarios in which messages flow for a time: who sends to whom.
//!
//! All but `rate` are closed loops: each publisher sends while fewer than its share of messages are
//! on their way, so nothing is lost because too much was sent.

use crate::{
    cli::{Common, FanIn, FanOut, Pairs, Rate, Shared},
    client::{Receives, Role},
    error::Error,
    report::Report,
    run::{Publishing, Run, Unit},
    scenario::{EXPIRY_S, numbered, words},
    template::Topics,
};

/// Each publisher to a subscriber of its own.
pub(crate) fn p2p(mut run: Run, pairs: &Pairs) -> Result<Report, Error> {
    for pair in 0..pairs.pairs {
        let mut role = subscriber(&mut run, "p2p", pair, numbered("p2p", pair), pair, 1);
        if pairs.persistent {
            role.clean_start = false;
            role.session_expiry_interval_s = EXPIRY_S;
        }
        run.fleet.open(role);
    }
    let topics: Vec<Topics> =
        (0..pairs.pairs).map(|pair| Topics::One(numbered("p2p", pair))).collect();
    flow(&mut run, &pairs.common, topics, pairs.in_flight, 1)?;
    let persistent = if pairs.persistent { ", persistent sessions" } else { "" };
    let setting =
        format!("{0} to {0}{persistent}, {1} in flight each", pairs.pairs, pairs.in_flight);
    run.report("p2p", words(&pairs.common, &setting))
}

/// Each message to all subscribers.
pub(crate) fn fan_out(mut run: Run, fan_out: &FanOut) -> Result<Report, Error> {
    let publishers = fan_out.publishers;
    for number in 0..fan_out.subscribers {
        let role = subscriber(&mut run, "fan-out", number, "load/fan-out/#".into(), 0, publishers);
        run.fleet.open(role);
    }
    let topics: Vec<Topics> =
        (0..publishers).map(|number| Topics::One(numbered("fan-out", number))).collect();
    let receivers = u64::from(fan_out.subscribers);
    flow(&mut run, &fan_out.common, topics, fan_out.in_flight, receivers)?;
    let setting = format!("{publishers} to {receivers}, {} in flight each", fan_out.in_flight);
    run.report("fan-out", words(&fan_out.common, &setting))
}

/// All publishers to one subscriber.
pub(crate) fn fan_in(mut run: Run, fan_in: &FanIn) -> Result<Report, Error> {
    let publishers = fan_in.publishers;
    let role = subscriber(&mut run, "fan-in", 0, "load/fan-in/#".into(), 0, publishers);
    run.fleet.open(role);
    let topics: Vec<Topics> =
        (0..publishers).map(|number| Topics::One(numbered("fan-in", number))).collect();
    flow(&mut run, &fan_in.common, topics, fan_in.in_flight, 1)?;
    let setting = format!("{publishers} to 1, {} in flight each", fan_in.in_flight);
    run.report("fan-in", words(&fan_in.common, &setting))
}

/// Each message to one member of a group.
pub(crate) fn shared(mut run: Run, shared: &Shared) -> Result<Report, Error> {
    let (publishers, members) = (shared.publishers, shared.members);
    // All members look at the same streams: a message may come to any of them, but only once.
    let watch = run.watch(0, publishers, false);
    for number in 0..members {
        let mut role = Role::new(format!("load-shared-sub-{number}"));
        role.filters = vec!["$share/load/load/shared/#".into()];
        role.qos = run.qos;
        role.receives = Receives::Streams(watch);
        run.fleet.open(role);
    }
    let topics: Vec<Topics> =
        (0..publishers).map(|number| Topics::One(numbered("shared", number))).collect();
    flow(&mut run, &shared.common, topics, shared.in_flight, 1)?;
    let setting =
        format!("{publishers} to a group of {members}, {} in flight each", shared.in_flight);
    run.report("shared", words(&shared.common, &setting))
}

/// Each publisher to a subscriber of its own, at a fixed rate.
pub(crate) fn rate(mut run: Run, rate: &Rate) -> Result<Report, Error> {
    for pair in 0..rate.pairs {
        let role = subscriber(&mut run, "rate", pair, numbered("rate", pair), pair, 1);
        run.fleet.open(role);
    }
    let topics: Vec<Topics> =
        (0..rate.pairs).map(|pair| Topics::One(numbered("rate", pair))).collect();
    run.rate = Some(f64::from(rate.rate));
    flow(&mut run, &rate.common, topics, u64::MAX, 1)?;
    let setting = format!("{0} to {0}, {1} messages a second", rate.pairs, rate.rate);
    run.report("rate", words(&rate.common, &setting))
}

/// A subscriber to `filter` that looks at these publishers.
fn subscriber(
    run: &mut Run,
    kind: &str,
    number: u32,
    filter: String,
    publisher: u32,
    count: u32,
) -> Role {
    let mut role = Role::new(format!("load-{kind}-sub-{number}"));
    role.filters = vec![filter];
    role.qos = run.qos;
    role.receives = Receives::Streams(run.watch(publisher, count, true));
    role
}

/// Opens the subscribers, then a publisher for each topic; lets messages flow, measures.
pub(super) fn flow(
    run: &mut Run,
    common: &Common,
    topics: Vec<Topics>,
    window: u64,
    receivers: u64,
) -> Result<(), Error> {
    run.fleet.until_ready()?;
    let clients: Vec<usize> = (0..topics.len())
        .map(|number| run.fleet.open(Role::new(format!("load-pub-{number}"))))
        .collect();
    run.fleet.until_ready()?;
    let warm_up = common.messages.is_none();
    let mut mark = run.mark()?;
    let publishers = topics.len();
    for (number, (client, topics)) in clients.into_iter().zip(topics).enumerate() {
        run.publish(Publishing {
            client,
            topics,
            window,
            receivers,
            limit: common.messages,
            pace: run.pace(number, publishers),
            retain: false,
            qos: run.qos,
        })?;
    }
    if warm_up {
        run.flow(common.warm_up)?;
        mark = run.mark()?;
    }
    run.flow(common.duration)?;
    if warm_up {
        run.measured("flow", Unit::Deliveries, &mark)?;
        run.drain()
    } else {
        // Few messages: those that are on their way count.
        run.drain()?;
        run.measured("flow", Unit::Deliveries, &mark)
    }
}
