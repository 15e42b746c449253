//! How a run is ended from outside.

use rustix::process::{Pid, Signal, kill_process};
use soulbox_tests::{Soulbox, end, processes_with, wait_for};
use std::process::Child;

fn send(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .expect("a pid");
    kill_process(pid, signal).expect("a signal is sent");
}

/// Code that says that it runs, and a mark on its command line by which it is found outside.
fn sleeper(soulbox: &Soulbox, mark: &str) -> Child {
    let code = format!("echo ready; sleep {mark} & sleep {mark}");
    let mut child = soulbox
        .command(["run", "-l", "bash", "-c", &code])
        .spawn()
        .expect("starts");
    wait_for(&mut child, "ready\n");
    child
}

#[test]
fn signals_end_the_run_and_everything_in_it() {
    let soulbox = Soulbox::new();
    let kinds = [
        (Signal::INT, "1771.1"),
        (Signal::TERM, "1771.2"),
        (Signal::HUP, "1771.3"),
    ];
    for (signal, mark) in kinds {
        let child = sleeper(&soulbox, mark);
        send(&child, signal);
        end(child).expect_code(248);
        assert_eq!(
            processes_with(&format!("sleep {mark}")),
            Vec::<String>::new()
        );
    }
}

#[test]
fn code_that_ignores_signals_ends_all_the_same() {
    let soulbox = Soulbox::new();
    let code = "trap '' INT TERM HUP; echo ready; while :; do :; done";
    let mut child = soulbox
        .command(["run", "-l", "bash", "-c", code])
        .spawn()
        .expect("starts");
    wait_for(&mut child, "ready\n");
    send(&child, Signal::INT);
    end(child).expect_code(248);
}

#[test]
fn a_child_in_the_background_does_not_outlive_the_run() {
    let soulbox = Soulbox::new();
    let code = "setsid sleep 1772.1 >/dev/null 2>&1 </dev/null & echo started";
    let ended = soulbox
        .run(["run", "-l", "bash", "-c", code])
        .expect_code(0);
    assert_eq!(ended.text(), "started\n");
    assert_eq!(processes_with("sleep 1772.1"), Vec::<String>::new());
}

#[test]
fn the_time_limit_counts_for_code_that_does_nothing() {
    let soulbox = Soulbox::new();
    let ended = soulbox.run([
        "run",
        "--timeout",
        "300ms",
        "-c",
        "import time; time.sleep(60)",
    ]);
    ended
        .expect_code(244)
        .expect_stderr(&["time limit of 300ms", "--timeout"]);
}
