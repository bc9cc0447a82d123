//! Connections that come and go: how many a second, what each costs.

use crate::{
    cli::ConnectStorm,
    client::Role,
    error::Error,
    fleet::OPENING_MAX,
    report::Report,
    run::{Run, Unit},
    scenario::{source, words},
};

/// Each says CONNECT, gets CONNACK, says DISCONNECT.
pub(crate) fn connect_storm(mut run: Run, storm: &ConnectStorm) -> Result<Report, Error> {
    let connections = storm.connections;
    if storm.resume {
        // Their tickets are those that the others begin with.
        come_and_go(&mut run, storm, OPENING_MAX as u32)?;
    }
    let mark = run.mark()?;
    come_and_go(&mut run, storm, connections)?;
    run.measured("connect", Unit::Other("connections", u64::from(connections)), &mark)?;
    let resumed = run.fleet.resumed;
    if storm.resume && resumed < connections as usize {
        tracing::warn!(
            "of {connections} connections only {resumed} were resumed: the broker gave no more \
             tickets of TLS 1.3"
        );
    }
    let tickets = if storm.resume { format!(", {resumed} resumed") } else { String::new() };
    let setting = format!("{connections} connections from {} addresses{tickets}", storm.sources);
    run.report("connect-storm", words(&storm.common, &setting))
}

fn come_and_go(run: &mut Run, storm: &ConnectStorm, connections: u32) -> Result<(), Error> {
    for number in 0..connections {
        let mut role = Role::new(format!("load-storm-{number}"));
        role.source = source(number, storm.sources);
        role.is_passing = true;
        run.fleet.open(role);
    }
    run.fleet.until_ready()?;
    run.fleet.until_closed()
}
