//! The lists of what MQTT asks for: each line names the tests that show it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Section, its first number, its last: the specification's, not ours.
type Section = (&'static str, u32, u32);

#[rustfmt::skip]
const MQTT_5: &[Section] = &[
    ("1.5.4", 1, 3), ("1.5.5", 1, 1), ("1.5.7", 1, 1), ("2.1.3", 1, 1), ("2.2.1", 2, 6),
    ("2.2.2", 1, 1), ("3.1.0", 1, 2), ("3.1.2", 1, 30), ("3.1.3", 1, 12), ("3.1.4", 1, 6),
    ("3.2.0", 1, 2), ("3.2.2", 1, 22), ("3.3.1", 1, 13), ("3.3.2", 1, 20), ("3.3.4", 1, 10),
    ("3.4.2", 1, 3), ("3.5.2", 1, 3), ("3.6.1", 1, 1), ("3.6.2", 1, 3), ("3.7.2", 1, 3),
    ("3.8.1", 1, 1), ("3.8.3", 1, 5), ("3.8.4", 1, 8), ("3.9.2", 1, 2), ("3.9.3", 1, 2),
    ("3.10.1", 1, 1), ("3.10.3", 1, 2), ("3.10.4", 1, 6), ("3.11.2", 1, 2), ("3.11.3", 1, 2),
    ("3.12.4", 1, 1), ("3.14.0", 1, 1), ("3.14.1", 1, 1), ("3.14.2", 1, 4), ("3.14.4", 1, 3),
    ("3.15.1", 1, 1), ("3.15.2", 1, 3), ("4.1.0", 1, 2), ("4.2", 1, 1), ("4.3.1", 1, 1),
    ("4.3.2", 1, 5), ("4.3.3", 1, 13), ("4.4.0", 1, 2), ("4.5.0", 1, 2), ("4.6.0", 1, 6),
    ("4.7.0", 1, 1), ("4.7.1", 1, 2), ("4.7.2", 1, 1), ("4.7.3", 1, 4), ("4.8.2", 1, 6),
    ("4.9.0", 1, 3), ("4.12.0", 1, 7), ("4.12.1", 1, 2), ("4.13.1", 1, 1), ("4.13.2", 1, 1),
    ("6.0.0", 1, 4),
];

#[rustfmt::skip]
const MQTT_3_1_1: &[Section] = &[
    ("1.5.3", 1, 3), ("2.2.2", 1, 2), ("2.3.1", 1, 7), ("3.1.0", 1, 2), ("3.1.2", 1, 24),
    ("3.1.3", 1, 11), ("3.1.4", 1, 5), ("3.2.0", 1, 1), ("3.2.2", 1, 6), ("3.3.1", 1, 12),
    ("3.3.2", 1, 3), ("3.3.4", 1, 1), ("3.3.5", 1, 2), ("3.6.1", 1, 1), ("3.8.1", 1, 1),
    ("3.8.3", 1, 4), ("3.8.4", 1, 6), ("3.9.3", 1, 2), ("3.10.1", 1, 1), ("3.10.3", 1, 2),
    ("3.10.4", 1, 6), ("3.12.4", 1, 1), ("3.14.1", 1, 1), ("3.14.4", 1, 3), ("4.1.0", 1, 2),
    ("4.3.1", 1, 1), ("4.3.2", 1, 2), ("4.3.3", 1, 2), ("4.4.0", 1, 1), ("4.5.0", 1, 2),
    ("4.6.0", 1, 6), ("4.7.1", 1, 3), ("4.7.2", 1, 1), ("4.7.3", 1, 4), ("4.8.0", 1, 2),
    ("6.0.0", 1, 4), ("7.0.0", 1, 2), ("7.1.1", 1, 1), ("7.1.2", 1, 1),
];

fn ids(sections: &[Section]) -> BTreeSet<String> {
    let numbers = sections.iter().flat_map(|&(section, first, last)| {
        (first..=last).map(move |number| format!("MQTT-{section}-{number}"))
    });
    numbers.collect()
}

/// One entry of a list.
struct Entry {
    id: String,
    /// Names of tests; none: a reason stands there.
    tests: Vec<String>,
}

fn list(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance").join(name)
}

/// A line `ID SIDE: words`, then indented lines: names, or a dash and a reason.
fn read(name: &str, faults: &mut Vec<String>) -> Vec<Entry> {
    let text = fs::read_to_string(list(name)).expect("the list is there");
    let mut entries: Vec<(Entry, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.starts_with("    ") {
            let Some((_, below)) = entries.last_mut() else {
                faults.push(format!("{name}: '{line}' belongs to nothing"));
                continue;
            };
            below.push(' ');
            below.push_str(line.trim());
            continue;
        }
        let head = line.split_once(": ").and_then(|(head, words)| {
            let (id, side) = head.split_once(' ')?;
            let is_side = ["server", "client", "both"].contains(&side);
            (is_side && words.ends_with('.')).then_some(id)
        });
        match head {
            Some(id) => entries.push((Entry { id: id.into(), tests: vec![] }, String::new())),
            None => faults.push(format!("{name}: '{line}' is not ID SIDE: sentence")),
        }
    }
    let finished = entries.into_iter().map(|(mut entry, below)| {
        let below = below.trim();
        let is_reason = below.strip_prefix("- ").is_some_and(|reason| !reason.is_empty());
        if below.is_empty() || below.starts_with('-') && !is_reason {
            faults.push(format!("{name}: {} has neither a test nor a reason", entry.id));
        }
        if !is_reason {
            entry.tests = below.split(", ").map(str::to_owned).collect();
        }
        entry
    });
    finished.collect()
}

/// A test as its source has it.
struct Test {
    /// `file::function`, or `file::module::function`.
    name: String,
    is_for_v5: bool,
    is_for_v311: bool,
    /// Statements of MQTT 5 that its comment cites.
    cites: BTreeSet<String>,
}

/// Every test of this program, by its source.
fn tests() -> Vec<Test> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/black_box");
    let mut tests = Vec::new();
    for entry in fs::read_dir(directory).expect("the tests are there") {
        let path = entry.expect("a file").path();
        let file = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        // The tests of a module of several files are in its first one.
        let path = if path.is_dir() { path.join("mod.rs") } else { path };
        tests.extend(tests_in(&file, &fs::read_to_string(path).expect("source is text")));
    }
    tests
}

