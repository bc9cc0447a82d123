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
        visits::{Farewell, Visitor, Visits},
        words_with,
    },
    stamp::{STAMP_LEN, Stamp},
    template::Topics,
};

/// How long nothing may arrive before what is missing counts as lost.
const QUIET: Duration = Duration::from_secs(10);
/// How often it is looked who is to come or go.
const STEP: Duration = Duration::from_millis(2);
/// Members of each shared subscription.
const MEMBERS: u32 = 3;
/// Messages of devices for one command.
const COMMAND_EACH: f64 = 10.0;

/// `NAME/mixed/q0|q1|q2/NUMBER/state` from the devices, `NAME/mixed/cmd/NUMBER` to them,
/// `NAME/mixed/will/NUMBER` when one is cut.
pub(crate) fn mixed_fleet(mut run: Run, mixed: &MixedFleet) -> Result<Report, Error> {
    if mixed.common.qos != 0 || mixed.common.messages.is_some() {
        let reason = "a mixed fleet has devices of each QoS, and ends after --duration".to_owned();
        return Err(Error::Usage { option: "--qos, --messages", reason });
    }
    let (name, devices) = (mixed.name.as_str(), mixed.devices);
    // Those who publish come last.
    let mut visitors = vec![historian(&mut run, name, devices)];
    visitors.extend(technicians(&mut run, name, devices));
    let commands = run.watch(devices, 1, false);
    visitors.extend((0..devices).map(|number| device(&run, name, number, commands)));
    discard(&mut run, &visitors)?;
    listeners(&mut run, name, devices);
    for visitor in &mut visitors {
        visitor.client = run.fleet.open(visitor.role.clone());
        if visitor.role.session_expiry_interval_s > 0 {
            // The session has its subscriptions when it comes back.
            visitor.role.filters.clear();
        }
    }
    let commander = run.fleet.open(Role::new(format!("{name}-pub-commander")));
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
    ask_for_retained(&mut run, name, devices)?;

    let setting = format!(
        "{devices} devices, {} messages a second, {} returns, {} cut",
        mixed.rate, visits.returns, run.wills
    );
    run.report("mixed-fleet", words_with(&mixed.common, "0, 1 and 2", &setting))
}

/// What the devices say at `q0`, `q1`, `q2`, or at each of them.
fn states(name: &str, qos: &str) -> String {
    format!("{name}/mixed/{qos}/+/state")
}

