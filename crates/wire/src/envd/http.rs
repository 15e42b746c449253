//! Bodies of the plain HTTP routes: `/init`, `/files`, `/files/compose`, `/metrics`.

use super::json::or_default;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The header by which an upload marks its files as programs (mode 0755), which E2B's interface has no words for.
pub const EXECUTABLE: &str = "soulbox-executable";

/// An error of a plain route. Its `code` is the HTTP status, unlike the string of Connect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpError {
    /// The HTTP status.
    pub code: u16,
    /// What failed, on what.
    pub message: String,
}

/// Request of `POST /init`. Absent fields leave what was set before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitRequest {
    /// Variables of every command; replaces the earlier set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_vars: Option<BTreeMap<String, String>>,
    /// Who runs commands when a request names nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_user: Option<String>,
    /// Where commands run when a request names no directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_workdir: Option<String>,
}

/// One file that an upload or a composition wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFile {
    /// Its absolute path.
    #[serde(default, deserialize_with = "or_default")]
    pub path: String,
    /// The last part of its path.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// Always `file`.
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// What the upload attached to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}

/// Request of `POST /files/compose`: the one JSON body of envd in snake_case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeRequest {
    /// Files whose contents are joined in this order, and which are removed afterwards.
    #[serde(default, deserialize_with = "or_default")]
    pub source_paths: Vec<String>,
    /// The file that holds the result.
    #[serde(default, deserialize_with = "or_default")]
    pub destination: String,
    /// Whose it is; absent means the default user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

/// Answer of `GET /metrics`. Sizes in bytes unless the name says MiB.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// When, in seconds since 1970.
    pub ts: i64,
    /// CPUs that the agent may run on.
    pub cpu_count: u32,
    /// How busy they were since the last call, 0 to 100.
    pub cpu_used_pct: f32,
    /// Memory there is.
    pub mem_total: u64,
    /// Memory in use.
    pub mem_used: u64,
    /// Memory that caches files.
    pub mem_cache: u64,
    /// `mem_total` in MiB.
    pub mem_total_mib: u64,
    /// `mem_used` in MiB.
    pub mem_used_mib: u64,
    /// Size of the root file system.
    pub disk_total: u64,
    /// Used part of the root file system.
    pub disk_used: u64,
}
