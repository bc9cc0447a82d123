//! A disk that is really full: an image of a file system, which takes root to mount.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use flotilla_core::id::{ClientId, Position, SessionKey, ShardId, Ticket};
use flotilla_core::message::{Message, MessageParts};
use flotilla_core::turn::{Append, Batch, Replay};
use flotilla_mqtt::{Forwarded, QoS};
use flotilla_store::{CommitSink, Engine, Options, Rocks, State};
use tempfile::TempDir;

const MIB: u64 = 1024 * 1024;
const DEADLINE: Duration = Duration::from_secs(60);
const PAYLOAD: usize = 64 * 1024;

/// A file system of its own.
struct Disk {
    dir: TempDir,
}

impl Disk {
    /// `None`, and why on stderr: this process may not mount.
    fn mount() -> Option<Self> {
        let disk = Self { dir: TempDir::new().expect("a temporary directory") };
        let image = disk.dir.path().join("image");
        File::create(&image).and_then(|file| file.set_len(128 * MIB)).expect("an image");
        fs::create_dir(disk.path()).expect("a directory");
        let run = |program: &str, arguments: &[&Path]| {
            let outcome = Command::new(program).args(arguments).output();
            outcome.is_ok_and(|output| output.status.success())
        };
        let is_mounted = run("mkfs.ext4", &[Path::new("-q"), &image])
            && run("mount", &[Path::new("-o"), Path::new("loop"), &image, &disk.path()]);
        if !is_mounted {
            eprintln!("skipped: no file system can be made and mounted here (are you root?)");
        }
        is_mounted.then_some(disk)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Takes all the room but so much.
    fn fill(&self, left_bytes: u64) {
        let mut ballast = File::create(self.path().join("ballast")).expect("a file");
        let free = || {
            let disk = rustix::fs::statvfs(self.path()).expect("a disk");
            disk.f_bavail * disk.f_frsize
        };
        while free() > left_bytes {
            let chunk = (free() - left_bytes).min(MIB) as usize;
            ballast.write_all(&vec![0; chunk]).and_then(|()| ballast.sync_all()).expect("room");
        }
    }

    fn clear(&self) {
        fs::remove_file(self.path().join("ballast")).expect("it was filled");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).output();
    }
}

#[derive(Debug, PartialEq)]
enum Told {
    Committed(u64),
    Synced(u64),
    State(&'static str),
}

struct Telling(Sender<Told>);

impl CommitSink for Telling {
    fn committed(&mut self, group: Vec<(Batch, Position)>, _: Position) {
        for (batch, first) in group {
            assert_eq!(batch.ticket.0, first.0, "one message a batch");
            let _ = self.0.send(Told::Committed(first.0));
        }
    }

    fn synced(&mut self, up_to: &[(ShardId, Ticket)]) {
        let _ = self.0.send(Told::Synced(up_to[0].1.0));
    }

    fn refused(&mut self, batch: Batch) {
        panic!("refused: {batch:?}");
    }

    fn state_changed(&mut self, state: &State) {
        eprintln!("{state}");
        let _ = self.0.send(Told::State(state.name()));
    }
}

/// What was told so far.
struct Listener {
    told: Receiver<Told>,
    committed: u64,
    synced: u64,
}

impl Listener {
    /// Waits for this.
    fn hear(&mut self, awaited: impl Fn(&Told) -> bool) {
        loop {
            let told = self.told.recv_timeout(DEADLINE).expect("told within the deadline");
            match told {
                Told::Committed(ticket) => {
                    assert_eq!(ticket, self.committed + 1, "in order, none twice");
                    self.committed = ticket;
                }
                Told::Synced(ticket) => {
                    assert!(ticket <= self.committed, "synced behind committed");
                    self.synced = ticket;
                }
                Told::State(_) => {}
            }
            if awaited(&told) {
                return;
            }
        }
    }
}

fn payload(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(PAYLOAD / 8).flatten().collect()
}

fn batch(number: u64) -> Batch {
    let parts = MessageParts {
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: "t",
        publisher: "publisher",
        addressee: "",
        received_at_ms: number,
        expires_at_ms: None,
        forwarded: Forwarded::EMPTY,
        payload: &payload(number),
    };
    let message = Message::new(&parts, &mut Vec::new());
    let appends = vec![Append { message, targets: Vec::new() }];
    Batch { ticket: Ticket(number), appends, needs_sync: true, ..Batch::default() }
}

/// How many messages the log holds, each what it was.
fn check(rocks: &Rocks) -> u64 {
    let mut count = 0;
    let mut replay = Replay {
        session: SessionKey::default(),
        number: 0,
        client_id: ClientId::from("me"),
        from: Position(1),
        filters: [(Box::from("#"), Position::ZERO)].into(),
        positions: Vec::new(),
        messages_max: 10,
        bytes_max: 1 << 20,
    };
    loop {
        let page = rocks.replay(std::slice::from_ref(&replay)).remove(0);
        let page = page.expect("the log is readable");
        for (position, message) in page.messages {
            count += 1;
            assert_eq!(position.0, count);
            assert!(message.payload() == payload(count), "message {count}");
        }
        if page.reached_end {
            return count;
        }
        replay.from = page.next;
    }
}

#[test]
fn a_full_disk_loses_nothing_and_heals_when_there_is_room() {
    let Some(disk) = Disk::mount() else { return };
    let dir = disk.path().join("store");
    let options =
        Options { wal_bytes_max: 8 * MIB, write_buffer_bytes_max: 8 << 20, ..Options::default() };
    let (sender, told) = channel();
    let (rocks, _) = Rocks::open(&dir, &options, Telling(sender)).expect("the store opens");
    let mut listener = Listener { told, committed: 0, synced: 0 };
    let mut number = 0;
    for round in 1..=2 {
        for _ in 0..10 {
            number += 1;
            rocks.submit(batch(number));
        }
        listener.hear(|told| *told == Told::Synced(number));
        assert_eq!(rocks.state(), State::Healthy, "round {round}");
        disk.fill(3 * MIB);
        listener.hear(|told| *told == Told::State("full"));
        // Some still fit into the reserve, then there is nothing left.
        while !matches!(rocks.state(), State::Failing { .. }) && number < 1000 * round {
            for _ in 0..8 {
                number += 1;
                rocks.submit(batch(number));
            }
            while rocks.uncommitted_bytes() > 0 && !matches!(rocks.state(), State::Failing { .. }) {
                std::thread::yield_now();
            }
        }
        listener.hear(|told| *told == Told::State("failing"));
        assert!(rocks.state().is_full(), "{:?}", rocks.state());
        assert!(rocks.uncommitted_bytes() > 0, "what waits is kept");
        assert!(check(&rocks) >= listener.synced, "consumers go on");
        disk.clear();
        listener.hear(|told| *told == Told::Synced(number));
        let began = Instant::now();
        while rocks.state() != State::Healthy {
            assert!(began.elapsed() < DEADLINE, "{:?}", rocks.state());
            std::thread::yield_now();
        }
    }
    number += 1;
    rocks.submit(batch(number));
    listener.hear(|told| *told == Told::Synced(number));
    assert_eq!(rocks.close(), Ok(()));
    drop(rocks);
    let (sender, _told) = channel();
    let (rocks, recovered) = Rocks::open(&dir, &options, Telling(sender)).expect("it opens");
    assert_eq!((recovered.end, check(&rocks)), (Position(number + 1), number));
}
