//! Much output, long code, slow clients.

use super::{Ground, kinds, stdout};
use serde_json::{Value, json};

#[test]
fn much_output_comes_whole() {
    let Some(ground) = Ground::new() else { return };
    let lines = ground.run(&json!({ "code": "yes ä€😀 | head -c 8000000" }));
    let text = stdout(&lines);
    let line = "ä€😀\n";
    assert_eq!(text.len(), 8_000_000, "{:?}", kinds(&lines).last());
    assert!(
        text.as_bytes()
            .chunks(line.len())
            .all(|chunk| chunk == line.as_bytes())
    );
}

#[test]
fn a_slow_client_slows_its_kernel_and_not_the_agent() {
    let Some(ground) = Ground::new() else { return };
    let mut slow = ground.begin(&json!({ "code": "echo on; yes | head -c 500000000; echo end" }));
    slow.wait_for("stdout");
    let memory = || {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", agent_pid(&ground))).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_ascii_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let other = ground.make(&json!({ "language": "bash" }));
    for _ in 0..20 {
        let lines = ground.run(&json!({ "code": "echo here", "context_id": other }));
        assert_eq!(stdout(&lines), "here\n");
    }
    assert!(memory() < 32 * 1024, "{} KiB", memory());
}

/// The agent itself, below the programs that made its namespaces.
fn agent_pid(ground: &Ground) -> i32 {
    let mut pid = ground.pid().as_raw_nonzero().get();
    loop {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        if name.starts_with("soulbox-agent") {
            return pid;
        }
        pid = children
            .split_ascii_whitespace()
            .next()
            .unwrap()
            .parse()
            .unwrap();
    }
}

#[test]
fn code_of_ten_megabytes_runs_and_more_is_refused() {
    let Some(ground) = Ground::new() else { return };
    let code = |length: usize| json!({ "code": format!("#{}\necho ran", "x".repeat(length)) });
    assert_eq!(stdout(&ground.run(&code(10_000_000))), "ran\n");
    let answer = ground.ask("POST", "/execute", &code(20_000_000));
    assert_eq!(answer.status, 413);
    // Short as a request, long as a frame: nothing is lost but this.
    let controls = format!("{{\"code\": \"{}\"}}", "\u{7f}".repeat(10));
    assert!(serde_json::from_str::<Value>(&controls).is_ok());
    assert_eq!(
        stdout(&ground.run(&json!({ "code": "echo fine" }))),
        "fine\n"
    );
}

#[test]
fn wrong_code_is_its_languages_error() {
    let Some(ground) = Ground::new() else { return };
    let lines = ground.run(&json!({ "code": "if" }));
    assert_eq!(
        kinds(&lines),
        [
            "number_of_executions",
            "stderr",
            "error",
            "end_of_execution"
        ]
    );
    let lines = ground.run(&json!({ "code": "echo a\u{0}b" }));
    assert_eq!(lines[1]["name"], "ValueError");
    let lines = ground.run(&json!({ "code": "" }));
    assert_eq!(kinds(&lines), ["number_of_executions", "end_of_execution"]);
}
