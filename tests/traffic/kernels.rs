//! Port 49999: a sandbox's kernels where it has some, an ordinary port elsewhere.

use crate::http::{self, Answer};
use crate::server::{Sandbox, Server};
use serde_json::{Value, json};
use soulbox_tests::kernel;
use tokio::net::TcpStream;

const PORT: u16 = 49999;

impl Server {
    /// A sandbox with that kernel.
    async fn with_kernel(&self, more: Value) -> Sandbox {
        let sandbox = self.sandbox(more).await;
        let command = kernel::install();
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        self.run_inside(&sandbox, &command, "written\n").await;
        sandbox
    }

    async fn ask(
        &self,
        sandbox: &Sandbox,
        path: &str,
        more: &str,
        body: &Value,
    ) -> (TcpStream, Answer) {
        let mut stream = self.connect().await;
        let body = body.to_string();
        let head = format!(
            "{}{more}Content-Length: {}\r\n",
            sandbox.headers(PORT),
            body.len()
        );
        http::send(
            &mut stream,
            "POST",
            path,
            "localhost",
            &head,
            body.as_bytes(),
        )
        .await;
        let head = http::head(&mut stream).await;
        (stream, head)
    }

    /// Runs code to its end: what it printed.
    async fn cell(&self, sandbox: &Sandbox, code: &str) -> String {
        let (mut stream, head) = self
            .ask(sandbox, "/execute", "", &json!({ "code": code }))
            .await;
        assert_eq!(
            (head.status, head.header("content-type")),
            (200, None),
            "{head:?}"
        );
        let mut said = Vec::new();
        loop {
            match http::chunk(&mut stream).await {
                piece if piece.is_empty() => break,
                piece => said.extend(piece),
            }
        }
        let said = String::from_utf8(said).unwrap();
        let lines = said
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let texts = lines.filter(|line| line["type"] == "stdout");
        texts
            .map(|line| line["text"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test]
async fn cells_run_are_interrupted_and_end_with_their_sandbox() {
    let server = Server::start();
    let sandbox = server.with_kernel(json!({ "envVars": { "A": "b" } })).await;
    assert_eq!(server.cell(&sandbox, "x = 'ä'").await, "");
    assert_eq!(server.cell(&sandbox, "print(x, end='')").await, "ä");
    // Whoever goes away interrupts, and leaves the state.
    let sleeps = json!({ "code": "print('on', end='', flush=True); import time; time.sleep(600)" });
    let (mut stream, head) = server.ask(&sandbox, "/execute", "", &sleeps).await;
    assert_eq!(head.status, 200);
    assert!(!http::chunk(&mut stream).await.is_empty());
    drop(stream);
    assert_eq!(server.cell(&sandbox, "print(x, end='')").await, "ä");
    let (_, unknown) = server
        .ask(&sandbox, "/contexts/none/restart", "", &Value::Null)
        .await;
    assert_eq!(unknown.status, 404);
    let (mut stream, _) = server.ask(&sandbox, "/execute", "", &sleeps).await;
    assert!(!http::chunk(&mut stream).await.is_empty());
    let path = format!("/sandboxes/{}", sandbox.id());
    assert_eq!(server.api("DELETE", &path, &Value::Null).await.status, 204);
    while let Some(piece) = http::try_chunk(&mut stream).await {
        assert!(!piece.is_empty(), "no clean end");
    }
    let (_, gone) = server.ask(&sandbox, "/execute", "", &sleeps).await;
    assert_eq!(gone.status, 502);
}

#[tokio::test]
async fn private_kernels_want_the_token_of_ports() {
    let server = Server::start();
    let network = json!({ "network": { "allowPublicTraffic": false } });
    let sandbox = server.with_kernel(network).await;
    let token = sandbox.told["trafficAccessToken"].as_str().unwrap();
    for (more, status) in [
        (String::new(), 403),
        ("E2B-Traffic-Access-Token: x\r\n".to_owned(), 403),
        (format!("E2B-Traffic-Access-Token: {token}\r\n"), 200),
    ] {
        let (_, head) = server.ask(&sandbox, "/contexts", &more, &json!({})).await;
        assert_eq!(head.status, status, "{more:?}");
    }
}

#[tokio::test]
async fn without_kernels_the_port_is_the_sandboxs_own() {
    let server = Server::start();
    let sandbox = server.sandbox(json!({})).await;
    let mut stream = server.connect().await;
    let headers = sandbox.headers(PORT);
    let answer = http::get(&mut stream, "/health", "localhost", &headers).await;
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!(
        answer.json()["message"],
        "The sandbox is running but port is not open"
    );
}
