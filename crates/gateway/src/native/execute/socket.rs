//! A run over a WebSocket, with input and output as they come.
//!
//! | Message | From the client | From the server |
//! |---|---|---|
//! | first | `{"start":{…}}`, as the body of `POST /v1/execute` | `{"started":{"sandbox":"…","template":"…","language":"…"}}` |
//! | input | `{"stdin":"text"}`, `{"stdin":{"base64":"…"}}`, or binary; `{"stdin_close":true}` ends it | |
//! | signals | `{"signal":"SIGTERM"}` or `"SIGKILL"` | |
//! | output | | `{"stdout":{"text":"…"}}`, `{"stderr":{"base64":"…"}}` |
//! | last | | `{"exit":{…}}`, the answer without the output, or `{"error":{"code":400,"message":"…"}}` |
//!
//! The key comes as for a terminal: in a header, or as a subprotocol `soulbox.key.` and the key in base64url, beside
//! `soulbox.execute`. One run for each connection; when that goes, the run is ended. Input that the program does not
//! read holds up what comes after it.

use super::answer;
use super::ask::{Asked, Job};
use super::content::Content;
use super::events::{Piece, Rest, name};
use crate::auth;
use crate::client::Client;
use crate::door::Gateway;
use crate::error::ApiError;
use axum::extract::ws::{
    Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection,
};
use axum::extract::{Extension, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use soulbox_control::{ControlError, Leader, Listener, Ran, Started};
use soulbox_model::TeamId;
use soulbox_node::execute::{Channel, Sink};
use soulbox_wire::envd::process::Signal;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// What is spoken here.
const PROTOCOL: &str = "soulbox.execute";
/// How long a client may take to say what is run.
const START: Duration = Duration::from_secs(30);
/// How often a client is asked whether it is there.
const PING: Duration = Duration::from_secs(20);
/// How long it may say nothing, or take nothing.
const SILENCE: Duration = Duration::from_secs(60);
/// Messages that wait for the client, and for the program.
const WAITING: usize = 4;
/// Input that waits in the pipe to the program.
const PIPE: usize = 64 * 1024;

/// A client's message in words.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said<'b> {
    #[serde(borrow)]
    Start(Box<Asked<'b>>),
    #[serde(borrow)]
    Stdin(Content<'b>),
    StdinClose(bool),
    Signal(String),
}

/// What a client does while its code runs.
enum Act {
    Input(Bytes),
    Close,
    Signal(Signal),
    Nothing,
    Gone,
}

pub(super) async fn open(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Extension(client): Extension<Client>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let team = auth::team_of_socket(&gateway, &headers)?;
    let upgrade = upgrade.map_err(|rejection| {
        ApiError::new(
            StatusCode::UPGRADE_REQUIRED,
            format!("this is a WebSocket: {rejection}"),
        )
    })?;
    let most = gateway.control.settings().execute.request.bytes();
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let upgrade = upgrade.protocols([PROTOCOL]);
    let upgrade = upgrade.max_message_size(most).max_frame_size(most);
    Ok(upgrade.on_upgrade(move |mut socket| async move {
        // The connection's place among all is taken until its end.
        let _client = client;
        let last = match serve(&gateway, &team, &mut socket).await {
            Ok(Some(exit)) => exit,
            Ok(None) => return,
            Err(error) => json!({ "error": {
                "code": error.status.as_u16(), "message": error.message,
            } })
            .to_string(),
        };
        let _ = timeout(SILENCE, socket.send(Message::text(last))).await;
        let _ = timeout(SILENCE, socket.send(Message::Close(None))).await;
    }))
}

/// Runs what the client says first; gives the last thing to tell, if the client is still there.
async fn serve(
    gateway: &Gateway,
    team: &TeamId,
    socket: &mut WebSocket,
) -> Result<Option<String>, ApiError> {
    let first = async {
        loop {
            match socket.recv().await? {
                Ok(Message::Text(text)) => return Some(Bytes::from(text)),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Binary(bytes)) => return Some(bytes),
                _ => return None,
            }
        }
    };
    let first = timeout(START, first).await.map_err(|_| {
        let late = format!("nothing was said within {START:?}");
        ApiError::new(StatusCode::REQUEST_TIMEOUT, late)
    })?;
    let Some(first) = first else {
        return Ok(None);
    };
    let Said::Start(asked) = parse(&first)? else {
        return Err(ApiError::bad("start: it must come first"));
    };
    let job = asked.job((gateway, team), &first, None)?;
    drop(first);
    Run::new(gateway, team, job).serve(socket).await
}

fn parse(message: &Bytes) -> Result<Said<'_>, ApiError> {
    crate::body::parse(message)
}

