//! The kernel's process, and the directory by which it is reached.

use crate::signature::{SCHEME, hexadecimal};
use crate::spec::Spec;
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, ChildStdout};

/// Why there is no kernel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KernelError {
    #[error("cannot make what the kernel is reached by in {0}: {1}")]
    Directory(PathBuf, io::Error),
    #[error("cannot start {0}: {1}")]
    Start(String, io::Error),
    #[error("the kernel has ended before it could be reached: {0}")]
    Ended(ExitStatus),
    #[error("cannot wait for the kernel: {0}")]
    Wait(io::Error),
}

/// Where the directory is. Names of Unix sockets are short, and this one is anywhere.
const PLACE: &str = "/tmp";

/// Random bytes of a key.
const KEY: usize = 32;

/// How long a place is left alone at which nobody listens yet. There is nothing that would tell; whoever waits for us
/// bounds the time.
const LOOK: Duration = Duration::from_millis(5);

/// A connection file, as Jupyter has it.
#[derive(Debug, Serialize)]
pub(crate) struct Connection {
    transport: &'static str,
    /// Where Unix sockets are used, what their paths begin with.
    ip: PathBuf,
    pub(crate) shell_port: u16,
    pub(crate) iopub_port: u16,
    pub(crate) stdin_port: u16,
    pub(crate) control_port: u16,
    hb_port: u16,
    pub(crate) key: String,
    signature_scheme: &'static str,
    kernel_name: String,
}

/// A kernel's process. Dropped, it is killed.
pub(crate) struct Kernel {
    child: Child,
    group: Option<Pid>,
    /// How it is reached.
    pub(crate) connection: Connection,
    /// Where it is reached, until it was.
    place: Option<TempDir>,
}

/// The place of one channel: Jupyter puts a dash before the number where a port of TCP has a colon.
fn endpoint(connection: &Connection, number: u16) -> PathBuf {
    let mut name = connection.ip.clone().into_os_string();
    name.push(format!("-{number}"));
    name.into()
}

/// Random characters, two for each byte.
pub(crate) fn random(bytes: usize) -> io::Result<String> {
    let mut random = vec![0; bytes];
    getrandom(&mut random[..], GetRandomFlags::empty())?;
    Ok(hexadecimal(&random))
}

/// The directory with the connection file, which is given back with its path.
fn meeting_place(name: &str) -> io::Result<(TempDir, Connection, PathBuf)> {
    let directory = tempfile::Builder::new()
        .prefix(".soulbox-jupyter-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(PLACE)?;
    let connection = Connection {
        transport: "ipc",
        ip: directory.path().join("kernel"),
        shell_port: 1,
        iopub_port: 2,
        stdin_port: 3,
        control_port: 4,
        hb_port: 5,
        key: random(KEY)?,
        signature_scheme: SCHEME,
        kernel_name: name.to_owned(),
    };
    let path = directory.path().join("connection.json");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    serde_json::to_writer(file, &connection)?;
    Ok((directory, connection, path))
}

impl Kernel {
    /// Starts the kernel that the file `path` describes, in `directory` with `variables` beside those of this program.
    pub(crate) fn start(
        spec: &Spec,
        path: &Path,
        directory: &Path,
        variables: &BTreeMap<String, Option<String>>,
    ) -> Result<(Self, ChildStdout, ChildStderr), KernelError> {
        let resources = path.parent().unwrap_or(Path::new("/")).to_string_lossy();
        let (meeting, connection, file) = meeting_place(&spec.language)
            .map_err(|error| KernelError::Directory(PLACE.into(), error))?;
        let words = spec.words(&file.to_string_lossy(), &resources);
        let program = words.first().cloned().unwrap_or_default();
        #[allow(
            clippy::disallowed_methods,
            reason = "inside a sandbox, where the kernel is what this program is for"
        )]
        let mut command = std::process::Command::new(&program);
        command
            .args(words.iter().skip(1))
            .envs(&spec.env)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        // A group of its own gets interrupts; the session stays that of this program, with which the agent ends it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let failed = |error| KernelError::Start(program.clone(), error);
        let mut child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(failed(io::ErrorKind::BrokenPipe.into()));
        };
        let number = child.id().and_then(|id| i32::try_from(id).ok());
        let kernel = Self {
            group: number.and_then(Pid::from_raw),
            child,
            connection,
            place: Some(meeting),
        };
        Ok((kernel, output, errors))
    }

    /// Connects to a channel, by its number, as soon as the kernel listens there.
    pub(crate) async fn reach(&mut self, number: u16) -> Result<UnixStream, KernelError> {
        let place = endpoint(&self.connection, number);
        loop {
            if let Ok(socket) = UnixStream::connect(&place).await {
                return Ok(socket);
            }
            if let Some(status) = self.child.try_wait().map_err(KernelError::Wait)? {
                return Err(KernelError::Ended(status));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Removes the place where it is reached: nobody else will need it, and nothing is left of it if this program is
    /// killed.
    pub(crate) fn hide(&mut self) {
        self.place = None;
    }

    /// Waits until it has ended; gives the exit status that a program has which ends as it did.
    pub(crate) async fn ended(&mut self) -> u8 {
        let status = self.child.wait().await;
        self.group = None;
        let Ok(status) = status else { return 1 };
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        let code = status.code().or(signal.map(|signal| 128 + signal));
        code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
    }

    /// Interrupts what it runs, by SIGINT.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Ends it and what it has started in its group.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_can_enter_the_place() {
        let (directory, connection, path) = meeting_place("R").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(directory.path()), mode(&path)), (0o700, 0o600));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"transport\":\"ipc\""), "{text}");
        assert_eq!(connection.key.len(), 64);
        let place = endpoint(&connection, 1);
        assert_eq!(place, directory.path().join("kernel-1"));
        assert!(place.as_os_str().len() < 100, "a socket's name is short");
        let (_other, other, _) = meeting_place("R").unwrap();
        assert_ne!(connection.key, other.key);
    }
}
