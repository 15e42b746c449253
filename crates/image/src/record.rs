//! What is written down about a template: the file `template.json` beside its tree.

use crate::layer_store::LayerId;
use crate::layers::{Layers, PROGRAM_DIRECTORIES};
use crate::measure::TreeSize;
use crate::rfc3339;
use crate::zygote::Zygote;
use serde::{Deserialize, Serialize};
use soulbox_model::language::LANGUAGES;
use soulbox_model::{ByteSize, TemplateName};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The name of the record in a template's directory.
pub const FILE: &str = "template.json";
/// The name of the tree in a template's directory.
pub const ROOTFS: &str = "rootfs";
/// The form of the record. A reader refuses newer ones.
pub const FORMAT: u32 = 1;
/// The longest record that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Linux refused.
    #[error("cannot {what} the record {path}")]
    Refused {
        /// What was being done.
        what: &'static str,
        /// The record.
        path: PathBuf,
        /// What Linux said.
        source: io::Error,
    },
    /// It is no record.
    #[error("{path} is damaged; build the template again")]
    Damaged {
        /// The record.
        path: PathBuf,
        /// Where.
        source: serde_json::Error,
    },
    /// A newer SoulBox wrote it.
    #[error("{path} has form {found}, this program knows forms up to {FORMAT}: use a newer one")]
    Newer {
        /// The record.
        path: PathBuf,
        /// The form that it has.
        found: u32,
    },
}

/// Where the `/usr` of a template's sandboxes comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsrFrom {
    /// From its own tree.
    #[default]
    Tree,
    /// From the host.
    Host,
}

/// Which distribution a tree is of, from its `os-release`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Distribution {
    /// `ID`, such as `debian`; empty when the tree does not say.
    pub id: String,
    /// `VERSION_ID`, such as `12`.
    pub version: String,
    /// `VERSION_CODENAME`, such as `bookworm`.
    pub codename: String,
}

/// What runs in each sandbox of a template from its start, and how it is known to be ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// A command line for a shell that exits with 0 when the program is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
}

/// What is known about a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateRecord {
    /// [`FORMAT`] when it was written.
    pub format: u32,
    /// Its name.
    pub name: TemplateName,
    /// What it is, for people.
    pub description: String,
    /// When it was made, in UTC, such as `2026-01-31T12:00:00Z`.
    pub created: String,
    /// The template in whose sandbox it was made.
    pub parent: Option<TemplateName>,
    /// SHA-256 of the recipe, in hex; none for `host`.
    pub recipe: Option<String>,
    /// Space on disk.
    pub size: ByteSize,
    /// Entries of its tree.
    pub files: u64,
    /// Which distribution it is.
    pub distribution: Distribution,
    /// Where its `/usr` comes from.
    pub usr: UsrFrom,
    /// The user that commands run as by default.
    pub user: String,
    /// The directory that commands run in by default; the user's home when none is given.
    pub workdir: Option<PathBuf>,
    /// The environment that commands get by default.
    pub env: BTreeMap<String, String>,
    /// The layers that its tree lies on, the lowest first; none when the tree is whole by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerId>,
    /// What runs in each of its sandboxes from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// Programs of the known languages that it has, by name.
    pub programs: BTreeSet<String>,
    /// Its zygote; none: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zygote: Option<Zygote>,
}

impl TemplateRecord {
    /// The record of a template that was just made, with what can be seen from outside.
    pub fn new(name: TemplateName, layers: &Layers, size: TreeSize) -> Self {
        let path = PROGRAM_DIRECTORIES.join(":");
        Self {
            format: FORMAT,
            name,
            description: String::new(),
            created: rfc3339::format(SystemTime::now()),
            parent: None,
            recipe: None,
            size: size.bytes,
            files: size.files,
            distribution: Distribution::of(layers),
            usr: UsrFrom::Tree,
            user: "user".to_owned(),
            workdir: None,
            env: BTreeMap::from([("PATH".into(), path), ("LANG".into(), "C.UTF-8".into())]),
            layers: Vec::new(),
            start: None,
            programs: known_programs(layers),
            zygote: None,
        }
    }

