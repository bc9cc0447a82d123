//! Packet Identifiers that the broker chooses.

use flotilla_mqtt::PacketId;

const ALL: u32 = 65_535;

/// Gives identifiers in a circle ([MQTT-2.2.1-4]), so that one is used again as late as can be.
#[derive(Debug)]
pub(crate) struct PacketIds {
    last: PacketId,
    /// So many after that one are known to be free: counted only when they are used up.
    free_ahead: u16,
}

impl PacketIds {
    /// `last`: given before any other.
    pub(crate) fn after(last: PacketId) -> Self {
        Self { last, free_ahead: 0 }
    }

    /// The next one that is not in use.
    ///
    /// # Panics
    /// When all are.
    pub(crate) fn next(&mut self, in_use: impl Iterator<Item = PacketId> + Clone) -> PacketId {
        let mut passed = 0;
        while self.free_ahead == 0 {
            let ahead = in_use.clone().map(|id| self.ahead(id));
            self.free_ahead = ahead.min().unwrap_or(u16::MAX);
            if self.free_ahead == 0 {
                self.last = self.last.next();
                passed += 1;
                assert!(passed < ALL, "the quota is less than all Packet Identifiers");
            }
        }
        self.free_ahead -= 1;
        self.last = self.last.next();
        self.last
    }

    /// It is in use no more. Clients acknowledge in order, so the one that is freed is mostly the
    /// one that comes next: a client that has nearly all identifiers in use is served without
    /// counting.
    pub(crate) fn freed(&mut self, id: PacketId) {
        if self.ahead(id) == self.free_ahead {
            self.free_ahead += 1;
        }
    }

    /// How many come before that one.
    fn ahead(&self, id: PacketId) -> u16 {
        ((u32::from(id.get()) + ALL - u32::from(self.last.get()) - 1) % ALL) as u16
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn id(number: u16) -> PacketId {
        PacketId::new(number).expect("not 0")
    }

    #[test]
    fn goes_round_and_passes_those_in_use() {
        let stuck = [id(1), id(2), id(65_535)];
        let mut ids = PacketIds::after(id(65_533));
        let mut given = BTreeSet::new();
        for _ in 0..65_532 {
            given.insert(ids.next(stuck.into_iter()));
        }
        assert_eq!(given.len(), 65_532, "each once before any again");
        assert!(stuck.iter().all(|id| !given.contains(id)));
        assert_eq!(ids.next(std::iter::empty()), id(65_534));
    }

    #[test]
    fn counts_nothing_while_the_oldest_is_freed_first() {
        let mut ids = PacketIds::after(PacketId::MAX);
        let counted = std::cell::Cell::new(0);
        let mut in_use = std::collections::VecDeque::new();
        for _ in 0..200_000 {
            if in_use.len() == 65_535 {
                ids.freed(in_use.pop_front().expect("there are many"));
            }
            let next = ids.next(in_use.iter().inspect(|_| counted.set(counted.get() + 1)).copied());
            assert!(in_use.back().is_none_or(|last: &PacketId| last.next() == next));
            in_use.push_back(next);
        }
        assert_eq!(counted.get(), 0);
    }
}
