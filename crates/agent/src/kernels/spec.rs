//! Which kernels there are: `<directory>/<name>/kernel.json`, in Jupyter's own format.
//!
//! The files are the sandbox's: they are read within bounds, and what they say is done as a user of
//! the sandbox.

use crate::kernels::jupyter;
use crate::limits;
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

/// Where kernels are described.
const DIRECTORY: &str = "/usr/lib/soulbox/kernels";

/// The protocol of the control socket (`kernels/python/README.md`), the only one so far.
const CONTROL: &str = "control";

/// Other names of languages, as E2B has them.
const ALIASES: [(&str, &str); 2] = [("js", "javascript"), ("ts", "typescript")];

/// The language of a context whose request names none.
pub(crate) const DEFAULT: &str = "python";

/// Why a language cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SpecError {
    #[error("kernel '{name}' is not available; there are {}", list(known))]
    Unknown { name: String, known: Vec<String> },
    #[error("kernel '{name}' cannot be used: {why}")]
    Unusable { name: String, why: String },
}

fn list(known: &[String]) -> String {
    match known.is_empty() {
        true => "none".to_owned(),
        false => known.join(", "),
    }
}

/// How one kernel is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    /// The language's name for clients.
    pub(crate) name: String,
    pub(crate) argv: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    /// Whether a process of it is kept waiting, because it cannot be had quickly.
    pub(crate) spare: bool,
    /// Whether that is so before the kernel was used for the first time.
    pub(crate) eager: bool,
    /// Whether a copy of the template's zygote can be one.
    pub(crate) zygote: bool,
}

/// `kernel.json`. What else it says is for others.
#[derive(Deserialize)]
struct Described {
    argv: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    soulbox: Ours,
}

#[derive(Default, Deserialize)]
struct Ours {
    #[serde(default)]
    protocol: String,
    #[serde(default)]
    spare: bool,
    #[serde(default)]
    eager: bool,
    #[serde(default)]
    zygote: bool,
}

impl Spec {
    /// Reads a `kernel.json`.
    pub(crate) fn parse(name: &str, json: &[u8]) -> Result<Self, SpecError> {
        let unusable = |why: String| SpecError::Unusable {
            name: name.to_owned(),
            why,
        };
        let file: Described = serde_json::from_slice(json)
            .map_err(|error| unusable(format!("kernel.json: {error}")))?;
        let Ours {
            protocol,
            spare,
            eager,
            zygote,
        } = file.metadata.soulbox;
        if protocol != CONTROL {
            let known = format!("metadata.soulbox.protocol must be '{CONTROL}'");
            return Err(unusable(known));
        }
        if file.argv.first().is_none_or(String::is_empty) {
            return Err(unusable("argv names no program".to_owned()));
        }
        let words = file
            .argv
            .iter()
            .chain(file.env.keys())
            .chain(file.env.values());
        if words.clone().any(|word| word.contains('\0')) {
            return Err(unusable(
                "argv and env must not contain zero bytes".to_owned(),
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            argv: file.argv,
            env: file.env,
            spare,
            eager: spare && eager,
            zygote,
        })
    }

    /// The kernel that the file `path` describes in Jupyter's own words, as `bridge` runs it.
    pub(crate) fn bridged(name: &str, bridge: &str, path: &str) -> Self {
        Self {
            name: name.to_owned(),
            argv: [bridge, "--control", "3", "--spec", path]
                .map(str::to_owned)
                .to_vec(),
            // Kernels of others rely on it for what is not ASCII.
            env: BTreeMap::from([("LANG".to_owned(), "C.UTF-8".to_owned())]),
            spare: false,
            eager: false,
            zygote: false,
        }
    }
}

/// The name of the kernel that a client means.
pub(crate) fn canonical(language: &str) -> String {
    let name = language.trim().to_lowercase();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    match (name.is_empty(), alias) {
        (true, _) => DEFAULT.to_owned(),
        (_, Some((_, name))) => (*name).to_owned(),
        _ => name,
    }
}

/// All kernels, as they were when their directories were read.
#[derive(Default)]
pub(crate) struct Specs {
    all: BTreeMap<String, Result<Rc<Spec>, SpecError>>,
    versions: Vec<Option<SystemTime>>,
}

impl Specs {
    /// Reads them, if a directory has changed since.
    pub(crate) fn refresh(&mut self) {
        let directories = [&[DIRECTORY][..], &jupyter::DIRECTORIES].concat();
        let changed = |path: &&str| std::fs::metadata(path).and_then(|known| known.modified());
        let versions: Vec<_> = directories.iter().map(|path| changed(path).ok()).collect();
        if self.all.is_empty() || versions != self.versions {
            self.all = read(Path::new(DIRECTORY));
            if Path::new(jupyter::BRIDGE).is_file() {
                for directory in jupyter::DIRECTORIES {
                    jupyter::add(&mut self.all, Path::new(directory), jupyter::BRIDGE);
                }
            }
            self.versions = versions;
        }
    }

