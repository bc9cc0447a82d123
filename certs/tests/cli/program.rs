//! The program under test, in a directory of its own.

use std::{
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

/// A directory in which the program works.
pub(crate) struct Fleet(TempDir);

impl Fleet {
    /// An empty directory.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    /// A directory with an authority in it.
    pub(crate) fn with_authority() -> Self {
        let fleet = Self::new();
        fleet.done(&["ca"]);
        fleet
    }

    pub(crate) fn dir(&self) -> &Path {
        self.0.path()
    }

    /// Runs the program with `--dir` behind the arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_flotilla-certs"))
            .args(arguments)
            .arg("--dir")
            .arg(self.dir())
            .output()
            .expect("cargo built the program")
    }

    /// Runs the program, which must succeed; returns what it said.
    #[track_caller]
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs the program, which must fail with this exit code; returns its complaint.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{arguments:?}");
        text(&output.stderr)
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
