//! Connections that come and go: how many a second, what each costs.

use crate::{
    cli::ConnectStorm,
    client::Role,
    error::Error,
    report::Report,
    run::{Run, Unit},
    scenario::{source, words},
};

/// Each says CONNECT, gets CONNACK, says DISCONNECT.
pub(crate) fn connect_storm(mut run: Run, storm: &ConnectStorm) -> Result<Report, Error> {
    let connections = storm.connections;
    let mark = run.mark()?;
    for number in 0..connections {
        let mut role = Role::new(format!("load-storm-{number}"));
        role.source = source(number, storm.sources);
        role.is_passing = true;
        run.fleet.open(role);
    }
    run.fleet.until_ready()?;
    run.fleet.until_closed()?;
    run.measured("connect", Unit::Other("connections", u64::from(connections)), &mark)?;
    let setting = format!("{connections} connections from {} addresses", storm.sources);
    run.report("connect-storm", words(&storm.common, &setting))
}
