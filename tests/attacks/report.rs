//! What a family found, written down for the summary (`cargo xtask attacks`).

use crate::ground::Aftermath;
use serde::Serialize;
use std::path::PathBuf;

/// Where an ordinary user's run writes instead.
pub(crate) const PLACE: &str = "SOULBOX_ATTACKS_REPORTS";

/// Where reports are: `target/tmp/attacks`.
pub(crate) fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("attacks")
}

/// One attempt that was made.
#[derive(Debug, Serialize)]
pub(crate) struct Made {
    pub(crate) tries: String,
    /// Who tried: `user`, `root` (inside), `agent` (a hostile one), `client` (the host's side).
    pub(crate) user: &'static str,
    /// How it was refused.
    pub(crate) refusal: String,
    /// How a success would have been seen.
    pub(crate) control: &'static str,
}

/// A family's findings.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    family: &'static str,
    attempts: Vec<Made>,
    /// The host's longest pause meanwhile, in milliseconds.
    heartbeat_ms: u128,
    /// The longest that a command in the neighbour took, in milliseconds.
    neighbour_ms: u128,
}

impl Report {
    pub(crate) fn new(family: &'static str) -> Self {
        Self {
            family,
            attempts: Vec::new(),
            heartbeat_ms: 0,
            neighbour_ms: 0,
        }
    }

    pub(crate) fn add(&mut self, made: Made) {
        self.attempts.push(made);
    }

    /// Takes the measurements and writes the file.
    pub(crate) fn close(mut self, aftermath: &Aftermath) {
        self.heartbeat_ms = aftermath.heartbeat.as_millis();
        self.neighbour_ms = aftermath.neighbour.as_millis();
        self.write();
    }

    /// Writes the file: `target/tmp/attacks/<family>.json`, or where [`PLACE`] says.
    fn write(&self) {
        #[allow(
            clippy::disallowed_methods,
            reason = "set by the test that starts this one"
        )]
        let told = std::env::var_os(PLACE).map(PathBuf::from);
        let directory = told.unwrap_or_else(directory);
        std::fs::create_dir_all(&directory).unwrap();
        let text = serde_json::to_vec_pretty(self).unwrap();
        std::fs::write(directory.join(format!("{}.json", self.family)), text).unwrap();
    }
}
