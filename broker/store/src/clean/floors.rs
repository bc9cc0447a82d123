//! How far up each partition is wanted by nobody.

use flotilla_core::id::{ClientId, Position};

use super::plan::NOBODY;
use super::reach::Reach;
use super::sessions::Session;

/// For each partition the lowest position that some session still wants.
#[derive(Clone, Debug)]
pub(crate) struct Floors(Vec<Floor>);

/// One partition's.
#[derive(Clone, Debug)]
pub(crate) struct Floor {
    /// [`NOBODY`]: there is none.
    pub(crate) position: Position,
    /// Whose it is.
    pub(crate) holder: Option<Holder>,
}

/// The session that wants the lowest position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) client_id: ClientId,
    pub(crate) cursor: Position,
    /// Unix milliseconds; `None`: it is connected, or was when the broker stopped.
    pub(crate) disconnected_at_ms: Option<u64>,
}

impl Floors {
    /// Of so many partitions, with no session.
    pub(crate) fn new(partitions: usize) -> Self {
        Self(vec![Floor { position: NOBODY, holder: None }; partitions])
    }

    /// A session.
    pub(crate) fn add(&mut self, session: &Session<'_>, reach: &mut Reach) {
        for_each_want(session, reach, self.0.len(), |partition, from| {
            let floor = &mut self.0[partition];
            if from < floor.position {
                floor.position = from;
                floor.holder = Some(Holder {
                    client_id: ClientId::from(session.client_id),
                    cursor: session.cursor,
                    disconnected_at_ms: session.interest.disconnected_at_ms,
                });
            }
        });
    }

    pub(crate) fn of(&self, partition: usize) -> &Floor {
        &self.0[partition]
    }

    pub(crate) fn positions(&self) -> Vec<Position> {
        self.0.iter().map(|floor| floor.position).collect()
    }
}

/// Calls `each` with partitions and the positions from which on the session wants something there.
/// Messages in flight may lie anywhere, because their subscriptions may be gone.
pub(crate) fn for_each_want(
    session: &Session<'_>,
    reach: &mut Reach,
    partitions: usize,
    mut each: impl FnMut(usize, Position),
) {
    // Not from the start of the subscription: what is addressed to the session may stand before it,
    // when an earlier record was still on its way.
    let is_done = |until: Position| until <= session.cursor;
    let wishes = session.interest.wishes.iter();
    for wish in wishes.filter(|wish| !wish.until.is_some_and(is_done)) {
        for &partition in reach.of(wish.filter).iter() {
            each(partition, session.cursor);
        }
    }
    if let Some(pinned) = session.pinned() {
        for partition in 0..partitions {
            each(partition, pinned);
        }
    }
}
