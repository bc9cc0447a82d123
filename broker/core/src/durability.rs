//! How durable a message must be before it is acknowledged.

use flotilla_mqtt::topic;

use crate::id::Ticket;

/// What an acknowledged message survives. Ordered: each class includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Acknowledged as soon as it is routed: survives nothing for certain. It still goes into the
    /// log for sessions that are away, but nobody waits for that.
    Memory,
    /// Acknowledged when the operating system has it: survives the end of the process.
    Os,
    /// Acknowledged when it is synced: survives a power cut.
    Fsync,
}

impl Class {
    /// As users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Os => "os",
            Self::Fsync => "fsync",
        }
    }
}

/// Which class a message has, by its topic; the same for all shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durability {
    rules: Vec<(Box<str>, Class)>,
    default: Class,
    strongest: Class,
}

/// Whether this is the filter of a rule.
///
/// # Errors
/// A sentence for whoever wrote it.
pub fn check_filter(filter: &str) -> Result<(), String> {
    match topic::parse_filter(filter) {
        Ok(topic::Filter::Plain(_)) => Ok(()),
        Ok(topic::Filter::Shared { filter, .. }) => Err(format!(
            "a class belongs to topics, not to those who share them; write \"{filter}\""
        )),
        Err(error) => Err(format!("`{filter}` is no Topic Filter: {error}")),
    }
}

impl Durability {
    /// The first of `rules`, Topic Filters, that matches counts; else `default`.
    pub fn new(rules: Vec<(Box<str>, Class)>, default: Class) -> Self {
        let strongest = rules.iter().fold(default, |strongest, (_, class)| strongest.max(*class));
        Self { rules, default, strongest }
    }

    /// The class of messages that no rule names.
    pub fn default_class(&self) -> Class {
        self.default
    }

    /// Filters with their classes, in the order in which they count.
    pub fn rules(&self) -> &[(Box<str>, Class)] {
        &self.rules
    }

    /// The class of a message with this topic.
    pub fn class_of(&self, topic: &str) -> Class {
        let rule = self.rules.iter().find(|(filter, _)| topic::matches(filter, topic));
        rule.map_or(self.default, |(_, class)| *class)
    }

    /// The class of session records: CONNACK with Session Present, SUBACK, UNSUBACK wait for it.
    /// Whoever is told that it has a session must find it after the broker was killed.
    pub(crate) fn of_records(&self) -> Class {
        self.default.max(Class::Os)
    }

    /// The class of the records that bind a Packet Identifier to a QoS 2 message (PUBLISH and
    /// PUBREL to a client, PUBCOMP): the strongest that any message can have, never below os.
    ///
    /// A QoS 2 message of class fsync comes to its subscriber once, whatever happens: its PUBLISH
    /// leaves when the record of its Packet Identifier is synced, and with it the message, which
    /// was written before; so after a power cut the broker still knows that it may have been sent,
    /// and under which identifier. PUBREL leaves when it is synced that PUBREC came, so that no
    /// PUBLISH follows it.
    ///
    /// Why the strongest: all messages of a session share its Packet Identifiers, so what binds one must not be
    /// weaker than the next message under it. If the broker forgot in a power cut that it has sent
    /// a message of a weaker class under an identifier, it would send the next one, of class
    /// fsync, under the same, and the client would take it for a repetition and drop it
    /// ([MQTT-4.3.3-10]). The same the other way round: a PUBCOMP whose record is lost leaves an
    /// identifier taken, and the client's next message under it would be dropped here.
    pub(crate) fn of_exchanges(&self) -> Class {
        self.strongest.max(Class::Os)
    }

    /// The class of the end of a session: it must not come back when its Packet Identifiers mean
    /// other messages to the client.
    pub(crate) fn of_ends(&self) -> Class {
        self.of_exchanges()
    }
}

impl Default for Durability {
    /// Everything survives a power cut.
    fn default() -> Self {
        Self::new(Vec::new(), Class::Fsync)
    }
}

/// How far the engine has come with the batches of one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    /// Everything up to here is written.
    pub(crate) committed: Ticket,
    /// Everything up to here is synced.
    pub(crate) synced: Ticket,
}

impl Reached {
    /// Whether a batch is as durable as the class asks.
    pub(crate) fn has(self, ticket: Ticket, class: Class) -> bool {
        match class {
            Class::Memory => true,
            Class::Os => ticket <= self.committed,
            Class::Fsync => ticket <= self.synced,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_counts() {
        let rule = |filter: &str, class| (Box::from(filter), class);
        let rules = vec![
            rule("telemetry/critical", Class::Fsync),
            rule("telemetry/#", Class::Memory),
            rule("+/critical", Class::Memory),
        ];
        let durability = Durability::new(rules, Class::Os);
        assert_eq!(durability.class_of("telemetry/critical"), Class::Fsync);
        assert_eq!(durability.class_of("telemetry/1"), Class::Memory);
        assert_eq!(durability.class_of("telemetry"), Class::Memory, "# takes the parent too");
        assert_eq!(durability.class_of("orders"), Class::Os);
        assert_eq!(durability.of_records(), Class::Os);
        assert_eq!(durability.of_exchanges(), Class::Fsync, "one message can be of that class");
    }

    #[test]
    fn a_rule_is_for_topics() {
        assert_eq!(check_filter("telemetry/+/#"), Ok(()));
        let shared = check_filter("$share/g/telemetry/#").unwrap_err();
        assert!(shared.contains("write \"telemetry/#\""), "{shared}");
        for wrong in ["", "a/#/b", "a+"] {
            let refusal = check_filter(wrong).unwrap_err();
            assert!(refusal.starts_with(&format!("`{wrong}` is no Topic Filter: ")), "{refusal}");
        }
    }

    #[test]
    fn records_are_never_in_memory_only() {
        let durability = Durability::new(Vec::new(), Class::Memory);
        assert_eq!((durability.of_records(), durability.of_ends()), (Class::Os, Class::Os));
        assert_eq!(durability.of_exchanges(), Class::Os);
    }

    #[test]
    fn what_is_reached() {
        let reached = Reached { committed: Ticket(5), synced: Ticket(3) };
        for (class, last) in [(Class::Memory, 9), (Class::Os, 5), (Class::Fsync, 3)] {
            assert!(reached.has(Ticket(last), class), "{class:?}");
            assert!(class == Class::Memory || !reached.has(Ticket(last + 1), class), "{class:?}");
        }
    }
}
