//! Rules of the source that the compiler cannot see.
//!
//! A line of text is not a program: these tests look at words, so they are strict about a few words
//! that are easy to avoid.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// Longest file, in lines.
const LINES_MAX: usize = 500;
/// Files that are longer, how long they may be, why. They may become shorter, not longer.
const LONGER: &[(&str, usize, &str)] = &[
    ("broker/core/tests/shard/faults.rs", 700, "dialogues, one a fault"),
    ("broker/core/tests/shard/rules.rs", 800, "dialogues, one a rule"),
];
/// Where the packages are.
const PACKAGES: &[&str] = &[
    "broker/mqtt",
    "broker/core",
    "broker/store",
    "broker/server",
    "certs",
    "loadtest",
    // Before the package that it lies in.
    "tests/sim",
    "tests/fuzz/driver",
    "tests/fuzz",
    "tests",
];
/// Words that say nothing about what is in a file.
const NAMES_NEVER: &[&str] =
    &["manager", "handler", "helper", "helpers", "util", "utils", "common", "misc", "data", "info"];

fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package is in the workspace").to_path_buf()
}

/// Path from the root, text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// What comes before the tests of the file.
    fn code(&self) -> &str {
        self.text.split("#[cfg(test)]").next().unwrap_or_default()
    }

    /// Its lines without comments, numbered from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = self.code().lines().map(|line| line.split("//").next().unwrap_or_default());
        code.enumerate().map(|(at, line)| (at + 1, line))
    }

    fn is_test(&self) -> bool {
        let parts: Vec<&str> = self.path.split('/').collect();
        let is_test_file = parts.last().is_some_and(|name| *name == "tests.rs");
        is_test_file || parts.contains(&"tests") || parts.contains(&"benches")
    }
}

/// Every Rust file below these directories.
fn sources(directories: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = directories.iter().map(|it| root().join(it)).collect();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of the workspace") {
            let path = entry.expect("a file of the workspace").path();
            if path.is_dir() {
                let is_foreign = ["target", "node_modules"].map(OsStr::new).map(Some);
                if !is_foreign.contains(&path.file_name()) {
                    open.push(path);
                }
            } else if path.extension() == Some(OsStr::new("rs")) {
                let text = fs::read_to_string(&path).expect("source is text");
                let path = path.strip_prefix(root()).expect("it is below the root");
                found.push(Source { path: path.to_string_lossy().into_owned(), text });
            }
        }
    }
    assert!(!found.is_empty(), "{directories:?}");
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found.dedup_by(|one, other| one.path == other.path);
    found
}

fn everything() -> Vec<Source> {
    sources(PACKAGES)
}

/// Fails with one line for each fault.
#[track_caller]
fn assert_none(faults: Vec<String>, rule: &str) {
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}

/// Lines of code, outside of tests, that contain one of the words.
fn lines_with(sources: &[Source], words: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        for (number, line) in source.lines() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                faults.push(format!("{}:{number}: {word}", source.path));
            }
        }
    }
    faults
}

#[test]
fn the_core_never_waits() {
    let words = [
        "Instant::",
        "SystemTime",
        "std::thread",
        "thread::",
        "std::net",
        "std::fs",
        "File::",
        "std::io",
        "async ",
        ".await",
        "tokio",
        "Mutex",
        "RwLock",
        "Condvar",
        "mpsc",
        "rand::",
        "getrandom",
        "RandomState",
        "thread_rng",
        "std::env",
        "println!",
        "eprintln!",
    ];
    let faults = lines_with(&sources(&["broker/core/src"]), &words);
    assert_none(faults, "broker/core waits for nothing: no clock, thread, socket, file, chance");
}

#[test]
fn the_wire_format_knows_no_session() {
    let faults = lines_with(
        &sources(&["broker/mqtt/src"]),
        &["flotilla_core", "flotilla_store", "std::net", "std::io", "std::fs", "tokio", "HashMap"],
    );
    assert_none(faults, "broker/mqtt turns bytes into packets and back, and keeps nothing");
}

