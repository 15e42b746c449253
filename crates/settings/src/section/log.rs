//! What is told to the operator.

use crate::value::Accept;

/// The accepted levels, quietest first.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The accepted forms.
const FORMATS: [&str; 2] = ["text", "json"];

section! {
    /// What is told to the operator on stderr.
    "log" Log {
        /// How much is told.
        level: String = |_| "warn".to_owned(), Accept::such(
            "off, error, warn, info, debug, trace",
            |level: &String| LEVELS.contains(&level.as_str()),
        );
        /// How it is told: lines for people, or one JSON object a line.
        format: String = |_| "text".to_owned(), Accept::such(
            "text or json",
            |format: &String| FORMATS.contains(&format.as_str()),
        );
    }
}
