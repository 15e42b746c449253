//! A command in a sandbox, connected with our own stdin, stdout and stderr, or with our terminal.

mod raw;
mod signals;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal;
use raw::Raw;
use soulbox_model::Cause;
use soulbox_runtime::agent_client::{
    AgentClient, AgentError, InputStream, ProcessEnd, ProcessEvent, ProcessStream, StartRequest,
};
use soulbox_wire::envd::process::PtySize;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};

/// How much input is read at once: what a person types or pastes.
const INPUT: usize = 16 * 1024;

/// A command and what it is connected with.
pub(crate) struct Session<'s> {
    /// The way to the sandbox.
    pub(crate) client: &'s AgentClient,
    /// The way for input in pieces, each a request of its own; none: one stream for all of it.
    pub(crate) pieces: Option<&'s AgentClient>,
    /// The command.
    pub(crate) request: &'s StartRequest,
    /// Whether Ctrl-C and its kin go to the command.
    pub(crate) passes_signals: bool,
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

impl Session<'_> {
    /// Runs the command to its end; its exit code becomes ours.
    ///
    /// # Errors
    /// The command cannot be started, the sandbox does not answer, or nobody takes the output.
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        let has_terminal = self.request.pty.is_some();
        let stream = self.client.start(self.request).await.map_err(|error| {
            let doing = format!("cannot start {}", self.request.cmd);
            Failure::new(Exit::NOT_FOUND, doing).because(&error)
        })?;
        let pid = stream.pid();
        // Only now: messages until here are for a terminal as it was.
        let _raw = has_terminal.then(Raw::enter).transpose().map_err(|error| {
            Failure::new(Exit::INTERNAL, "cannot set up the terminal").because(&error)
        })?;
        let end = tokio::select! {
            end = print(stream) => end?,
            never = self.type_in(pid, has_terminal), if self.request.stdin => never,
            never = resize(self.client, pid), if has_terminal => never,
            never = signals::pass(self.client, pid), if self.passes_signals => never,
        };
        let cause = match end.signal {
            Some(_) => Cause::Signalled,
            None => Cause::Exited,
        };
        Ok(Exit::of_run(cause, Some(end.exit_code), end.signal))
    }

    /// Sends what is typed. Never returns: the command's end ends everything.
    async fn type_in(&self, pid: u32, has_terminal: bool) -> ProcessEnd {
        match self.pieces {
            Some(client) => {
                // A command that ended or closed its input is no failure.
                let _ = feed_pieces(client, pid, has_terminal).await;
            }
            None => {
                if let Ok(mut input) = self.client.stream_input(pid, has_terminal).await
                    && feed(&mut input).await.is_ok()
                {
                    let _ = input.finish().await;
                }
            }
        }
        if !has_terminal {
            let _ = self.client.close_stdin(pid).await;
        }
        std::future::pending().await
    }
}

/// Prints what the command prints; gives its end.
async fn print(mut stream: ProcessStream) -> Result<ProcessEnd, Failure> {
    let (mut stdout, mut stderr) = (tokio::io::stdout(), tokio::io::stderr());
    loop {
        let written = match stream.next().await.map_err(|error| lost(&error))? {
            Some(ProcessEvent::Terminal(bytes) | ProcessEvent::Stdout(bytes)) => {
                stdout.write_all(&bytes).await.and(stdout.flush().await)
            }
            Some(ProcessEvent::Stderr(bytes)) => {
                stderr.write_all(&bytes).await.and(stderr.flush().await)
            }
            Some(ProcessEvent::End(end)) => return Ok(end),
            None => return Err(Failure::new(Exit::INTERNAL, "the command was lost")),
        };
        written.map_err(|error| terminal::write_failed(&error))?;
    }
}

fn lost(error: &AgentError) -> Failure {
    Failure::new(Exit::INTERNAL, "the sandbox does not answer").because(error)
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

async fn feed_pieces(client: &AgentClient, pid: u32, terminal: bool) -> Result<(), AgentError> {
    let mut stdin = tokio::io::stdin();
    let mut bytes = vec![0; INPUT];
    loop {
        match stdin.read(&mut bytes).await {
            Ok(length) if length > 0 => {
                let piece = bytes.get(..length).unwrap_or_default();
                client.send_input(pid, piece, terminal).await?;
            }
            _ => return Ok(()),
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
