//! Sandboxes in the server's words.

use crate::error::RemoteError;
use crate::server::Server;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use soulbox_model::SandboxId;
use std::collections::BTreeMap;

/// The header with the place where the next page begins.
const NEXT: &str = "x-next-token";

/// The most pages that are asked for: more sandboxes than a machine has places.
const PAGES: usize = 1000;

/// A sandbox that lives.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// Its id.
    #[serde(rename = "sandboxID")]
    pub sandbox_id: SandboxId,
    /// The template that it was made from.
    #[serde(rename = "templateID")]
    pub template_id: String,
    /// `running` or `paused`.
    pub state: String,
    /// When it was made, RFC 3339.
    pub started_at: String,
    /// When its time is over, RFC 3339.
    pub end_at: String,
    /// Processors, rounded up.
    pub cpu_count: u32,
    /// Memory in MiB.
    #[serde(rename = "memoryMB")]
    pub memory_mb: u64,
    /// What its maker noted.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// The level of isolation that it has.
    #[serde(default)]
    pub isolation: String,
}

/// What is needed to talk to a sandbox.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Met {
    /// Its id.
    #[serde(rename = "sandboxID")]
    pub sandbox_id: SandboxId,
    /// What its agent wants to see.
    #[serde(default)]
    pub envd_access_token: Option<String>,
    /// Everything that was told.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

/// Those that ended.
#[derive(Deserialize)]
struct Ended {
    sandboxes: Vec<Value>,
}

impl Server {
    /// All that live, the newest first.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn list(&self) -> Result<Vec<Listed>, RemoteError> {
        let mut all = Vec::new();
        let mut path = "/v2/sandboxes?limit=100".to_owned();
        for _ in 0..PAGES {
            let (page, next): (Vec<Listed>, _) = self.get_page(&path, NEXT).await?;
            all.extend(page);
            // A place is digits, letters and a dash; anything else would be another question.
            let plain =
                |next: &String| next.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            match next.filter(plain) {
                Some(next) => path = format!("/v2/sandboxes?limit=100&nextToken={next}"),
                None => break,
            }
        }
        Ok(all)
    }

    /// The last that ended, the newest first, as the server tells them.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn ended(&self) -> Result<Vec<Value>, RemoteError> {
        let answer: Ended = self.get("/v1/sandboxes?state=ended").await?;
        Ok(answer.sandboxes)
    }

    /// One that lives.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn meet(&self, id: &SandboxId) -> Result<Met, RemoteError> {
        self.get(&format!("/sandboxes/{id}")).await
    }

    /// Ends one.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn kill(&self, id: &SandboxId) -> Result<(), RemoteError> {
        let path = format!("/sandboxes/{id}");
        self.have_done(Method::DELETE, &path, None).await
    }

    /// Stops one with everything in memory.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn pause(&self, id: &SandboxId) -> Result<(), RemoteError> {
        let path = format!("/sandboxes/{id}/pause");
        self.have_done(Method::POST, &path, None).await
    }

    /// Lets one go on, and gives it so many seconds if it has less.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn connect(&self, id: &SandboxId, seconds: Option<u64>) -> Result<(), RemoteError> {
        let path = format!("/v2/sandboxes/{id}/connect");
        let body = match seconds {
            Some(seconds) => json!({ "timeout": seconds }),
            None => json!({}),
        };
        self.have_done(Method::POST, &path, Some(&body)).await
    }
}
