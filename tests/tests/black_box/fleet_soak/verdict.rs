//! What was found out, line by line.

/// Checks with their figures.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    lines: Vec<String>,
    failed: usize,
}

impl Verdict {
    /// Notes whether something holds, with the figures that decide it.
    pub(crate) fn check(&mut self, holds: bool, figures: String) {
        let word = if holds { "ok    " } else { "FAILED" };
        self.lines.push(format!("{word} {figures}"));
        self.failed += usize::from(!holds);
    }

    /// Notes that two numbers are the same.
    pub(crate) fn same(&mut self, what: &str, one: u64, other: u64) {
        self.check(one == other, format!("{what}: {one} = {other}"));
    }

    /// Prints all.
    ///
    /// # Panics
    /// When something does not hold.
    pub(crate) fn pronounce(self) {
        let text = self.lines.join("\n");
        eprintln!("{text}");
        assert_eq!(self.failed, 0, "of {} checks failed:\n{text}", self.lines.len());
    }
}