    /// The names of those that can be used.
    pub(crate) fn names(&self) -> Vec<String> {
        let usable = self.all.iter().filter(|(_, spec)| spec.is_ok());
        usable.map(|(name, _)| name.clone()).collect()
    }

    /// Those that can be used.
    pub(crate) fn usable(&self) -> impl Iterator<Item = &Rc<Spec>> {
        self.all.values().filter_map(|spec| spec.as_ref().ok())
    }

    /// The one called `name`.
    pub(crate) fn find(&self, name: &str) -> Result<Rc<Spec>, SpecError> {
        let unknown = || SpecError::Unknown {
            name: name.chars().take(64).collect(),
            known: self.names(),
        };
        self.all
            .get(name)
            .cloned()
            .unwrap_or_else(|| Err(unknown()))
    }
}

fn read(directory: &Path) -> BTreeMap<String, Result<Rc<Spec>, SpecError>> {
    let specs = entries(directory).into_iter().filter_map(|(name, path)| {
        let spec = Spec::parse(&name, &read_file(&path)?).map(Rc::new);
        Some((name, spec))
    });
    specs.collect()
}

/// The names of the kernels in a directory, with the places where they are described.
pub(crate) fn entries(directory: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let named = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.to_lowercase();
        Some((name, path.join("kernel.json")))
    };
    let mut paths: Vec<_> = entries
        .flatten()
        .take(limits::KERNEL_SPECS)
        .filter_map(|entry| named(entry.path()))
        .collect();
    // Of two that differ in case only, always the same one.
    paths.sort();
    paths
}

/// The file, if there is one; empty when it is too long.
pub(crate) fn read_file(path: &Path) -> Option<Vec<u8>> {
    // Non-blocking: it may be a named pipe.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    let mut bytes = Vec::new();
    let regular = file.metadata().ok()?.is_file();
    let read = file.take(limits::KERNEL_SPEC + 1).read_to_end(&mut bytes);
    if bytes.len() as u64 > limits::KERNEL_SPEC {
        bytes.clear();
    }
    (regular && read.is_ok()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tempfile::TempDir;

    const BASH: &str = r#"{"argv": ["/usr/bin/python3", "-m", "soulbox_bash"], "display_name": "Bash",
        "language": "bash", "env": {"PYTHONPATH": "/x"}, "metadata": {"soulbox": {"protocol": "control"}}}"#;

    #[test]
    fn languages_have_aliases_and_a_default() {
        for (language, name) in [
            ("", "python"),
            (" ", "python"),
            (" Python ", "python"),
            ("JS", "javascript"),
            ("ts", "typescript"),
            ("typescript", "typescript"),
            ("py", "py"),
        ] {
            assert_eq!(canonical(language), name, "{language}");
        }
    }

    #[test]
    fn a_file_says_how_a_kernel_is_started() {
        let spec = Spec::parse("bash", BASH.as_bytes()).unwrap();
        assert_eq!(
            (spec.name.as_str(), spec.argv.len(), spec.spare),
            ("bash", 3, false)
        );
        let ours = |ours: &str| format!(r#"{{"argv": ["a"], "metadata": {{"soulbox": {ours}}}}}"#);
        let waiting =
            ours(r#"{"protocol": "control", "spare": true, "eager": true, "preload": ["a"]}"#);
        let spec = Spec::parse("js", waiting.as_bytes()).unwrap();
        assert!(spec.spare && spec.eager);
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"argv": "a"}"#,
            r#"{"argv": ["a", "{connection_file}"]}"#,
            &ours(r#"{"protocol": "zmq"}"#),
            &BASH.replace("/x", "\\u0000"),
            &BASH.replace(
                r#""argv": ["/usr/bin/python3", "-m", "soulbox_bash"]"#,
                r#""argv": []"#,
            ),
        ] {
            assert!(Spec::parse("x", wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_directory_is_read_within_bounds() {
        let directory = TempDir::new().unwrap();
        let add = |name: &str, text: &str| {
            std::fs::create_dir(directory.path().join(name)).unwrap();
            std::fs::write(directory.path().join(name).join("kernel.json"), text).unwrap();
        };
        add("Bash", BASH);
        add("broken", "{");
        add("long", &format!("{BASH}{}", " ".repeat(100_000)));
        std::fs::create_dir_all(directory.path().join("nothing/kernel.json")).unwrap();
        let specs = Specs {
            all: read(directory.path()),
            versions: Vec::new(),
        };
        assert_eq!(specs.names(), ["bash"]);
        assert!(specs.find("long").is_err());
        let broken = specs.find("broken").unwrap_err().to_string();
        assert!(
            broken.starts_with("kernel 'broken' cannot be used: kernel.json: "),
            "{broken}"
        );
        let unknown = specs.find("py").unwrap_err().to_string();
        assert_eq!(unknown, "kernel 'py' is not available; there are bash");
        assert!(read(Path::new("/nonexistent")).is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in any::<String>()) {
            let _ = Spec::parse("x", text.as_bytes());
            let _ = canonical(&text);
        }
    }
}
