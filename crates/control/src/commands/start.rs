//! Starting a command: once, whoever goes away meanwhile.

use super::NewCommand;
use super::book::Book;
use super::read::Commands;
use super::running::{NOT_SENT, Running};
use crate::control::Control;
use crate::error::{ControlError, in_plain_words};
use crate::idempotency::{Claim, Held, Made};
use crate::live::Live;
use rustix::fd::AsFd as _;
use soulbox_model::{
    CommandId, CommandRecord, CommandState, Moment, OutputSize, SandboxId, TeamId,
};
use soulbox_runtime::agent_client::{AgentError, OutputFile};
use soulbox_wire::commands::{Request, Start};
use soulbox_wire::connect::{Code, RpcError};
use soulbox_wire::envd::process::{ProcessConfig, PtySize};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of the program and its arguments that are kept in a record.
const SHOWN: usize = 8 * 1024;
/// The signal that ends a command for certain.
const KILL: i32 = 9;

impl Control {
    /// Starts a command; it is started and kept even if the caller goes away meanwhile.
    pub(crate) async fn start_command(
        self: &Arc<Self>,
        team: &TeamId,
        sandbox: &SandboxId,
        new: NewCommand,
    ) -> Result<CommandRecord, ControlError> {
        let live = self.of(team, sandbox)?;
        check(&new)?;
        let (control, team) = (Arc::clone(self), team.clone());
        let starting = tokio::spawn(async move { control.begin(&team, &live, new).await });
        starting.await.unwrap_or(Err(ControlError::Stopping))
    }

    async fn begin(
        self: &Arc<Self>,
        team: &TeamId,
        live: &Arc<Live>,
        mut new: NewCommand,
    ) -> Result<CommandRecord, ControlError> {
        let held = match new.once.take() {
            None => None,
            Some(once) => match self.once.claim(team, once).await? {
                Claim::First(held) => Some(held),
                Claim::Made(Made::Command { sandbox, command }) => {
                    let made = self.command(team, &sandbox, &command).await?;
                    // After a restart of the server its agent may not have been heard yet.
                    if let Commands::Running(command) = &made {
                        let limit = live.agent().limits().header;
                        let _ = tokio::time::timeout(limit, told(command)).await;
                    }
                    return Ok(made.record());
                }
                Claim::Made(_) => return Err(ControlError::KeyTaken),
            },
        };
        self.wake(live).await?;
        let book = self.books.of(live)?;
        let id = fresh_id();
        let held = held.map(|held| {
            held.makes(Made::Command {
                sandbox: book.sandbox.clone(),
                command: id.clone(),
            })
        });
        let record = record(&book.sandbox, id, &new);
        let file = OutputFile::new(book.output).map_err(|error| ControlError::Output {
            reason: error.to_string(),
        })?;
        let command = Running::new(record.clone(), Some(file), false, self.log());
        let most = self.settings.commands.running as usize;
        book.insert(Arc::clone(&command), most)?;
        let started = self.start_and_keep(&book, &command, &record, new, held.as_ref());
        if let Err(error) = started.await {
            let may_run =
                command.refusal().is_none() && command.sent_on.load(Ordering::Relaxed) != NOT_SENT;
            // One that may run stays in the book until it is known what became of it.
            if !may_run {
                self.books.remove(&book, &command.id);
                self.withdraw(&record, held.as_ref(), &error).await;
            }
            return Err(error);
        }
        Ok(command.record())
    }

    /// Forgets a command that was not started.
    async fn withdraw(&self, record: &CommandRecord, held: Option<&Held>, error: &ControlError) {
        // The key is another one's then, and there is no record.
        if matches!(error, ControlError::KeyTaken) {
            return;
        }
        if let Err(error) = self.archive.withdraw(record, held).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(command = %record.id, error, "the record of a command that did not start stays until the next start");
        }
    }

    /// Starts it, and keeps its record: before, if a repeated request must find it; else meanwhile.
    async fn start_and_keep(
        &self,
        book: &Arc<Book>,
        command: &Arc<Running>,
        record: &CommandRecord,
        new: NewCommand,
        held: Option<&Held>,
    ) -> Result<(), ControlError> {
        let keep = self.archive.begin(record, held);
        if held.is_some() {
            keep.await?;
            note(book, command);
            return start(book, command, new).await;
        }
        let keep = async {
            let kept = keep.await;
            if kept.is_ok() {
                note(book, command);
            }
            kept
        };
        let (started, kept) = tokio::join!(start(book, command, new), keep);
        if kept.is_err() {
            // Nobody will hear of it, so it must not go on. Its end may be kept even so.
            let _ = book.signal(&command.id, KILL, true).await;
            note(book, command);
        }
        started.and(kept)
    }
}

fn note(book: &Arc<Book>, command: &Arc<Running>) {
    if command.note() {
        book.finish(command);
    }
}

