//! Many wildcard subscriptions over many connections; each message matches one of them.

use crate::{
    cli::Wildcards,
    client::{Receives, Role},
    error::Error,
    report::Report,
    run::{Run, Unit},
    scenario::{flow::flow, words},
    template::Topics,
};

/// Subscriptions of a connection, if nothing else is asked for: fewer than a broker's usual limit.
const EACH: u32 = 500;
/// What topics begin with; the number of a device follows.
const BEFORE: &str = "load/wildcards/";

/// `load/wildcards/NUMBER/+/state`, published into as `load/wildcards/NUMBER/a/state`.
pub(crate) fn wildcards(mut run: Run, wildcards: &Wildcards) -> Result<Report, Error> {
    let (subscriptions, publishers) = (wildcards.subscriptions, wildcards.publishers);
    let connections = wildcards.connections.unwrap_or(subscriptions.div_ceil(EACH));
    let watch = run.watch(0, publishers, false);
    let mark = run.mark()?;
    for number in 0..connections {
        let mut role = Role::new(format!("load-wildcards-sub-{number}"));
        role.filters = (number..subscriptions)
            .step_by(connections as usize)
            .map(|number| Topics::numbered(BEFORE, u64::from(number), "/+/state"))
            .collect();
        role.qos = run.qos;
        role.receives = Receives::Streams(watch);
        run.fleet.open(role);
    }
    run.fleet.until_ready()?;
    run.measured("subscribe", Unit::Other("subscriptions", u64::from(subscriptions)), &mark)?;
    run.grown("subscription", u64::from(subscriptions))?;
    let topics = (0..publishers)
        .map(|publisher| {
            // Each has every so many-th subscription, so that all are met.
            let first = u64::from(publisher % subscriptions);
            let step = u64::from(publishers.min(subscriptions));
            Topics::Numbered {
                before: BEFORE.into(),
                after: "/a/state".into(),
                first,
                step,
                count: (u64::from(subscriptions) - first).div_ceil(step),
            }
        })
        .collect();
    flow(&mut run, &wildcards.common, topics, wildcards.in_flight, 1)?;
    let setting = format!(
        "{publishers} publishers into {subscriptions} subscriptions of {connections} connections"
    );
    run.report("wildcards", words(&wildcards.common, &setting))
}
