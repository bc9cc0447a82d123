//! A store that was damaged behind its back.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};

use flotilla_core::id::{ClientId, Position, ShardId, Ticket};
use flotilla_core::message::{Message, MessageParts};
use flotilla_core::record::{SessionRecord, Start, SubscriptionRecord};
use flotilla_core::turn::{Append, Batch, Write};
use flotilla_mqtt::{Forwarded, QoS, SubscriptionOptions};
use flotilla_store::{CommitSink, Engine, Options, Rocks, State, verify_closed};
use tempfile::TempDir;

/// A store as it lies on disk after a few batches, without being closed.
static WHOLE: LazyLock<TempDir> = LazyLock::new(fill);

/// Each five bytes change one: which file, where, what with. The store opens, or says why not; it
/// does neither panic nor hang.
pub(crate) fn recover_damaged(bytes: &[u8]) {
    let copy = TempDir::new().expect("a directory");
    let files = copy_all(WHOLE.path(), copy.path());
    for change in bytes.chunks_exact(5).take(20) {
        let path = &files[usize::from(change[0]) % files.len()];
        let mut content = fs::read(path).expect("it was written");
        if content.is_empty() {
            continue;
        }
        let at = usize::from(u16::from_be_bytes([change[1], change[2]])) % content.len();
        if change[3] == 0xff {
            content.truncate(at);
        } else {
            content[at] ^= change[4];
        }
        fs::write(path, content).expect("it has room");
    }
    // What comes of damaged bytes is told one way or another.
    let _ = verify_closed(copy.path(), &|_| true);
    let (sender, _ends) = channel();
    if let Ok((rocks, recovered)) = Rocks::open(copy.path(), &Options::default(), Ends(sender)) {
        let ids = recovered.sessions.iter().map(|it| it.record.client_id.as_str());
        assert!(ids.count() <= 20, "no session comes out of nothing");
        let _ = rocks.close();
    }
}

fn fill() -> TempDir {
    let directory = TempDir::new().expect("a directory");
    let (sender, ends) = channel();
    let (rocks, _) = Rocks::open(directory.path(), &Options::default(), Ends(sender))
        .expect("an empty directory becomes a store");
    for number in 1..=20 {
        rocks.submit(batch(number));
        ends.recv().expect("it commits");
    }
    let copy = TempDir::new().expect("a directory");
    copy_all(directory.path(), copy.path());
    rocks.close().expect("it closes");
    copy
}

fn batch(number: u64) -> Batch {
    let topic = format!("t/{}", number % 3);
    let parts = MessageParts {
        qos: QoS::AtLeastOnce,
        retain: number.is_multiple_of(5),
        topic: &topic,
        publisher: "p",
        addressee: "",
        received_at_ms: 1_000,
        expires_at_ms: None,
        forwarded: Forwarded::default(),
        payload: b"payload",
    };
    let message = Message::new(&parts, &mut Vec::new());
    let record = SessionRecord {
        client_id: ClientId::from(format!("c{number}").as_str()),
        revision: 1,
        expiry_interval_s: 60,
        disconnected_at_ms: None,
        subscriptions: vec![SubscriptionRecord {
            filter: "t/#".into(),
            options: SubscriptionOptions::new(QoS::AtLeastOnce),
            id: None,
            start: Start::InBatch(0),
            until: None,
        }],
        will: None,
        unacknowledged: Vec::new(),
        sent_up_to: Position::ZERO,
        maybe_sent_below: Position::ZERO,
    };
    Batch {
        shard: ShardId(0),
        ticket: Ticket(number),
        appends: vec![Append { message: message.clone(), targets: Vec::new() }],
        writes: vec![Write::PutSession(Box::new(record)), Write::PutRetained(message)],
        needs_sync: true,
        ..Batch::default()
    }
}

/// Copies what is in a directory; the files, in a fixed order.
fn copy_all(from: &Path, to: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(from)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        let target = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            fs::create_dir(&target).expect("it has room");
            files.extend(copy_all(&path, &target));
        } else if fs::copy(&path, &target).is_ok() {
            files.push(target);
        }
    }
    files
}

struct Ends(Sender<()>);

impl CommitSink for Ends {
    fn committed(&mut self, group: Vec<(Batch, Position)>, _: Position) {
        for _ in group {
            let _ = self.0.send(());
        }
    }

    fn synced(&mut self, _: &[(ShardId, Ticket)]) {}

    fn refused(&mut self, batch: Batch) {
        panic!("{batch:?} was refused");
    }

    fn state_changed(&mut self, _: &State) {}
}
