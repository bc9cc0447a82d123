//! What is measured: a scenario on a broker that is started in a certain way.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use crate::scheme::Scheme;

/// One measurement, the same for each broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Case {
    /// Name of a scenario with its options.
    pub(crate) arguments: String,
    pub(crate) setup: Setup,
}

/// How brokers are started. What one does not know, it ignores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Setup {
    pub(crate) transport: Scheme,
    /// Threads that serve connections; the broker's choice if left out.
    pub(crate) workers: Option<u32>,
    /// When what is acknowledged is on the disk; the broker's choice if left out.
    pub(crate) sync: Option<Sync>,
}

/// When what is acknowledged is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sync {
    /// Before it is acknowledged.
    Always,
    /// When the operating system likes.
    Never,
}

impl Sync {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

/// Like a command line: `p2p --qos 1 (tls, 2 workers)`.
impl Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setup { transport, workers, sync } = self.setup;
        let words: Vec<String> = [
            (transport != Scheme::Tcp).then(|| transport.name().to_owned()),
            workers.filter(|workers| *workers != 1).map(|workers| format!("{workers} workers")),
            sync.filter(|sync| *sync == Sync::Always).map(|_| "sync always".to_owned()),
        ]
        .into_iter()
        .flatten()
        .collect();
        f.write_str(&self.arguments)?;
        if words.is_empty() { Ok(()) } else { write!(f, " ({})", words.join(", ")) }
    }
}
