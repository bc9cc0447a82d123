//! A client that looks at the retained messages, again and again.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Look,
    reader::serial_of,
    stage::{Phase, Stage},
    witness::pause,
};
use crate::{
    Client, Connect, Packet, Transport, Version,
    packet::{PINGREQ, subscribe},
};

/// Looks until the phase [`Phase::Draining`], then once more, when nothing is under way.
pub fn look_again_and_again(filter: &str, stage: &Stage) -> Vec<Look> {
    let _alarm = stage.alarm();
    let mut looks = Vec::new();
    loop {
        let phase = stage.phase();
        looks.extend(look(filter, stage));
        if phase >= Phase::Draining {
            return looks;
        }
        stage.watch(Duration::from_millis(50));
    }
}

/// Subscribes with a session of its own; `None` when the connection ends before all has come.
fn look(filter: &str, stage: &Stage) -> Option<Look> {
    let Some(mut client) =
        stage.endpoint(Transport::Tcp).and_then(|to| Client::try_open(&to, Version::V5))
    else {
        pause();
        return None;
    };
    client.try_connect(&Connect::new("looker")).ok()?;
    let from = stage.clock.tick();
    client.send_lossy(&subscribe(Version::V5, 1, &[(filter, 0)], &[]));
    let mut found = HashMap::new();
    let patience = Instant::now() + stage.patience;
    loop {
        match client.try_read(patience) {
            Ok(Some(Packet::Publish(publish))) if publish.retain => {
                found.insert(Arc::from(&*publish.topic), serial_of(&publish));
            }
            Ok(Some(Packet::Publish(_))) => {}
            // What is retained comes before the answer to what is asked now.
            Ok(Some(Packet::Suback(..))) => {
                client.send_lossy(PINGREQ);
            }
            Ok(Some(Packet::Pingresp)) => {
                let until = stage.clock.tick();
                return Some(Look { from, until, filter: filter.into(), found });
            }
            Ok(Some(Packet::Disconnect(0x8B, _)) | None) => return None,
            other => panic!("the looker got {other:?}"),
        }
    }
}
