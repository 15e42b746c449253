//! What is told to the operator.

use crate::value::Accept;

/// The accepted levels, quietest first.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

section! {
    /// What is told to the operator on stderr.
    "log" Log {
        /// How much is told.
        level: String = |_| "warn".to_owned(), Accept::such(
            "off, error, warn, info, debug, trace",
            |level: &String| LEVELS.contains(&level.as_str()),
        );
    }
}
