//! A fleet as it is: devices of all kinds that come and go, those who listen to them, commands.
//!
//! What is to arrive is known exactly. A device leaves when its messages are acknowledged; who is away
//! has a session that waits for it, or nothing is sent to it. So each message that is missing in the
//! end was lost by the broker.

use std::time::{Duration, Instant};

use flotilla_mqtt::QoS;

use crate::{
    cli::MixedFleet,
    client::{LastWords, Receives, Role},
    desk::Watch,
    error::Error,
    publisher::Pace,
    report::Report,
    run::{Publishing, Run, Unit},
    scenario::{
        EXPIRY_S,
        visits::{Visitor, Visits},
        words_with,
    },
    stamp::{STAMP_LEN, Stamp},
    template::Topics,
};

/// What the topics of commands begin with; the number of a device follows.
const COMMANDS: &str = "load/mixed/cmd/";
/// How long nothing may arrive before what is missing counts as lost.
const QUIET: Duration = Duration::from_secs(10);
/// How often it is looked who is to come or go.
const STEP: Duration = Duration::from_millis(2);
/// Members of the shared subscription.
const MEMBERS: u32 = 3;
/// Messages of devices for one command.
const COMMAND_EACH: f64 = 10.0;

/// `load/mixed/q0|q1|q2/NUMBER/state` from the devices, `load/mixed/cmd/NUMBER` to them,
/// `load/mixed/will/NUMBER` when one is cut.
pub(crate) fn mixed_fleet(mut run: Run, mixed: &MixedFleet) -> Result<Report, Error> {
    if mixed.common.qos != 0 || mixed.common.messages.is_some() {
        let reason = "a mixed fleet has devices of each QoS, and ends after --duration".to_owned();
        return Err(Error::Usage { option: "--qos, --messages", reason });
    }
    let devices = mixed.devices;
    let mut visitors = vec![historian(&mut run, devices)];
    let commands = run.watch(devices, 1, false);
    visitors.extend((0..devices).map(|number| device(&run, number, commands)));
    discard(&mut run, &visitors)?;
    listeners(&mut run, devices);
    for visitor in &mut visitors {
        visitor.client = run.fleet.open(visitor.role.clone());
        if visitor.role.session_expiry_interval_s > 0 {
            // The session has its subscriptions when it comes back.
            visitor.role.filters.clear();
        }
    }
    let commander = run.fleet.open(Role::new("load-pub-commander".into()));
    run.fleet.until_ready()?;
    send(&mut run, mixed, &mut visitors, commander)?;

    let mut visits = Visits::new(visitors, mixed.cycle);
    live(&mut run, &mut visits, mixed.common.warm_up)?;
    let mark = run.mark()?;
    live(&mut run, &mut visits, mixed.common.duration)?;
    run.measured("flow", Unit::Deliveries, &mark)?;
    visits.end(&mut run)?;
    for publisher in 0..=devices {
        run.pause(publisher, true);
    }
    run.finish(QUIET)?;
    await_wills(&mut run)?;
    ask_for_retained(&mut run, devices)?;

    let setting = format!(
        "{devices} devices, {} messages a second, {} returns, {} cut",
        mixed.rate, visits.returns, run.wills
    );
    run.report("mixed-fleet", words_with(&mixed.common, "0, 1 and 2", &setting))
}

/// What the devices say at `q0`, `q1`, `q2`, or at each of them.
fn states(qos: &str) -> String {
    format!("load/mixed/{qos}/+/state")
}

/// A third of the devices each.
fn qos_of(device: u32) -> QoS {
    QoS::from_bits((device % 3) as u8).expect("a remainder of 3 is a QoS")
}

/// The last message of each is retained.
const fn is_retained(device: u32) -> bool {
    device.is_multiple_of(5)
}

/// Those who are always there, and miss nothing.
fn listeners(run: &mut Run, devices: u32) {
    let mut dashboard = Role::new("load-mixed-dashboard".into());
    dashboard.filters = vec![states("+")];
    dashboard.qos = QoS::ExactlyOnce;
    dashboard.receives = Receives::Streams(run.watch(0, devices, true));
    run.fleet.open(dashboard);
    // Each message to one of them.
    let watch = run.watch(0, devices, false);
    for number in 0..MEMBERS {
        let mut member = Role::new(format!("load-mixed-member-{number}"));
        member.filters = vec![format!("$share/load/{}", states("+"))];
        member.qos = QoS::ExactlyOnce;
        member.receives = Receives::Streams(watch);
        run.fleet.open(member);
    }
    let mut wills = Role::new("load-mixed-wills".into());
    wills.filters = vec!["load/mixed/will/+".into()];
    wills.qos = QoS::AtLeastOnce;
    wills.receives = Receives::Wills;
    run.fleet.open(wills);
}

