//! Clients that go away.

use super::{Ground, stdout};
use serde_json::json;
use std::time::{Duration, Instant};

/// Far less than what is interrupted would take, and more than a busy machine needs.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_client_that_goes_away_interrupts_its_run_and_no_other() {
    let Some(ground) = Ground::new() else { return };
    let mut gone = ground.begin(&json!({ "code": "A=1; echo on; sleep 1000; echo never" }));
    gone.wait_for("stdout");
    let waiting = ground.begin(&json!({ "code": "echo \"[$A]\"" }));
    let begin = Instant::now();
    drop(gone);
    assert_eq!(stdout(&waiting.rest()), "[1]\n", "the context is the same");
    assert!(begin.elapsed() < SOON);
}

#[test]
fn a_client_may_go_away_at_any_moment() {
    let Some(ground) = Ground::new() else { return };
    let begin = Instant::now();
    for millis in [0, 0, 1, 2, 3, 5, 8] {
        let gone = ground.begin(&json!({ "code": "sleep 1000" }));
        std::thread::sleep(Duration::from_millis(millis));
        drop(gone);
        let lines = ground.run(&json!({ "code": "echo here" }));
        assert_eq!(stdout(&lines), "here\n");
    }
    assert!(begin.elapsed() < SOON);
}

#[test]
fn a_run_that_waits_and_is_left_never_begins() {
    let Some(ground) = Ground::new() else { return };
    let fifo = ground.path("fifo");
    let mut first = ground
        .begin(&json!({ "code": format!("mkfifo {fifo}; echo on; read x < {fifo}; echo $x") }));
    first.wait_for("stdout");
    let left = ground.begin(&json!({ "code": format!("touch {fifo}.never") }));
    let last = ground.begin(&json!({ "code": format!("ls {fifo}.never") }));
    drop(left);
    // The agent hears of connections in the order in which they end and come.
    ground.contexts();
    std::fs::write(&fifo, "go\n").unwrap();
    assert_eq!(stdout(&first.rest()), "go\n");
    let lines = last.rest();
    assert!(
        lines.iter().any(|line| line["type"] == "error"),
        "it was not there: {lines:?}"
    );
}

#[test]
fn a_kernel_that_ignores_interrupts_is_replaced() {
    let Some(ground) = Ground::new() else { return };
    let pid = stdout(&ground.run(&json!({ "code": "echo -n $PPID" })));
    let mut gone = ground.begin(&json!({ "code": "echo on; kill -STOP $PPID; sleep 1000" }));
    gone.wait_for("number_of_executions");
    let waiting = ground.begin(&json!({ "code": "echo -n $PPID" }));
    drop(gone);
    let other = stdout(&waiting.rest());
    assert!(!other.is_empty() && other != pid, "{other}");
}
