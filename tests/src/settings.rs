//! The configuration file of a broker under test.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    process::Command,
};

/// What a test asks of its broker, beside free ports and a data directory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    tables: String,
    node: String,
    ops: String,
    tls: String,
    open_files_max: Option<u32>,
    data: Option<PathBuf>,
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

    /// With these keys in the table of the node.
    #[must_use]
    pub fn node(mut self, toml: &str) -> Self {
        writeln!(self.node, "{toml}").expect("a String takes all");
        self
    }

    /// With these keys in the table of the operations.
    #[must_use]
    pub fn ops(mut self, toml: &str) -> Self {
        writeln!(self.ops, "{toml}").expect("a String takes all");
        self
    }

    /// With these keys in the table of the TLS listener.
    #[must_use]
    pub fn tls(mut self, toml: &str) -> Self {
        writeln!(self.tls, "{toml}").expect("a String takes all");
        self
    }

    /// With so many file descriptors and no more.
    #[must_use]
    pub fn open_files_max(self, number: u32) -> Self {
        Self { open_files_max: Some(number), ..self }
    }

    /// With its data in this directory.
    #[must_use]
    pub fn data_in(self, directory: &Path) -> Self {
        Self { data: Some(directory.to_owned()), ..self }
    }

    /// Where the data is, in a home of its own if nothing else was said.
    pub(crate) fn data(&self, home: &Path) -> PathBuf {
        self.data.clone().unwrap_or_else(|| home.join("data"))
    }

    /// The command line, up to its arguments.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let Some(number) = self.open_files_max else { return Command::new(program) };
        // The shell becomes the program, so the process id is the broker's.
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {number} && exec \"$0\" \"$@\"")]).arg(program);
        shell
    }

    /// The file: a listener for each transport, operations, all on free ports.
    pub(crate) fn toml(&self, home: &Path) -> String {
        format!(
            "[node]\ndata = \"{}\"\n{}\n[[listener]]\nbind = \"tcp://127.0.0.1:0\"\n\n\
             [[listener]]\nbind = \"tls://127.0.0.1:0\"\n{}\n\
             [[listener]]\nbind = \"ws://127.0.0.1:0\"\n\n\
             [[listener]]\nbind = \"wss://127.0.0.1:0\"\n\n\
             [ops]\nbind = \"http://127.0.0.1:0\"\n{}\n{}",
            self.data(home).display(),
            self.node,
            self.tls,
            self.ops,
            self.tables
        )
    }
}
