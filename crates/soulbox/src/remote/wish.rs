//! What a sandbox of a server is asked to be: of limits only what somebody said, so that the server's own
//! settings hold for the rest.

use super::error::RemoteError;
use super::sandbox::Met;
use super::server::Server;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use soulbox_settings::{Origin, Settings};
use std::collections::BTreeMap;
use std::time::Duration;

/// A sandbox that is asked for.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wish {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) template: Option<String>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<u64>,
    pub(crate) auto_pause: bool,
    pub(crate) auto_resume: bool,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) env_vars: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<&'static str>,
    pub(crate) limits: Map<String, Value>,
}

/// A sandbox that was made.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Made {
    /// What is needed to talk to it.
    #[serde(flatten)]
    pub(crate) met: Met,
    /// What it was made from.
    pub(crate) template: String,
    /// The level of isolation that it has.
    pub(crate) isolation: String,
    /// Limits that nothing holds it to.
    #[serde(default)]
    pub(crate) not_enforced: Vec<String>,
    /// Where the time of its create went.
    #[serde(default)]
    pub(crate) phases: Vec<Phase>,
    /// What it may use.
    pub(crate) limits: MadeLimits,
}

/// A step of a create, in microseconds.
#[derive(Debug, Deserialize)]
pub(crate) struct Phase {
    pub(crate) step: String,
    pub(crate) us: u64,
}

/// What a sandbox may use, as far as it is told here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MadeLimits {
    /// The most memory, in bytes.
    pub(crate) memory_max_bytes: u64,
}

impl Wish {
    /// The limits and the network that somebody set.
    pub(crate) fn of(settings: &Settings) -> Self {
        let set = |key: &str| {
            let mut entries = settings.entries.iter();
            entries.any(|entry| entry.key == key && entry.origin != Origin::Default)
        };
        let wanted = &settings.sandbox;
        let limits = [
            ("sandbox.cpu", "cpuMillis", u64::from(wanted.cpu.millis)),
            ("sandbox.cpu_weight", "cpuWeight", wanted.cpu_weight.into()),
            ("sandbox.memory", "memoryBytes", wanted.memory.bytes()),
            (
                "sandbox.memory_max",
                "memoryMaxBytes",
                wanted.memory_max.bytes(),
            ),
            ("sandbox.pids", "pids", wanted.pids.into()),
            ("sandbox.open_files", "openFiles", wanted.open_files.into()),
            ("sandbox.io_read", "ioReadBytes", wanted.io_read.bytes()),
            ("sandbox.io_write", "ioWriteBytes", wanted.io_write.bytes()),
            ("sandbox.disk", "diskBytes", wanted.disk.bytes()),
        ];
        // Here 0 says: no more than the memory, which is what an absent field says there.
        let said = |(key, field, value): &(&str, &str, u64)| {
            set(key) && !(*field == "memoryMaxBytes" && *value == 0)
        };
        let limits = limits.iter().filter(|limit| said(limit));
        Self {
            limits: limits
                .map(|(_, field, value)| ((*field).to_owned(), (*value).into()))
                .collect(),
            network: set("sandbox.network").then(|| wanted.network.as_str()),
            ..Self::default()
        }
    }
}

/// Whole seconds, no less than the time.
pub(crate) fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

impl Server {
    /// Makes a sandbox.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub(crate) async fn create(&self, wish: &Wish) -> Result<Made, RemoteError> {
        self.post("/v1/sandboxes", wish).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_said_is_asked_for() {
        let nothing = Wish::of(&Settings::with(&[]).unwrap());
        assert!(nothing.limits.is_empty() && nothing.network.is_none());
        let settings = Settings::with(&[
            ("sandbox.memory", "64M"),
            ("sandbox.memory_max", "0"),
            ("sandbox.cpu", "0.5"),
            ("sandbox.network", "internet"),
        ]);
        let some = Wish::of(&settings.unwrap());
        assert_eq!(
            serde_json::json!(some.limits),
            serde_json::json!({ "cpuMillis": 500, "memoryBytes": 64 << 20 })
        );
        assert_eq!(some.network, Some("internet"));
        assert_eq!(seconds(Duration::from_millis(1001)), 2);
    }
}
