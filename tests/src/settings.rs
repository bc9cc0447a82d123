//! The configuration file of a broker under test.

use std::{fmt::Write, path::Path};

/// What a test asks of its broker, beside free ports and a data directory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    tables: String,
    tls: String,
    environment: Vec<(String, String)>,
}

impl Settings {
    /// The defaults of the broker.
    pub fn new() -> Self {
        Self::default()
    }

    /// With these lines of TOML: whole tables.
    #[must_use]
    pub fn tables(mut self, toml: &str) -> Self {
        writeln!(self.tables, "{toml}").expect("a String takes all");
        self
    }

    /// With these keys in the table of the TLS listener.
    #[must_use]
    pub fn tls(mut self, toml: &str) -> Self {
        writeln!(self.tls, "{toml}").expect("a String takes all");
        self
    }

    /// With this environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn environment_variables(&self) -> &[(String, String)] {
        &self.environment
    }

    /// The file: one TCP and one TLS listener, operations, all on free ports.
    pub(crate) fn toml(&self, data: &Path) -> String {
        format!(
            "[node]\ndata = \"{}\"\n\n[[listener]]\nbind = \"tcp://127.0.0.1:0\"\n\n\
             [[listener]]\nbind = \"tls://127.0.0.1:0\"\n{}\n[ops]\nbind = \
             \"http://127.0.0.1:0\"\n\n{}",
            data.display(),
            self.tls,
            self.tables
        )
    }
}
