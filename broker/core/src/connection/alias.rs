//! Topic Aliases that a client set on one connection.

use flotilla_mqtt::ReasonCode;

use crate::connection::refusal::Refusal;
use crate::rare::Rare;

/// Alias to Topic Name; ends with the connection ([MQTT-3.3.2-7]).
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    /// Of most connections there are none.
    topics: Rare<Vec<Option<Box<str>>>>,
}

impl Aliases {
    /// The Topic Name of a PUBLISH that came with `topic` and `alias`. A topic sets the alias
    /// anew; an empty one asks for it.
    ///
    /// # Errors
    /// Alias above `aliases_max` ([MQTT-3.3.2-9]): 0x94. Alias that was never set: 0x82.
    pub(crate) fn resolve<'a>(
        &'a mut self,
        topic: &'a str,
        alias: u16,
        aliases_max: u16,
    ) -> Result<&'a str, Refusal> {
        if alias == 0 || alias > aliases_max {
            return Err(Refusal::new(
                ReasonCode::TopicAliasInvalid,
                "a Topic Alias is 0 or above the maximum in CONNACK [MQTT-3.3.2-9]",
            ));
        }
        let at = usize::from(alias - 1);
        if !topic.is_empty() {
            let topics = self.topics.need();
            if topics.len() <= at {
                topics.resize(at + 1, None);
            }
            topics[at] = Some(topic.into());
            return Ok(topic);
        }
        let topics = self.topics.get().map_or(&[][..], Vec::as_slice);
        topics.get(at).and_then(Option::as_deref).ok_or_else(|| {
            Refusal::new(
                ReasonCode::ProtocolError,
                "a PUBLISH has no topic and a Topic Alias that was never set",
            )
        })
    }
}
