//! The part of a [`Guest`](crate::execute::Guest) that a sandbox's agent does, wherever the agent is: at its
//! own socket, or behind a server.

use crate::execute::guest::{Carried, Command, Control, End, Event, Events, GuestError, Input};
use bytes::Bytes;
use soulbox_runtime::agent_client::{
    AgentClient, AgentError, InputStream, ProcessEvent, ProcessStream, StartRequest,
};
use soulbox_wire::connect::Code;
use soulbox_wire::envd::filesystem::FileType;
use soulbox_wire::envd::process::Signal;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;

/// Where programs are looked for: the agent's own list.
const PATH: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// The most of the agent's words that are passed on, in characters.
const WORDS: usize = 300;

/// HTTP's number for a full disk.
const INSUFFICIENT_STORAGE: u16 = 507;

/// What a process of a sandbox does.
pub struct AgentEvents(ProcessStream);

/// The way to a process of a sandbox.
pub struct AgentControl {
    client: AgentClient,
    pid: u32,
    input: Way,
}

/// How input goes.
enum Way {
    /// As one stream.
    Stream(Mutex<Option<InputStream>>),
    /// In pieces, each a request of its own by this client.
    Pieces(AgentClient),
}

impl Events for AgentEvents {
    async fn next(&mut self) -> Result<Event, GuestError> {
        let gone = || GuestError::Gone("the process was not told to have ended".into());
        match self.0.next().await.map_err(told)?.ok_or_else(gone)? {
            ProcessEvent::Stdout(bytes) | ProcessEvent::Terminal(bytes) => Ok(Event::Stdout(bytes)),
            ProcessEvent::Stderr(bytes) => Ok(Event::Stderr(bytes)),
            ProcessEvent::End(end) => Ok(Event::End(match end.signal {
                Some(signal) => End::Signalled(signal),
                None => End::Exited(end.exit_code),
            })),
        }
    }
}

impl AgentControl {
    /// The number of the process inside.
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

impl Control for AgentControl {
    async fn write(&self, bytes: Bytes) -> Result<(), GuestError> {
        let stream = match &self.input {
            Way::Stream(stream) => stream,
            Way::Pieces(client) => {
                let sent = client.send_input(self.pid, &bytes, false).await;
                return sent.map_err(told);
            }
        };
        let mut input = stream.lock().await;
        if input.is_none() {
            let opened = self.client.stream_input(self.pid, false).await;
            *input = Some(opened.map_err(told)?);
        }
        match input.as_mut() {
            Some(stream) => stream.send(&bytes).await.map_err(told),
            None => Ok(()),
        }
    }

    async fn close(&self) -> Result<(), GuestError> {
        if let Way::Stream(stream) = &self.input
            && let Some(stream) = stream.lock().await.take()
        {
            stream.finish().await.map_err(told)?;
        }
        self.client.close_stdin(self.pid).await.map_err(told)
    }

