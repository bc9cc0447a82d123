//! Retained messages: stored once, then handed to a subscriber that asks for all.

use std::time::Duration;

use crate::{
    cli::Retained,
    client::{Receives, Role},
    error::Error,
    report::Report,
    run::{Publishing, Run, Unit},
    scenario::words,
    template::Topics,
};

/// How long nothing may arrive before what is missing counts as lost.
const QUIET: Duration = Duration::from_secs(10);

/// `load/retained/NUMBER/state`, then a subscriber to `load/retained/#`.
pub(crate) fn retained(mut run: Run, retained: &Retained) -> Result<Report, Error> {
    let topics = retained.topics;
    let publisher = run.fleet.open(Role::new("load-pub-0".into()));
    run.fleet.until_ready()?;
    let mark = run.mark()?;
    run.publish(Publishing {
        client: publisher,
        topics: Topics::Numbered {
            before: "load/retained/".into(),
            after: "/state".into(),
            first: 0,
            step: 1,
            count: topics,
        },
        window: retained.in_flight,
        receivers: 0,
        limit: Some(topics),
        pace: None,
        retain: true,
        qos: run.qos,
    })?;
    run.finish(QUIET)?;
    // At QoS 0 nothing says that the broker has taken all: an answer behind them does.
    run.fleet.ping(publisher)?;
    run.measured("store", Unit::Messages, &mark)?;
    run.grown("topic", topics)?;

    run.fleet.desk.publishers[0].receivers = 1;
    let mark = run.mark()?;
    let mut role = Role::new("load-retained-sub-0".into());
    role.filters = vec!["load/retained/#".into()];
    role.qos = run.qos;
    role.receives = Receives::Streams(run.watch(0, 1, false));
    run.fleet.open(role);
    run.fleet.until_ready()?;
    run.finish(QUIET)?;
    run.measured("subscribe", Unit::Deliveries, &mark)?;
    run.report("retained", words(&retained.common, &format!("{topics} topics")))
}
