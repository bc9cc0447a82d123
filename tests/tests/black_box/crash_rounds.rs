//! The broker is killed again and again under everything at once; a checker decides from the
//! histories of the clients whether it kept its word.
//!
//! `scripts/crash-rounds.sh` runs many more rounds, on a release build.

use std::time::Duration;

use flotilla_tests::{
    Broker, DEADLINE, Settings, from_environment,
    history::rounds::{Plan, end_the_process, play},
};

/// A killed process loses nothing that the operating system has, so the promise is the same for
/// each setting of `sync`. [MQTT-4.3.2-2], [MQTT-4.3.3-10], [MQTT-4.4.0-1], [MQTT-4.6.0-6]
fn killed(sync: &str, seed: u64) {
    let settings = Settings::new().tables(&format!("[store]\nsync = \"{sync}\""));
    let plan = Plan {
        seed: from_environment("FLOTILLA_CRASH_SEED").unwrap_or(seed),
        rounds: from_environment("FLOTILLA_CRASH_ROUNDS").unwrap_or(20) as u32,
        length: Duration::from_millis(20)..Duration::from_millis(1_200),
        pause: Duration::from_millis(30),
        patience: DEADLINE,
    };
    let summary = play(&plan, Broker::start(settings), end_the_process);
    eprintln!("sync = \"{sync}\", {summary}");
    assert!(summary.verdict().redelivered > 0 && summary.verdict().owed > 0);
}

#[test]
fn with_sync_always_nothing_acknowledged_is_lost() {
    killed("always", 1);
}

#[test]
fn with_sync_never_nothing_acknowledged_is_lost() {
    killed("never", 2);
}
