//! What a recipe says about itself: `recipe.toml`.

use super::stays_inside;
use crate::zygote::Zygote;
use serde::{Deserialize, Deserializer};
use soulbox_model::{ByteSize, Limits, NetworkMode, TemplateName};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The longest that a build may take.
const MAX_SECONDS: u64 = 24 * 3600;

/// Where the tree comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TreeFrom {
    /// The script changes its own sandbox, and what is there at the end is the tree.
    #[default]
    Sandbox,
    /// The script fills the empty directory `/build/rootfs`.
    Script,
    /// The script changes a copy of its sandbox's root in `/build/rootfs`: as `Sandbox`, but what it
    /// writes goes to disk and not to the memory of the sandbox.
    Copy,
}

/// `recipe.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What the template is, for people.
    pub description: String,
    /// The template in whose sandbox the script runs.
    #[serde(default = "default_parent")]
    pub parent: TemplateName,
    /// The script, a path in the recipe. bash runs it as root.
    pub script: PathBuf,
    /// Where the tree comes from.
    #[serde(default)]
    pub tree: TreeFrom,
    /// What the script reaches over the network.
    #[serde(default = "default_network")]
    pub network: NetworkMode,
    /// Whether the script gets the host's package sources, in `/build/inputs`.
    #[serde(default)]
    pub package_sources: bool,
    /// Whether the script gets what the host knows about the registries of pip and npm, and the
    /// certificates that the host trusts, in `/build/inputs`.
    #[serde(default)]
    pub package_registries: bool,
    /// Trees that come with SoulBox and that the script gets beside its own files, each below its
    /// name, such as `kernels/python`.
    #[serde(default)]
    pub parts: Vec<String>,
    /// How long the script may take, in seconds, 1 to 86,400.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: u64,
    /// Memory of the sandbox that builds.
    #[serde(default = "default_memory", deserialize_with = "size")]
    pub memory: ByteSize,
    /// Processes of the sandbox that builds.
    #[serde(default = "default_pids")]
    pub pids: u32,
    /// What must be free on the disk before it begins.
    #[serde(default = "default_disk", deserialize_with = "size")]
    pub free_disk: ByteSize,
    /// Programs that the parent must have, each with the package that it comes in.
    #[serde(default)]
    pub needs: BTreeMap<String, String>,
    /// What sandboxes of the template get by default.
    #[serde(default)]
    pub template: TemplateDefaults,
    /// The template's zygote; none: there is none.
    #[serde(default)]
    pub zygote: Option<Zygote>,
    /// What the tree must have.
    #[serde(default)]
    pub expect: Expectation,
}

/// What sandboxes of a template get by default. Where a recipe changes its own sandbox, what it
/// does not say is as in its parent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TemplateDefaults {
    /// The user that commands run as; `user` when none is given.
    pub user: Option<String>,
    /// The directory that commands run in; the user's home when none is given.
    pub workdir: Option<PathBuf>,
    /// The environment that commands get.
    pub env: BTreeMap<String, String>,
}

/// What a finished tree must have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expectation {
    /// Programs, by name.
    pub programs: Vec<String>,
    /// Absolute paths.
    pub paths: Vec<PathBuf>,
}

fn default_parent() -> TemplateName {
    TemplateName::host()
}

fn default_network() -> NetworkMode {
    NetworkMode::None
}

fn default_timeout() -> u64 {
    1800
}

fn default_memory() -> ByteSize {
    ByteSize::gib(2)
}

fn default_pids() -> u32 {
    1024
}

fn default_disk() -> ByteSize {
    ByteSize::gib(2)
}

/// Reads a size in the words that people use.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

impl Manifest {
    /// What the sandbox that builds may use, of a machine with `cpu_millis` thousandths of a CPU.
    pub fn limits(&self, cpu_millis: u32) -> Limits {
        Limits::usual(cpu_millis, self.memory, self.pids, self.free_disk)
    }

    /// Checks the values that their types alone do not.
    pub(super) fn check(&self) -> Result<(), String> {
        let (least, _) = Limits::CPU_MILLIS;
        self.limits(least)
            .check()
            .map_err(|error| match error.limit {
                "disk" => format!("free_{error}"),
                _ => error.to_string(),
            })?;
        if !(1..=MAX_SECONDS).contains(&self.timeout_seconds) {
            return Err(format!(
                "timeout_seconds must be between 1 and {MAX_SECONDS}"
            ));
        }
        if !stays_inside(&self.script) {
            return Err("script must be a path in the recipe".to_owned());
        }
        let absolute = |path: &Path| path.is_absolute();
        if !self.template.workdir.iter().all(|path| absolute(path)) {
            return Err("workdir must be an absolute path".to_owned());
        }
        if let Some(path) = self.expect.paths.iter().find(|path| !absolute(path)) {
            return Err(format!("expected path {} must be absolute", path.display()));
        }
        let bad = |name: &&String| name.is_empty() || name.contains(['=', '\0']);
        if let Some(name) = self.template.env.keys().find(bad) {
            return Err(format!("{name:?} cannot be the name of a variable"));
        }
        if self.template.user.as_deref() == Some("") {
            return Err("user must not be empty".to_owned());
        }
        self.zygote.as_ref().map_or(Ok(()), Zygote::check)
    }
}
