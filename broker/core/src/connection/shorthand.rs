//! Topic Aliases that the broker sets on one connection.

/// Bytes of the property: a topic that is no longer saves nothing.
const ALIAS_BYTES: usize = 3;

/// Which topics the client knows by a number. Each topic has one place, by its hash, so that what
/// came long ago gives way; it takes the place when it comes twice in a row there, so topics that
/// come once cost nothing.
#[derive(Debug)]
pub(crate) struct Shorthand {
    aliases_max: u16,
    /// Empty until the first topic.
    places: Box<[Place]>,
}

#[derive(Clone, Debug, Default)]
struct Place {
    /// What its alias stands for.
    topic: Option<Box<[u8]>>,
    /// Hash of the topic that came last without an alias.
    last: u64,
}

/// What to send of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The topic alone.
    Whole,
    /// The topic, with an alias to set: if it is sent so, [`Shorthand::set`] must follow.
    Setting(u16),
    /// The alias alone.
    Alias(u16),
}

impl Shorthand {
    /// `aliases_max`: not 0.
    pub(crate) fn new(aliases_max: u16) -> Self {
        Self { aliases_max, places: Box::default() }
    }

    /// How to send a topic now.
    pub(crate) fn form(&mut self, topic: &[u8]) -> Form {
        if topic.len() <= ALIAS_BYTES {
            return Form::Whole;
        }
        if self.places.is_empty() {
            self.places = vec![Place::default(); usize::from(self.aliases_max)].into();
        }
        let (hash, alias) = self.place_of(topic);
        let place = &mut self.places[usize::from(alias - 1)];
        if place.topic.as_deref() == Some(topic) {
            return Form::Alias(alias);
        }
        if std::mem::replace(&mut place.last, hash) == hash {
            Form::Setting(alias)
        } else {
            Form::Whole
        }
    }

    /// The topic has been sent with the alias.
    pub(crate) fn set(&mut self, alias: u16, topic: &[u8]) {
        self.places[usize::from(alias - 1)].topic = Some(topic.into());
    }

    /// Its hash, and the alias that can stand for it: 1 up to the maximum.
    fn place_of(&self, topic: &[u8]) -> (u64, u16) {
        // FNV-1a: a topic is short.
        let hash = topic.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let place = (hash >> 32) % u64::from(self.aliases_max);
        (hash, u16::try_from(place + 1).expect("below the maximum"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_comes_again_gets_an_alias() {
        let mut shorthand = Shorthand::new(1);
        let topic = b"fleet/r1/d1/state";
        assert_eq!(shorthand.form(topic), Form::Whole);
        assert_eq!(shorthand.form(topic), Form::Setting(1));
        // It did not fit: it is not set.
        assert_eq!(shorthand.form(topic), Form::Setting(1));
        shorthand.set(1, topic);
        for _ in 0..3 {
            assert_eq!(shorthand.form(topic), Form::Alias(1));
            assert_eq!(shorthand.form(b"once"), Form::Whole, "others leave it alone");
            assert_eq!(shorthand.form(b"other"), Form::Whole);
        }
        assert_eq!(shorthand.form(b"other"), Form::Setting(1));
        shorthand.set(1, b"other");
        assert_eq!(shorthand.form(topic), Form::Whole, "it gave way");
    }

    #[test]
    fn short_topics_stay() {
        let mut shorthand = Shorthand::new(8);
        for _ in 0..3 {
            assert_eq!(shorthand.form(b"a/b"), Form::Whole);
        }
    }

    #[test]
    fn aliases_stay_within_the_maximum() {
        for aliases_max in [1, 2, 7, u16::MAX] {
            let shorthand = Shorthand::new(aliases_max);
            for number in 0..1_000 {
                let (_, alias) = shorthand.place_of(format!("topic/{number}").as_bytes());
                assert!((1..=aliases_max).contains(&alias), "[MQTT-3.3.2-11]");
            }
        }
    }
}