/// What the topics of commands begin with; the number of a device follows.
fn commands_to(name: &str) -> String {
    format!("{name}/mixed/cmd/")
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
fn listeners(run: &mut Run, name: &str, devices: u32) {
    let mut dashboard = Role::new(format!("{name}-mixed-dashboard"));
    dashboard.filters = vec![states(name, "+")];
    dashboard.qos = QoS::ExactlyOnce;
    dashboard.receives = Receives::Streams(run.watch(0, devices, true));
    run.fleet.open(dashboard);
    // Each message to one of them.
    let watch = run.watch(0, devices, false);
    for number in 0..MEMBERS {
        let mut member = Role::new(format!("{name}-mixed-member-{number}"));
        member.filters = vec![format!("$share/load/{}", states(name, "+"))];
        member.qos = QoS::ExactlyOnce;
        member.receives = Receives::Streams(watch);
        run.fleet.open(member);
    }
    let mut wills = Role::new(format!("{name}-mixed-wills"));
    wills.filters = vec![format!("{name}/mixed/will/+")];
    wills.qos = QoS::AtLeastOnce;
    wills.receives = Receives::Wills;
    run.fleet.open(wills);
}

/// It is cut again and again, and gets all that was acknowledged nevertheless.
fn historian(run: &mut Run, name: &str, devices: u32) -> Visitor {
    let mut role = Role::new(format!("{name}-mixed-historian"));
    role.clean_start = false;
    role.session_expiry_interval_s = EXPIRY_S;
    role.filters = vec![states(name, "q1"), states(name, "q2")];
    role.qos = QoS::ExactlyOnce;
    let watch = run.watch(0, devices, true);
    role.receives = Receives::Streams(Watch { is_timed: false, ..watch });
    role.inbox = Some(run.inbox());
    Visitor { client: 0, role, farewell: Farewell::Reset, is_here: true }
}

/// Members of a shared subscription with sessions of their own, which are cut one after the other; now
/// and then none of them is there. Each message to one of them.
fn technicians(run: &mut Run, name: &str, devices: u32) -> Vec<Visitor> {
    let watch = run.watch(0, devices, false);
    let technician = |number| {
        let mut role = Role::new(format!("{name}-mixed-technician-{number}"));
        role.clean_start = false;
        role.session_expiry_interval_s = EXPIRY_S;
        let shared = |qos| format!("$share/technicians/{}", states(name, qos));
        role.filters = vec![shared("q1"), shared("q2")];
        role.qos = QoS::ExactlyOnce;
        role.receives = Receives::Streams(Watch { is_timed: false, ..watch });
        role.inbox = Some(run.inbox());
        Visitor { client: 0, role, farewell: Farewell::Close, is_here: true }
    };
    (0..MEMBERS).map(technician).collect()
}

/// Half of the devices have sessions that wait for them, and get commands.
fn device(run: &Run, name: &str, number: u32, commands: Watch) -> Visitor {
    let mut role = Role::new(format!("{name}-mixed-device-{number}"));
    role.filters = vec![Topics::numbered(&commands_to(name), u64::from(number), "")];
    role.qos = QoS::AtLeastOnce;
    if number.is_multiple_of(2) {
        role.clean_start = false;
        role.session_expiry_interval_s = EXPIRY_S;
        role.receives = Receives::Streams(Watch { is_timed: false, ..commands });
    }
    let mut payload = vec![0; STAMP_LEN];
    let stamp = Stamp { run: run.fleet.desk.run, publisher: number, sequence: 0, time_ns: 0 };
    stamp.write(&mut payload);
    role.will = Some(LastWords { topic: format!("{name}/mixed/will/{number}"), payload });
    // What was acknowledged has arrived; at QoS 0 nobody knows, so these say goodbye.
    let farewell = match number % 4 {
        0 if qos_of(number) > QoS::AtMostOnce => Farewell::Close,
        1 if qos_of(number) > QoS::AtMostOnce => Farewell::Reset,
        _ => Farewell::Disconnect,
    };
    Visitor { client: 0, role, farewell, is_here: true }
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
    // The others come first, and publish nothing.
    let others = visitors.len() - devices as usize;
    for (number, visitor) in (0..devices).zip(&mut visitors[others..]) {
        let qos = qos_of(number);
        let publisher = run.publish(Publishing {
            client: visitor.client,
            topics: Topics::One(format!("{}/mixed/q{}/{number:05}/state", mixed.name, qos as u8)),
            window: u64::MAX,
            // Dashboard and group; historian and technicians are not there for all of QoS 0.
            receivers: if qos == QoS::AtMostOnce { 2 } else { 4 },
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
            before: commands_to(&mixed.name),
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
fn ask_for_retained(run: &mut Run, name: &str, devices: u32) -> Result<(), Error> {
    let publishers = &run.fleet.desk.publishers;
    let has_sent = |number: &u32| publishers[*number as usize].sent > 0;
    run.retained = (0..devices).filter(|it| is_retained(*it)).filter(has_sent).count() as u64;
    let mut role = Role::new(format!("{name}-mixed-newcomer"));
    role.filters = vec![states(name, "+")];
    role.receives = Receives::Last;
    run.fleet.open(role);
    run.fleet.until_ready()?;
    let end = Instant::now() + QUIET;
    while run.fleet.desk.tally.last < run.retained && Instant::now() < end {
        run.wait(STEP)?;
    }
    Ok(())
}
