//! The same attempts in the sandboxes of an ordinary user: some families run again, by this very
//! program, started as such a user in a user namespace of the user's own.

use crate::report::{PLACE, directory};
use serde_json::Value;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Output};

/// The tests that run again: one of each kind of wall. The rest need the host's root (networks,
/// recipes) or start the program by itself, as `tests/cli/rootless.rs` does.
const FAMILIES: [&str; 6] = [
    "escape::published_escapes_lead_nowhere",
    "host::",
    "linux::",
    "mount::",
    "namespace::",
    "privilege::",
];

/// The first of the subordinate ids; no Linux distribution gives out any from here on.
const RANGE: u32 = 0x6900_0000;

/// How long all families may take together, in seconds.
const LONGEST: &str = "120";

/// Runs the families as somebody of whom nobody else on the machine learns: the entries in `/etc`
/// are laid over the host's in a mount namespace that ends with the run.
fn run(home: &Path, uid: u32, has_range: bool) -> Output {
    let mut map = vec!["--map-root-user"];
    if has_range {
        map.push("--map-auto");
        std::fs::create_dir(home.join("etc")).unwrap();
        for (file, line) in [
            ("passwd", format!("person:x:{uid}:{uid}::/:/bin/sh")),
            ("subuid", format!("person:{RANGE}:65536")),
            ("subgid", format!("person:{RANGE}:65536")),
        ] {
            let host = std::fs::read_to_string(format!("/etc/{file}")).unwrap_or_default();
            std::fs::write(home.join("etc").join(file), format!("{host}{line}\n")).unwrap();
        }
    }
    let script = format!(
        "set -e; [ ! -d etc ] || mount -t overlay person -o lowerdir=$PWD/etc:/etc /etc\n\
         exec timeout --kill-after 1 {LONGEST} setpriv --reuid {uid} --regid {uid} --clear-groups \
         unshare --user --mount {} ./program --test-threads=1 \"$@\"",
        map.join(" ")
    );
    #[allow(
        clippy::disallowed_methods,
        reason = "the test starts itself as a user"
    )]
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]);
    command.args(FAMILIES).current_dir(home).env("TMPDIR", home);
    command.env(PLACE, home.join("reports"));
    command.output().unwrap()
}

/// Takes what the user's run has written to the other reports, under a name of its own.
fn collect(from: &Path, with: &str) -> usize {
    let mut attempts = 0;
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let mut report: Value =
            serde_json::from_slice(&std::fs::read(entry.path()).unwrap()).unwrap();
        attempts += report["attempts"].as_array().unwrap().len();
        let name = format!("{}-{with}", report["family"].as_str().unwrap());
        report["family"] = name.as_str().into();
        std::fs::create_dir_all(directory()).unwrap();
        std::fs::write(directory().join(format!("{name}.json")), report.to_string()).unwrap();
    }
    attempts
}

fn families_hold(has_range: bool, with: &str, at_least: usize) {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::copy(std::env::current_exe().unwrap(), home.join("program")).unwrap();
    // As `tests/cli/rootless/person.rs`, from above: this process's own.
    let uid = 0x6080_0000 + std::process::id() % 100_000 * 2 + u32::from(has_range);
    chown(home, Some(uid), Some(uid)).unwrap();
    let ended = run(home, uid, has_range);
    let told = String::from_utf8_lossy(&ended.stdout);
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{with}:\n{told}\n{errors}");
    let attempts = collect(&home.join("reports"), with);
    assert!(attempts >= at_least, "only {attempts} attempts:\n{told}");
}

#[test]
fn walls_hold_for_an_ordinary_user_with_one_id() {
    families_hold(false, "one-id", 100);
}

#[test]
fn walls_hold_for_an_ordinary_user_with_a_range() {
    families_hold(true, "range", 200);
}
