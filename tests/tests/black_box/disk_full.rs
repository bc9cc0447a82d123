//! A disk without room: nothing is acknowledged that is not there, consumers go on, everybody is
//! told, and it heals when there is room again.
//!
//! `scripts/disk-full.sh` runs more rounds, on a release build.

use std::{
    thread,
    time::{Duration, Instant},
};

use flotilla_tests::{
    Broker, Client, Connect, DEADLINE, Dice, Disk, Publish, Settings, Transport, Version,
    from_environment,
    history::rounds::{Interruption, Plan, play},
    packet::DISCONNECT,
};

const DISK_BYTES: u64 = 640 << 20;
/// What is left for the broker; a twentieth of the disk it keeps in reserve.
const ROOM_BYTES: u64 = 160 << 20;
const PAYLOAD_BYTES: usize = 500_000;

fn start(disk: &Disk) -> Broker {
    Broker::start(Settings::new().data_in(&disk.path().join("data")))
}

/// Waits until `/health` answers with this status.
#[track_caller]
fn await_health(broker: &Broker, status: u16) -> String {
    let until = Instant::now() + DEADLINE * 3;
    loop {
        let (found, page) = broker.get("/health");
        if found == status {
            return page;
        }
        assert!(Instant::now() < until, "/health says {found}: {page}\n{}", broker.log());
        thread::sleep(Duration::from_millis(20));
    }
}

fn connect(broker: &Broker, version: Version, connect: &Connect) -> (Client, bool) {
    let mut client = Client::open(&broker.endpoint(Transport::Tcp), version);
    let (session_present, _) = client.connect(connect);
    (client, session_present)
}

fn payload(number: u64) -> Vec<u8> {
    let mut payload = format!("{number} ").into_bytes();
    payload.resize(PAYLOAD_BYTES, b'.');
    payload
}

/// Takes the messages in, up to the one with this number; all between must come, once, in order.
#[track_caller]
fn take_all(client: &mut Client, expected: &[u64]) {
    for number in expected {
        let publish = client.take();
        let got = publish.text().split(' ').next().and_then(|text| text.parse().ok());
        assert_eq!(got, Some(*number), "acknowledged, and in this order");
    }
}

#[test]
fn publishers_are_refused_and_consumers_go_on_until_there_is_room() {
    let Some(disk) = Disk::make_or_skip(DISK_BYTES, "disk full") else { return };
    disk.fill_up_to(ROOM_BYTES);
    let mut broker = start(&disk);
    let sleepers = ["one", "two"].map(Connect::persistent);
    for sleeper in &sleepers {
        let (mut client, _) = connect(&broker, Version::V5, sleeper);
        client.subscribe("x", 1);
        client.send(DISCONNECT);
        client.until_closed();
    }

    // Until it is refused, every message is acknowledged.
    let (mut publisher, _) = connect(&broker, Version::V5, &Connect::new("publisher"));
    let mut acknowledged = Vec::new();
    let refused = (0..).find(|number| {
        let code = publisher.try_publish(Publish::new("x", payload(*number)).qos(1, 0));
        assert!(code == 0 || code == 0x97, "PUBACK 0x{code:02X}");
        acknowledged.extend((code == 0).then_some(*number));
        assert!(acknowledged.len() * PAYLOAD_BYTES < 2 * ROOM_BYTES as usize, "there is no room");
        code == 0x97
    });
    assert!(acknowledged.len() > 20 && refused.is_some(), "{}", acknowledged.len());
    let page = await_health(&broker, 503);
    assert!(page.contains("\"status\":\"full\"") && page.contains("\"reason\":"), "{page}");

    // MQTT 3.1.1 cannot be refused: it waits.
    let (mut older, _) = connect(&broker, Version::V311, &Connect::new("older"));
    older.send(&Publish::new("x", "older").qos(1, 7).bytes(Version::V311));

    // Who reads makes progress, over an end of the process, too.
    let (mut one, session_present) = connect(&broker, Version::V5, &sleepers[0]);
    assert!(session_present);
    take_all(&mut one, &acknowledged);
    one.ping();
    broker.kill();
    broker.restart();
    let page = await_health(&broker, 503);
    assert!(page.contains("\"status\":\"full\""), "{page}");
    let (mut two, session_present) = connect(&broker, Version::V5, &sleepers[1]);
    assert!(session_present);
    take_all(&mut two, &acknowledged);
    let (mut publisher, _) = connect(&broker, Version::V5, &Connect::new("publisher"));
    assert_eq!(publisher.try_publish(Publish::new("x", payload(0)).qos(1, 0)), 0x97);
    // What nobody has to store is no matter of the disk.
    two.subscribe("free", 0);
    publisher.publish("free", "free", 0);
    assert_eq!(two.take().text(), "free");
    let (mut older, _) = connect(&broker, Version::V311, &Connect::new("older"));
    older.send(&Publish::new("x", "older").qos(1, 7).bytes(Version::V311));

    disk.make_room();
    await_health(&broker, 200);
    older.await_puback(7);
    publisher.publish("x", "5000 ", 1);
    // Refused is not delivered.
    assert_eq!(two.take().text(), "older");
    take_all(&mut two, &[5000]);
}

/// Somebody else takes the last byte, under everything at once.
#[test]
fn without_a_byte_left_nothing_acknowledged_is_lost() {
    let Some(disk) = Disk::make_or_skip(DISK_BYTES, "disk full") else { return };
    let plan = Plan {
        seed: from_environment("FLOTILLA_FULL_SEED").unwrap_or(1),
        rounds: from_environment("FLOTILLA_FULL_DISKS").unwrap_or(4) as u32,
        length: Duration::from_millis(200)..Duration::from_millis(1_000),
        pause: Duration::from_millis(30),
        patience: DEADLINE * 3,
    };
    let fill = |broker: &mut Broker, dice: &mut Dice| {
        // Sometimes a little is left, so that it ends in the middle of a write.
        let bytes_left = *dice.one_of(&[0, 0, 20_000, 300_000, 5 << 20]);
        disk.fill_up_to(bytes_left);
        thread::sleep(dice.time(Duration::from_millis(200)..Duration::from_millis(2_000)));
        await_health(broker, 503);
        let with_kill = dice.once_in(3);
        if with_kill {
            broker.kill();
        }
        disk.make_room();
        if with_kill {
            broker.restart();
        }
        await_health(broker, 200);
        Interruption::DiskFull { with_kill }
    };
    let summary = play(&plan, start(&disk), fill);
    eprintln!("{summary}");
    assert!(summary.verdict().owed > 0);
}