    async fn kill(&self) -> Result<(), GuestError> {
        let killed = self.client.signal(self.pid, Signal::Kill).await;
        killed.map_err(told)
    }
}

/// Starts a process. Its input goes in pieces by the client `pieces`, or as one stream where there is none:
/// a server cuts a stream that stands still.
///
/// # Errors
/// [`GuestError`].
pub async fn start(
    client: &AgentClient,
    pieces: Option<&AgentClient>,
    command: &Command,
) -> Result<(AgentEvents, AgentControl), GuestError> {
    let (program, arguments) = match command.words.split_first() {
        Some((program, arguments)) => (program.clone(), arguments.to_vec()),
        None => return Err(GuestError::Refused("no program was named".to_owned())),
    };
    let request = StartRequest {
        cmd: program,
        args: arguments,
        envs: command.variables.clone(),
        cwd: command.workdir.clone(),
        user: command.user.clone(),
        stdin: command.stdin,
        forked: command.forked,
        files: command.files.iter().map(carried).collect(),
        ..StartRequest::default()
    };
    let stream = client.start(&request).await.map_err(told)?;
    let control = AgentControl {
        client: client.clone(),
        pid: stream.pid(),
        input: match pieces {
            Some(client) => Way::Pieces(client.clone()),
            None => Way::Stream(Mutex::new(None)),
        },
    };
    Ok((AgentEvents(stream), control))
}

fn carried(file: &Carried) -> (String, Bytes, bool) {
    (file.path.clone(), file.content.clone(), file.executable)
}

/// Writes a file, with the directories above it.
///
/// # Errors
/// [`GuestError`].
pub async fn write_file(
    client: &AgentClient,
    path: &str,
    user: Option<&str>,
    content: Input,
    executable: bool,
) -> Result<(), GuestError> {
    let written = match (content, executable) {
        (Input::Bytes(bytes), false) => client.write_file(path, user, bytes).await,
        (Input::Bytes(bytes), true) => client.write_program(path, user, bytes).await,
        (Input::Reader(reader), false) => client.write_file_from(path, user, reader, None).await,
        (Input::Reader(reader), true) => client.write_program_from(path, user, reader).await,
    };
    written.map(drop).map_err(told)
}

/// Copies a file to `to`, at most `limit` bytes of it.
///
/// # Errors
/// [`GuestError`].
pub async fn read_file(
    client: &AgentClient,
    path: &str,
    user: Option<&str>,
    to: &mut (dyn AsyncWrite + Send + Unpin),
    limit: u64,
) -> Result<(), GuestError> {
    let stream = client.read_file(path, user, limit).await;
    let mut stream = stream.map_err(told)?;
    while let Some(bytes) = stream.next().await.map_err(told)? {
        to.write_all(&bytes).await.map_err(GuestError::Host)?;
    }
    Ok(())
}

/// The most levels of directories that are looked into: those of Java's packages.
const DEPTH: u32 = 32;

/// The files below a directory, by their whole paths.
///
/// # Errors
/// [`GuestError`].
pub async fn list_files(
    client: &AgentClient,
    directory: &str,
    user: Option<&str>,
) -> Result<Vec<String>, GuestError> {
    let entries = client
        .list_dir(directory, DEPTH, user)
        .await
        .map_err(told)?;
    let files = entries
        .into_iter()
        .filter(|entry| entry.kind == FileType::File);
    // What the sandbox says of itself is not believed: it is to be put in the same place again.
    let below = format!("{directory}/");
    let files = files.map(|entry| entry.path).filter(|path| {
        let rest = path.strip_prefix(&below);
        rest.is_some_and(|rest| !rest.contains('\0') && !rest.split('/').any(|part| part == ".."))
    });
    Ok(files.collect())
}

/// Whether a program of that name is in the usual directories.
///
/// # Errors
/// [`GuestError`].
pub async fn has_program(client: &AgentClient, name: &str) -> Result<bool, GuestError> {
    let places: Vec<_> = match name.starts_with('/') {
        true => vec![name.to_owned()],
        false => PATH.map(|directory| format!("{directory}/{name}")).into(),
    };
    for place in places {
        match client.stat(&place, None).await {
            Ok(_) => return Ok(true),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(told(error)),
        }
    }
    Ok(false)
}

/// What went wrong, as running code tells it apart.
pub fn told(error: AgentError) -> GuestError {
    match error {
        AgentError::Status { status, .. } if status.as_u16() == INSUFFICIENT_STORAGE => {
            GuestError::DiskFull
        }
        AgentError::TooLarge { limit, .. } => GuestError::TooLarge { limit },
        AgentError::Rpc(error) if error.code == Code::Aborted => GuestError::NotCarried,
        AgentError::Source(error) => GuestError::Host(error),
        error if error.is_not_found() => GuestError::NotFound(words(&error)),
        AgentError::Rpc(_) | AgentError::Status { .. } => GuestError::Refused(words(&error)),
        error => GuestError::Gone(Box::new(error)),
    }
}

fn words(error: &AgentError) -> String {
    let text = match error {
        AgentError::Rpc(error) => error.message.clone(),
        AgentError::Status { message, .. } => message.clone(),
        other => other.to_string(),
    };
    text.chars()
        .filter(|c| !c.is_control())
        .take(WORDS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_wire::connect::{Code, RpcError};

    #[test]
    fn refusals_are_told_apart_and_cleaned() {
        let refused = RpcError::new(
            Code::InvalidArgument,
            format!("\x1b[2J{}", "x".repeat(5000)),
        );
        let GuestError::Refused(words) = told(refused.into()) else {
            panic!()
        };
        assert!(words.len() <= WORDS && !words.contains('\x1b'), "{words}");
        let absent = RpcError::new(Code::NotFound, "path '/x' does not exist");
        assert!(matches!(told(absent.into()), GuestError::NotFound(_)));
        assert!(matches!(
            told(AgentError::Broken(String::new())),
            GuestError::Gone(_)
        ));
    }
}
