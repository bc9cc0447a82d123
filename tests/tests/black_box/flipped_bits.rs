//! A disk that flips a bit, in any kind of file: `flotilla verify` names it, and the broker serves the
//! rest loudly or refuses with a sentence.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use flotilla_tests::{
    Broker, Client, Connect, DEADLINE, Dice, Publisher, Settings, Transport, Version,
    from_environment, new_home,
};

const SESSIONS: u64 = 10;
const MESSAGES: u64 = 300;
const TOPICS: u64 = 7;
/// The log and the records of sessions, cursors and subscriptions lie in tables of their own.
const TABLES: usize = 4;
const BULK_MESSAGES: u64 = 135;
const BULK_PAYLOAD_BYTES: usize = 1_000_000;
/// By the beginning or the end of their names. Only text for people (`LOG`) and empty files are
/// left out, and what a stop in order takes away (`RUNNING`).
const KINDS: &[&str] = &[".log", "MANIFEST", "CURRENT", "OPTIONS", "IDENTITY", "sums", ".sst"];

/// Every file below a directory, by its path from there.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).expect("a directory can be read") {
            let path = entry.expect("a directory can be read").path();
            if path.is_dir() {
                open.push(path);
            } else if path.is_file() {
                found.push(path.strip_prefix(dir).expect("it is below").to_owned());
            }
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(&file);
        let parent = target.parent().expect("a file is in a directory");
        fs::create_dir_all(parent).expect("a temporary directory is writable");
        fs::copy(from.join(&file), target).expect("a temporary directory is writable");
    }
}

fn sleeper(number: u64) -> Connect {
    Connect::persistent(format!("sleeper{number}"))
}

/// Sessions that wait for all messages, half of the messages, retained ones.
fn fill(broker: &Broker, half: u64) {
    let endpoint = broker.endpoint(Transport::Tcp);
    let mut publisher = Client::open(&endpoint, Version::V5);
    publisher.connect(&Connect::new("publisher"));
    for number in 0..SESSIONS {
        let mut client = Client::open(&endpoint, Version::V5);
        assert_eq!(client.connect(&sleeper(number)).0, half > 0);
        client.subscribe(if number % 2 == 0 { "x/#" } else { "+/+" }, 1 + (number % 2) as u8);
        client.disconnect();
    }
    for number in half * MESSAGES / 2..(half + 1) * MESSAGES / 2 {
        let topic = format!("x/{}", number % TOPICS);
        publisher.publish(&topic, format!("{number:<200}"), 1 + (number % 2) as u8);
    }
}

/// A directory with tables and a write-ahead log, ended in order.
fn whole() -> Broker {
    let mut broker = Broker::start(Settings::new());
    fill(&broker, 0);
    // As much as makes tables of everything; it compresses well.
    let endpoint = broker.endpoint(Transport::Tcp);
    let mut bulky = Client::open(&endpoint, Version::V5);
    bulky.connect(&Connect::persistent("bulky"));
    bulky.subscribe("bulk", 1);
    bulky.disconnect();
    let mut publisher = Publisher::new("bulk", Version::V5, vec!["bulk".to_owned()], 1, 20)
        .padded(BULK_PAYLOAD_BYTES);
    publisher.connect(&endpoint).expect("the broker is there");
    let until = Instant::now() + DEADLINE;
    for messages in (BULK_MESSAGES..).step_by(10) {
        publisher.run(messages, |_| {}).expect("the broker stays");
        let tables =
            files(&broker.data().join("store")).iter().filter(|it| is_of(it, ".sst")).count();
        if tables >= TABLES {
            break;
        }
        assert!(Instant::now() < until, "{messages} messages made {tables} tables");
    }
    fill(&broker, 1);
    assert_eq!(broker.terminate().code, Some(0));
    broker
}

fn is_of(file: &Path, kind: &str) -> bool {
    let name = file.to_string_lossy();
    name.starts_with(kind) || name.ends_with(kind)
}

/// What became of the broker on a damaged directory.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Outcome {
    Refused,
    Degraded,
    Unaffected,
}