    /// Reads the record in a template's directory.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn read(directory: &Path) -> Result<Self, RecordError> {
        let path = directory.join(FILE);
        let refused = |source| RecordError::Refused {
            what: "read",
            path: path.clone(),
            source,
        };
        let mut text = String::new();
        let file = File::open(&path).map_err(refused)?;
        file.take(MAX_BYTES)
            .read_to_string(&mut text)
            .map_err(refused)?;
        let damaged = |source| RecordError::Damaged {
            path: path.clone(),
            source,
        };
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let Form { format } = serde_json::from_str(&text).map_err(damaged)?;
        if format > FORMAT {
            let found = format;
            return Err(RecordError::Newer { path, found });
        }
        serde_json::from_str(&text).map_err(damaged)
    }

    /// Writes the record into a template's directory that is being made.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn write(&self, directory: &Path) -> Result<(), RecordError> {
        let path = directory.join(FILE);
        let write = || {
            let mut text = serde_json::to_string_pretty(self)?;
            text.push('\n');
            File::create_new(&path)?.write_all(text.as_bytes())
        };
        write().map_err(|source| RecordError::Refused {
            what: "write",
            path: path.clone(),
            source,
        })
    }
}

impl Distribution {
    /// What the `os-release` of a tree says.
    pub fn of(layers: &Layers) -> Self {
        let text = layers.read(Path::new("/etc/os-release"), 1 << 16);
        Self::parse(&text.unwrap_or_default())
    }

    /// Reads the text of an `os-release` file.
    pub fn parse(text: &str) -> Self {
        let value = |name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            let value = line.unwrap_or_default().trim().trim_matches(['"', '\'']);
            let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            value.chars().filter(plain).take(64).collect()
        };
        Self {
            id: value("ID"),
            version: value("VERSION_ID"),
            codename: value("VERSION_CODENAME"),
        }
    }
}

/// Which programs of the known languages the layers have.
fn known_programs(layers: &Layers) -> BTreeSet<String> {
    LANGUAGES
        .iter()
        .flat_map(|language| language.ways)
        .flat_map(|way| way.needs)
        .filter(|program| layers.program(program.name).is_some())
        .map(|program| program.name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(directory: &Path) -> TemplateRecord {
        let layers = Layers {
            rootfs: directory.to_owned(),
            ..Layers::default()
        };
        TemplateRecord::new("base".parse().unwrap(), &layers, TreeSize::default())
    }

    #[test]
    fn what_was_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let record = record(directory.path());
        record.write(directory.path()).unwrap();
        assert_eq!(TemplateRecord::read(directory.path()).unwrap(), record);
    }

    #[test]
    fn damaged_and_newer_records_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        std::fs::write(&path, "{\"format\":1").unwrap();
        let read = || TemplateRecord::read(directory.path());
        assert!(matches!(read(), Err(RecordError::Damaged { .. })));
        std::fs::write(&path, "{\"format\":2,\"new\":true}").unwrap();
        assert!(matches!(read(), Err(RecordError::Newer { found: 2, .. })));
        std::fs::remove_file(path).unwrap();
        assert!(matches!(read(), Err(RecordError::Refused { .. })));
    }

    #[test]
    fn os_release_is_read_without_its_quotes() {
        let debian =
            "PRETTY_NAME=\"Debian\"\nID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n";
        let distribution = Distribution::parse(debian);
        assert_eq!(distribution.id, "debian");
        assert_eq!(distribution.version, "12");
        assert_eq!(distribution.codename, "bookworm");
        assert_eq!(Distribution::parse("ID_LIKE=x\nID='a;b'").id, "ab");
        assert_eq!(Distribution::parse(""), Distribution::default());
    }
}
