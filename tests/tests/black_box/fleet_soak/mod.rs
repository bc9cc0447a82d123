//! Fleets come and go on a broker for a long time: nothing grows, and everything is accounted for.
//!
//! `scripts/soak.sh` runs the same for an hour.

mod account;
mod figures;
mod verdict;
mod watch;

use std::{
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use flotilla_tests::{
    Broker, Client, Connect, DEADLINE, Descriptors, Property, Settings, Transport, Version, elapse,
    from_environment, program,
};

use self::{
    account::{left, messages},
    figures::{Page, numbers},
    verdict::Verdict,
    watch::{Seen, bytes_in, watch},
};

const MIB: u64 = 1 << 20;
/// What the log may hold. Pieces of 32 MiB go, and those that are written are not pieces yet.
const LOG_BYTES_MAX: u64 = 64 * MIB;
const PIECE_BYTES: u64 = 32 * MIB;
/// What the write-ahead log may have, and what is written to it until a part of it is deleted.
const WAL_BYTES_MAX: u64 = 192 * MIB;
/// A message is not held longer. The largest fleet is over the limit of bytes before.
const AGE_MAX: Duration = Duration::from_secs(30);
/// Memory at the end against that at a tenth of the time, in hundredths…
const GROWTH_MAX: u64 = 5;
/// …where that is later than what is held was all there once: log, index, caches. Before, so much.
const WARM_AFTER: Duration = Duration::from_secs(90);
const GROWTH_COLD_MAX: u64 = 30;
/// Little, so that it is full early, and does not look like a leak until then.
const CACHE: &str = "4MiB";

/// Name, transport, version, messages a second.
const FLEETS: [(&str, Transport, &str, &str); 3] = [
    ("tls", Transport::Tls, "5", "400"),
    ("tcp", Transport::Tcp, "3.1.1", "250"),
    ("wss", Transport::Wss, "5", "50"),
];
const DEVICES: u64 = 100;
/// Publishers and subscribers of the burst.
const PAIRS: u64 = 50;
const PAYLOAD_BYTES: &str = "2000";

/// How long.
fn duration() -> Duration {
    Duration::from_secs(from_environment("FLOTILLA_SOAK_SECONDS").unwrap_or(75))
}

#[test]
fn nothing_grows_and_everything_is_accounted_for() {
    let store = format!(
        "[store]\nsync = \"100ms\"\ndisk_bytes_max = \"{LOG_BYTES_MAX}B\"\nage_max = \"{}s\"\n\
         cache_bytes_max = \"{CACHE}\"",
        AGE_MAX.as_secs()
    );
    let mut broker = Broker::start(Settings::new().tables(&store));
    let idle = at_rest(&broker, |_| true);
    // Holds the log, so that it is cleaned whoever wants it; and is told what it has lost.
    let tcp = broker.endpoint(Transport::Tcp);
    let mut sleeper = Client::open(&tcp, Version::V5);
    sleeper.connect(&Connect::persistent("sleeper"));
    sleeper.subscribe("+/mixed/#", 1);
    sleeper.disconnect();

    let mut verdict = Verdict::default();
    let (reports, seen) = soak(&broker, &mut verdict);
    until_clean(&broker);
    let mut sleeper = Client::open(&tcp, Version::V5);
    let (_, properties) = sleeper.connect(&Connect::persistent("sleeper"));
    let told = properties.iter().find_map(cleaned).unwrap_or(0);
    messages(&broker, &reports, told, &mut sleeper, &mut verdict);
    sleeper.disconnect();
    left(&broker, &mut verdict);
    memory(&seen, &mut verdict);
    descriptors(&broker, &idle, &seen, &mut verdict);
    log(&broker, &seen, &mut verdict);
    let verified = Broker::run(&["verify", &broker.data().to_string_lossy()]);
    verdict.check(verified.code == Some(0), format!("the store holds:\n{}", verified.output));
    let ended = broker.terminate();
    let is_quiet = !ended.log.contains(" ERROR ");
    verdict.check(ended.code == Some(0) && is_quiet, "it ended in order".to_owned());
    verdict.pronounce();
}

/// All fleets at once, from their beginning to their end. What they say, and the burst before.
fn soak(broker: &Broker, verdict: &mut Verdict) -> (Vec<String>, Seen) {
    // As much at once as when the machine stalls for some seconds. An allocator keeps what it once
    // needed, and is not to look like a leak when that happens later.
    let burst = ["p2p", "--persistent", "--qos", "2"];
    let pairs = PAIRS.to_string();
    let size = ["--pairs", &pairs, "--in-flight", "200", "--messages", "1000", "--duration", "60s"];
    let burst = start(broker, Transport::Tcp, &[&burst[..], &size].concat());
    let mut reports = vec![report("burst", burst, verdict)];
    // The burst has gone.
    let idle = at_rest(broker, |_| true);
    let is_over = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let watching = scope.spawn(|| watch(broker, &idle, &is_over));
        let time = format!("{}s", duration().as_secs());
        let fleets = FLEETS.map(|(name, transport, mqtt, rate)| {
            let what = ["mixed-fleet", "--name", name, "--mqtt", mqtt, "--rate", rate];
            let devices = DEVICES.to_string();
            let size = ["--devices", &devices, "--duration", &time];
            (name, start(broker, transport, &[&what[..], &size].concat()))
        });
        for (name, fleet) in fleets {
            reports.push(report(name, fleet, verdict));
        }
        is_over.store(true, Ordering::Relaxed);
        watching.join().expect("the broker stays")
    });
    (reports, seen)
}

