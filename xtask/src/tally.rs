//! How many tests passed, from what the test runners print.

/// Counted tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// Adds what a line of a test runner says: the summary of nextest
    /// (`Summary [ 1.2s] 41 tests run: 41 passed (1 slow), 2 failed, 1 timed out, 3 skipped`), or
    /// the result of the compiler's own harness
    /// (`test result: ok. 3 passed; 0 failed; 1 ignored; …`).
    pub(crate) fn read(&mut self, line: &str) {
        // What a failed test printed is shown indented, its own harness's result among it.
        let counts = if line.trim_start().starts_with("Summary [") {
            line.split_once(" run: ").map(|(_, counts)| counts)
        } else {
            line.strip_prefix("test result: ")
                .and_then(|rest| rest.split_once(". "))
                .map(|s| s.1)
        };
        for part in counts.unwrap_or_default().split([',', ';']) {
            let mut words = part.split_whitespace();
            let number = words
                .next()
                .and_then(|word| word.parse::<u64>().ok())
                .unwrap_or(0);
            match words.next() {
                Some("passed") => self.passed += number,
                Some("failed" | "timed" | "exec") => self.failed += number,
                Some("skipped" | "ignored") => self.skipped += number,
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_runners_are_understood() {
        let mut tally = Tally::default();
        for line in [
            "     Summary [   0.178s] 41 tests run: 38 passed (1 slow), 2 failed, 1 timed out, 3 skipped",
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
            "test result: FAILED. 0 passed; 1 failed; 0 ignored",
            "    test result: FAILED. 0 passed; 1 failed; 0 ignored",
            "some other line with 7 passed",
        ] {
            tally.read(line);
        }
        assert_eq!(tally.to_string(), "43 passed, 4 failed, 4 skipped");
    }
}
