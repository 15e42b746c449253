//! The steps of a create, timed.

use serde::{Deserialize, Serialize};

/// Where the time of a create went: step names in order, each with its length in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases(pub Vec<(String, u64)>);

impl Phases {
    /// Adds a step of `micros` microseconds.
    pub fn push(&mut self, step: &str, micros: u64) {
        self.0.push((step.to_owned(), micros));
    }

    /// The sum of all steps, in microseconds.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, micros)| micros).sum()
    }
}
