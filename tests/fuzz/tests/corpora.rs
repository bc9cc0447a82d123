//! Every file of every corpus, as an ordinary test.

use std::fs;
use std::path::Path;

use flotilla_fuzz::TARGETS;

#[test]
fn every_corpus_is_played() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora");
    for target in TARGETS {
        let mut played = 0;
        for entry in fs::read_dir(corpora.join(target.name)).expect("each target has a corpus") {
            let path = entry.expect("an entry").path();
            println!("{}", path.display());
            (target.body)(&fs::read(path).expect("a file of the corpus"));
            played += 1;
        }
        assert!(played > 0, "{} has an empty corpus", target.name);
    }
}

/// Bytes that follow no plan; a fuzzer looks for better ones.
#[test]
fn noise_is_survived() {
    let mut state = 42_u64;
    let mut next = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for target in TARGETS {
        let rounds = if target.name == "stored" { 3 } else { 50 };
        for len in 0..rounds {
            let bytes: Vec<u8> = (0..len * 3).map(|_| next()).collect();
            (target.body)(&bytes);
        }
    }
}