fn tests_in(file: &str, text: &str) -> Vec<Test> {
    let listed = |list: &str| -> BTreeSet<String> {
        let head = format!("\n{list}! {{");
        let lists = text.split(&*head).skip(1);
        let names = lists.flat_map(|rest| rest.split('}').next().unwrap_or("").split(','));
        names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    };
    let mut every = listed("every_link");
    every.extend(listed("newer_links"));
    every.extend(listed("stream_links"));
    let (v5, v311) = (listed("v5_links"), listed("v311_links"));
    let mut tests = Vec::new();
    let mut module = String::new();
    let mut comment = String::new();
    let mut is_plain = false;
    for line in text.lines() {
        let code = line.trim();
        if let Some(words) = code.strip_prefix("///") {
            comment.push_str(words);
            continue;
        }
        if code == "#[test]" {
            is_plain = true;
            continue;
        }
        if let Some(name) = line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(" {")) {
            module = format!("{name}::");
        } else if line == "}" {
            module.clear();
        }
        if let Some(name) = code.strip_prefix("fn ").and_then(|rest| rest.split('(').next()) {
            let is_for_v5 = is_plain || every.contains(name) || v5.contains(name);
            let is_for_v311 = is_plain || every.contains(name) || v311.contains(name);
            if is_for_v5 || is_for_v311 {
                let name = format!("{file}::{module}{name}");
                // The comment of a test for MQTT 3.1.1 alone cites that document.
                let cites = if is_for_v5 { cited(&comment) } else { BTreeSet::new() };
                tests.push(Test { name, is_for_v5, is_for_v311, cites });
            }
        }
        comment.clear();
        is_plain = false;
    }
    tests
}

