//! A command that runs in a sandbox.

use crate::client::ClientError;
use crate::sandbox::{Finished, too_long};
use crate::way::Way;
use soulbox_agent_client::{ProcessEvent, ProcessStream, StartRequest};
use soulbox_wire::envd::process::{PtySize, Signal};

/// A command that runs. Dropping it leaves the command running; it waits while nobody reads what it prints.
#[derive(Debug)]
pub struct Command {
    stream: ProcessStream,
    way: Way,
    has_terminal: bool,
}

/// A line for `/bin/bash`, run as a login shell does.
#[must_use]
pub fn shell(line: &str) -> StartRequest {
    StartRequest {
        cmd: "/bin/bash".to_owned(),
        args: vec!["-l".to_owned(), "-c".to_owned(), line.to_owned()],
        ..StartRequest::default()
    }
}

impl Command {
    pub(crate) fn new(stream: ProcessStream, way: Way, has_terminal: bool) -> Self {
        Self {
            stream,
            way,
            has_terminal,
        }
    }

    /// Its process id inside.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.stream.pid()
    }

    /// What happens next; none behind its end. Nothing is lost when the wait is given up.
    ///
    /// # Errors
    /// The connection broke, or its time limit passed.
    pub async fn next(&mut self) -> Result<Option<ProcessEvent>, ClientError> {
        Ok(self.stream.next().await?)
    }

    /// Writes to its standard input, or types into its terminal. Waits while the command does not read.
    ///
    /// # Errors
    /// It has ended, or takes no input.
    pub async fn write(&self, bytes: &[u8]) -> Result<(), ClientError> {
        let sent = self
            .way
            .input
            .send_input(self.pid(), bytes, self.has_terminal);
        Ok(sent.await?)
    }

    /// Closes its standard input.
    ///
    /// # Errors
    /// It has ended, or has a terminal.
    pub async fn close_stdin(&self) -> Result<(), ClientError> {
        Ok(self.way.input.close_stdin(self.pid()).await?)
    }

    /// Changes the size of its terminal.
    ///
    /// # Errors
    /// It has ended, or has none.
    pub async fn resize(&self, cols: u32, rows: u32) -> Result<(), ClientError> {
        let size = PtySize { cols, rows };
        Ok(self.way.client.resize(self.pid(), size).await?)
    }

    /// Kills it, not its children.
    ///
    /// # Errors
    /// It has ended, or the sandbox does not answer.
    pub async fn kill(&self) -> Result<(), ClientError> {
        Ok(self.way.client.signal(self.pid(), Signal::Kill).await?)
    }

    /// Waits for its end, and keeps at most `most` bytes of what it prints.
    ///
    /// # Errors
    /// As [`Command::next`]; it printed more, and goes on.
    pub async fn wait(mut self, most: u64) -> Result<Finished, ClientError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(event) = self.next().await? {
            match event {
                ProcessEvent::Stdout(bytes) | ProcessEvent::Terminal(bytes) => {
                    stdout.extend_from_slice(&bytes);
                }
                ProcessEvent::Stderr(bytes) => stderr.extend_from_slice(&bytes),
                ProcessEvent::End(end) => {
                    return Ok(Finished {
                        stdout,
                        stderr,
                        exit_code: end.exit_code,
                        signal: end.signal,
                    });
                }
            }
            if (stdout.len() + stderr.len()) as u64 > most {
                return Err(too_long("output", most));
            }
        }
        Err(ClientError::BrokenOff)
    }
}
