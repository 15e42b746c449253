//! Copies of a zygote in sandboxes.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/mod.rs"]
mod support;

use soulbox_model::TeamId;
use soulbox_node::{Birth, Node, Sandbox};
use soulbox_runtime::agent_client::{ProcessEvent, StartRequest};
use support::{Output, Place, shell, spec};

/// Prints what tells a copy from a started program, and what it may do.
const LOOK: &str = r#"
import os, sys
words = open("/proc/self/cmdline").read().split("\0")
print("copy" if any("zygote" in word for word in words) else "started", os.getuid(), os.getcwd())
print(sys.argv[1:], os.environ.get("GREETING"), os.environ.get("HOME"), __name__)
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(status["CapEff"].strip(), status["NoNewPrivs"].strip(), status["PPid"].strip())
print(sorted(os.listdir("/proc/self/fd"))[:3], len(os.listdir("/proc/self/fd")))
print(sys.stdin.read(), file=sys.stderr)
sys.exit(7)
"#;

fn birth() -> Birth {
    Birth {
        team: Some(TeamId::default_team()),
        ..Birth::default()
    }
}

async fn create(node: &Node) -> Sandbox {
    node.create_as(spec(node), birth()).await.unwrap()
}

/// Runs a script as a copy may run it.
async fn script(sandbox: &Sandbox, text: &str) -> Output {
    let quoted = text.replace('\'', "'\\''");
    let write = format!("printf %s '{quoted}' > /home/user/main.py");
    assert_eq!(shell(sandbox, "user", &write).await.code, Some(0));
    sandbox.supplier().unwrap().begin_for_one().await;
    let request = StartRequest {
        cmd: "python3".to_owned(),
        args: vec!["/home/user/main.py".to_owned(), "-x".to_owned()],
        envs: [("GREETING".to_owned(), "hallo".to_owned())].into(),
        forked: true,
        ..StartRequest::default()
    };
    let mut process = sandbox.agent().start(&request).await.unwrap();
    let mut output = Output::default();
    while let Some(event) = process.next().await.unwrap() {
        match event {
            ProcessEvent::Stdout(bytes) => output.stdout += &String::from_utf8_lossy(&bytes),
            ProcessEvent::Stderr(bytes) => output.stderr += &String::from_utf8_lossy(&bytes),
            ProcessEvent::End(end) => output.code = Some(end.exit_code),
            ProcessEvent::Terminal(_) => {}
        }
    }
    output
}

#[tokio::test]
async fn a_script_runs_in_a_copy_as_in_a_program_of_its_own() {
    let place = Place::new();
    let node = place.node(&[]).await;
    let sandbox = create(&node).await;
    // Until it is ready, interpreters start cold, and are the measure.
    let mut outputs = Vec::new();
    for _ in 0..20 {
        let output = script(&sandbox, LOOK).await;
        assert_eq!(output.code, Some(7), "{output:?}");
        outputs.push(output);
        if outputs.last().unwrap().stdout.starts_with("copy") {
            break;
        }
    }
    let copy = outputs.pop().unwrap();
    assert_eq!(
        copy.stdout,
        "copy 1000 /home/user\n['-x'] hallo /home/user __main__\n0000000000000000 0 1\n['0', '1', '2'] 4\n",
        "{copy:?}"
    );
    assert_eq!(copy.stderr, "\n");
    sandbox.destroy().await;
    node.stop().await;
}

#[tokio::test]
async fn a_parked_sandbox_has_a_copy_waiting() {
    let place = Place::new();
    let node = place.node(&[("pool.parked", "1")]).await;
    node.keep_ready(spec(&node), Some(TeamId::default_team()));
    node.pools_filled().await;
    let sandbox = create(&node).await;
    let output = script(&sandbox, LOOK).await;
    assert!(output.stdout.starts_with("copy"), "{output:?}");
    sandbox.destroy().await;
    node.stop().await;
}
