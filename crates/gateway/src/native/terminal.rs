//! A terminal in a sandbox, over a WebSocket: for a page in a browser, and for a command line elsewhere.
//!
//! | Message | From the client | From the server |
//! |---|---|---|
//! | binary | what is typed | what is shown |
//! | text, JSON | `{"resize":{"cols":80,"rows":24}}` | `{"exit":{"code":0,"signal":null,"status":"…"}}` or `{"error":"…"}`, then the end |
//!
//! A page cannot set headers on a WebSocket, and a key in a URL is written into logs: so the key may come as
//! a subprotocol, `soulbox.key.` and the key in base64url without padding, beside `soulbox.terminal`.

use crate::auth;
use crate::client::Client;
use crate::door::Gateway;
use crate::e2b::id_of;
use crate::error::ApiError;
use crate::query::Query;
use crate::traffic::commands::end_of;
use axum::Router;
use axum::extract::ws::{
    Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection,
};
use axum::extract::{Extension, Path, State};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;
use soulbox_control::{CommandLog, Live, LogEnd};
use soulbox_model::{CommandEnd, SandboxId};
use soulbox_runtime::agent_client::{AgentClient, ProcessEvent, ProcessStream, StartRequest};
use soulbox_wire::envd::process::{PtySize, Signal};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, timeout};

/// What is spoken here.
const PROTOCOL: &str = "soulbox.terminal";
/// The shell.
const SHELL: [&str; 2] = ["/bin/bash", "-l"];
/// The longest message of a client: what a person pastes.
const MESSAGE: usize = 1024 * 1024;
/// Messages of a client that may wait while the shell does not read.
const WAITING: usize = 64;
/// How often a client is asked whether it is there.
const PING: Duration = Duration::from_secs(20);
/// How long it may say nothing, or take nothing.
const SILENCE: Duration = Duration::from_secs(60);
/// The signal that ends a shell that nobody can come back to.
const KILL: i32 = 9;
/// The most columns and rows.
const SIZE: u64 = 2000;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/sandboxes/{id}/terminal", get(open))
}

/// Opens a login shell in a terminal of `cols` and `rows`, as `user`.
async fn open(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    headers: HeaderMap,
    query: Query,
    Extension(client): Extension<Client>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let team = auth::team_of_socket(&gateway, &headers)?;
    let live = gateway.control.of(&team, &id_of(&id)?)?;
    let size = PtySize {
        cols: side(&query, "cols", 80)?,
        rows: side(&query, "rows", 24)?,
    };
    let user = query.word("user")?.map(str::to_owned);
    let upgrade = upgrade.map_err(|rejection| {
        ApiError::new(
            StatusCode::UPGRADE_REQUIRED,
            format!("a terminal is opened with a WebSocket: {rejection}"),
        )
    })?;
    let place = Arc::clone(&gateway.terminals).try_acquire_owned();
    let place = place.map_err(|_| ApiError {
        retry_after: Some(Duration::from_secs(5)),
        ..ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too many terminals are open (setting server.terminals)",
        )
    })?;
    gateway.control.wake(&live).await?;
    let stream = start(&live, size, user).await?;
    let log = gateway.control.log().clone();
    log.started(&live.id(), stream.pid(), SHELL[0]);
    let terminal = Terminal {
        sandbox: live.id(),
        log,
        client: live.agent().clone(),
        pid: stream.pid(),
        stopping: gateway.stopping.subscribe(),
        _counted: Counted::new(&gateway, place),
        _client: client,
    };
    let upgrade = upgrade.protocols([PROTOCOL]);
    let upgrade = upgrade.max_message_size(MESSAGE).max_frame_size(MESSAGE);
    Ok(upgrade.on_upgrade(move |socket| terminal.serve(socket, stream)))
}

fn side(query: &Query, name: &str, default: u32) -> Result<u32, ApiError> {
    let given = query.number(name, 1..=SIZE)?;
    Ok(given
        .and_then(|side| u32::try_from(side).ok())
        .unwrap_or(default))
}

async fn start(
    live: &Live,
    size: PtySize,
    user: Option<String>,
) -> Result<ProcessStream, ApiError> {
    let variables = [("TERM", "xterm-256color"), ("LANG", "C.UTF-8")];
    let request = StartRequest {
        cmd: SHELL[0].to_owned(),
        args: vec![SHELL[1].to_owned()],
        envs: BTreeMap::from(variables.map(|(name, value)| (name.to_owned(), value.to_owned()))),
        user,
        stdin: true,
        pty: Some(size),
        ..StartRequest::default()
    };
    live.agent().start(&request).await.map_err(|error| {
        let status = StatusCode::BAD_GATEWAY;
        ApiError::new(status, format!("the shell cannot be started: {error}"))
    })
}

/// An open terminal, counted while it is.
struct Counted {
    metrics: Arc<crate::metrics::Metrics>,
    _place: OwnedSemaphorePermit,
}

impl Counted {
    fn new(gateway: &Gateway, place: OwnedSemaphorePermit) -> Self {
        gateway.metrics.terminals.inc();
        Self {
            metrics: Arc::clone(&gateway.metrics),
            _place: place,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.metrics.terminals.dec();
    }
}

/// One terminal.
struct Terminal {
    sandbox: SandboxId,
    log: CommandLog,
    client: AgentClient,
    pid: u32,
    stopping: watch::Receiver<bool>,
    _counted: Counted,
    /// With the connection's place among all.
    _client: Client,
}

/// What a client sends.
enum Typed {
    Bytes(Bytes),
    Size(PtySize),
}

/// A client's message in words.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    resize: Resize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resize {
    cols: u64,
    rows: u64,
}