/// What stands in brackets, ranges with `to` included.
fn cited(comment: &str) -> BTreeSet<String> {
    let mut cited = BTreeSet::new();
    let mut before = "";
    for part in comment.split("[MQTT-").skip(1) {
        let Some((id, rest)) = part.split_once(']') else { continue };
        let (section, last) = id.rsplit_once('-').expect("a statement has a number");
        let last: u32 = last.parse().expect("a statement has a number");
        let first = before.rsplit_once('-').and_then(|(_, first)| first.parse().ok());
        let numbers = first.unwrap_or(last)..=last;
        cited.extend(numbers.map(|number| format!("MQTT-{section}-{number}")));
        before = if rest.trim() == "to" { id } else { "" };
    }
    cited
}

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "tests/conformance:\n  {}", faults.join("\n  "));
}

/// Checks one list against the numbers that must be in it and against the tests.
fn check(name: &str, ids: &BTreeSet<String>, tests: &[Test], is_fit: impl Fn(&Test) -> bool) {
    let mut faults = Vec::new();
    let entries = read(name, &mut faults);
    let mut seen = BTreeSet::new();
    for Entry { id, tests: named } in &entries {
        if !ids.contains(id) {
            faults.push(format!("{name}: {id} is unknown"));
        }
        if !seen.insert(id) {
            faults.push(format!("{name}: {id} is there twice"));
        }
        for test in named {
            match tests.iter().find(|known| known.name == *test) {
                None => faults.push(format!("{name}: {id} cites {test}, which is no test")),
                Some(test) if !is_fit(test) => {
                    faults.push(format!("{name}: {id} cites {}, of another version", test.name));
                }
                Some(_) => {}
            }
        }
    }
    for id in ids.iter().filter(|id| !seen.contains(id)) {
        faults.push(format!("{name}: {id} is missing"));
    }
    assert_none(&faults);
}

#[test]
fn every_statement_of_mqtt_5_names_its_tests() {
    let ids = ids(MQTT_5);
    assert_eq!(ids.len(), 251);
    check("mqtt-5.txt", &ids, &tests(), |test| test.is_for_v5);
}

#[test]
fn every_statement_of_mqtt_3_1_1_names_its_tests() {
    let ids = ids(MQTT_3_1_1);
    assert_eq!(ids.len(), 141);
    check("mqtt-3.1.1.txt", &ids, &tests(), |test| test.is_for_v311);
}

#[test]
fn every_fault_of_the_field_names_its_tests() {
    let faults = [
        ("recurring", 8),
        ("session", 10),
        ("connect", 8),
        ("publish", 6),
        ("subscribe", 11),
        ("choice", 1),
    ];
    let ids =
        faults.iter().flat_map(|&(room, last)| (1..=last).map(move |n| format!("{room}-{n}")));
    check("field-faults.txt", &ids.collect(), &tests(), |_| true);
}

/// A comment that cites a statement is a promise: the list names the test there.
#[test]
fn what_a_test_cites_names_the_test() {
    let mut faults = Vec::new();
    let named: BTreeMap<String, Vec<String>> =
        read("mqtt-5.txt", &mut faults).into_iter().map(|entry| (entry.id, entry.tests)).collect();
    for test in tests() {
        for id in &test.cites {
            if !named.get(id).is_some_and(|tests| tests.contains(&test.name)) {
                faults.push(format!("mqtt-5.txt: {id} does not name {}", test.name));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn the_check_reads_what_is_there() {
    let source = "//! x\nevery_link! { one }\nv311_links! {\n    two,\n}\n/// [MQTT-1.5.4-1] to\n\
                  /// [MQTT-1.5.4-3]\nfn one(link: Link) {\n}\n/// [MQTT-9.9.9-9]\nfn two() {}\n\
                  fn none() {}\nmod inner {\n    #[test]\n    fn three() {}\n}\n";
    let tests = tests_in("file", source);
    let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
    assert_eq!(names, ["file::one", "file::two", "file::inner::three"]);
    let cites = ["MQTT-1.5.4-1", "MQTT-1.5.4-2", "MQTT-1.5.4-3"].map(str::to_owned);
    assert_eq!(tests[0].cites, BTreeSet::from(cites));
    assert_eq!((tests[1].is_for_v5, tests[1].cites.len()), (false, 0));
    assert_eq!((tests[2].is_for_v5, tests[2].is_for_v311), (true, true));
}
