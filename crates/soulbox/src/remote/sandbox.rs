//! Sandboxes in the server's words.

use super::error::RemoteError;
use super::server::Server;
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
pub(crate) struct Listed {
    #[serde(rename = "sandboxID")]
    pub(crate) sandbox_id: SandboxId,
    #[serde(rename = "templateID")]
    pub(crate) template_id: String,
    pub(crate) state: String,
    pub(crate) started_at: String,
    pub(crate) end_at: String,
    pub(crate) cpu_count: u32,
    #[serde(rename = "memoryMB")]
    pub(crate) memory_mb: u64,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) isolation: String,
}

/// What is needed to talk to a sandbox.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Met {
    #[serde(rename = "sandboxID")]
    pub(crate) sandbox_id: SandboxId,
    #[serde(default)]
    pub(crate) envd_access_token: Option<String>,
    /// Everything that was told.
    #[serde(flatten)]
    pub(crate) rest: BTreeMap<String, Value>,
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
    pub(crate) async fn list(&self) -> Result<Vec<Listed>, RemoteError> {
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
    pub(crate) async fn ended(&self) -> Result<Vec<Value>, RemoteError> {
        let answer: Ended = self.get("/v1/sandboxes?state=ended").await?;
        Ok(answer.sandboxes)
    }

    /// One that lives.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub(crate) async fn meet(&self, id: &SandboxId) -> Result<Met, RemoteError> {
        self.get(&format!("/sandboxes/{id}")).await
    }

    /// Ends one.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub(crate) async fn kill(&self, id: &SandboxId) -> Result<(), RemoteError> {
        let path = format!("/sandboxes/{id}");
        self.have_done(Method::DELETE, &path, None).await
    }

    /// Stops one with everything in memory.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub(crate) async fn pause(&self, id: &SandboxId) -> Result<(), RemoteError> {
        let path = format!("/sandboxes/{id}/pause");
        self.have_done(Method::POST, &path, None).await
    }

    /// Lets one go on, and gives it so many seconds if it has less.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub(crate) async fn connect(
        &self,
        id: &SandboxId,
        seconds: Option<u64>,
    ) -> Result<(), RemoteError> {
        let path = format!("/v2/sandboxes/{id}/connect");
        let body = match seconds {
            Some(seconds) => json!({ "timeout": seconds }),
            None => json!({}),
        };
        self.have_done(Method::POST, &path, Some(&body)).await
    }
}
