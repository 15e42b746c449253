//! A sandbox that is asked for, and what is told of the one that was made.

use crate::error::RemoteError;
use crate::sandboxes::Met;
use crate::server::Server;
use serde::{Deserialize, Serialize, Serializer};
use soulbox_model::{AskedLimits, NetworkMode};
use std::collections::BTreeMap;
use std::time::Duration;

/// A sandbox that is asked for. What is left out is as the settings of the server say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewSandbox {
    /// What it is made from; none: `base`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// How long it lives; whole seconds, rounded up.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "whole_seconds"
    )]
    pub timeout: Option<Duration>,
    /// Whether it is paused, and not ended, when its time is over.
    pub auto_pause: bool,
    /// Whether a request for it lets it go on.
    pub auto_resume: bool,
    /// Notes that are kept with it.
    pub metadata: BTreeMap<String, String>,
    /// Variables of every command in it.
    pub env_vars: BTreeMap<String, String>,
    /// What it reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkMode>,
    /// What it may use.
    pub limits: AskedLimits,
}

impl NewSandbox {
    /// One of this template.
    #[must_use]
    pub fn of(template: impl Into<String>) -> Self {
        Self {
            template: Some(template.into()),
            ..Self::default()
        }
    }
}

/// A sandbox that was made.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// What is needed to talk to it.
    #[serde(flatten)]
    pub met: Met,
    /// What it was made from.
    pub template: String,
    /// The level of isolation that it has.
    pub isolation: String,
    /// Limits that nothing holds it to.
    #[serde(default)]
    pub not_enforced: Vec<String>,
    /// Where the time of its create went.
    #[serde(default)]
    pub phases: Vec<Phase>,
    /// What it may use.
    pub limits: MadeLimits,
}

/// A step of a create or of a run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Phase {
    /// Its name.
    pub step: String,
    /// How long it took, in microseconds.
    pub us: u64,
}

/// What a sandbox may use, as far as it is told here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MadeLimits {
    /// The most memory, in bytes.
    pub memory_max_bytes: u64,
}

/// Whole seconds, no less than the time.
#[must_use]
pub fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[expect(clippy::ref_option, reason = "serde hands over the field as it is")]
fn whole_seconds<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.map(seconds).serialize(to)
}

impl Server {
    /// Makes a sandbox.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn create(&self, wish: &NewSandbox) -> Result<Made, RemoteError> {
        self.post("/v1/sandboxes", wish).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_said_is_asked_for() {
        let asked = |wish: &NewSandbox| serde_json::to_value(wish).unwrap();
        let nothing = asked(&NewSandbox::default());
        assert!(nothing.get("template").is_none() && nothing.get("timeout").is_none());
        assert_eq!(nothing["limits"], serde_json::json!({}));
        let some = asked(&NewSandbox {
            timeout: Some(Duration::from_millis(1001)),
            network: Some(NetworkMode::Internet),
            ..NewSandbox::of("base")
        });
        assert_eq!(
            (&some["timeout"], &some["network"], &some["template"]),
            (&2.into(), &"internet".into(), &"base".into())
        );
    }
}
