//! Requests that are wrong: a clear answer, and nothing left.

use crate::server::{live, post};
use serde_json::json;
use soulbox_tests::http;
use soulbox_tests::server::Server;

#[test]
fn what_is_wrong_is_refused_and_leaves_nothing() {
    let server = Server::start_with(&[("SOULBOX_EXECUTE_REQUEST", "64K")]);
    let refused = |body: &[u8], status: u16, said: &str| {
        let answer = post(&server, "/v1/execute", body);
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.message().contains(said), "{said}: {}", answer.body);
    };
    refused(
        br#"{"code":"","language":"pyhton"}"#,
        400,
        r#"did you mean "python"?"#,
    );
    refused(
        br#"{"code":"","language":"cobol"}"#,
        400,
        "python, javascript",
    );
    refused(
        br#"{"code":"","template":"nope"}"#,
        404,
        "there are base, host",
    );
    refused(br#"{"code":"","timeout_ms":-1}"#, 400, "timeout_ms");
    refused(br#"{"code":"","timeout_ms":1e18}"#, 400, "timeout");
    refused(br#"{"code":"","memory_mb":-1}"#, 400, "memory_mb");
    refused(br#"{"code":"","memory_mb":1}"#, 400, "memory_mb");
    refused(br#"{"code":"","cpu":0}"#, 400, "cpu");
    refused(br#"{"code":"","args":["\u0000"]}"#, 400, "args[0]");
    refused(br#"{"code":"","env":{"A":"\u0000"}}"#, 400, "env");
    refused(
        br#"{"code":"","files":{"../../etc/passwd":""}}"#,
        400,
        "files",
    );
    refused(br#"{"code":"","files":{"/dev/null/x":""}}"#, 400, "files");
    refused(br#"{"code":"","files":{"main.py":""}}"#, 400, "main.py");
    refused(b"{\"code\":\"\xff\"}", 400, "code");
    refused(br#"{"code":["a"]}"#, 400, "code");
    refused(br#"{"language":"python"}"#, 400, "code");
    refused(br#"{"code":"","user":"nobody-here"}"#, 400, "user");
    refused(br#"{"code":"","workdir":"/nowhere"}"#, 400, "nowhere");
    refused(b"", 400, "body");
    refused(b"[]", 400, "code");
    let long = json!({"code": "a".repeat(70_000)}).to_string();
    refused(long.as_bytes(), 413, "execute.request");
    let without_key = http::ask(&server, "POST", "/v1/execute", &[], br#"{"code":""}"#);
    assert_eq!(without_key.status, 401);
    let batch = json!({"requests": vec![json!({"code": ""}); 101]}).to_string();
    let answer = post(&server, "/v1/execute/batch", batch.as_bytes());
    assert_eq!(answer.status, 400, "{}", answer.body);
    let answer = post(
        &server,
        "/v1/execute/batch",
        br#"{"requests":[],"parallel":0}"#,
    );
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert!(live(&server).is_empty());
}

#[test]
fn who_comes_when_all_places_are_taken_is_told_when_to_come_again() {
    let server = Server::start_with(&[
        ("SOULBOX_EXECUTE_AT_ONCE", "1"),
        ("SOULBOX_EXECUTE_QUEUE", "0"),
    ]);
    std::thread::scope(|scope| {
        let slow = br#"{"language":"bash","code":"sleep 100","timeout_ms":1500}"#;
        let first = scope.spawn(|| post(&server, "/v1/execute", slow));
        crate::server::until("the first run", || !live(&server).is_empty());
        let second = post(&server, "/v1/execute", br#"{"code":""}"#);
        assert_eq!(second.status, 429, "{}", second.body);
        assert!(second.head.contains("retry-after: "), "{}", second.head);
        assert!(
            second.message().contains("execute.queue"),
            "{}",
            second.body
        );
        assert_eq!(first.join().expect("it ends").status, 200);
    });
}
