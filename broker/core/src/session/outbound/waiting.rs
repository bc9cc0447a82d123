//! A message that waits to be sent.

use crate::id::{GroupKey, Position};
use crate::message::Message;
use crate::subscription::Terms;

/// A message for which there was no quota yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) source: Source,
    pub(crate) message: Message,
    pub(crate) terms: Terms,
}

/// Where a message is kept while it waits and is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// In the log.
    Log(Position),
    /// Here only. If the session ends, another member of the group gets it.
    Group(GroupKey),
    /// Here only.
    Memory,
}

impl Source {
    pub(crate) fn position(self) -> Option<Position> {
        match self {
            Self::Log(position) => Some(position),
            Self::Group(_) | Self::Memory => None,
        }
    }
}

impl Waiting {
    pub(super) fn bytes(&self) -> usize {
        self.message.as_bytes().len()
    }
}