/// Waits until nothing more can go from the log: what goes while the sleeper reads it may be counted
/// for it although it has had it.
fn until_clean(broker: &Broker) {
    elapse(AGE_MAX);
    let until = Instant::now() + DEADLINE;
    let data = broker.data().to_string_lossy().into_owned();
    loop {
        let plan = Broker::run(&["backlog", "--data", &data, "--plan", "--json"]).output;
        if plan.matches("\"going\":").count() == plan.matches("\"going\":[]").count() {
            return;
        }
        assert!(Instant::now() < until, "it is not cleaned: {plan}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// `flotilla-load` with these arguments.
fn start(broker: &Broker, transport: Transport, arguments: &[&str]) -> Child {
    let scheme = match transport {
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
        Transport::Ws => "ws",
        Transport::Wss => "wss",
    };
    let endpoint = broker.endpoint(transport);
    let mut command = Command::new(program("flotilla-load"));
    command
        .args(arguments)
        .args(["--url", &format!("{scheme}://{}", endpoint.address), "--json", "--quiet"])
        .args(["--payload", PAYLOAD_BYTES, "--warm-up", "0s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(ca) = endpoint.ca {
        command.arg("--ca").arg(ca);
    }
    command.spawn().expect("the program starts")
}

/// The figures in the end.
fn report(name: &str, load: Child, verdict: &mut Verdict) -> String {
    let output = load.wait_with_output().expect("it can be waited for");
    let json = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!json.is_empty(), "'{name}' ended without figures: {log}");
    let sum = |key| numbers(&json, key).iter().sum::<u64>();
    let what = ["lost", "reordered", "foreign", "refused", "wills_wrong", "retained_wrong"];
    let wrong = what.map(sum);
    let again = sum("duplicated") - sum("duplicated_qos1");
    verdict.check(
        output.status.success() && wrong == [0; 6] && again == 0,
        format!(
            "{name}: {} sent, {} arrived, {wrong:?} {what:?}, {} twice at QoS 1",
            sum("sent"),
            sum("delivered"),
            sum("duplicated_qos1")
        ),
    );
    json
}

/// What CONNACK says that was lost to cleaning.
fn cleaned(property: &Property) -> Option<u64> {
    match property {
        Property::UserProperty((name, number)) if name == "messages-cleaned" => number.parse().ok(),
        _ => None,
    }
}

/// Medians of the samples around a tenth of the time and of those before the end.
fn memory(seen: &Seen, verdict: &mut Verdict) {
    let all = duration();
    let half = (all / 40).max(Duration::from_secs(2));
    let at = |at: Duration| seen.resident_bytes(at - half, at + half);
    let (tenth, end) = (at(all / 10), at(all - half));
    let is_warm = all / 10 >= WARM_AFTER;
    let growth_max = if is_warm { GROWTH_MAX } else { GROWTH_COLD_MAX };
    let growth = (end as f64 / tenth as f64 - 1.0) * 100.0;
    let kib = |bytes: u64| bytes / 1024;
    verdict.check(
        end <= tenth + tenth * growth_max / 100,
        format!(
            "memory: {} KiB at a tenth, {} at half, {} at the end: {growth:+.1} %, {growth_max} allowed",
            kib(tenth),
            kib(at(all / 2)),
            kib(end),
        ),
    );
}

fn descriptors(broker: &Broker, idle: &Descriptors, seen: &Seen, verdict: &mut Verdict) {
    verdict.check(
        seen.unaccounted.is_empty(),
        format!(
            "sockets are connections and {} of the broker, in {} looks, with up to {} connections \
             and {} descriptors; not {:?}",
            idle.sockets, seen.looks, seen.connections_max, seen.descriptors_max, seen.unaccounted
        ),
    );
    // Of the fleets, of the burst.
    let partitions = FLEETS.len() + 1;
    let rests = |open: &Descriptors| {
        open.sockets == idle.sockets
            && open.others == idle.others
            && open.deleted == 0
            && open.directories == idle.directories + partitions
    };
    let open = at_rest(broker, rests);
    verdict.check(
        rests(&open),
        format!(
            "descriptors after the fleets: {open:?}, before: {idle:?}, {partitions} partitions"
        ),
    );
}

/// What is open, when it is as it is to be, or at the deadline.
fn at_rest(broker: &Broker, is_expected: impl Fn(&Descriptors) -> bool) -> Descriptors {
    let until = Instant::now() + DEADLINE;
    let mut before = broker.descriptors();
    loop {
        thread::sleep(Duration::from_millis(100));
        let open = broker.descriptors();
        if (open == before && is_expected(&open)) || Instant::now() > until {
            return open;
        }
        before = open;
    }
}

/// What was appended is what was cleaned and what is there.
fn log(broker: &Broker, seen: &Seen, verdict: &mut Verdict) {
    let until = Instant::now() + DEADLINE;
    loop {
        let page = Page::of(broker);
        let sum = |name: &str| page.sum(name, "");
        let appended = sum("flotilla_store_log_appended_bytes_total");
        let taken = sum("flotilla_store_log_cleaned_bytes_total");
        let held = sum("flotilla_store_log_bytes");
        let stored = sum("flotilla_messages_stored_total");
        let gone = sum("flotilla_store_messages_cleaned_total");
        let data = broker.data().to_string_lossy().into_owned();
        let shown = Broker::run(&["backlog", "--data", &data, "--json"]).output;
        let lies = |name| numbers(&shown, name).iter().sum::<u64>();
        let (bytes, messages) = (lies("bytes"), lies("messages"));
        let holds = appended - taken == held && held == bytes && stored - gone == messages;
        // What was consumed goes a moment later, and the size is that of a moment ago.
        if !holds && Instant::now() < until {
            thread::sleep(Duration::from_millis(100));
            continue;
        }
        let by = |reason| page.sum("flotilla_store_log_cleaned_bytes_total", reason);
        verdict.check(
            holds,
            format!(
                "log: {appended} bytes came, {taken} went ({} by age, {} by bytes), {held} are there, \
                 {bytes} were counted; {stored} messages came, {gone} went, {messages} are there",
                by("reason=\"age\""),
                by("reason=\"bytes\"")
            ),
        );
        verdict.check(
            by("reason=\"age\"") > 0 && by("reason=\"bytes\"") > 0,
            "both limits were reached".to_owned(),
        );
        break;
    }
    let most = LOG_BYTES_MAX + 3 * PIECE_BYTES;
    verdict.check(
        seen.log_bytes_max <= most,
        format!("log: {} MiB at most, {} allowed", seen.log_bytes_max / MIB, most / MIB),
    );
    let most = most + WAL_BYTES_MAX;
    verdict.check(
        seen.disk_bytes_max <= most,
        format!(
            "directory: {} MiB at most, {} allowed, {} at the end",
            seen.disk_bytes_max / MIB,
            most / MIB,
            bytes_in(&broker.data()) / MIB
        ),
    );
}
