//! Commands that a server starts once and remembers: what is printed survives a broken connection, and a server
//! that is started again.
//!
//! The output comes from the sandbox's agent, which passes on all of it and waits for whoever reads. When that
//! breaks, what is missing is read from the server's record of the command, which has the first bytes of each
//! output (`commands.output` of the server).

use super::Server;
use crate::exit::Exit;
use crate::failure::{Failure, safe};
use crate::terminal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use soulbox_client::RemoteError;
use soulbox_client::follow::Follow;
use soulbox_model::SandboxId;
use soulbox_runtime::agent_client::{ProcessEnd, ProcessEvent, StartRequest};
use std::time::{Duration, Instant};

/// The header by which a start that is sent again is known.
const ONCE: HeaderName = HeaderName::from_static("idempotency-key");
/// How long to wait before asking again.
const REST: Duration = Duration::from_millis(200);

/// What a server says of a command.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Told {
    /// Its id, which is its tag for the agent.
    pub(crate) id: String,
    /// Its process id inside.
    #[serde(default)]
    pub(crate) pid: Option<u32>,
    state: String,
    #[serde(default)]
    exit_code: Option<i32>,
    #[serde(default)]
    signal: Option<i32>,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    stdout: Amount,
    #[serde(default)]
    stderr: Amount,
}

/// How much a command wrote to one output.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct Amount {
    #[serde(default)]
    total: u64,
}

/// A piece of output.
#[derive(Deserialize)]
struct Piece {
    offset: u64,
    base64: String,
}