impl Terminal {
    async fn serve(self, mut socket: WebSocket, stream: ProcessStream) {
        let (typed, waiting) = mpsc::channel(WAITING);
        let typing = tokio::spawn(type_in(self.client.clone(), self.pid, waiting));
        let last = self.talk(&mut socket, stream, &typed).await;
        if let Some(last) = last {
            let _ = timeout(SILENCE, socket.send(Message::text(last.to_string()))).await;
        }
        let _ = timeout(SILENCE, socket.send(Message::Close(None))).await;
        typing.abort();
        // Nobody can come back to it.
        if self.client.signal(self.pid, Signal::Kill).await.is_ok() {
            let killed = LogEnd::from(&CommandEnd::Killed(Some(KILL)));
            self.log.ended(&self.sandbox, self.pid, killed);
        }
    }

    /// Passes on what is typed and what is shown; gives the last thing to tell.
    async fn talk(
        &self,
        socket: &mut WebSocket,
        mut stream: ProcessStream,
        typed: &mpsc::Sender<Typed>,
    ) -> Option<serde_json::Value> {
        let mut stopping = self.stopping.clone();
        let mut heard = Instant::now();
        let mut ping = tokio::time::interval(PING);
        loop {
            let message = tokio::select! {
                event = stream.next() => match event {
                    Ok(Some(ProcessEvent::End(end))) => {
                        self.log.ended(&self.sandbox, self.pid, end_of(&end));
                        return Some(json!({ "exit": {
                            "code": end.exit_code, "signal": end.signal, "status": end.status,
                        } }));
                    }
                    Ok(Some(
                        ProcessEvent::Terminal(bytes)
                        | ProcessEvent::Stdout(bytes)
                        | ProcessEvent::Stderr(bytes),
                    )) => Message::Binary(bytes),
                    Ok(None) | Err(_) => return Some(json!({ "error": "the sandbox has ended, or does not answer" })),
                },
                message = socket.recv() => {
                    heard = Instant::now();
                    let input = match read(message?.ok()?) {
                        Ok(Some(input)) => input,
                        Ok(None) => continue,
                        Err(Gone) => return None,
                    };
                    if typed.try_send(input).is_err() {
                        return Some(json!({ "error": "the shell does not read what is typed" }));
                    }
                    continue;
                }
                _ = ping.tick() => match heard.elapsed() > SILENCE {
                    true => return None,
                    false => Message::Ping(Bytes::new()),
                },
                _ = stopping.wait_for(|stopping| *stopping) => {
                    return Some(json!({ "error": "the server is being stopped" }));
                }
            };
            // A client that takes nothing holds the shell up, and then is let go.
            match timeout(SILENCE, socket.send(message)).await {
                Ok(Ok(())) => {}
                _ => return None,
            }
        }
    }
}

/// The client said good-bye, or sent what cannot be.
struct Gone;

fn read(message: Message) -> Result<Option<Typed>, Gone> {
    match message {
        Message::Binary(bytes) => Ok(Some(Typed::Bytes(bytes))),
        Message::Text(text) => {
            let told: Told = serde_json::from_str(&text).map_err(|_| Gone)?;
            let side = |side: u64| u32::try_from(side.clamp(1, SIZE)).map_err(|_| Gone);
            Ok(Some(Typed::Size(PtySize {
                cols: side(told.resize.cols)?,
                rows: side(told.resize.rows)?,
            })))
        }
        Message::Ping(_) | Message::Pong(_) => Ok(None),
        Message::Close(_) => Err(Gone),
    }
}

/// For fuzzing: a message in words says good-bye or names a size that a terminal can have.
#[cfg(fuzzing)]
pub(super) fn fuzz(text: &str) {
    match read(Message::text(text)) {
        Ok(Some(Typed::Size(size))) => {
            let sides = [size.cols, size.rows].map(u64::from);
            assert!(sides.iter().all(|side| (1..=SIZE).contains(side)));
        }
        Ok(other) => assert!(other.is_none(), "words were taken for typed bytes"),
        Err(Gone) => {}
    }
}

/// Passes on what is typed, until nobody types any more.
async fn type_in(client: AgentClient, pid: u32, mut waiting: mpsc::Receiver<Typed>) {
    let Ok(mut input) = client.stream_input(pid, true).await else {
        return;
    };
    while let Some(typed) = waiting.recv().await {
        match typed {
            Typed::Bytes(bytes) => {
                if input.send(&bytes).await.is_err() {
                    return;
                }
            }
            // A size that is not taken changes nothing but the look.
            Typed::Size(size) => drop(client.resize(pid, size).await),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bounded_and_nonsense_ends_it() {
        let size = |text: &'static str| match read(Message::text(text)) {
            Ok(Some(Typed::Size(size))) => Some((size.cols, size.rows)),
            _ => None,
        };
        assert_eq!(
            size(r#"{"resize":{"cols":100,"rows":40}}"#),
            Some((100, 40))
        );
        assert_eq!(
            size(r#"{"resize":{"cols":0,"rows":18446744073709551615}}"#),
            Some((1, 2000))
        );
        for wrong in [
            "",
            "{}",
            "[]",
            r#"{"resize":{"cols":-1,"rows":1}}"#,
            r#"{"resize":1}"#,
        ] {
            assert!(read(Message::text(wrong)).is_err(), "{wrong}");
        }
        assert!(matches!(read(Message::Ping(Bytes::new())), Ok(None)));
    }
}
