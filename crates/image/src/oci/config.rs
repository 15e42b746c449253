//! What an image says about its processes and its layers: the image config.

use super::digest::Digest;
use super::platform::Platform;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// The longest config.
pub const MAX_CONFIG: u64 = 8 << 20;

/// Why a config is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is no JSON of this form.
    #[error("the config of the image is damaged")]
    Form(#[from] serde_json::Error),
    /// It tells of other layers than the manifest.
    #[error("the config of the image names {config} layers, its manifest {manifest}")]
    Layers {
        /// How many the config names.
        config: usize,
        /// How many the manifest names.
        manifest: usize,
    },
    /// Its layers are not what we know.
    #[error("the image is of kind {0:?}; layers are the only one")]
    Kind(String),
    /// It is for another machine.
    #[error("the image is made for {is}, not for {wanted}")]
    Platform {
        /// What it is for.
        is: String,
        /// What was wanted.
        wanted: String,
    },
}

/// The config of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When it was made, as RFC 3339 has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The processor that it is for.
    pub architecture: String,
    /// The system that it is for.
    pub os: String,
    /// Which of the kind of processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// What its processes get.
    #[serde(default, deserialize_with = "or_default")]
    pub config: Process,
    /// Its layers.
    pub rootfs: RootFs,
    /// How it was made, step by step.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub history: Vec<History>,
}

/// What the processes of an image get.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Process {
    /// The user: a name or a number, and perhaps a group behind a colon. Empty: root.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub user: String,
    /// Variables, as `NAME=value`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The program and its first arguments.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Its further arguments; without an entry point the program too.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// The working directory. Empty: `/`.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub working_dir: String,
    /// Labels.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    /// Ports, as `80/tcp`.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub exposed_ports: BTreeMap<String, Nothing>,
    /// The signal that ends it.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub stop_signal: String,
    /// Lines of a Dockerfile that go before those of one that begins with this image.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// The shell of a Dockerfile's `RUN`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
}

/// An empty object, which Docker's sets consist of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Nothing {}

/// The layers of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The digests of the unpacked tar archives, the lowest first.
    pub diff_ids: Vec<Digest>,
}

/// How one step of an image was made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By which command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// True when the step made no layer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// Reads a config that goes with a manifest of `layers` layers.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn parse(content: &[u8], layers: usize) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_slice(content)?;
        if config.rootfs.kind != "layers" {
            let kind = config.rootfs.kind.chars().take(100).collect();
            return Err(ConfigError::Kind(kind));
        }
        let told = config.rootfs.diff_ids.len();
        if told != layers {
            return Err(ConfigError::Layers {
                config: told,
                manifest: layers,
            });
        }
        Ok(config)
    }

    /// The machine that it is for.
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone().filter(|variant| !variant.is_empty()),
        }
    }

    /// Checks that it runs on a machine.
    ///
    /// # Errors
    /// [`ConfigError::Platform`].
    pub fn check(&self, wanted: &Platform) -> Result<(), ConfigError> {
        let is = self.platform();
        // A variant is often not told, and sometimes wrong: the index is what chooses by it.
        if (&is.os, &is.architecture) == (&wanted.os, &wanted.architecture) {
            return Ok(());
        }
        Err(ConfigError::Platform {
            is: is.to_string().chars().take(100).collect(),
            wanted: wanted.to_string(),
        })
    }

    /// What made each layer, for people, the lowest first; empty where the image does not say.
    pub fn made_by(&self) -> Vec<String> {
        let mut steps = self.history.iter().filter(|step| !step.empty_layer);
        let text = |step: &History| step.created_by.clone().unwrap_or_default();
        let diffs = self.rootfs.diff_ids.iter();
        diffs
            .map(|_| steps.next().map(text).unwrap_or_default())
            .collect()
    }
}

/// Docker writes `null` for what is empty.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nulls_and_unknown_fields_do_no_harm() {
        let text = json!({
            "architecture": "amd64", "os": "linux", "docker_version": "1",
            "config": {"Env": ["A=b"], "Cmd": null, "Entrypoint": ["/x"], "Volumes": {"/v": {}},
                       "ExposedPorts": {"80/tcp": {}}, "Labels": null, "User": ""},
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"a"), Digest::of(b"b")]},
            "history": [{"created_by": "one"}, {"empty_layer": true, "created_by": "ENV"},
                        {"created_by": "two"}],
        })
        .to_string();
        let config = ImageConfig::parse(text.as_bytes(), 2).unwrap();
        assert_eq!(config.config.env, ["A=b"]);
        assert_eq!(config.config.entrypoint, ["/x"]);
        assert_eq!(config.made_by(), ["one", "two"]);
        config.check(&"linux/amd64".parse().unwrap()).unwrap();
        assert!(config.check(&"linux/arm64".parse().unwrap()).is_err());
        // It reads back what it writes.
        let written = serde_json::to_vec(&config).unwrap();
        assert_eq!(ImageConfig::parse(&written, 2).unwrap(), config);
        let refused = ImageConfig::parse(text.as_bytes(), 3).unwrap_err();
        assert!(matches!(refused, ConfigError::Layers { .. }), "{refused}");
    }
}
