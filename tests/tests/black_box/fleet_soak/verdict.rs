//! What was found out, line by line.

/// Checks, each printed with its figures.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    checks: usize,
    failed: Vec<String>,
}

impl Verdict {
    /// Notes whether something holds, with the figures that decide it.
    pub(crate) fn check(&mut self, holds: bool, figures: String) {
        let word = if holds { "ok    " } else { "FAILED" };
        eprintln!("{word} {figures}");
        if !holds {
            self.failed.push(figures);
        }
        self.checks += 1;
    }

    /// Notes that two numbers are the same.
    pub(crate) fn same(&mut self, what: &str, one: u64, other: u64) {
        self.check(one == other, format!("{what}: {one} = {other}"));
    }

    /// # Panics
    /// When something does not hold.
    pub(crate) fn pronounce(self) {
        let Self { checks, failed } = self;
        assert!(failed.is_empty(), "{} of {checks} failed:\n{}", failed.len(), failed.join("\n"));
    }
}
