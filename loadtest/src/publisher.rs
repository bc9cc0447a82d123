//! A publisher: what it may send now.

use flotilla_mqtt::{PacketId, QoS};

use crate::{link::Link, stamp::Stamp, template::Template};

/// A socket that has more than this unsent gets no further message.
const BACKLOG_MAX: usize = 256 * 1024;

/// When messages are to be sent, whatever the broker does: an open loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// When the first is due, by the clock of the run; before it began for who has paused.
    pub(crate) start_ns: i64,
    /// From one message to the next, in nanoseconds.
    pub(crate) interval_ns: f64,
}

impl Pace {
    /// When message `number` since the start is due.
    fn due_ns(self, number: u64) -> u64 {
        let due_ns = self.start_ns + (number as f64 * self.interval_ns) as i64;
        u64::try_from(due_ns).unwrap_or(0)
    }
}

/// The sending side of a connection.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// Which connection.
    pub(crate) client: usize,
    /// In each of its stamps.
    pub(crate) number: u32,
    pub(crate) template: Template,
    pub(crate) qos: QoS,
    /// Messages that may be on their way.
    pub(crate) window: u64,
    /// Messages that the broker takes unacknowledged.
    pub(crate) receive_maximum: u64,
    /// How many get each message; 0: nobody that is watched.
    pub(crate) receivers: u64,
    pub(crate) pace: Option<Pace>,
    /// How many to send at most.
    pub(crate) limit: u64,
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    /// Of these, with an error: nobody gets them, and they are not waited for.
    pub(crate) refused: u64,
    /// Messages that came, over all receivers.
    pub(crate) delivered: u64,
    /// Whether it waits to be looked at.
    pub(crate) is_touched: bool,
}

impl Publisher {
    /// Appends to its link what may be sent now; the number of messages.
    pub(crate) fn send(&mut self, link: &mut Link, run: u32, now_ns: u64) -> u64 {
        let before = self.sent;
        while link.backlog() < BACKLOG_MAX && self.may_send() {
            let time_ns = match self.pace {
                None => now_ns,
                Some(pace) => match pace.due_ns(self.sent) {
                    due if due <= now_ns => due,
                    _ => break,
                },
            };
            let stamp = Stamp { run, publisher: self.number, sequence: self.sent, time_ns };
            self.template.append(stamp, packet_id(self.sent), link.out());
            self.sent += 1;
        }
        self.sent - before
    }

    /// Whether the broker acknowledges its messages.
    pub(crate) const fn is_acknowledged(&self) -> bool {
        !matches!(self.qos, QoS::AtMostOnce)
    }

    /// Whether all that it was to send has been acknowledged and has arrived.
    pub(crate) const fn is_done(&self) -> bool {
        (!self.is_acknowledged() || self.acknowledged >= self.sent) && self.lost() == 0
    }

    /// When it is to send by the clock; never, if it does not or has sent all.
    pub(crate) fn due_ns(&self) -> u64 {
        let pace = self.pace.filter(|_| self.sent < self.limit);
        pace.map_or(u64::MAX, |pace| pace.due_ns(self.sent))
    }

    /// Messages that have not come, over all receivers.
    pub(crate) const fn lost(&self) -> u64 {
        ((self.sent - self.refused) * self.receivers).saturating_sub(self.delivered)
    }

    /// Whether another message may be on its way.
    pub(crate) const fn may_send(&self) -> bool {
        if self.sent >= self.limit {
            return false;
        }
        if self.is_acknowledged() && self.sent - self.acknowledged >= self.receive_maximum {
            return false;
        }
        if self.pace.is_some() {
            return true;
        }
        if self.is_acknowledged() && self.sent - self.acknowledged >= self.window {
            return false;
        }
        self.receivers == 0
            || (self.sent - self.refused) * self.receivers
                < self.delivered + self.window * self.receivers
    }
}

/// Identifiers in turn: one is free again long before it comes again.
fn packet_id(sequence: u64) -> PacketId {
    let number = sequence % u64::from(u16::MAX) + 1;
    PacketId::new(u16::try_from(number).expect("a remainder is smaller")).expect("1 or more")
}
