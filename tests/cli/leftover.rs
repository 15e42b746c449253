//! Nothing is left behind, however a run ends.

use soulbox_tests::{Soulbox, processes_with, wait_for};
use std::path::Path;
use std::time::{Duration, Instant};

/// The mounts and cgroups of the machine that mention `text`.
fn mentions(text: &str) -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    mounts
        .lines()
        .filter(|line| line.contains(text))
        .map(str::to_owned)
        .collect()
}

/// What is in a directory, however deep, without directories.
fn files(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Waits until `done` holds; what a killed program leaves goes a moment later.
fn soon(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "still there: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_run_leaves_no_file_and_no_mount() {
    let soulbox = Soulbox::new();
    soulbox
        .run(["run", "-c", "open('/tmp/x','w').write('x' * 100000)"])
        .expect_code(0);
    soulbox
        .run(["run", "--timeout", "200ms", "-c", "while True: pass"])
        .expect_code(244);
    let home = soulbox.home().to_str().expect("UTF-8");
    assert_eq!(mentions(home), Vec::<String>::new());
    assert_eq!(files(&soulbox.home().join("run")), Vec::<String>::new());
}

#[test]
fn a_killed_program_takes_its_sandbox_along_and_the_next_start_cleans_up() {
    let soulbox = Soulbox::new();
    let code = "echo ready; sleep 1773.1";
    let mut child = soulbox
        .command(["run", "-l", "bash", "-c", code])
        .spawn()
        .expect("starts");
    wait_for(&mut child, "ready\n");
    soon("nothing but the shell", || {
        processes_with("sleep 1773.1").len() == 1
    });
    child.kill().expect("kill -9");
    child.wait().expect("it ended");
    soon("the code", || processes_with("sleep 1773.1").is_empty());
    soulbox.run(["run", "-c", "print(1)"]).expect_code(0);
    assert_eq!(files(&soulbox.home().join("run")), Vec::<String>::new());
    assert_eq!(
        mentions(soulbox.home().to_str().expect("UTF-8")),
        Vec::<String>::new()
    );
}
