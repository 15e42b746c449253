//! Kills at random moments, and machines that lack something: the next start finds what is left,
//! and what cannot be done is said.
#![allow(clippy::disallowed_methods)] // a black-box test starts and kills programs

use soulbox_tests::{Ended, Soulbox, end, wait_for};
use std::path::Path;

/// Takes about 20 seconds.
#[test]
fn forty_random_kills_leave_nothing() {
    let soulbox = Soulbox::new();
    let words = [
        "bench",
        "leak",
        "--kills",
        "engine,spawner,agent",
        "--cycles",
        "40",
    ];
    let ended = soulbox.run(words);
    let page = ended.text();
    assert!(page.contains("kills of an engine"), "{page}");
    assert_eq!(ended.code, 0, "{page}\n{}", ended.stderr);
    assert_eq!(notes_of(&soulbox), Vec::<String>::new());
}

/// What the machine's directory says of engines with this home.
fn notes_of(soulbox: &Soulbox) -> Vec<String> {
    let home = soulbox.home().to_str().expect("UTF-8");
    let entries = std::fs::read_dir("/run/soulbox/machine/engines")
        .into_iter()
        .flatten();
    let paths = entries.flatten().map(|entry| entry.path());
    let ours = |path: &Path| std::fs::read_to_string(path).is_ok_and(|text| text.contains(home));
    paths
        .filter(|path| ours(path))
        .map(|path| path.display().to_string())
        .collect()
}

/// Runs the program in a shell, after `before`, in a mount namespace of its own.
fn run_after(soulbox: &Soulbox, before: &str) -> Ended {
    let program = soulbox_tests::program();
    let code = format!(
        "{before} exec {} run -l bash -c 'echo fine'",
        program.display()
    );
    let command = soulbox.command([""; 0]);
    let environment: Vec<_> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    let mut shell = std::process::Command::new("unshare");
    shell
        .args(["--mount", "sh", "-ec", code.as_str()])
        .env_clear()
        .envs(environment);
    shell
        .current_dir(soulbox.home())
        .stdin(std::process::Stdio::null());
    shell
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    end(shell.spawn().expect("unshare"))
}

/// It worked, or it says what it lacks; it neither hangs nor panics nor is killed.
#[track_caller]
fn fine_or_told(ended: &Ended, what: &str) -> bool {
    let told = &ended.stderr;
    assert!(!told.contains("panicked"), "{what}: {told}");
    if ended.code == 0 {
        assert_eq!(ended.text(), "fine\n", "{what}");
        return true;
    }
    assert!(
        (240..=249).contains(&ended.code),
        "{what}: {} {told}",
        ended.code
    );
    assert!(told.contains("error:"), "{what}: {told}");
    false
}

#[test]
fn a_run_directory_that_is_full_at_any_step_is_told_and_leaves_nothing() {
    let soulbox = Soulbox::new();
    soulbox
        .run(["run", "-l", "bash", "-c", "true"])
        .expect_code(0);
    let run = soulbox.home().join("run");
    let (mut refused, mut fine) = (0, 0);
    for inodes in 1..=10 {
        let mount = format!(
            "mount -t tmpfs -o size=64k,nr_inodes={inodes} none {};",
            run.display()
        );
        let ended = run_after(&soulbox, &mount);
        if fine_or_told(&ended, &format!("{inodes} inodes")) {
            fine += 1;
        } else {
            assert!(ended.stderr.contains("No space left"), "{}", ended.stderr);
            refused += 1;
        }
    }
    // No byte may be written at all: neither the journal's.
    let mount = format!(
        "mount -t tmpfs -o size=4k none {0}; head -c 4096 /dev/zero >{0}/full;",
        run.display()
    );
    let ended = run_after(&soulbox, &mount);
    assert!(!fine_or_told(&ended, "no room"));
    assert!(ended.stderr.contains("No space left"), "{}", ended.stderr);
    assert!(refused >= 2 && fine >= 1, "{refused} refused, {fine} fine");
    assert_eq!(notes_of(&soulbox), Vec::<String>::new());
}

#[test]
fn too_few_descriptors_are_told_and_leave_nothing() {
    let soulbox = Soulbox::new();
    soulbox
        .run(["run", "-l", "bash", "-c", "true"])
        .expect_code(0);
    let (mut refused, mut fine) = (0, 0);
    for descriptors in (8..=104).step_by(8) {
        let ended = run_after(&soulbox, &format!("ulimit -n {descriptors};"));
        if fine_or_told(&ended, &format!("{descriptors} descriptors")) {
            fine += 1;
        } else {
            refused += 1;
        }
    }
    assert!(refused >= 1 && fine >= 1, "{refused} refused, {fine} fine");
    assert_eq!(notes_of(&soulbox), Vec::<String>::new());
}

#[test]
fn a_lost_spawner_is_named_and_the_sandbox_can_be_asked_for() {
    let soulbox = Soulbox::new();
    let mut command = soulbox.command(["run", "-l", "bash", "-c", "echo ready; sleep 1773.2"]);
    let mut child = command.spawn().expect("starts");
    wait_for(&mut child, "ready\n");
    let children = |pid: u32| {
        let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let list = list.expect("a living process");
        list.split_whitespace()
            .map(|word| word.parse().expect("a number"))
            .collect::<Vec<u32>>()
    };
    let spawners = children(child.id());
    assert_eq!(spawners.len(), 1);
    let killed = std::process::Command::new("kill")
        .args(["-9", spawners[0].to_string().as_str()])
        .status();
    assert!(killed.expect("kill").success());
    let ended = end(child);
    assert_eq!(ended.code, 249, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("the spawner was lost"),
        "{}",
        ended.stderr
    );
    let list = soulbox.run(["ended", "--json"]).expect_code(0).json();
    let all = list["ended"].as_array().expect("a list");
    assert!(
        all.iter().any(|entry| entry["ending"] == "spawner_lost"),
        "{list}"
    );
    assert_eq!(notes_of(&soulbox), Vec::<String>::new());
}
