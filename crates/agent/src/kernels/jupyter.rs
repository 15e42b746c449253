//! Kernels of Jupyter: their descriptions lie in Jupyter's directories and say nothing of our protocol, so the bridge
//! runs them (crate `soulbox-jupyter`).

use crate::kernels::spec::{Spec, SpecError, entries, read_file};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

/// Where Jupyter looks for kernels that are there for all users, the first before the second.
pub(crate) const DIRECTORIES: [&str; 2] = [
    "/usr/local/share/jupyter/kernels",
    "/usr/share/jupyter/kernels",
];

/// The program that speaks our protocol on one side and Jupyter's on the other. Without it these kernels cannot run.
pub(crate) const BRIDGE: &str = "/usr/lib/soulbox/kernels/jupyter/soulbox-jupyter";

/// What of a description the agent looks at; the bridge reads the rest.
#[derive(Deserialize)]
struct Described {
    argv: Vec<String>,
    #[serde(default)]
    language: String,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    soulbox: Option<serde::de::IgnoredAny>,
}

/// Adds the kernels of `directory` to those that are known, which come first. Each has the name of its directory, and
/// that of its language if no other kernel has it.
pub(crate) fn add(
    all: &mut BTreeMap<String, Result<Rc<Spec>, SpecError>>,
    directory: &Path,
    bridge: &str,
) {
    for (name, path) in entries(directory) {
        let Some(bytes) = read_file(&path) else {
            continue;
        };
        let described = serde_json::from_slice::<Described>(&bytes);
        let described = match described {
            Ok(described) if described.metadata.soulbox.is_none() => described,
            // It is made for us, or wrong, which its reader tells.
            _ => {
                let spec = Spec::parse(&name, &bytes).map(Rc::new);
                all.entry(name).or_insert(spec);
                continue;
            }
        };
        let Some(path) = path.to_str().filter(|_| !described.argv.is_empty()) else {
            continue;
        };
        for name in [name, described.language.to_lowercase()] {
            if !name.is_empty() {
                let spec = Spec::bridged(&name, bridge, path);
                all.entry(name).or_insert_with(|| Ok(Rc::new(spec)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn kernels_of_jupyter_are_run_by_the_bridge_and_have_their_language_as_a_name() {
        let directory = TempDir::new().unwrap();
        let place = |name: &str, text: &str| {
            std::fs::create_dir(directory.path().join(name)).unwrap();
            std::fs::write(directory.path().join(name).join("kernel.json"), text).unwrap();
        };
        place(
            "ir",
            r#"{"argv": ["R", "{connection_file}"], "language": "R"}"#,
        );
        place("python3", r#"{"argv": ["python3"], "language": "python"}"#);
        place(
            "ours",
            r#"{"argv": ["a"], "metadata": {"soulbox": {"protocol": "control"}}}"#,
        );
        place("broken", "{");
        let mut all = BTreeMap::new();
        let own = Spec::bridged("python", "own", "");
        all.insert("python".to_owned(), Ok(Rc::new(own)));
        add(&mut all, directory.path(), "/bridge");
        let names: Vec<_> = all.iter().filter(|(_, spec)| spec.is_ok()).collect();
        let names: Vec<_> = names.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["ir", "ours", "python", "python3", "r"]);
        let argv = |name: &str| all[name].as_ref().unwrap().argv.clone();
        let path = directory.path().join("ir/kernel.json");
        let path = path.to_str().unwrap();
        assert_eq!(argv("r"), ["/bridge", "--control", "3", "--spec", path]);
        assert_eq!(argv("r"), argv("ir"));
        assert_eq!(argv("ours"), ["a"]);
        assert_eq!(argv("python")[0], "own");
        assert!(all["broken"].is_err());
    }
}
