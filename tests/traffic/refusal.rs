//! Requests that reach no server in a sandbox.

use crate::http;
use crate::server::Server;
use serde_json::json;

#[tokio::test]
async fn a_closed_port_is_told_to_programs_and_to_people() {
    let server = Server::start();
    let sandbox = server.sandbox(json!({})).await;
    let closed = sandbox.port ^ 1;
    let mut stream = server.connect().await;
    let headers = sandbox.headers(closed);
    let answer = http::get(&mut stream, "/", "localhost", &headers).await;
    assert_eq!(answer.status, 502);
    let expected = json!({
        "sandboxId": sandbox.id(),
        "message": "The sandbox is running but port is not open",
        "port": closed,
        "code": 502,
    });
    assert_eq!(answer.json(), expected);
    let headers = format!("{headers}Accept: text/html,*/*;q=0.8\r\nSec-Fetch-Mode: navigate\r\n");
    let page = http::get(&mut stream, "/", "localhost", &headers).await;
    assert_eq!(page.status, 502);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(String::from_utf8_lossy(&page.body).contains("port is not open"));
}

#[tokio::test]
async fn a_sandbox_that_never_was_is_not_found() {
    let server = Server::start();
    let mut stream = server.connect().await;
    let answer = http::get(&mut stream, "/", "3000-inothing.sandbox.test", "").await;
    assert_eq!(answer.status, 502);
    let expected = json!({
        "sandboxId": "inothing", "message": "The sandbox was not found", "code": 502,
    });
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn private_ports_want_their_token_and_do_not_see_it() {
    let server = Server::start();
    let network = json!({ "network": { "allowPublicTraffic": false } });
    let sandbox = server.sandbox(network).await;
    let other = server.sandbox(json!({})).await;
    let token = sandbox.told["trafficAccessToken"]
        .as_str()
        .unwrap()
        .to_owned();
    let agents = sandbox.told["envdAccessToken"].as_str().unwrap().to_owned();
    let mut stream = server.connect().await;
    let headers = sandbox.headers(sandbox.port);
    for wrong in ["", "x", &agents] {
        let sent = match wrong {
            "" => headers.clone(),
            wrong => format!("{headers}E2B-Traffic-Access-Token: {wrong}\r\n"),
        };
        let answer = http::get(&mut stream, "/seen", "localhost", &sent).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        assert_eq!(answer.json()["code"], 403);
    }
    let sent = format!("{headers}E2B-Traffic-Access-Token: {token}\r\n");
    let answer = http::get(&mut stream, "/seen", "localhost", &sent).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.json()["headers"]["e2b-traffic-access-token"],
        json!(null)
    );
    assert_eq!(other.told["trafficAccessToken"], json!(null));
}

#[tokio::test]
async fn a_tunnel_is_refused() {
    let server = Server::start();
    let sandbox = server.sandbox(json!({})).await;
    let mut stream = server.connect().await;
    let headers = sandbox.headers(sandbox.port);
    http::send(
        &mut stream,
        "CONNECT",
        "127.0.0.1:22",
        "localhost",
        &headers,
        b"",
    )
    .await;
    let answer = http::answer(&mut stream).await;
    assert_eq!(answer.status, 405, "{answer:?}");
}
