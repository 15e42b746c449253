//! How a kernel is started: `kernel.json` as Jupyter has it.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Bytes of a description, at the most.
const LONGEST: u64 = 64 * 1024;

/// Why a description cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpecError {
    #[error("cannot read {0}: {1}")]
    Read(PathBuf, std::io::Error),
    #[error("{0} is no description of a kernel: {1}")]
    Parse(PathBuf, serde_json::Error),
    #[error("{0} names no program")]
    Empty(PathBuf),
}

/// How the kernel is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Interrupt {
    /// By SIGINT.
    #[default]
    Signal,
    /// By a message on its control channel.
    Message,
}

/// `kernel.json`. What else it says is for others.
#[derive(Debug, Deserialize)]
pub(crate) struct Spec {
    pub(crate) argv: Vec<String>,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) language: String,
    #[serde(default)]
    pub(crate) interrupt_mode: Interrupt,
}

impl Spec {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> Result<Self, SpecError> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(LONGEST).read_to_end(&mut bytes))
            .map_err(|error| SpecError::Read(path.to_owned(), error))?;
        let spec: Self = serde_json::from_slice(&bytes)
            .map_err(|error| SpecError::Parse(path.to_owned(), error))?;
        match spec.argv.first() {
            Some(program) if !program.is_empty() => Ok(spec),
            _ => Err(SpecError::Empty(path.to_owned())),
        }
    }

    /// The words that start it, with the places of the connection file and of the description's directory.
    pub(crate) fn words(&self, connection: &str, resources: &str) -> Vec<String> {
        let place = |word: &String| {
            word.replace("{connection_file}", connection)
                .replace("{resource_dir}", resources)
        };
        self.argv.iter().map(place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_says_how_its_kernel_is_started() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kernel.json");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Spec::read(&path)
        };
        let spec = read(
            r#"{"argv": ["R", "--args", "{connection_file}", "{resource_dir}/x"], "language": "R",
                "display_name": "R", "interrupt_mode": "message", "metadata": {"debugger": true}}"#,
        );
        let spec = spec.unwrap();
        assert_eq!(spec.interrupt_mode, Interrupt::Message);
        assert_eq!(spec.words("/c", "/r"), ["R", "--args", "/c", "/r/x"]);
        for wrong in [
            "",
            "{}",
            r#"{"argv": []}"#,
            r#"{"argv": [""]}"#,
            r#"{"argv": "R"}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
