//! Seeds that nobody has tried, those that have failed once, one seed twice.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use sim::bench::dice::seeds;
use sim::plan::Plan;
use sim::play::{Telling, catch_panics, play, shrink};
use sim::tally::Tally;

/// Operations of each run.
const STEPS: usize = 2_000;

/// Plays each seed; fails with the shortest plan that fails in the same way.
#[test]
fn fresh_seeds() {
    const TIME_MAX: Duration = Duration::from_secs(60);
    catch_panics();
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    let from = clock.as_secs() * 1_000;
    let (start, mut played) = (Instant::now(), 0);
    for seed in seeds(from..from + 300) {
        let plan = Plan::of_seed(seed, STEPS);
        if let Some(fault) = play(&plan, Telling::Silent).fault {
            let short = shrink(&plan, 2_000);
            eprintln!("seed {seed}: {fault}\n{short}");
            panic!("{fault}\nsee it happen: cargo run -p sim -- --seed {seed}");
        }
        played += 1;
        if start.elapsed() > TIME_MAX {
            break;
        }
    }
    println!("{played} seeds from {from}, {} ms", start.elapsed().as_millis());
    assert!(played > 0);
}

/// What never happens is never checked.
#[test]
fn every_kind_of_thing_happens() {
    catch_panics();
    let mut tally = Tally::default();
    for seed in 0..200 {
        tally += &play(&Plan::of_seed(seed, STEPS), Telling::Silent).tally;
    }
    let never: Vec<_> = tally.rows().into_iter().filter(|(_, times)| *times == 0).collect();
    assert!(never.is_empty(), "{never:?}");
}

#[test]
fn whatever_has_failed_once() {
    catch_panics();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut played = 0;
    for entry in std::fs::read_dir(directory).expect("it is committed") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a plan is text");
        let plan = Plan::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let fault = play(&plan, Telling::Silent).fault;
        assert_eq!(fault, None, "{}", path.display());
        played += 1;
    }
    assert!(played > 0);
}

#[test]
fn one_seed_gives_one_history() {
    catch_panics();
    for seed in [7, 42, 4_242] {
        let plan = Plan::of_seed(seed, STEPS);
        let (one, other) = (play(&plan, Telling::Kept), play(&plan, Telling::Kept));
        assert!(one.story.lines().count() > 100, "something happens: {}", one.story);
        assert!(one == other, "seed {seed} is not repeatable");
    }
}

/// A plan means the same when it is written and read.
#[test]
fn a_plan_is_text() {
    let plan = Plan::of_seed(3, 200);
    let read = Plan::parse(&format!("# a comment\n\n{plan}")).expect("it was written so");
    assert_eq!((read.seed, read.operations), (plan.seed, plan.operations));
    assert_eq!(
        Plan::parse("Nothing 1").err().as_deref(),
        Some("`Nothing 1`: no operation has this name")
    );
}
