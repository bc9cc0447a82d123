//! What lies in the log, for operators: how much, how old, who holds it, what would go next.

use flotilla_core::id::{ClientId, Position};
use flotilla_core::mail::Overtaken;

use super::plan::{Allowed, Reason, Taken, plan};
use super::{Floor, Moment, Survey, floors, losses};
use crate::error::Error;

/// What lies in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Now, Unix milliseconds.
    pub unix_ms: u64,
    /// Those that have messages; the one without a name first.
    pub partitions: Vec<PartitionBacklog>,
    /// What would go next, if that was asked for.
    pub plan: Option<Loss>,
}

/// What lies in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionBacklog {
    /// `None`: that of everything without a partition of its own.
    pub name: Option<Box<str>>,
    /// Messages that are stored.
    pub messages: u64,
    /// Bytes of their blocks.
    pub bytes: u64,
    /// When about the oldest of them came, Unix milliseconds.
    pub oldest_ms: Option<u64>,
    /// The session that still wants the lowest position, if any wants something.
    pub lowest: Option<Lowest>,
    /// By [`Reason`]: what would go next. Nothing if that was not asked for.
    pub going: [Taken; Reason::ALL.len()],
}

/// The session that holds a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lowest {
    /// Client Identifier.
    pub client_id: ClientId,
    /// From here on it wants something there.
    pub position: Position,
    /// Since when it is away, Unix milliseconds; `None`: it is connected, or was when the broker
    /// stopped.
    pub disconnected_at_ms: Option<u64>,
}

/// Who would lose what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Sessions that would lose messages.
    pub sessions: u64,
    /// These messages, each counted for each session.
    pub messages: u64,
    /// Those that had expired already, counted alike.
    pub expired: u64,
    /// The sessions that would lose most, as many as were asked for.
    pub most: Vec<Overtaken>,
    /// Blocks that could not be read, so that nobody knows who would lose what is in them.
    pub unread_blocks: u64,
}

/// Reports. `most`: so many sessions are named; `None`: no plan is asked for.
pub(crate) fn report(
    moment: &Moment<'_>,
    survey: &Survey,
    allowed: Allowed,
    unix_ms: u64,
    most: Option<usize>,
    is_over: impl Fn() -> bool,
) -> Result<Backlog, Error> {
    let floors = floors(moment, survey, &is_over)?;
    let mut cuts = plan(&survey.holdings, &floors.positions(), allowed);
    let mut lost = None;
    match most {
        None => cuts.fill_with(Default::default),
        Some(most) => {
            let loss = losses(moment, survey, &floors, &cuts, unix_ms, &is_over)?;
            lost = Some(Loss::new(loss, most));
        }
    }
    let mut partitions = Vec::new();
    for (at, (area, holding)) in survey.areas.iter().zip(&survey.holdings).enumerate() {
        let sealed = holding.parts.iter().map(|part| part.messages).sum::<u64>();
        let messages = survey.open_messages[at] + sealed;
        if messages > 0 {
            partitions.push(PartitionBacklog {
                name: area.name.clone(),
                messages,
                bytes: holding.bytes(),
                oldest_ms: survey.oldest_ms(moment, at)?,
                lowest: Lowest::of(floors.of(at)),
                going: cuts[at].taken,
            });
        }
    }
    Ok(Backlog { unix_ms, partitions, plan: lost })
}

impl Lowest {
    fn of(floor: &Floor) -> Option<Self> {
        let holder = floor.holder.clone()?;
        let disconnected_at_ms = holder.disconnected_at_ms;
        Some(Self { client_id: holder.client_id, position: floor.position, disconnected_at_ms })
    }
}

impl Loss {
    fn new(loss: super::Loss, most: usize) -> Self {
        let super::Loss { mut overtaken, unread_blocks } = loss;
        let expired = overtaken.iter().map(|one| one.expired).sum();
        overtaken.retain(|one| one.messages > 0);
        let sessions = overtaken.len() as u64;
        let messages = overtaken.iter().map(|one| one.messages).sum();
        overtaken.sort_by_key(|one| std::cmp::Reverse(one.messages));
        overtaken.truncate(most);
        Self { sessions, messages, expired, most: overtaken, unread_blocks }
    }
}