/// It may say why an identification failed: a Reason Code is not a packet.
#[test]
fn the_server_names_no_packet() {
    let server = sources(&["broker/server/src"]);
    let mut faults = lines_with(&server, &["Packet::", "Publish", "Connack", "decode(", "encode("]);
    for source in server.iter().filter(|source| !source.is_test()) {
        for (number, line) in source.lines().filter(|(_, line)| line.contains("flotilla_mqtt")) {
            if line.trim() != "use flotilla_mqtt::ReasonCode;" {
                faults.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert_none(faults, "broker/server moves bytes, of flotilla_mqtt it may use ReasonCode");
}

/// Nothing points to the right: mqtt <- core <- store <- server.
#[test]
fn dependencies_point_one_way() {
    let mut faults = Vec::new();
    for (package, may_not_use) in [
        ("broker/mqtt", &["flotilla-core", "flotilla-store", "flotilla ", "tokio"][..]),
        ("broker/core", &["flotilla-store", "flotilla ", "tokio", "rocksdb", "tracing"]),
        ("broker/store", &["flotilla ", "tokio"]),
        ("tests", &["flotilla-core", "flotilla-store", "flotilla "]),
    ] {
        let manifest = fs::read_to_string(root().join(package).join("Cargo.toml"));
        let manifest = manifest.expect("a package has a manifest");
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        for name in may_not_use {
            if dependencies.lines().any(|line| line.starts_with(name)) {
                faults.push(format!("{package} uses {name}"));
            }
        }
    }
    assert_none(faults, "a package uses only those to its left");
}

/// A file that no `mod` leads to is not compiled, and nobody notices.
#[test]
fn every_file_is_reachable() {
    let sources = everything();
    let all: BTreeSet<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<String> = sources
        .iter()
        .filter(|source| is_target(&source.path))
        .map(|source| source.path.clone())
        .collect();
    while let Some(path) = open.pop() {
        if !reached.insert(path.clone()) {
            continue;
        }
        let Some(source) = sources.iter().find(|source| source.path == path) else { continue };
        let (directory, name) = path.rsplit_once('/').expect("a file is in a directory");
        let own = if is_target(&path) || name == "mod.rs" {
            // What belongs to a target, or to a folder's module, lies beside it.
            directory.to_owned()
        } else {
            path.trim_end_matches(".rs").to_owned()
        };
        for module in modules(&source.text) {
            let candidates = [format!("{own}/{module}.rs"), format!("{own}/{module}/mod.rs")];
            open.extend(candidates.into_iter().filter(|path| all.contains(path.as_str())));
        }
    }
    let lost = all.iter().filter(|path| !reached.contains(**path));
    assert_none(lost.map(|path| (*path).to_owned()).collect(), "no mod line leads here");
}

/// Whether cargo finds it by itself: a library, a program, a test, an example, a bench.
fn is_target(path: &str) -> bool {
    let inside = |package: &&str| path.strip_prefix(*package)?.strip_prefix('/');
    let file = PACKAGES.iter().find_map(inside);
    let file = file.unwrap_or_else(|| panic!("{path} is in no package that this test knows"));
    let parts: Vec<&str> = file.split('/').collect();
    matches!(
        parts.as_slice(),
        ["build.rs"]
            | ["src", "lib.rs" | "main.rs"]
            | ["src", "bin", _]
            | ["tests" | "examples" | "benches", _]
            | ["tests" | "examples" | "benches", _, "main.rs"]
    )
}

/// The names in `mod name;` lines.
fn modules(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub ")).unwrap_or(line);
        let line = line.strip_prefix("pub(super) ").unwrap_or(line);
        line.strip_prefix("mod ")?.strip_suffix(';')
    })
}

#[test]
fn every_file_says_what_it_is() {
    let says_nothing = |source: &&Source| {
        let first = source.text.lines().next().and_then(|line| line.strip_prefix("//! "));
        first
            .is_none_or(|sentence| !sentence.starts_with(|c: char| c.is_alphanumeric() || c == '`'))
    };
    let faults = everything().iter().filter(says_nothing).map(|it| it.path.clone()).collect();
    assert_none(faults, "the first line of a file starts with //! and says what it is");
}

#[test]
fn files_are_short() {
    let mut faults = Vec::new();
    for Source { path, text } in everything() {
        let lines = text.lines().count();
        let excuse = LONGER.iter().find(|(longer, ..)| *longer == path);
        let most = excuse.map_or(LINES_MAX, |(_, most, _)| *most);
        if lines > most {
            faults.push(format!("{path}: {lines} lines, {most} are allowed"));
        }
        if lines <= LINES_MAX && excuse.is_some() {
            faults.push(format!("{path}: {lines} lines, it needs no exception any more"));
        }
    }
    for (path, _, reason) in LONGER {
        assert!(root().join(path).is_file() && !reason.is_empty(), "{path} is not there");
    }
    assert_none(faults, "a file holds one concept, in at most 500 lines");
}

#[test]
fn nothing_is_left_for_later() {
    let faults = lines_with(&everything(), &[".unwrap()", "todo!", "unimplemented!", "dbg!"]);
    assert_none(faults, "outside of tests nothing is unwrapped or left out");
    let mut faults = Vec::new();
    // Written in two parts, so that this file passes its own test.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("#[ig", "nore]")];
    for Source { path, text } in everything() {
        for (at, line) in text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                faults.push(format!("{path}:{}: {word}", at + 1));
            }
        }
    }
    assert_none(faults, "what is here is finished");
}

#[test]
fn names_say_something() {
    let mut faults = Vec::new();
    for Source { path, .. } in everything() {
        let parts = path.trim_end_matches(".rs").split(['/', '_']);
        for word in parts.filter(|part| NAMES_NEVER.contains(part)) {
            faults.push(format!("{path}: {word}"));
        }
    }
    assert_none(faults, "a name says what is in a file");
}
