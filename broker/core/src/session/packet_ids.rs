//! Packet Identifiers that the broker chooses.

use flotilla_mqtt::PacketId;

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
        const ALL: u32 = 65_535;
        let mut passed = 0;
        while self.free_ahead == 0 {
            let last = u32::from(self.last.get());
            let ahead = |id: PacketId| ((u32::from(id.get()) + ALL - last - 1) % ALL) as u16;
            self.free_ahead = in_use.clone().map(ahead).min().unwrap_or(u16::MAX);
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
}
