//! Built templates, which the tests of a checkout share: each is built once, by the program under test, below
//! `target/templates`, and again when its recipe has changed.

use crate::Soulbox;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The template that most others are made from.
pub const BASE: &str = "base";
/// The template of the code interpreter.
pub const INTERPRETER: &str = "code-interpreter-v1";
/// The same with R and Java.
pub const FULL: &str = "code-interpreter-full";

/// Lets `soulbox` have these templates, each after the one that it is made from.
///
/// # Panics
/// When one cannot be built: that takes the internet.
pub fn share(soulbox: &Soulbox, names: &[&str]) {
    let store = store();
    for name in names {
        let told = at(&store, &["template", "inspect", name, "--json"]);
        if told.code != 0 || told.json()["outdated"] == true {
            // Another test may begin at the same moment: the second build waits for the first.
            at(&store, &["template", "build", name]).expect_code(0);
        }
    }
    let data = soulbox.home().join("data");
    std::fs::create_dir_all(&data).expect("a directory");
    symlink(store.join("templates"), data.join("templates")).expect("a link");
}

/// Builds these templates for `soulbox` alone: small ones, beside which a test builds others.
///
/// # Panics
/// As [`share`].
pub fn own(soulbox: &Soulbox, names: &[&str]) {
    for name in names {
        soulbox.run(["template", "build", name]).expect_code(0);
    }
}

/// Runs the program on the shared data directory.
fn at(store: &Path, arguments: &[&str]) -> crate::Ended {
    let mut command = Soulbox::new().command(arguments);
    let run = tempfile::tempdir().expect("a directory");
    command
        .current_dir("/")
        .env("HOME", run.path())
        .env("SOULBOX_RUN_DIR", run.path().join("run"))
        .env("SOULBOX_DATA_DIR", store);
    crate::end(command.spawn().expect("the program starts"))
}

fn store() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/templates")
}
