//! What is counted while messages flow.

use hdrhistogram::Histogram;

/// The longest latency that is told from a longer one: ten minutes.
const LATENCY_MAX_NS: u64 = 600_000_000_000;
/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// Counters of a run.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Messages sent.
    pub(crate) sent: u64,
    /// Messages that the broker acknowledged.
    pub(crate) acknowledged: u64,
    /// Messages that the broker acknowledged with a Reason Code that is an error.
    pub(crate) refused: u64,
    /// Messages that arrived, each receiver's counted.
    pub(crate) delivered: u64,
    /// All that came and was no duplicate, by its QoS.
    pub(crate) arrived: [u64; 3],
    pub(crate) duplicated: u64,
    /// Of these, at QoS 1, where it may be.
    pub(crate) duplicated_qos1: u64,
    pub(crate) reordered: u64,
    /// Wills that came.
    pub(crate) wills: u64,
    /// Retained messages that are the last of their publisher.
    pub(crate) last: u64,
    /// Messages that are not of this run.
    pub(crate) foreign: u64,
    /// From the time in the stamp to the arrival, since it was last emptied.
    pub(crate) latency: Histogram<u64>,
    /// The same, since the last line of progress.
    pub(crate) lately: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            sent: 0,
            acknowledged: 0,
            refused: 0,
            delivered: 0,
            arrived: [0; 3],
            duplicated: 0,
            duplicated_qos1: 0,
            wills: 0,
            last: 0,
            reordered: 0,
            foreign: 0,
            latency: histogram(),
            lately: histogram(),
        }
    }
}

/// An empty one.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, LATENCY_MAX_NS, DIGITS).expect("the bounds are legal")
}
