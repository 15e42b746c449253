//! A command in a sandbox, connected with our own stdin, stdout and stderr, or with our terminal.

mod print;
mod raw;
mod signals;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::remote::Server;
use crate::remote::command::{self, Patience, Rest};
use print::print;
use raw::Raw;
use soulbox_model::{Cause, SandboxId};
use soulbox_runtime::agent_client::{
    AgentClient, AgentError, InputStream, ProcessEnd, ProcessStream, StartRequest,
};
use soulbox_wire::envd::process::{ProcessSelector, PtySize};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

/// How much input is read at once: what a person types or pastes.
const INPUT: usize = 16 * 1024;
/// How soon after a command was asked for its output must be followed, for none of it to have passed: an agent
/// waits for 10 s.
const IN_TIME: Duration = Duration::from_secs(8);

/// A command and what it is connected with.
pub(crate) struct Session<'s> {
    /// The way to the sandbox.
    pub(crate) client: &'s AgentClient,
    /// The server that the sandbox is of; none: it is one of an engine of our own.
    pub(crate) there: Option<There<'s>>,
    /// The command.
    pub(crate) request: &'s StartRequest,
}

/// A sandbox of a server.
#[derive(Clone, Copy)]
pub(crate) struct There<'s> {
    /// The server.
    pub(crate) server: &'s Server,
    /// The sandbox.
    pub(crate) sandbox: &'s SandboxId,
    /// The way for input in pieces, each a request of its own.
    pub(crate) input: &'s AgentClient,
}

/// A command that the server has a record of.
struct Recorded<'s> {
    there: There<'s>,
    id: String,
}

impl Recorded<'_> {
    /// The rest of its output, from the server's record of it.
    fn rest(&self) -> Rest<'_> {
        Rest::of(self.there.server, self.there.sandbox, &self.id)
    }
}

/// A command that runs.
struct Started<'s> {
    pid: u32,
    /// Its output from its beginning, as it comes.
    stream: Option<ProcessStream>,
    recorded: Option<Recorded<'s>>,
}

/// The size of a terminal for a command, when we have one ourselves.
pub(crate) fn terminal_size() -> Option<PtySize> {
    raw::size().filter(|_| io::stdin().is_terminal())
}

/// Variables with those of a person's session: the kind of the terminal, and a language that has all
/// letters.
pub(crate) fn with_defaults(mut variables: BTreeMap<String, String>) -> BTreeMap<String, String> {
    if let Some(term) = std::env::var_os("TERM").and_then(|term| term.into_string().ok()) {
        variables.entry("TERM".to_owned()).or_insert(term);
    }
    variables
        .entry("LANG".to_owned())
        .or_insert_with(|| "C.UTF-8".to_owned());
    variables
}

