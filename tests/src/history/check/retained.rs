//! The retained message of a topic is the last acknowledged one, or a later one that was under
//! way.

use super::{
    Fault,
    fault::Kind,
    prefix::Survivors,
    publications::{Publication, Publications},
};
use crate::history::{Look, Record, filter::matches};

/// Holds every look against what the one writer of each topic sent.
pub(super) fn judge(
    record: &Record,
    publications: &Publications,
    survivors: &Survivors,
    faults: &mut Vec<Fault>,
) {
    for (topic, serials) in &publications.by_topic {
        // A refused one changed nothing.
        let written: Vec<&Publication> = serials
            .iter()
            .map(|serial| &publications.all[serial])
            .filter(|it| it.retain && it.refused.is_none())
            .collect();
        if written.is_empty() {
            continue;
        }
        for look in record.looks.iter().filter(|look| matches(&look.filter, topic)) {
            if let Err(detail) = judge_topic(look, topic, &written, survivors) {
                let found = look.found.get(topic).copied();
                let (kind, whose, at) = (Kind::RetainedWrong, topic.to_string(), look.until);
                faults.push(Fault { kind, whose, serial: found, at, detail });
            }
        }
    }
}

fn judge_topic(
    look: &Look,
    topic: &str,
    written: &[&Publication],
    survivors: &Survivors,
) -> Result<(), String> {
    let found = look.found.get(topic).copied();
    let is_acknowledged = |it: &Publication| it.acknowledged.is_some_and(|at| at < look.from);
    // What it may be: the one of the last acknowledgement, what was sent later, and what was sent
    // earlier, if a cut may have taken all that followed.
    let last = written.iter().rposition(|it| is_acknowledged(it));
    let is_possible = |at: usize| {
        let later = &written[at..];
        let mut undone = later.iter().skip(1).filter(|it| is_acknowledged(it));
        undone.all(|it| survivors.may_lack(it.acknowledged.unwrap_or_default(), look.from))
    };
    let shows = |it: &Publication| (!it.is_empty).then_some(it.serial);
    let sent = written.iter().take_while(|it| it.first() < look.until).count();
    if (0..sent).any(|at| shows(written[at]) == found && is_possible(at)) {
        return Ok(());
    }
    // Nothing at all, as before the first one.
    let is_untouched = written
        .iter()
        .filter(|it| is_acknowledged(it))
        .all(|it| survivors.may_lack(it.acknowledged.unwrap_or_default(), look.from));
    if found.is_none() && is_untouched {
        return Ok(());
    }
    let last = last.map(|at| (written[at].serial, written[at].is_empty));
    Err(format!("found {found:?}; last acknowledged (message, is empty): {last:?}"))
}