/// Starts a command; asks again, with the same key, while the server cannot be reached.
///
/// # Errors
/// The command cannot be started, or the server stays away.
pub(crate) async fn start(
    server: &Server,
    sandbox: &SandboxId,
    request: &StartRequest,
) -> Result<Told, Failure> {
    let path = format!("/v1/sandboxes/{sandbox}/commands");
    let body = json!({
        "cmd": std::iter::once(&request.cmd).chain(&request.args).collect::<Vec<_>>(),
        "env": request.envs,
        "cwd": request.cwd,
        "user": request.user,
        "stdin": request.stdin,
        "pty": request.pty.map(|size| json!({ "cols": side(size.cols), "rows": side(size.rows) })),
        "attended": true,
    });
    let key = key()?;
    let patience = Patience::of(server);
    loop {
        let mut question = server.question(Method::POST, &path, &body)?;
        question.headers.push((ONCE, key.clone()));
        let told = async {
            let response = server.open(question).await?;
            let body = server.whole(response).await?;
            server.read(&body)
        };
        match told.await {
            Ok(told) => return Ok(told),
            Err(error) if may_come_back(&error) && patience.lasts() => patience.rest().await,
            Err(RemoteError::Refused { status, message }) if status == StatusCode::BAD_REQUEST => {
                let doing = format!("cannot start {}: {message}", request.cmd);
                return Err(Failure::new(Exit::NOT_FOUND, doing));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The sides of a terminal that the server takes.
fn side(length: u32) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

fn key() -> Result<HeaderValue, Failure> {
    let mut random = [0; 16];
    let made = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    let failed = || Failure::new(Exit::INTERNAL, "cannot make a key for the request");
    made.map_err(|error| failed().because(&error))?;
    let text = format!("{:032x}", u128::from_ne_bytes(random));
    HeaderValue::from_str(&text).map_err(|error| failed().because(&error))
}

/// Whether the same question may be answered later: nobody answered, or a server that starts or stops.
fn may_come_back(error: &RemoteError) -> bool {
    match error {
        RemoteError::Nobody { .. } | RemoteError::Answer { .. } => true,
        RemoteError::Stranger { .. } => false,
        RemoteError::Refused { status, .. } => *status == StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// How long it is worth asking again (`client.reconnect`).
pub(crate) struct Patience {
    limit: Duration,
    since: Instant,
}

impl Patience {
    /// From now on.
    pub(crate) fn of(server: &Server) -> Self {
        Self {
            limit: server.reconnect(),
            since: Instant::now(),
        }
    }

    /// An answer came.
    fn renew(&mut self) {
        self.since = Instant::now();
    }

    /// Whether it is not over.
    pub(crate) fn lasts(&self) -> bool {
        self.since.elapsed() < self.limit
    }

    /// Waits before the next question.
    pub(crate) async fn rest(&self) {
        tokio::time::sleep(REST).await;
    }
}

/// The rest of a command's output, read from the server's record of it.
pub(crate) struct Rest<'s> {
    server: &'s Server,
    path: String,
    follow: Option<Box<Follow>>,
    patience: Patience,
}

impl<'s> Rest<'s> {
    /// That of a command.
    pub(crate) fn of(server: &'s Server, sandbox: &SandboxId, id: &str) -> Self {
        Self {
            server,
            path: format!("/v1/sandboxes/{sandbox}/commands/{id}/output?follow"),
            follow: None,
            patience: Patience::of(server),
        }
    }

    /// What comes next behind these bytes of standard output and of standard error.
    ///
    /// # Errors
    /// The server stays away, does not know the command, or did not keep what is missing.
    pub(crate) async fn next(&mut self, seen: [u64; 2]) -> Result<ProcessEvent, Failure> {
        loop {
            match self.ask(seen).await {
                Ok(Some(event)) => {
                    self.patience.renew();
                    return event;
                }
                Err(error) if !may_come_back(&error) => return Err(error.into()),
                Ok(None) | Err(_) if self.patience.lasts() => {}
                Err(error) => return Err(error.into()),
                Ok(None) => {
                    let lost = "the server broke off again and again";
                    return Err(Failure::new(Exit::SERVER, lost));
                }
            }
            self.follow = None;
            self.patience.rest().await;
        }
    }

    /// The next event of the stream; nothing if that ended.
    async fn ask(
        &mut self,
        seen: [u64; 2],
    ) -> Result<Option<Result<ProcessEvent, Failure>>, RemoteError> {
        let follow = match &mut self.follow {
            Some(follow) => follow,
            None => {
                let [out, err] = seen;
                let path = format!("{}&stdout={out}&stderr={err}", self.path);
                let follow = Follow::open(self.server, &path).await?;
                self.follow.insert(Box::new(follow))
            }
        };
        while let Some(message) = follow.next().await? {
            let data = message.data.as_bytes();
            let index = match message.kind.as_str() {
                "stdout" => 0,
                "stderr" => 1,
                "end" => return Ok(Some(ended(&self.server.read(data)?, seen))),
                "error" => {
                    let words: String = self.server.read(data)?;
                    return Ok(Some(Err(Failure::new(Exit::SERVER, words))));
                }
                _ => continue,
            };
            let piece: Piece = self.server.read(data)?;
            let bytes = STANDARD.decode(&piece.base64);
            let bytes = bytes.map_err(|error| self.server.unreadable(error))?.into();
            if seen.get(index) != Some(&piece.offset) {
                return Ok(Some(Err(missing())));
            }
            return Ok(Some(Ok(match index {
                0 => ProcessEvent::Stdout(bytes),
                _ => ProcessEvent::Stderr(bytes),
            })));
        }
        Ok(None)
    }
}

fn missing() -> Failure {
    let what = "the connection to the server broke, and it did not keep all that the command printed meanwhile";
    Failure::new(Exit::SERVER, what)
        .help("it keeps the first bytes of each output: its setting commands.output")
}

/// The end of a command, if all that it wrote was seen.
fn ended(told: &Told, seen: [u64; 2]) -> Result<ProcessEvent, Failure> {
    if told.state == "lost" {
        let what = format!("nobody knows how the command ended: {}", told.detail);
        return Err(Failure::new(Exit::SERVER, what));
    }
    if !told.detail.is_empty() {
        terminal::warn(&format!("the command ended: {}", safe(&told.detail)));
    }
    if [told.stdout.total, told.stderr.total] != seen {
        return Err(missing());
    }
    Ok(ProcessEvent::End(ProcessEnd {
        exit_code: told.exit_code.unwrap_or(-1),
        signal: match told.exit_code {
            Some(_) => None,
            None => Some(told.signal.unwrap_or(KILL)),
        },
        status: told.state.clone(),
    }))
}

/// The signal that ended what was ended by one that is not known.
const KILL: i32 = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn told(state: &str, code: Option<i32>, total: u64) -> Told {
        let told: Value = json!({
            "id": "c1", "state": state, "exit_code": code, "detail": "gone",
            "stdout": { "total": total, "kept": 3, "cut": total > 3 }, "stderr": { "total": 0 },
        });
        serde_json::from_value(told).unwrap()
    }

    #[test]
    fn an_end_counts_only_if_all_was_seen() {
        let end = |told: &Told, seen| ended(told, seen).map_err(|failure| failure.exit);
        let good = end(&told("exited", Some(3), 5), [5, 0]).unwrap();
        assert!(
            matches!(good, ProcessEvent::End(end) if end.exit_code == 3 && end.signal.is_none())
        );
        assert_eq!(end(&told("exited", Some(0), 5), [3, 0]), Err(Exit::SERVER));
        assert_eq!(end(&told("lost", None, 5), [5, 0]), Err(Exit::SERVER));
        let killed = end(&told("killed", None, 0), [0, 0]).unwrap();
        assert!(matches!(killed, ProcessEvent::End(end) if end.signal == Some(9)));
    }
}
