//! What the broker's configuration has it tell its clients.

/// The same for all shards. MQTT 5 only: older clients have no ears for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Response Information for who asks for it, `%c` for the Client Identifier
    /// ([MQTT-3.1.2-28]).
    pub response_information: Option<Box<str>>,
    /// Another server, for clients of a broker that shuts down (section 4.11).
    pub server_reference: Option<Box<str>>,
}

impl Words {
    pub(crate) fn response_information_for(&self, client_id: &str) -> Option<String> {
        self.response_information.as_ref().map(|pattern| pattern.replace("%c", client_id))
    }
}
