//! A sink for tests of a store that must not fail.

use std::sync::mpsc::Sender;

use flotilla_core::id::{Position, ShardId, Ticket};
use flotilla_core::turn::Batch;
use flotilla_store::{CommitSink, State};

/// Tells where the log ends after each commit.
pub(crate) struct Ends(pub(crate) Sender<u64>);

impl CommitSink for Ends {
    fn committed(&mut self, _: Vec<(Batch, Position)>, end: Position) {
        // At its end a test no longer listens.
        let _ = self.0.send(end.0);
    }

    fn synced(&mut self, _: &[(ShardId, Ticket)]) {}

    fn refused(&mut self, batch: Batch) {
        panic!("refused: {batch:?}");
    }

    fn state_changed(&mut self, state: &State) {
        assert!(!matches!(state, State::Failing { .. }), "{state}");
    }
}
