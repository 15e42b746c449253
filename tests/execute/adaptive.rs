//! Limits that are proposed from what runs before used.

use super::server::{events, run, text, until};
use serde_json::{Value, json};
use soulbox_tests::server::Server;

const MIB: u64 = 1 << 20;

/// Code that holds so many mebibytes; its kind is the same for all.
fn holding(mebibytes: u64) -> Value {
    json!({
        "language": "python", "memory_mb": 512, "limits": "adaptive", "args": [mebibytes.to_string()],
        "code": "import sys\nx = bytearray(int(sys.argv[1]) << 20)\nprint(len(x))",
    })
}

#[test]
fn limits_follow_what_runs_before_used() {
    let mut server = Server::start();
    for before in 0..5 {
        let ran = run(&server, &holding(20));
        assert_eq!(ran["adaptive"]["runs"], 0, "{before}: {ran}");
        assert_eq!(ran["adaptive"]["memory"], 512 * MIB, "{ran}");
    }
    // What was learnt is kept.
    server.crash();
    let ran = run(&server, &holding(20));
    assert_eq!(ran["adaptive"]["runs"], 5, "{ran}");
    assert_eq!(ran["cause"], "exited", "{ran}");
    let given = ran["adaptive"]["memory"].as_u64().expect("bytes");
    assert!((32 * MIB..512 * MIB).contains(&given), "{ran}");
    assert!(given > ran["peak_memory"].as_u64().expect("bytes"), "{ran}");

    let ran = run(&server, &holding(300));
    assert_eq!(ran["cause"], "out_of_adaptive_memory", "{ran}");
    let message = ran["adaptive"]["message"].as_str().expect("a message");
    assert!(message.contains("an adaptive limit of"), "{message}");
    assert_eq!(ran["memory_kills"]["limit"], ran["adaptive"]["memory"]);
    let limit = ran["adaptive"]["memory"].as_u64().expect("bytes");
    // It is written down beside the answer.
    let mut told = Vec::new();
    until("the end is written down", || {
        told = events(&server, text(&ran, "sandbox"));
        !told.is_empty()
    });
    let end = told.last().expect("an end");
    assert_eq!(end["cause"], "out_of_memory", "{end}");
    assert!(
        end["detail"]
            .as_str()
            .is_some_and(|said| said.contains("adaptive")),
        "{end}"
    );

    // The next one gets more, but never more than was declared.
    let ran = run(&server, &holding(20));
    let given = ran["adaptive"]["memory"].as_u64().expect("bytes");
    assert!(given > limit && given <= 512 * MIB, "{ran}");

    // Who does not ask for it gets what was declared, and another kind of code begins anew.
    let mut declared = holding(300);
    declared["limits"] = json!("declared");
    let ran = run(&server, &declared);
    assert_eq!(
        (&ran["cause"], &ran["adaptive"]),
        (&json!("exited"), &Value::Null)
    );
    let mut other = holding(20);
    other["code"] = json!("import sys, json");
    assert_eq!(run(&server, &other)["adaptive"]["runs"], 0);
}
