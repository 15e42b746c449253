//! How the agent starts, and that it is a good PID 1.

use crate::support::Agent;
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn it_keeps_nothing_that_it_was_not_given() {
    let agent = Agent::start();
    // It answers only after it has done everything else.
    assert_eq!(agent.request("GET", "/health", &[], b"").status, 204);
    let pid = agent.pid().as_raw_nonzero();
    let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(comm, "soulbox-agent\n");
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    assert!(!environment.windows(5).any(|bytes| bytes == b"CARGO"));
    let kinds = || -> Option<Vec<String>> {
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        // Number 2 is the test runner's own, whatever that is.
        let own = descriptors.filter_map(|entry| Some(entry.ok()?.path()));
        let own = own.filter(|path| !path.ends_with("2"));
        let targets = own.filter_map(|path| std::fs::read_link(path).ok());
        let kind = |target: std::path::PathBuf| {
            target
                .to_string_lossy()
                .split([':', '('])
                .next()
                .unwrap()
                .to_owned()
        };
        Some(targets.map(kind).collect())
    };
    let Some(first) = kinds() else {
        eprintln!("skipped: only root sees the descriptors of a program that is not dumpable");
        return;
    };
    assert!(
        !first.contains(&"pipe".to_owned()),
        "the ready pipe is closed: {first:?}"
    );
}

#[test]
fn it_is_not_dumpable() {
    let agent = Agent::start();
    let pid = agent.pid().as_raw_nonzero();
    use std::os::unix::fs::MetadataExt as _;
    // Files in /proc of a program that is not dumpable belong to root.
    let owner = std::fs::metadata(format!("/proc/{pid}/environ"))
        .unwrap()
        .uid();
    assert_eq!(owner, 0);
    if let Some(agent) = Agent::start_as(65_534) {
        let pid = agent.pid().as_raw_nonzero();
        let owner = std::fs::metadata(format!("/proc/{pid}/environ"))
            .unwrap()
            .uid();
        assert_eq!(owner, 0);
    }
}

#[test]
fn orphans_are_reaped_and_children_keep_their_status() {
    let Some(agent) = Agent::start_as_init() else {
        return;
    };
    let agent = agent.init();
    // Each start leaves orphans that end around the same time as the process itself.
    let text = "for i in 1 2 3 4 5; do (sh -c 'sleep 0.0$0; exit 9' $i &) ; done; exit 7";
    let request = json!({"process": {"cmd": "/bin/sh", "args": ["-c", text]}, "stdin": false});
    for _ in 0..20 {
        let messages = agent.stream("process.Process/Start", &request, &[]);
        assert_eq!(
            messages[0]["event"]["start"]["pid"]
                .as_u64()
                .map(|pid| pid > 1),
            Some(true)
        );
        let end = &messages[messages.len() - 2]["event"]["end"];
        assert_eq!(end["exitCode"], 7, "{messages:?}");
    }
    // In its namespace there is nobody but the agent and this command.
    let count = json!({
        "process": {"cmd": "/bin/sh", "args": ["-c", "cat /proc/[0-9]*/stat | grep -c ' Z ' || true"]},
        "stdin": false,
    });
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let messages = agent.stream("process.Process/Start", &count, &[]);
        // "0\n" in base64.
        if messages[1]["event"]["data"]["stdout"] == "MAo=" {
            break;
        }
        assert!(
            Instant::now() < patience,
            "dead processes stay: {messages:?}"
        );
    }
}

#[test]
fn it_is_pid_one_and_cannot_be_ended_from_inside() {
    let Some(agent) = Agent::start_as_init() else {
        return;
    };
    let agent = agent.init();
    let text = "cat /proc/1/comm; kill -9 1; kill -TERM 1; kill -STOP 1; kill -PIPE 1";
    let request = json!({"process": {"cmd": "/bin/sh", "args": ["-c", text]}, "stdin": false});
    let messages = agent.stream("process.Process/Start", &request, &[]);
    // "soulbox-agent\n" in base64.
    assert_eq!(
        messages[1]["event"]["data"]["stdout"],
        "c291bGJveC1hZ2VudAo="
    );
    assert_eq!(agent.request("GET", "/health", &[], b"").status, 204);
}

#[test]
fn it_says_why_it_cannot_start() {
    let output = crate::support::run_without_descriptors();
    assert!(!output.status.success());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("cannot take the listening socket from descriptor 3"),
        "{message}"
    );
}
