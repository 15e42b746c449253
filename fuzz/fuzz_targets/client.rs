//! The host's client against an agent that answers anything.
//!
//! The first byte chooses the call; the rest is what comes back, cut into writes of the length that
//! the second byte says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use soulbox_runtime::agent_client::{AgentClient, AgentLimits, StartRequest};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;

/// Bounds of the client; the time for a call is far beyond what any takes.
const BYTES: usize = 4096;
const TIME: Duration = Duration::from_secs(5);

static DIRECTORY: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a directory"));

thread_local! {
    static WORLD: (Runtime, UnixListener, PathBuf) = {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().expect("a runtime");
        let socket = DIRECTORY.path().join("agent.sock");
        let guard = runtime.enter();
        let listener = UnixListener::bind(&socket).expect("a socket");
        drop(guard);
        (runtime, listener, socket)
    };
}

async fn answer(mut stream: UnixStream, bytes: &[u8], piece: usize) {
    // The head of a request and its small body come at once.
    let mut request = [0; 8192];
    let _ = stream.read(&mut request).await;
    for piece in bytes.chunks(piece) {
        if stream.write_all(piece).await.is_err() {
            return;
        }
    }
}

async fn call(client: &AgentClient, which: u8) {
    match which % 6 {
        0 => drop(client.health().await),
        1 => drop(client.stat("/x", Some("user")).await),
        2 => drop(client.list_dir("/x", 1, None).await),
        3 => {
            if let Ok(file) = client.read_file("/x", None, BYTES as u64).await {
                let _ = file.size();
                let whole = file.read_to_end().await.unwrap_or_default();
                assert!(whole.len() <= BYTES, "more than the limit came through");
            }
        }
        4 => {
            let request = StartRequest {
                cmd: "true".to_owned(),
                ..StartRequest::default()
            };
            if let Ok(mut process) = client.start(&request).await {
                while let Ok(Some(_)) = process.next().await {}
            }
        }
        _ => drop(
            client
                .write_file("/x", None, bytes::Bytes::from_static(b"content"))
                .await,
        ),
    }
}

fuzz_target!(|data: &[u8]| {
    let [which, piece, bytes @ ..] = data else {
        return;
    };
    let piece = usize::from(*piece).max(1);
    WORLD.with(|(runtime, listener, socket)| {
        let limits = AgentLimits {
            connect: TIME,
            header: TIME,
            unary: TIME,
            stall: TIME,
            answer_bytes: BYTES,
            listing_bytes: BYTES,
            event_bytes: BYTES,
        };
        let client = AgentClient::with_limits(socket.clone(), limits);
        let agent = async {
            while let Ok((stream, _)) = listener.accept().await {
                answer(stream, bytes, piece).await;
            }
        };
        let both = async {
            tokio::select! {
                () = call(&client, *which) => {}
                () = agent => {}
            }
        };
        let done = runtime.block_on(async { tokio::time::timeout(TIME / 2, both).await });
        assert!(done.is_ok(), "the call hangs though the agent has hung up");
    });
});