/// For fuzzing: a message in words is read or refused.
#[cfg(fuzzing)]
pub(super) fn fuzz(message: &Bytes) -> Result<(), ApiError> {
    parse(message).map(drop)
}

/// One run.
struct Run<'r> {
    gateway: &'r Gateway,
    team: &'r TeamId,
    job: Job,
}

/// Tells of a run.
struct Teller {
    told: mpsc::Sender<String>,
    rest: Rest,
    leader: Arc<OnceLock<Arc<Leader>>>,
}

impl<'r> Run<'r> {
    const fn new(gateway: &'r Gateway, team: &'r TeamId, job: Job) -> Self {
        Self { gateway, team, job }
    }

    async fn serve(self, socket: &mut WebSocket) -> Result<Option<String>, ApiError> {
        let (typed, typing) = mpsc::channel(WAITING);
        let (told, mut telling) = mpsc::channel(WAITING);
        let (writer, stdin) = tokio::io::duplex(PIPE);
        let pump = pump(writer, self.job.stdin, typing);
        let leader = Arc::new(OnceLock::new());
        let teller = Teller {
            told,
            rest: Rest::default(),
            leader: Arc::clone(&leader),
        };
        let mut stopping = self.gateway.stopping.subscribe();
        let stop = async move {
            // The sender lives as long as the server.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        let control = &self.gateway.control;
        let running = control.run(self.team, self.job.request, Some(stdin), teller, stop);
        let run = async {
            let mut running = std::pin::pin!(running);
            let mut pump = std::pin::pin!(pump);
            tokio::select! {
                ran = &mut running => ran,
                () = &mut pump => running.await,
            }
        };
        let talk = Talk {
            socket,
            typed: Some(typed),
            leader: &leader,
            heard: Instant::now(),
        };
        talk.along(run, &mut telling).await
    }
}

/// Passes input on until there is no more.
async fn pump(mut writer: DuplexStream, first: Option<Bytes>, mut typing: mpsc::Receiver<Bytes>) {
    let mut next = first;
    loop {
        if let Some(bytes) = next
            && writer.write_all(&bytes).await.is_err()
        {
            // The program is over; what is typed goes nowhere.
            typing.close();
            while typing.recv().await.is_some() {}
            return;
        }
        next = typing.recv().await;
        if next.is_none() {
            let _ = writer.shutdown().await;
            return;
        }
    }
}

/// A conversation with a client while its code runs.
struct Talk<'t> {
    socket: &'t mut WebSocket,
    typed: Option<mpsc::Sender<Bytes>>,
    leader: &'t OnceLock<Arc<Leader>>,
    heard: Instant,
}

