//! Reads pages of the log, for many replays at once.

use std::collections::VecDeque;

use flotilla_core::turn::{Page, Replay};

use super::Store;
use super::plan::Planner;
use super::reader::Reader;
use super::sweep::Sweep;
use crate::engine::FIRST;
use crate::error::Error;
use crate::page::Filling;

pub(super) fn replay(store: &Store, replays: &[Replay]) -> Vec<Result<Page, Error>> {
    // Read first: whatever is committed below is in the view of all that follows.
    let end = store.end();
    let partitions = store.partitions.all();
    let mut answers: Vec<Option<Result<Page, Error>>> = Vec::new();
    let (mut light, mut heavy) = (Vec::new(), Vec::new());
    for (number, replay) in replays.iter().enumerate() {
        let from = replay.from.max(FIRST);
        answers.push(if from > end {
            Some(Err(Error::PastEnd { from, end }))
        } else if from == end {
            Some(Ok(Filling::new(replay, from).finish(end, end)))
        } else {
            let reader = Reader::new(number, replay, &partitions);
            if reader.is_wide() {
                heavy.push(reader);
            } else {
                light.push(reader);
            }
            None
        });
    }
    let db = match store.db() {
        Ok(db) => db,
        Err(error) => return replays.iter().map(|_| Err(error.clone())).collect(),
    };
    let planner = Planner { store, db: &db, partitions: &partitions, end };
    let mut waiting = in_order(light);
    while !waiting.is_empty() {
        Sweep::new(&planner, true).run(&mut waiting, &mut heavy, &mut answers);
    }
    let mut waiting = in_order(heavy);
    while !waiting.is_empty() {
        Sweep::new(&planner, false).run(&mut waiting, &mut Vec::new(), &mut answers);
    }
    answers.into_iter().map(|answer| answer.expect("each reader ends with an answer")).collect()
}

/// Those that begin lowest come first.
fn in_order(mut readers: Vec<Reader<'_>>) -> VecDeque<Reader<'_>> {
    readers.sort_by_key(|reader| reader.from);
    readers.into()
}