/// It is cut again and again, and gets all that was acknowledged nevertheless.
fn historian(run: &mut Run, devices: u32) -> Visitor {
    let mut role = Role::new("load-mixed-historian".into());
    role.clean_start = false;
    role.session_expiry_interval_s = EXPIRY_S;
    role.filters = vec![states("q1"), states("q2")];
    role.qos = QoS::ExactlyOnce;
    let watch = run.watch(0, devices, true);
    role.receives = Receives::Streams(Watch { is_timed: false, ..watch });
    role.inbox = Some(run.inbox());
    Visitor { client: 0, role, is_cut: true, is_here: true }
}

/// Half of the devices have sessions that wait for them, and get commands.
fn device(run: &Run, number: u32, commands: Watch) -> Visitor {
    let mut role = Role::new(format!("load-mixed-device-{number}"));
    role.filters = vec![Topics::numbered(COMMANDS, u64::from(number), "")];
    role.qos = QoS::AtLeastOnce;
    if number.is_multiple_of(2) {
        role.clean_start = false;
        role.session_expiry_interval_s = EXPIRY_S;
        role.receives = Receives::Streams(Watch { is_timed: false, ..commands });
    }
    let mut payload = vec![0; STAMP_LEN];
    let stamp = Stamp { run: run.fleet.desk.run, publisher: number, sequence: 0, time_ns: 0 };
    stamp.write(&mut payload);
    role.will = Some(LastWords { topic: format!("load/mixed/will/{number}"), payload });
    // What was acknowledged has arrived; at QoS 0 nobody knows, so these say goodbye.
    let is_cut = number % 4 < 2 && qos_of(number) > QoS::AtMostOnce;
    Visitor { client: 0, role, is_cut, is_here: true }
}

/// Ends the sessions that an earlier run left behind.
fn discard(run: &mut Run, visitors: &[Visitor]) -> Result<(), Error> {
    for Visitor { role, .. } in visitors {
        let mut passing = Role::new(role.client_id.clone());
        passing.is_passing = true;
        run.fleet.open(passing);
    }
    run.fleet.until_ready()?;
    run.fleet.until_closed()
}

/// Devices and the one who commands them publish from now on.
fn send(
    run: &mut Run,
    mixed: &MixedFleet,
    visitors: &mut [Visitor],
    commander: usize,
) -> Result<(), Error> {
    let devices = mixed.devices;
    let rate = f64::from(mixed.rate);
    let pace = |run: &Run, number: f64, rate: f64, all: f64| {
        let interval_ns = all / rate * 1e9;
        let start_ns = run.fleet.desk.now_ns.cast_signed() + (interval_ns / all * number) as i64;
        Some(Pace { start_ns, interval_ns })
    };
    // The historian comes first, and publishes nothing.
    for (number, visitor) in (0..devices).zip(&mut visitors[1..]) {
        let qos = qos_of(number);
        let publisher = run.publish(Publishing {
            client: visitor.client,
            topics: Topics::One(format!("load/mixed/q{}/{number:05}/state", qos as u8)),
            window: u64::MAX,
            // Dashboard and group; the historian is not there for all of QoS 0.
            receivers: if qos == QoS::AtMostOnce { 2 } else { 3 },
            limit: None,
            pace: pace(run, f64::from(number), rate, f64::from(devices)),
            retain: is_retained(number),
            qos,
        })?;
        visitor.role.publisher = Some(publisher);
    }
    let persistent = u64::from(devices.div_ceil(2));
    run.publish(Publishing {
        client: commander,
        topics: Topics::Numbered {
            before: COMMANDS.into(),
            after: String::new(),
            first: 0,
            step: 2,
            count: persistent,
        },
        window: u64::MAX,
        receivers: 1,
        limit: None,
        pace: pace(run, 0.0, rate / COMMAND_EACH, 1.0),
        retain: false,
        qos: QoS::AtLeastOnce,
    })?;
    Ok(())
}

/// Messages flow, devices come and go.
fn live(run: &mut Run, visits: &mut Visits, time: Duration) -> Result<(), Error> {
    let end = Instant::now() + time;
    while Instant::now() < end && !run.fleet.is_stopped() {
        visits.step(run)?;
        run.wait(STEP)?;
    }
    Ok(())
}

/// Waits for the Wills of those who were cut.
fn await_wills(run: &mut Run) -> Result<(), Error> {
    let end = Instant::now() + QUIET;
    while run.fleet.desk.tally.wills < run.wills && Instant::now() < end {
        run.wait(STEP)?;
    }
    Ok(())
}

/// Somebody new asks for the state of all devices.
fn ask_for_retained(run: &mut Run, devices: u32) -> Result<(), Error> {
    let publishers = &run.fleet.desk.publishers;
    let has_sent = |number: &u32| publishers[*number as usize].sent > 0;
    run.retained = (0..devices).filter(|it| is_retained(*it)).filter(has_sent).count() as u64;
    let mut role = Role::new("load-mixed-newcomer".into());
    role.filters = vec![states("+")];
    role.receives = Receives::Last;
    run.fleet.open(role);
    run.fleet.until_ready()?;
    let end = Instant::now() + QUIET;
    while run.fleet.desk.tally.last < run.retained && Instant::now() < end {
        run.wait(STEP)?;
    }
    Ok(())
}
