//! Fills one page of a replay.

use flotilla_core::id::Position;
use flotilla_core::message::Message;
use flotilla_core::turn::{Page, Replay};

/// Takes wanted messages, as they are found, until the page has as many as were asked for. Blocks
/// of several partitions overlap, so messages may come out of order.
#[derive(Debug)]
pub(crate) struct Filling {
    page: Page,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
    /// The lowest position of a message that was wanted and had no room.
    ceiling: Option<Position>,
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
        Self { page, bytes: 0, messages_max, bytes_max: replay.bytes_max, ceiling: None }
    }

    /// Whether a wanted message at `position` may still belong into this page.
    pub(crate) fn is_open_at(&self, position: Position) -> bool {
        self.ceiling.is_none_or(|ceiling| position < ceiling)
            && self.page.messages.last().is_none_or(|(last, _)| *last != position)
    }

    /// Takes a message that [`Filling::is_open_at`] its position.
    pub(crate) fn push(&mut self, position: Position, message: Message) {
        self.bytes += message.as_bytes().len();
        self.page.messages.push((position, message));
    }

    /// Lets go of what has no room. To be called now and then.
    pub(crate) fn settle(&mut self) {
        let messages = &mut self.page.messages;
        if messages.len() <= self.messages_max && self.bytes <= self.bytes_max {
            return;
        }
        messages.sort_by_key(|(position, _)| *position);
        let mut bytes = 0;
        let fits = |(_, message): &&(Position, Message)| {
            bytes += message.as_bytes().len();
            bytes <= self.bytes_max
        };
        let fitting = messages.iter().take(self.messages_max).take_while(fits).count().max(1);
        if let Some((position, _)) = messages.get(fitting) {
            self.ceiling = Some(*position);
            messages.truncate(fitting);
        }
        self.bytes = messages.iter().map(|(_, message)| message.as_bytes().len()).sum();
    }

    /// Whether something had no room.
    pub(crate) fn is_limited(&self) -> bool {
        self.ceiling.is_some()
    }

    /// Whether nothing at `position` or above belongs into this page any more.
    pub(crate) fn is_full_at(&self, position: Position) -> bool {
        self.ceiling.is_some_and(|ceiling| ceiling <= position)
    }

    /// Everything wanted below `next` was pushed; `end` is the end of the log.
    pub(crate) fn finish(mut self, next: Position, end: Position) -> Page {
        self.settle();
        self.page.next = self.ceiling.map_or(next, |ceiling| ceiling.min(next));
        let messages = &mut self.page.messages;
        messages.sort_by_key(|(position, _)| *position);
        // What lies behind comes again with the next page, between messages not yet seen.
        messages.truncate(messages.partition_point(|(position, _)| *position < self.page.next));
        self.page.reached_end = self.page.next == end;
        self.page
    }
}
