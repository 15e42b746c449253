//! Code that is to be run in a sandbox of its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Serialize, Serializer};
use soulbox_model::NetworkMode;
use std::collections::BTreeMap;
use std::time::Duration;

/// A piece of code that is to be run in a sandbox of its own. What is left out is as the settings say.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Execute {
    /// Its language, or an alias; none: by its `#!` line, else Python.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The code.
    #[serde(serialize_with = "content")]
    pub code: Bytes,
    /// Files that are there before it starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<CodeFile>,
    /// What it reads on its standard input.
    #[serde(skip_serializing_if = "Bytes::is_empty", serialize_with = "content")]
    pub stdin: Bytes,
    /// Its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its environment variables.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// How long compiler and program may take together; whole milliseconds.
    #[serde(
        rename = "timeout_ms",
        skip_serializing_if = "Option::is_none",
        serialize_with = "milliseconds"
    )]
    pub timeout: Option<Duration>,
    /// Memory in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u64>,
    /// Processors, such as 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// What its sandbox is made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What it reaches; none: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkMode>,
    /// Files that come back: [`Run::files`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub return_files: Vec<String>,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// As whom it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// A file that is there before code starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CodeFile {
    /// Its path: absolute, or below the home.
    pub path: String,
    /// What it holds.
    #[serde(rename = "base64", serialize_with = "base64")]
    pub content: Bytes,
    /// Whether it may be executed.
    pub executable: bool,
}

impl Execute {
    /// Code in a language, or an alias of one.
    #[must_use]
    pub fn new(language: impl Into<String>, code: impl Into<Bytes>) -> Self {
        Self {
            language: Some(language.into()),
            code: code.into(),
            ..Self::default()
        }
    }
}

/// Text as a string, what is none as `{"base64": …}`.
fn content<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => to.serialize_str(text),
        Err(_) => BTreeMap::from([("base64", STANDARD.encode(bytes))]).serialize(to),
    }
}

fn base64<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&STANDARD.encode(bytes))
}

#[expect(clippy::ref_option, reason = "serde hands over the field as it is")]
fn milliseconds<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    let millis = time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    millis.serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_no_text_goes_as_base64() {
        let code = Execute {
            stdin: Bytes::from_static(b"\xff"),
            timeout: Some(Duration::from_millis(1500)),
            ..Execute::new("bash", "cat")
        };
        let sent = serde_json::to_value(&code).unwrap();
        let expected = json!({
            "language": "bash", "code": "cat", "stdin": { "base64": "/w==" }, "timeout_ms": 1500,
        });
        assert_eq!(sent, expected);
    }
}
