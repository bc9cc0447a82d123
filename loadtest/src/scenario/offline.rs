//! A backlog for sessions without a connection: taken in, then handed out.

use std::time::Duration;

use flotilla_mqtt::QoS;

use crate::{
    cli::Offline,
    client::{Receives, Role},
    desk::Watch,
    error::Error,
    report::Report,
    run::{Publishing, Run, Unit},
    scenario::{EXPIRY_S, words},
    template::Topics,
};

/// How long nothing may arrive before what is missing counts as lost.
const QUIET: Duration = Duration::from_secs(10);
/// What topics begin with; the number of the session follows.
const BEFORE: &str = "load/offline/";

/// Sessions subscribe and leave; publishers publish to each of them in turn; the sessions come back.
pub(crate) fn offline(mut run: Run, offline: &Offline) -> Result<Report, Error> {
    if run.qos == QoS::AtMostOnce {
        let reason = "messages for those who are away need QoS 1 or 2".to_owned();
        return Err(Error::Usage { option: "--qos", reason });
    }
    let (sessions, publishers) = (offline.sessions, offline.publishers);
    // What an earlier run left behind is not part of this one.
    discard(&mut run, sessions)?;
    come(&mut run, sessions, None)?;
    run.fleet.leave()?;

    let publishing: Vec<usize> = (0..publishers)
        .map(|number| run.fleet.open(Role::new(format!("load-pub-{number}"))))
        .collect();
    run.fleet.until_ready()?;
    let mark = run.mark()?;
    for (client, number) in publishing.into_iter().zip(0..u64::from(publishers)) {
        let all = u64::from(publishers);
        run.publish(Publishing {
            client,
            topics: Topics::Numbered {
                before: BEFORE.into(),
                after: "/cmd".into(),
                first: 0,
                step: 1,
                count: u64::from(sessions),
            },
            window: offline.in_flight,
            receivers: 0,
            limit: Some(offline.backlog / all + u64::from(number < offline.backlog % all)),
            pace: None,
            retain: false,
            qos: run.qos,
        })?;
    }
    run.finish(QUIET)?;
    run.measured("take in", Unit::Messages, &mark)?;
    run.grown("message", offline.backlog)?;

    for publisher in &mut run.fleet.desk.publishers {
        publisher.receivers = 1;
    }
    // Each session has some of the messages of each publisher.
    let watch = run.watch(0, publishers, false);
    let mark = run.mark()?;
    come(&mut run, sessions, Some(watch))?;
    run.finish(QUIET)?;
    run.measured("hand out", Unit::Deliveries, &mark)?;
    run.fleet.leave()?;
    discard(&mut run, sessions)?;
    let setting = format!("{} messages for {sessions} absent sessions", offline.backlog);
    run.report("offline", words(&offline.common, &setting))
}

/// Opens the sessions; without a watch they subscribe, else they have done so.
fn come(run: &mut Run, sessions: u32, watch: Option<Watch>) -> Result<(), Error> {
    for number in 0..sessions {
        let mut role = Role::new(name(number));
        role.clean_start = false;
        role.session_expiry_interval_s = EXPIRY_S;
        if watch.is_none() {
            role.filters = vec![Topics::numbered(BEFORE, u64::from(number), "/cmd")];
        }
        role.qos = run.qos;
        role.receives = watch.map_or(Receives::Nothing, Receives::Streams);
        run.fleet.open(role);
    }
    run.fleet.until_ready()
}

/// Ends the sessions.
fn discard(run: &mut Run, sessions: u32) -> Result<(), Error> {
    for number in 0..sessions {
        let mut role = Role::new(name(number));
        role.is_passing = true;
        run.fleet.open(role);
    }
    run.fleet.until_ready()?;
    run.fleet.until_closed()
}

fn name(number: u32) -> String {
    format!("load-offline-{number}")
}
