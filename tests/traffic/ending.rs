//! What becomes of requests when the sandbox ends, is paused, or its server hangs up.

use crate::http;
use crate::server::Server;
use serde_json::{Value, json};

#[tokio::test]
async fn a_killed_sandbox_cuts_its_answers_off() {
    let server = Server::start();
    let sandbox = server.sandbox(json!({})).await;
    let headers = sandbox.headers(sandbox.port);
    let (mut sized, mut open) = (server.connect().await, server.connect().await);
    http::send(&mut sized, "GET", "/drip", "localhost", &headers, b"").await;
    assert_eq!(http::head(&mut sized).await.status, 200);
    assert_eq!(http::chunk(&mut sized).await, b"one\n");
    // Its end alone says where this body ends, so that a clean one would look whole.
    http::send(&mut open, "GET", "/open?600", "localhost", &headers, b"").await;
    let begun = http::head(&mut open).await;
    assert_eq!(
        begun.header("transfer-encoding"),
        Some("chunked"),
        "{begun:?}"
    );
    assert_eq!(http::chunk(&mut open).await, b"begun");
    let path = format!("/sandboxes/{}", sandbox.id());
    let killed = server.api("DELETE", &path, &Value::Null).await;
    assert_eq!(killed.status, 204);
    for stream in [&mut sized, &mut open] {
        assert_eq!(http::try_chunk(stream).await, None, "no clean end");
    }
    let mut stream = server.connect().await;
    let gone = http::get(&mut stream, "/count", "localhost", &headers).await;
    assert_eq!(gone.status, 502);
    assert_eq!(gone.json()["message"], "The sandbox was not found");
}

#[tokio::test]
async fn a_body_without_a_length_ends_where_its_server_ends_it() {
    let server = Server::start();
    let sandbox = server.sandbox(json!({})).await;
    let mut stream = server.connect().await;
    let headers = sandbox.headers(sandbox.port);
    let answer = http::get(&mut stream, "/open?0.05", "localhost", &headers).await;
    assert!(answer.whole && answer.body == b"begun", "{answer:?}");
}

#[tokio::test]
async fn a_server_without_a_good_answer_is_told_from_a_closed_port() {
    let server = Server::start();
    let sandbox = server.sandbox(json!({})).await;
    let headers = sandbox.headers(sandbox.port);
    let odd = ["/hangup", "/garbage", "/huge", "/many", "/switch", "/half"];
    for path in odd {
        let mut stream = server.connect().await;
        let answer = http::get(&mut stream, path, "localhost", &headers).await;
        assert_eq!(answer.status, 502, "{path}: {answer:?}");
        let message = answer.json()["message"].to_string();
        assert!(message.contains("gave no answer"), "{path}: {message}");
    }
    // Each was asked once and never again.
    let mut stream = server.connect().await;
    let count = http::get(&mut stream, "/count", "localhost", &headers)
        .await
        .json();
    assert_eq!(count, json!({ "request": 1, "connections": odd.len() + 1 }));
}

#[tokio::test]
async fn a_paused_sandbox_is_not_found_until_traffic_may_wake_it() {
    let server = Server::start();
    for wakes in [false, true] {
        let sandbox = server
            .sandbox(json!({ "autoPause": true, "autoResume": { "enabled": wakes } }))
            .await;
        let mut stream = server.connect().await;
        let headers = sandbox.headers(sandbox.port);
        assert_eq!(
            http::get(&mut stream, "/count", "localhost", &headers)
                .await
                .status,
            200
        );
        let path = format!("/sandboxes/{}/pause", sandbox.id());
        let paused = server.api("POST", &path, &json!({})).await;
        assert_eq!(paused.status, 204, "{paused:?}");
        let answer = http::get(&mut stream, "/count", "localhost", &headers).await;
        match wakes {
            true => assert_eq!(answer.status, 200, "{answer:?}"),
            false => {
                assert_eq!(answer.status, 502, "{answer:?}");
                assert_eq!(answer.json()["message"], "The sandbox was not found");
            }
        }
    }
}

#[tokio::test]
async fn nobody_without_a_token_wakes_a_sandbox_that_wants_one() {
    let server = Server::start();
    let sandbox = server
        .sandbox(json!({
            "autoPause": true,
            "autoResume": { "enabled": true },
            "network": { "allowPublicTraffic": false },
        }))
        .await;
    let path = format!("/sandboxes/{}", sandbox.id());
    let paused = server
        .api("POST", &format!("{path}/pause"), &json!({}))
        .await;
    assert_eq!(paused.status, 204, "{paused:?}");
    let agent = sandbox.headers(49983);
    let own = sandbox.headers(sandbox.port);
    let wrong = format!("{agent}X-Access-Token: wrong\r\n");
    let asks = format!("{agent}Origin: http://page.test\r\nAccess-Control-Request-Method: GET\r\n");
    let file = "/files?path=/etc/hostname";
    for (method, path, headers, status) in [
        ("GET", "/health", &agent, 502),
        ("GET", "/health", &wrong, 502),
        ("GET", "/metrics", &agent, 401),
        ("GET", "/metrics", &wrong, 401),
        ("POST", "/process.Process/List", &wrong, 401),
        ("GET", file, &agent, 401),
        ("GET", &format!("{file}&signature=v1_x"), &agent, 401),
        ("POST", "/init", &agent, 404),
        ("OPTIONS", "/health", &asks, 204),
        ("OPTIONS", "/health", &agent, 502),
        ("GET", "/count", &own, 403),
        ("OPTIONS", "/count", &own, 403),
    ] {
        let mut stream = server.connect().await;
        http::send(&mut stream, method, path, "localhost", headers, b"").await;
        let answer = http::answer(&mut stream).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
    let told = server.api("GET", &path, &Value::Null).await.json();
    assert_eq!(told["state"], "paused", "{told}");
    let token = sandbox.told["envdAccessToken"].as_str().unwrap();
    let right = format!("{agent}X-Access-Token: {token}\r\n");
    let mut stream = server.connect().await;
    let answer = http::get(&mut stream, "/health", "localhost", &right).await;
    assert_eq!(answer.status, 204, "{answer:?}");
}
