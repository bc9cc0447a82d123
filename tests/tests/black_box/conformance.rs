//! Every normative statement of MQTT 5 has a test, or a reason why it has none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// By statement: why no test can show it; empty when one does.
fn statements() -> BTreeMap<String, String> {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance.txt");
    let list = fs::read_to_string(list).expect("the list is there");
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    let split = |line: &str| {
        let (id, reason) = line.split_once(": ").unwrap_or((line, ""));
        (id.to_owned(), reason.to_owned())
    };
    lines.map(split).collect()
}

/// What stands in brackets in the comment of a scenario. A line that speaks of MQTT 3.1.1 cites
/// that document, whose numbers look the same.
fn cited() -> BTreeSet<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/black_box");
    let mut cited = BTreeSet::new();
    for entry in fs::read_dir(directory).expect("the tests are there") {
        let text = fs::read_to_string(entry.expect("a file").path()).expect("source is text");
        let lines = text.lines().filter(|line| !line.contains("MQTT 3.1.1"));
        let text: Vec<&str> = lines.collect();
        // A range may be broken at the end of a line.
        let text = text.join("\n").replace("\n/// ", " ");
        let parts: Vec<&str> = text.split('[').collect();
        let mut before: Option<&str> = None;
        for part in parts {
            let Some((id, rest)) = part.split_once(']') else { continue };
            let Some((section, last)) = id.rsplit_once('-').filter(|_| id.starts_with("MQTT-"))
            else {
                before = None;
                continue;
            };
            let last: u32 = last.parse().unwrap_or_else(|_| panic!("[{id}] is no statement"));
            let first = before.and_then(|id| id.rsplit_once('-')?.1.parse().ok()).unwrap_or(last);
            cited.extend((first..=last).map(|number| format!("{section}-{number}")));
            before = (rest.trim() == "to").then_some(id);
        }
    }
    cited
}

#[test]
fn every_statement_has_a_test_or_a_reason() {
    let statements = statements();
    let cited = cited();
    assert_eq!(statements.len(), 251, "MQTT 5 has as many");
    let mut faults = Vec::new();
    for (id, reason) in &statements {
        match (cited.contains(id), reason.is_empty()) {
            (false, true) => faults.push(format!("{id} has neither a test nor a reason")),
            (true, false) => faults.push(format!("{id} has a test, its remark is wrong")),
            _ => {}
        }
    }
    for id in cited.iter().filter(|id| !statements.contains_key(*id)) {
        faults.push(format!("a test cites {id}, which does not exist"));
    }
    assert!(faults.is_empty(), "tests/conformance.txt:\n  {}", faults.join("\n  "));
}
