//! The programs that go into the machine: the tests, and what they start.

use crate::process::output;
use serde::Deserialize;
use std::path::Path;

/// A built program.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// The directory of its crate: `node`, `tests`, ...
    pub(super) package: String,
    /// The name of the target.
    pub(super) name: String,
    /// Whether it is a test program, not one that tests start.
    pub(super) is_test: bool,
    /// The absolute path of its crate, the working directory of its tests.
    pub(super) directory: String,
    /// Its absolute path.
    pub(super) path: String,
}

impl Program {
    /// Whether it is the target `name` of the crate in the directory `package`.
    pub(super) fn is(&self, package: &str, name: &str) -> bool {
        self.package == package && self.name == name
    }
}

/// A message of cargo, as far as it is used.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<String>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<String>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds the test programs of the workspace, as the tests on the host do.
pub(super) fn build() -> Result<Vec<Program>, String> {
    let messages = output(&[
        "cargo",
        "test",
        "--workspace",
        "--no-run",
        "--quiet",
        "--message-format=json-render-diagnostics",
    ])?;
    messages
        .lines()
        .filter_map(|line| read(line).transpose())
        .collect()
}

/// Reads one message of cargo; `None` when it tells of no program that is wanted.
fn read(line: &str) -> Result<Option<Program>, String> {
    let message: Message =
        serde_json::from_str(line).map_err(|error| format!("cargo said {line}: {error}"))?;
    let (Some(manifest), Some(target), Some(profile), Some(path)) = (
        message.manifest_path,
        message.target,
        message.profile,
        message.executable,
    ) else {
        return Ok(None);
    };
    let kind = target.kind.first().map_or("", String::as_str);
    // A crate's unit tests do not ask Linux for anything that differs in the machine.
    let wanted = matches!((kind, profile.test), ("test", true) | ("bin", false));
    if message.reason != "compiler-artifact" || !wanted {
        return Ok(None);
    }
    let directory = Path::new(&manifest).parent().unwrap_or(Path::new("/"));
    let package = directory.file_name().unwrap_or_default();
    Ok(Some(Program {
        package: package.to_string_lossy().into_owned(),
        name: target.name,
        is_test: profile.test,
        directory: directory.to_string_lossy().into_owned(),
        path,
    }))
}

/// Everything of this checkout that goes into the machine, one path relative to `/` in each line.
pub(super) fn files(programs: &[Program]) -> Result<String, String> {
    let root = std::env::current_dir()
        .and_then(|root| root.canonicalize())
        .map_err(|error| format!("cannot find the checkout: {error}"))?;
    let tracked = output(&[
        "git",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ])?;
    let mut files: Vec<String> = tracked
        .lines()
        .map(|file| root.join(file))
        .filter(|file| file.is_file())
        .map(|file| file.to_string_lossy().into_owned())
        .collect();
    files.push(
        root.join("target/release/soulbox")
            .to_string_lossy()
            .into_owned(),
    );
    files.extend(programs.iter().map(|program| program.path.clone()));
    let mut list = String::new();
    for file in files {
        list += file.trim_start_matches('/');
        list.push('\n');
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_programs_and_what_they_start_are_found() {
        let line = |kind: &str, test: bool, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"x","manifest_path":"/r/crates/node/Cargo.toml","target":{{"kind":["{kind}"],"name":"engine","crate_types":["bin"]}},"profile":{{"test":{test},"opt_level":"0"}},"executable":{executable}}}"#
            )
        };
        let program = read(&line("test", true, r#""/t/engine-1""#))
            .unwrap()
            .unwrap();
        assert!(program.is("node", "engine") && program.is_test);
        assert_eq!(program.directory, "/r/crates/node");
        assert!(
            !read(&line("bin", false, r#""/t/agent""#))
                .unwrap()
                .unwrap()
                .is_test
        );
        for other in [
            line("lib", true, r#""/t/lib-1""#),
            line("bin", true, r#""/t/bin-1""#),
            line("test", true, "null"),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ] {
            assert!(read(&other).unwrap().is_none(), "{other}");
        }
        assert!(read("no json").is_err());
    }
}