impl<'s> Session<'s> {
    /// Runs the command to its end; its exit code becomes ours.
    ///
    /// # Errors
    /// The command cannot be started, the sandbox does not answer, or nobody takes the output.
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        let has_terminal = self.request.pty.is_some();
        let Started {
            pid,
            stream,
            recorded,
        } = self.start().await?;
        // Only now: messages until here are for a terminal as it was.
        let _raw = has_terminal.then(Raw::enter).transpose().map_err(|error| {
            Failure::new(Exit::INTERNAL, "cannot set up the terminal").because(&error)
        })?;
        let end = tokio::select! {
            end = print(stream, recorded.as_ref()) => end?,
            end = self.type_in(pid, has_terminal), if self.request.stdin => end?,
            never = resize(self.client, pid), if has_terminal => never,
            never = signals::pass(self.client, pid), if self.there.is_some() => never,
        };
        let cause = match end.signal {
            Some(_) => Cause::Signalled,
            None => Cause::Exited,
        };
        Ok(Exit::of_run(cause, Some(end.exit_code), end.signal))
    }

    /// Starts the command, once.
    async fn start(&self) -> Result<Started<'s>, Failure> {
        let Some(there) = self.there else {
            let started = self.client.start(self.request).await;
            let stream = started.map_err(|error| {
                let doing = format!("cannot start {}", self.request.cmd);
                Failure::new(Exit::NOT_FOUND, doing).because(&error)
            })?;
            return Ok(Started {
                pid: stream.pid(),
                stream: Some(stream),
                recorded: None,
            });
        };
        let began = Instant::now();
        let told = command::start(there.server, there.sandbox, self.request).await?;
        let followed = self.client.connect_to(ProcessSelector::tag(&told.id)).await;
        // Later, some of its output may have passed already; its record has it.
        let stream = followed.ok().filter(|_| began.elapsed() < IN_TIME);
        let pid = told.pid.or(stream.as_ref().map(ProcessStream::pid));
        Ok(Started {
            pid: pid.unwrap_or_default(),
            stream,
            recorded: Some(Recorded { there, id: told.id }),
        })
    }

    /// Sends what is typed. Returns only if some of it may be lost: the command's end ends everything.
    async fn type_in(&self, pid: u32, has_terminal: bool) -> Result<ProcessEnd, Failure> {
        match self.there {
            Some(there) => feed_pieces(there, pid, has_terminal).await?,
            None => {
                if let Ok(mut input) = self.client.stream_input(pid, has_terminal).await
                    && feed(&mut input).await.is_ok()
                {
                    let _ = input.finish().await;
                }
                if !has_terminal {
                    let _ = self.client.close_stdin(pid).await;
                }
            }
        }
        std::future::pending().await
    }
}

async fn feed(input: &mut InputStream) -> Result<(), AgentError> {
    let mut stdin = tokio::io::stdin();
    let mut bytes = vec![0; INPUT];
    loop {
        match stdin.read(&mut bytes).await {
            Ok(length) if length > 0 => {
                input.send(bytes.get(..length).unwrap_or_default()).await?;
            }
            _ => return Ok(()),
        }
    }
}

/// Sends input in pieces to a command of a server, and closes its input behind the last one.
async fn feed_pieces(there: There<'_>, pid: u32, terminal: bool) -> Result<(), Failure> {
    let mut stdin = tokio::io::stdin();
    let mut bytes = vec![0; INPUT];
    loop {
        let length = stdin.read(&mut bytes).await.unwrap_or(0);
        let piece = bytes.get(..length).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        let sent = patiently(there, || there.input.send_input(pid, piece, terminal)).await;
        match sent {
            Ok(()) => {}
            // What is typed into a terminal is seen, and typed again.
            Err(AgentError::Broken(_)) if terminal => {}
            Err(error @ AgentError::Broken(_)) => {
                let what = "the connection broke while input was sent; nobody knows how much of it the command got";
                return Err(Failure::new(Exit::SERVER, what).because(&error));
            }
            // A command that ended or closed its input is no failure.
            Err(_) => return Ok(()),
        }
    }
    if !terminal {
        // Closing twice is closing: it is asked for until somebody answers.
        let _ = patiently(there, || async {
            match there.input.close_stdin(pid).await {
                Err(AgentError::Broken(why)) => Err(AgentError::Connect {
                    socket: std::path::PathBuf::new(),
                    source: io::Error::other(why),
                }),
                other => other,
            }
        })
        .await;
    }
    Ok(())
}

/// Does something again while there is no connection to the server, until it is back or stays away.
async fn patiently<F>(there: There<'_>, mut again: impl FnMut() -> F) -> Result<(), AgentError>
where
    F: Future<Output = Result<(), AgentError>>,
{
    let patience = Patience::of(there.server);
    loop {
        match again().await {
            Err(AgentError::Connect { .. }) if patience.lasts() => patience.rest().await,
            done => return done,
        }
    }
}

/// Tells the command when the window changes its size.
async fn resize(client: &AgentClient, pid: u32) -> ProcessEnd {
    if let Ok(mut changes) = signal(SignalKind::window_change()) {
        while changes.recv().await.is_some() {
            if let Some(size) = raw::size() {
                // A size that is not taken changes nothing but the look.
                let _ = client.resize(pid, size).await;
            }
        }
    }
    std::future::pending().await
}
