//! The machine loses its power under everything at once; the checker decides from the histories
//! of the clients what may be gone.
//!
//! `scripts/power-cut.sh` runs more rounds, on a release build.

use std::time::Duration;

use flotilla_tests::{
    Broker, DEADLINE, Dice, Disk, Settings, from_environment,
    history::{
        Loses,
        rounds::{Interruption, Plan, Summary, play},
    },
};

const DISK_BYTES: u64 = 1 << 30;

/// Plays rounds that end with the disk shut down under the broker, if that is possible here.
fn played(sync: &str, seed: u64) -> Option<Summary> {
    let disk = Disk::make_or_skip(DISK_BYTES, "power cut")?;
    let settings = Settings::new()
        .data_in(&disk.path().join("data"))
        .tables(&format!("[store]\nsync = \"{sync}\""));
    let plan = Plan {
        seed: from_environment("FLOTILLA_POWER_CUT_SEED").unwrap_or(seed),
        rounds: from_environment("FLOTILLA_POWER_CUTS").unwrap_or(3) as u32,
        length: Duration::from_millis(300)..Duration::from_millis(3_000),
        pause: Duration::from_millis(30),
        patience: DEADLINE * 3,
    };
    let cut = |broker: &mut Broker, dice: &mut Dice| {
        // A sync that is on its way while ext4 is shut down can succeed and have done nothing: no
        // disk answers after its power has gone.
        broker.freeze();
        disk.cut_power();
        broker.thaw();
        // What it says now must be as true as before.
        std::thread::sleep(dice.time(Duration::ZERO..Duration::from_millis(50)));
        broker.kill();
        disk.mount_again();
        broker.restart();
        let is_synced = sync == "always";
        Interruption::PowerCut(if is_synced { Loses::Unacknowledged } else { Loses::Unsynced })
    };
    let summary = play(&plan, Broker::start(settings), cut);
    eprintln!("sync = \"{sync}\", {summary}");
    Some(summary)
}

/// Nothing that was acknowledged is lost. [MQTT-4.3.2-2], [MQTT-4.3.3-10], [MQTT-4.4.0-1]
#[test]
fn with_sync_always_nothing_acknowledged_is_lost() {
    if let Some(summary) = played("always", 1) {
        assert!(summary.verdict().owed > 0 && summary.verdict().redelivered > 0);
    }
}

/// The last messages may be gone, and nothing that was acknowledged before something that is still
/// there.
fn a_prefix_is_left(sync: &str, seed: u64) {
    if let Some(summary) = played(sync, seed) {
        assert!(summary.verdict().owed > summary.verdict().lost_unsynced);
    }
}

#[test]
fn with_sync_at_intervals_a_prefix_is_left() {
    a_prefix_is_left("200ms", 2);
}

#[test]
fn with_sync_never_a_prefix_is_left() {
    a_prefix_is_left("never", 3);
}
