//! Requests and answers, as what listens in the sandbox and its client see them.

use crate::http;
use crate::server::Server;
use serde_json::json;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

#[tokio::test]
async fn requests_reach_a_port_by_header_and_by_host() {
    let server = Server::start();
    let sandbox = server.sandbox(json!({})).await;
    let host = format!("{}-{}.sandbox.test:8443", sandbox.port, sandbox.id());
    let mut stream = server.connect().await;
    for (host, headers) in [
        ("localhost", sandbox.headers(sandbox.port)),
        (host.as_str(), String::new()),
    ] {
        let headers =
            format!("{headers}X-Mine: 1\r\nConnection: keep-alive, X-Own\r\nX-Own: 1\r\n");
        let answer = http::get(&mut stream, "/seen?a=b%2Fc", host, &headers).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("x-from"), Some("inside"));
        let seen = answer.json();
        assert_eq!(seen["method"], "GET");
        assert_eq!(seen["target"], "/seen?a=b%2Fc");
        let header = |name: &str| seen["headers"][name].clone();
        assert_eq!(header("host"), json!([host]));
        assert_eq!(header("x-forwarded-host"), json!([host]));
        assert_eq!(header("x-forwarded-proto"), json!(["http"]));
        assert_eq!(header("x-forwarded-for"), json!(["127.0.0.1"]));
        assert_eq!(header("x-mine"), json!(["1"]));
        assert_eq!(header("x-own"), json!(null));
        assert_eq!(header("connection"), json!(null));
    }
}

#[tokio::test]
async fn the_hosts_name_can_be_masked() {
    let server = Server::start();
    let network = json!({ "network": { "maskRequestHost": "app.test:${PORT}" } });
    let sandbox = server.sandbox(network).await;
    let mut stream = server.connect().await;
    let headers = sandbox.headers(sandbox.port);
    let seen = http::get(&mut stream, "/seen", "localhost", &headers)
        .await
        .json();
    let masked = format!("app.test:{}", sandbox.port);
    assert_eq!(seen["headers"]["host"], json!([masked]));
}

#[tokio::test]
async fn a_body_goes_both_ways_while_it_is_being_made() {
    let server = Server::start();
    let sandbox = server.sandbox(json!({})).await;
    let mut stream = server.connect().await;
    let headers = format!(
        "{}Transfer-Encoding: chunked\r\n",
        sandbox.headers(sandbox.port)
    );
    http::send(&mut stream, "POST", "/echo", "localhost", &headers, b"").await;
    let answer = http::head(&mut stream).await;
    assert_eq!(
        answer.status, 200,
        "the answer begins before the request has ended"
    );
    for piece in ["first", "second", "third"] {
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        stream.write_all(chunk.as_bytes()).await.unwrap();
        assert_eq!(http::chunk(&mut stream).await, piece.as_bytes());
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(http::chunk(&mut stream).await, b"");
    let again = http::get(
        &mut stream,
        "/seen",
        "localhost",
        &headers.replace("Transfer-Encoding: chunked\r\n", ""),
    )
    .await;
    assert_eq!(again.status, 200);
}

#[tokio::test]
async fn large_bodies_come_through_whole() {
    let server = Server::start();
    let sandbox = server.sandbox(json!({})).await;
    let body: Vec<u8> = (0..=255).cycle().take(24 << 20).collect();
    let headers = format!(
        "{}Content-Length: {}\r\n",
        sandbox.headers(sandbox.port),
        body.len()
    );
    let stream = server.connect().await;
    let (mut reader, mut writer) = stream.into_split();
    let send = http::send(&mut writer, "POST", "/echo", "localhost", &headers, &body);
    let (answer, ()) = tokio::join!(http::answer(&mut reader), send);
    assert!(
        answer.whole && answer.body == body,
        "{} bytes",
        answer.body.len()
    );
}

#[tokio::test]
async fn connections_to_a_server_are_kept_and_shared() {
    let server = Server::start();
    let sandbox = server.sandbox(json!({})).await;
    let headers = sandbox.headers(sandbox.port);
    for number in 1..=20 {
        // Each client's connection is new; the one to the server is the same.
        let mut stream = server.connect().await;
        let count = http::get(&mut stream, "/count", "localhost", &headers)
            .await
            .json();
        assert_eq!(count, json!({ "request": number, "connections": 1 }));
    }
}

#[tokio::test]
async fn many_clients_at_once() {
    let server = std::sync::Arc::new(Server::start());
    let sandbox = server.sandbox(json!({})).await;
    let headers = sandbox.headers(sandbox.port);
    let clients = (0..64).map(|number| {
        let (server, headers) = (std::sync::Arc::clone(&server), headers.clone());
        tokio::spawn(async move {
            let mut stream = server.connect().await;
            for turn in 0..20 {
                let body = format!("{number} {turn} ").repeat(50 * turn + 1);
                let headers = format!("{headers}Content-Length: {}\r\n", body.len());
                http::send(
                    &mut stream,
                    "POST",
                    "/echo",
                    "localhost",
                    &headers,
                    body.as_bytes(),
                )
                .await;
                let answer = http::answer(&mut stream).await;
                assert!(answer.whole && answer.body == body.as_bytes(), "{answer:?}");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_nobody_else() {
    let server = Server::start();
    let sandbox = server.sandbox(json!({})).await;
    let headers = sandbox.headers(sandbox.port);
    let mut slow = server.connect().await;
    http::send(&mut slow, "GET", "/flood", "localhost", &headers, b"").await;
    assert_eq!(http::head(&mut slow).await.status, 200);
    let mut other = server.connect().await;
    for _ in 0..20 {
        assert_eq!(
            http::get(&mut other, "/count", "localhost", &headers)
                .await
                .status,
            200
        );
    }
    // And when it goes, the server in the sandbox hears of it.
    drop(slow);
    let heard = http::get(&mut other, "/dropped", "localhost", &headers);
    let heard = tokio::time::timeout(Duration::from_secs(20), heard).await;
    assert_eq!(heard.expect("the flood was told to stop").status, 200);
}

#[tokio::test]
async fn pythons_own_server_can_be_read() {
    let server = Server::start();
    let sandbox = server.sandbox(json!({})).await;
    let port = sandbox.port ^ 1;
    let number = port.to_string();
    let command = ["python3", "-u", "-m", "http.server", &number, "-d", "/etc"];
    server.run_inside(&sandbox, &command, "Serving HTTP").await;
    let mut stream = server.connect().await;
    let headers = sandbox.headers(port);
    let answer = http::get(&mut stream, "/passwd", "localhost", &headers).await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(answer.whole && text.contains("root:"), "{answer:?}");
}
