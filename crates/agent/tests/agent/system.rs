//! `/health`, `/init`, `/envs`, `/metrics` on the wire.

use crate::support::Agent;
use serde_json::json;

fn init(agent: &Agent, body: &[u8]) -> u16 {
    agent.request("POST", "/init", &[], body).status
}

#[test]
fn health_is_an_empty_answer() {
    let agent = Agent::start();
    let answer = agent.request("GET", "/health", &[], b"");
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[test]
fn variables_are_replaced_as_a_set() {
    let agent = Agent::start();
    let variables = || agent.request("GET", "/envs", &[], b"").json();
    assert_eq!(variables(), json!({}));
    assert_eq!(init(&agent, br#"{"envVars": {"A": "1", "B": "2"}}"#), 204);
    assert_eq!(init(&agent, b"{}"), 204);
    assert_eq!(init(&agent, b""), 204);
    assert_eq!(
        variables(),
        json!({"A": "1", "B": "2"}),
        "absent changes nothing"
    );
    let all = br#"{"envVars": {"B": "3"}, "accessToken": "t", "timestamp": "2026-01-01T00:00:00Z",
        "volumeMounts": [], "hyperloopIP": "", "defaultUser": null}"#;
    assert_eq!(init(&agent, all), 204);
    assert_eq!(variables(), json!({"B": "3"}));
    assert_eq!(init(&agent, b"{"), 400);
    assert_eq!(init(&agent, br#"{"envVars": {"A": 1}}"#), 400);
    let long = json!({"envVars": {"A": "x".repeat(2_000_000)}}).to_string();
    assert_eq!(init(&agent, long.as_bytes()), 413);
    assert_eq!(variables(), json!({"B": "3"}));
}

#[test]
fn usage_is_told_in_numbers() {
    let agent = Agent::start();
    for _ in 0..2 {
        let usage = agent.request("GET", "/metrics", &[], b"").json();
        let number = |name: &str| {
            usage[name]
                .as_f64()
                .unwrap_or_else(|| panic!("{name}: {usage}"))
        };
        assert!(number("ts") > 1_700_000_000.0);
        assert!(number("cpu_count") >= 1.0);
        assert!((0.0..=100.0).contains(&number("cpu_used_pct")));
        assert!(number("mem_total") > number("mem_used"));
        assert!(number("mem_total_mib") * 1_048_576.0 <= number("mem_total"));
        assert!(number("disk_total") >= number("disk_used") && number("disk_total") > 0.0);
        assert!(number("mem_cache") >= 0.0);
    }
}

#[test]
fn an_unknown_default_user_is_told_when_it_is_needed() {
    let agent = Agent::start();
    assert_eq!(init(&agent, br#"{"defaultUser": "root123"}"#), 204);
    let (status, error) = agent.unary("filesystem.Filesystem/Stat", &json!({"path": "/"}));
    assert_eq!(
        (status, &error["message"]),
        (401, &json!("invalid username: 'root123'"))
    );
}