/// Asks the agent to start it, once, and waits until it says that it did.
async fn start(
    book: &Arc<Book>,
    command: &Arc<Running>,
    new: NewCommand,
) -> Result<(), ControlError> {
    let failed = |source| ControlError::Agent {
        id: book.sandbox.clone(),
        source,
    };
    let link = book.link().await.map_err(failed)?;
    let Some(output) = command.output() else {
        return Ok(());
    };
    command.sent_on.store(link.number, Ordering::Relaxed);
    let request = Request::Start(Box::new(message(&command.id, new)));
    let sent = link.sender.send(&request, Some(output.as_fd())).await;
    if let Err(error @ AgentError::TooLarge { .. }) = sent {
        command.sent_on.store(NOT_SENT, Ordering::Relaxed);
        return Err(ControlError::invalid("cmd", error.to_string()));
    }
    // If sending failed, the connection is over, and the next one tells whether it arrived.
    let limit = book.agent.limits().header;
    let waited = tokio::time::timeout(limit, told(command)).await;
    waited.map_err(|_| {
        failed(AgentError::Timeout {
            what: "start a command",
            limit,
        })
    })?;
    match command.refusal() {
        None => Ok(()),
        Some(error) => Err(refused(book, error)),
    }
}

/// Waits until it is known whether a command was started.
async fn told(command: &Running) {
    let mut changed = command.changed.subscribe();
    while command.state() == CommandState::Starting && command.refusal().is_none() {
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// What a refusal by the agent means for the one who asked. Its words are the sandbox's.
fn refused(book: &Book, error: RpcError) -> ControlError {
    let reason = in_plain_words(&error.message);
    match error.code {
        Code::InvalidArgument | Code::NotFound | Code::PermissionDenied => {
            ControlError::Refused { reason }
        }
        // The agent's word for a user whom it does not know.
        Code::Unauthenticated => ControlError::invalid("user", reason),
        Code::ResourceExhausted => ControlError::Busy {
            reason,
            retry: std::time::Duration::from_secs(1),
        },
        _ => ControlError::Agent {
            id: book.sandbox.clone(),
            source: AgentError::Rpc(error),
        },
    }
}

fn check(new: &NewCommand) -> Result<(), ControlError> {
    let program = new.cmd.first().map(String::as_str).unwrap_or_default();
    if program.is_empty() {
        return Err(ControlError::invalid("cmd", "name a program"));
    }
    if new.cmd.iter().any(|word| word.contains('\0')) {
        return Err(ControlError::invalid("cmd", "a word holds NUL"));
    }
    if new.cwd.as_ref().is_some_and(|cwd| cwd.contains('\0')) {
        return Err(ControlError::invalid("cwd", "it holds NUL"));
    }
    for (name, value) in &new.variables {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let shown: String = name.chars().take(80).collect();
            return Err(ControlError::invalid(
                "env",
                format!("the name {shown:?} is empty or holds '=', or one of both holds NUL"),
            ));
        }
    }
    Ok(())
}

fn fresh_id() -> CommandId {
    let mut random = [0; 11];
    // Before the first bytes of a boot are random this waits; it never gives fewer bytes.
    let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    CommandId::new(Moment::now(), random)
}

fn record(sandbox: &SandboxId, id: CommandId, new: &NewCommand) -> CommandRecord {
    let mut left = SHOWN;
    let shown = new.cmd.iter().map_while(|word| {
        if left == 0 {
            return None;
        }
        let mut end = word.len().min(left);
        while !word.is_char_boundary(end) {
            end -= 1;
        }
        left -= end.max(1);
        word.get(..end).map(str::to_owned)
    });
    CommandRecord {
        id,
        sandbox: sandbox.clone(),
        cmd: shown.collect(),
        cwd: new.cwd.clone(),
        user: new.user.clone(),
        stdin: new.stdin,
        terminal: new.terminal,
        timeout: new.timeout,
        state: CommandState::Starting,
        pid: None,
        exit_code: None,
        signal: None,
        timed_out: false,
        detail: String::new(),
        started_at: Moment::now(),
        ended_at: None,
        stdout: OutputSize::default(),
        stderr: OutputSize::default(),
    }
}

fn message(id: &CommandId, new: NewCommand) -> Start {
    let mut words = new.cmd.into_iter();
    Start {
        id: id.to_string(),
        process: ProcessConfig {
            cmd: words.next().unwrap_or_default(),
            args: words.collect(),
            envs: new.variables,
            cwd: new.cwd,
        },
        user: new.user,
        stdin: new.stdin,
        pty: new.terminal.map(|size| PtySize {
            cols: size.cols.into(),
            rows: size.rows.into(),
        }),
        attended: new.attended,
        timeout_ms: new
            .timeout
            .map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
    }
}
