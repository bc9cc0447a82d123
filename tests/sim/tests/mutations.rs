//! The ways to break the broker fit what they break: `scripts/mutations.py` tries them.

use std::collections::BTreeSet;
use std::path::Path;

/// Each way stands once in the code of today, and changes it.
#[test]
fn each_fits() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.join("../..");
    let text = std::fs::read_to_string(package.join("mutations.txt")).expect("it is text");
    let mut names = BTreeSet::new();
    let mut unfit = Vec::new();
    for way in text.split("\n== ").skip(1) {
        let mut lines = way.lines();
        let name = lines.next().expect("a name");
        let (_, file) = (lines.next().expect("a sentence"), lines.next().expect("a file"));
        let lines: Vec<_> = lines.collect();
        let of = |sign| lines.iter().filter_map(|line| line.strip_prefix(sign)).collect::<Vec<_>>();
        let (old, new) = (of('-').join("\n"), of('+').join("\n"));
        let code = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        let times = code.matches(&old).count();
        if old.is_empty() || old == new || times != 1 || !names.insert(name) {
            unfit.push(format!("{name}: {times} times in {file}"));
        }
    }
    assert!(unfit.is_empty() && names.len() > 70, "{} fit, not {unfit:#?}", names.len());
}
