//! A zygote of the embedded files, and processes that it makes in sandboxes: the tests in Python
//! that need the native library run here, since here it is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by them"
)]
#![allow(clippy::disallowed_methods, reason = "the tests start programs")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Puts a zygote's files into a directory that everybody may read.
fn lay_out(directory: &Path) {
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for (name, mode) in [
        ("", 0o755),
        ("soulbox_zygote", 0o755),
        ("matplotlib", 0o777),
    ] {
        let path = directory.join(name);
        std::fs::create_dir_all(&path).unwrap();
        set(&path, mode);
    }
    for (name, content) in soulbox_runtime::zygote::files() {
        let path = directory.join(name);
        std::fs::write(&path, content).unwrap();
        set(&path, 0o644);
    }
}

#[test]
fn zygotes_make_processes_in_sandboxes() {
    let directory = tempfile::tempdir().unwrap();
    lay_out(directory.path());
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels/python");
    let output = Command::new("/usr/bin/python3")
        .args([
            "-B",
            "-m",
            "unittest",
            "tests.test_join",
            "tests.test_script",
        ])
        .current_dir(kernels)
        .env("SOULBOX_ZYGOTE", directory.path())
        .output()
        .expect("python3 is there");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("\nOK"), "nothing is skipped: {told}");
    assert!(!told.contains("skipped"), "nothing is skipped: {told}");
}