impl Talk<'_> {
    /// Talks until the run is over; none when the client has gone, which ends the run.
    async fn along(
        mut self,
        run: impl Future<Output = Result<Ran<Teller>, ControlError>>,
        telling: &mut mpsc::Receiver<String>,
    ) -> Result<Option<String>, ApiError> {
        let mut run = std::pin::pin!(run);
        let mut ping = tokio::time::interval(PING);
        let ran = loop {
            let message = tokio::select! {
                ran = &mut run => break ran?,
                Some(text) = telling.recv() => Message::text(text),
                act = hear(self.socket, self.typed.as_ref()) => {
                    self.heard = Instant::now();
                    match self.act(act?).await {
                        true => continue,
                        false => return Ok(None),
                    }
                }
                _ = ping.tick() => match self.heard.elapsed() > SILENCE && self.listens() {
                    true => return Ok(None),
                    false => Message::Ping(Bytes::new()),
                },
            };
            if !self.send(message).await {
                return Ok(None);
            }
        };
        let mut ran = ran;
        while let Ok(text) = telling.try_recv() {
            if !self.send(Message::text(text)).await {
                return Ok(None);
            }
        }
        for (channel, bytes) in ran.listener.rest.take() {
            if !bytes.is_empty() && !self.send(Message::text(output(channel, &bytes))).await {
                return Ok(None);
            }
        }
        let exit = answer::json(&ran, None);
        Ok(Some(format!(
            "{{\"exit\":{}}}",
            String::from_utf8_lossy(&exit)
        )))
    }

    /// Whether what the client says is read: not while the program does not read what it typed.
    fn listens(&self) -> bool {
        self.typed.as_ref().is_none_or(|typed| typed.capacity() > 0)
    }

    /// A client that takes nothing holds the program up, and then is let go.
    async fn send(&mut self, message: Message) -> bool {
        matches!(
            timeout(SILENCE, self.socket.send(message)).await,
            Ok(Ok(()))
        )
    }

    /// Does what the client says; false when it has gone.
    async fn act(&mut self, act: Act) -> bool {
        match act {
            Act::Nothing => {}
            Act::Gone => return false,
            Act::Close => self.typed = None,
            Act::Input(bytes) => {
                if let Some(typed) = &self.typed {
                    // There is room: it was waited for before this was read.
                    let _ = typed.try_send(bytes);
                }
            }
            Act::Signal(signal) => {
                if let Some(leader) = self.leader.get() {
                    // It may be over, which its end tells.
                    let _ = leader.signal(signal).await;
                }
            }
        }
        true
    }
}

/// The next that the client says, once there is room for it.
async fn hear(
    socket: &mut WebSocket,
    typed: Option<&mpsc::Sender<Bytes>>,
) -> Result<Act, ApiError> {
    if let Some(typed) = typed {
        // It is taken by whoever acts; nobody else types.
        drop(typed.reserve().await);
    }
    match socket.recv().await {
        Some(Ok(Message::Binary(bytes))) => Ok(Act::Input(bytes)),
        Some(Ok(Message::Text(text))) => said(&Bytes::from(text)),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(Act::Nothing),
        _ => Ok(Act::Gone),
    }
}

fn said(message: &Bytes) -> Result<Act, ApiError> {
    match parse(message)? {
        Said::Start(_) => Err(ApiError::bad("start: it was said already")),
        Said::Stdin(content) => Ok(Act::Input(content.into_bytes(message))),
        Said::StdinClose(true) => Ok(Act::Close),
        Said::StdinClose(false) => Ok(Act::Nothing),
        Said::Signal(name) => match name.strip_prefix("SIG").unwrap_or(&name) {
            "TERM" => Ok(Act::Signal(Signal::Term)),
            "KILL" => Ok(Act::Signal(Signal::Kill)),
            _ => Err(ApiError::bad("signal: there are SIGTERM, SIGKILL")),
        },
    }
}

fn output(channel: Channel, bytes: &[u8]) -> String {
    let piece = serde_json::to_value(Piece::of(bytes)).unwrap_or(Value::Null);
    json!({ name(channel): piece }).to_string()
}

impl Sink for Teller {
    async fn write(&mut self, channel: Channel, bytes: Bytes) -> io::Result<()> {
        let whole = self.rest.join(channel, bytes);
        if whole.is_empty() {
            return Ok(());
        }
        let sent = self.told.send(output(channel, &whole)).await;
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Listener for Teller {
    async fn started(&mut self, started: Started) {
        let told = json!({ "started": {
            "sandbox": started.sandbox,
            "template": started.template,
            "language": started.language,
        } });
        let _ = self.leader.set(started.leader);
        // The first: there is room.
        let _ = self.told.send(told.to_string()).await;
    }
}
