//! Connections that do nothing, from several source addresses: what each of them costs.

use crate::{
    cli::IdleFleet,
    client::Role,
    error::Error,
    report::Report,
    run::{Run, Unit},
    scenario::{EXPIRY_S, source, words},
};

/// Opens them, each with one subscription of its own, then lets time pass.
pub(crate) fn idle_fleet(mut run: Run, idle: &IdleFleet) -> Result<Report, Error> {
    let connections = idle.connections;
    let mark = run.mark()?;
    for number in 0..connections {
        let mut role = Role::new(format!("load-idle-{number}"));
        role.filters = vec![format!("load/idle/{number}/cmd")];
        role.qos = run.qos;
        role.source = source(number, idle.sources);
        if idle.persistent {
            role.clean_start = false;
            role.session_expiry_interval_s = EXPIRY_S;
        }
        run.fleet.open(role);
    }
    run.fleet.until_ready()?;
    run.measured("connect", Unit::Other("connections", u64::from(connections)), &mark)?;
    let mark = run.mark()?;
    run.wait(idle.common.duration)?;
    run.measured("idle", Unit::Other("connections", u64::from(connections)), &mark)?;
    run.grown("connection", u64::from(connections))?;
    let setting = format!("{connections} connections from {} addresses", idle.sources);
    run.report("idle-fleet", words(&idle.common, &setting))
}
