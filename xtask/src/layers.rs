//! The order of the crates: each may use only those below it.

use crate::process::output;
use crate::tell;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

/// The crates from the top down. A crate may use only those that come after it.
const ORDER: [&str; 17] = [
    "soulbox",
    "soulbox-gateway",
    "soulbox-control",
    "soulbox-client",
    "soulbox-node",
    "soulbox-scheduler",
    "soulbox-image",
    "soulbox-runtime",
    "soulbox-agent-client",
    "soulbox-agent",
    "soulbox-jupyter",
    "soulbox-zygote",
    "soulbox-syscall",
    "soulbox-wire",
    "soulbox-store",
    "soulbox-settings",
    "soulbox-model",
];

/// The crates around the product, which may use any of it.
const AROUND: [&str; 2] = ["xtask", "soulbox-tests"];

/// The only crates that may hold unsafe code: system calls, with a standard library and without.
const UNSAFE: [&str; 2] = ["soulbox-syscall", "soulbox-zygote"];

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    path: Option<PathBuf>,
}

/// Fails with every wrong dependency and every place of unsafe code.
pub(crate) fn check() -> Result<(), String> {
    let metadata = output(&["cargo", "metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: Metadata = serde_json::from_str(&metadata).map_err(|error| error.to_string())?;
    let mut problems = upward(&metadata);
    for package in &metadata.packages {
        problems.extend(loose(package)?);
    }
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    tell(&format!(
        "layers: {} crates in order",
        metadata.packages.len()
    ));
    Ok(())
}

fn upward(metadata: &Metadata) -> Vec<String> {
    let rank = |name: &str| ORDER.iter().position(|crate_name| *crate_name == name);
    let mut problems = Vec::new();
    for package in &metadata.packages {
        if AROUND.contains(&package.name.as_str()) {
            continue;
        }
        let Some(own) = rank(&package.name) else {
            problems.push(format!(
                "{} has no place in the order of xtask/src/layers.rs",
                package.name
            ));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|one| one.path.is_some()) {
            // A crate's tests may want itself with another feature.
            if dependency.name == package.name {
                continue;
            }
            if rank(&dependency.name).is_none_or(|rank| rank <= own) {
                problems.push(format!(
                    "{} depends on {}, which is not below it",
                    package.name, dependency.name
                ));
            }
        }
    }
    problems
}

/// What would let unsafe code into a crate: the missing lint table, or an exception to it.
fn loose(package: &Package) -> Result<Vec<String>, String> {
    let directory = package.manifest_path.parent().unwrap_or(Path::new("."));
    let manifest = read(&package.manifest_path)?;
    let manifest: toml::Table = manifest.parse().map_err(|error| format!("{error}"))?;
    let mut problems = Vec::new();
    let inherits = manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"));
    if inherits.and_then(toml::Value::as_bool) != Some(true) {
        problems.push(format!(
            "{} does not take the lints of the workspace",
            package.name
        ));
    }
    if UNSAFE.contains(&package.name.as_str()) {
        return Ok(problems);
    }
    for file in sources(directory)? {
        let text = read(&file)?;
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| allows_unsafe(line));
        problems.extend(lines.map(|(number, _)| {
            format!(
                "{}:{}: only {} may hold unsafe code",
                file.display(),
                number + 1,
                UNSAFE.join(" and ")
            )
        }));
    }
    Ok(problems)
}

fn allows_unsafe(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with('#') && line.contains(concat!("unsafe", "_code"))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Every Rust file below a directory.
fn sources(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let told = |error| format!("{}: {error}", directory.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(told)? {
        let path = entry.map_err(told)?.path();
        if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(crates: &[(&str, &[&str])]) -> Metadata {
        let package = |(name, uses): &(&str, &[&str])| Package {
            name: (*name).to_owned(),
            manifest_path: PathBuf::new(),
            dependencies: uses
                .iter()
                .map(|name| Dependency {
                    name: (*name).to_owned(),
                    path: Some(PathBuf::new()),
                })
                .collect(),
        };
        Metadata {
            packages: crates.iter().map(package).collect(),
        }
    }

    #[test]
    fn downward_is_right_and_upward_is_wrong() {
        let right = metadata(&[
            ("soulbox", &["soulbox-node"]),
            ("soulbox-node", &["soulbox-model"]),
        ]);
        assert_eq!(upward(&right), Vec::<String>::new());
        let wrong = metadata(&[("soulbox-model", &["soulbox-settings"])]);
        assert_eq!(
            upward(&wrong),
            ["soulbox-model depends on soulbox-settings, which is not below it"]
        );
        let unknown = metadata(&[("soulbox-node", &["soulbox-tests"]), ("new", &[])]);
        assert_eq!(upward(&unknown).len(), 2);
    }

    #[test]
    fn exceptions_to_the_lint_are_seen() {
        assert!(allows_unsafe(concat!("#![allow(unsafe", "_code)]")));
        assert!(allows_unsafe(concat!(
            "    #[expect(unsafe",
            "_code)] // reason"
        )));
        assert!(!allows_unsafe("// no unsafe code here"));
    }
}