/// Flips one bit of one file of a copy; what the broker made of it.
fn flipped(whole: &Path, kind: &str, dice: &mut Dice) -> Outcome {
    let home = new_home();
    let data = home.path().join("data");
    copy(whole, &data);
    let store = data.join("store");
    let of_kind: Vec<PathBuf> = files(&store)
        .into_iter()
        .filter(|file| {
            let bytes = fs::metadata(store.join(file)).map_or(0, |it| it.len());
            bytes > 0 && is_of(file, kind)
        })
        .collect();
    assert!(!of_kind.is_empty(), "no {kind} in {:?}", files(&store));
    let file = dice.one_of(&of_kind);
    let mut bytes = fs::read(store.join(file)).expect("it can be read");
    let (at, bit) = (dice.within(0..bytes.len() as u64) as usize, dice.within(0..8));
    bytes[at] ^= 1 << bit;
    fs::write(store.join(file), &bytes).expect("it can be written");
    let what = format!("bit {bit} of byte {at} of {} in {}", bytes.len(), file.display());

    let verified = Broker::run(&["verify", &data.to_string_lossy()]);
    assert_eq!(verified.code, Some(1), "{what}: {}{}", verified.output, verified.log);
    let is_named = verified.output.contains(&*file.to_string_lossy());
    assert!(is_named, "{what}: {}", verified.output);

    let broker = match Broker::try_start_in(home, Settings::new()) {
        Ok(broker) => broker,
        Err(ended) => {
            assert!(ended.code.is_some_and(|code| code != 0), "{what}: {ended:?}");
            assert!(!ended.log.contains("panicked"), "{what}: {}", ended.log);
            let errors = ended.log.lines().filter(|line| line.contains("ERROR"));
            let errors: Vec<&str> = errors.collect();
            assert!(
                matches!(errors[..], [one] if one.contains("damaged")),
                "{what}: {}",
                ended.log
            );
            return Outcome::Refused;
        }
    };
    let missing = missing(&broker, &what);
    eprintln!("{what}: {missing} deliveries of {} missing", SESSIONS * MESSAGES);
    let (_, health) = broker.get("/health");
    let is_degraded = health.contains("\"status\":\"degraded\"");
    let log = broker.log();
    assert!(!log.contains("panicked"), "{what}: {log}");
    if is_degraded {
        assert!(log.contains("quarantine"), "{what}: {log}");
        assert!(broker.metric("flotilla_store_damaged_total", &[]) > 0.0, "{what}");
        let set_aside = fs::read_dir(data.join("quarantine")).map_or(0, Iterator::count);
        assert!(set_aside > 0, "{what}: {log}");
        // One table may hold all that came before it was written; what came later is there.
        assert!(missing * 4 <= SESSIONS * MESSAGES * 3, "{what}: {missing} missing");
        return Outcome::Degraded;
    }
    assert_eq!(missing, 0, "{what}: nobody was told:\n{health}\n{log}");
    Outcome::Unaffected
}

/// Lets every session come back, and counts what it does not get. What comes is right.
fn missing(broker: &Broker, what: &str) -> u64 {
    let endpoint = broker.endpoint(Transport::Tcp);
    let mut missing = 0;
    for number in 0..SESSIONS {
        let mut client = Client::open(&endpoint, Version::V5);
        let (session_present, _) = client.connect(&sleeper(number));
        if !session_present {
            missing += MESSAGES;
            continue;
        }
        // Subscribed again, where that was what is damaged.
        client.subscribe(&format!("end/{number}"), 2);
        for qos in [1, 2] {
            client.publish(&format!("end/{number}"), "end", qos);
        }
        let mut ends = 0;
        let mut next: HashMap<String, u64> = HashMap::new();
        let mut received = 0;
        while ends < 2 {
            let publish = client.take();
            if publish.topic.starts_with("end/") {
                ends += usize::from(publish.topic == format!("end/{number}"));
                continue;
            }
            let got: u64 = publish.text().trim_end().parse().expect("a number");
            assert_eq!(publish.topic, format!("x/{}", got % TOPICS), "{what}");
            let next = next.entry(format!("{} {}", publish.topic, publish.qos)).or_default();
            assert!(got >= *next, "{what}: {got} of {} came again or late", publish.topic);
            *next = got + 1;
            received += 1;
        }
        missing += MESSAGES - received;
    }
    missing
}

#[test]
fn a_flipped_bit_in_each_kind_of_file() {
    let seed = from_environment("FLOTILLA_FLIP_SEED").unwrap_or(1);
    let flips = from_environment("FLOTILLA_FLIPS").unwrap_or(2);
    let whole = whole();
    let verified = Broker::run(&["verify", &whole.data().to_string_lossy()]);
    assert_eq!(verified.code, Some(0), "{}{}", verified.output, verified.log);
    let mut outcomes: BTreeMap<(&str, Outcome), u64> = BTreeMap::new();
    for (number, kind) in (0..).zip(KINDS) {
        let mut dice = Dice::new(seed).part(number);
        for _ in 0..flips {
            let outcome = flipped(&whole.data(), kind, &mut dice);
            *outcomes.entry((kind, outcome)).or_default() += 1;
        }
    }
    eprintln!("seed {seed}: {outcomes:?}");
}
