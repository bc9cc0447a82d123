//! Fills one page of a replay.

use flotilla_core::id::Position;
use flotilla_core::message::Message;
use flotilla_core::turn::{Page, Replay};

/// Takes wanted messages until the page has as many as were asked for.
#[derive(Debug)]
pub(crate) struct Filling {
    page: Page,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
}

impl Filling {
    pub(crate) fn new(replay: &Replay, from: Position) -> Self {
        let page = Page {
            session: replay.session,
            number: replay.number,
            messages: Vec::new(),
            next: from,
            reached_end: false,
        };
        // A page that takes nothing would be asked for again for ever.
        let messages_max = replay.messages_max.max(1);
        Self { page, bytes: 0, messages_max, bytes_max: replay.bytes_max }
    }

    /// Whether a wanted message of `bytes` goes into this page. If not, the page ends before it.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.page.messages.is_empty()
            || (self.page.messages.len() < self.messages_max
                && self.bytes.saturating_add(bytes) <= self.bytes_max)
    }

    /// Puts a message in.
    pub(crate) fn push(&mut self, position: Position, message: Message) {
        self.bytes += message.as_bytes().len();
        self.page.messages.push((position, message));
    }

    /// Everything wanted below `next` is in the page; `end` is the end of the log.
    pub(crate) fn finish(mut self, next: Position, end: Position) -> Page {
        self.page.next = next;
        self.page.reached_end = next == end;
        self.page
    }
}
