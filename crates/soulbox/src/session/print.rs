//! Printing what a command prints.

use super::Recorded;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::remote::command::Rest;
use crate::terminal;
use soulbox_runtime::agent_client::{AgentError, ProcessEnd, ProcessEvent, ProcessStream};
use tokio::io::AsyncWriteExt as _;

/// Where output comes from.
enum Source<'s> {
    /// The agent, as it is written.
    Agent(Box<ProcessStream>),
    /// The server's record of it.
    Record(Rest<'s>),
}

/// Prints a command's output until its end, which it gives.
pub(super) async fn print(
    stream: Option<ProcessStream>,
    recorded: Option<&Recorded<'_>>,
) -> Result<ProcessEnd, Failure> {
    let record = || recorded.map(|recorded| Source::Record(recorded.rest()));
    let from = match stream {
        Some(stream) => Some(Source::Agent(Box::new(stream))),
        None => record(),
    };
    let mut from = from.ok_or_else(|| Failure::new(Exit::INTERNAL, "the command was lost"))?;
    let (mut stdout, mut stderr) = (tokio::io::stdout(), tokio::io::stderr());
    let mut seen = [0, 0];
    loop {
        let event = match &mut from {
            Source::Record(rest) => rest.next(seen).await?,
            Source::Agent(stream) => match (stream.next().await, record()) {
                (Ok(Some(event)), _) => event,
                (_, Some(record)) => {
                    from = record;
                    continue;
                }
                (Ok(None), None) => {
                    return Err(Failure::new(Exit::INTERNAL, "the command was lost"));
                }
                (Err(error), None) => return Err(lost(&error)),
            },
        };
        let [out, err] = &mut seen;
        let written = match event {
            ProcessEvent::Terminal(bytes) | ProcessEvent::Stdout(bytes) => {
                *out += bytes.len() as u64;
                stdout.write_all(&bytes).await.and(stdout.flush().await)
            }
            ProcessEvent::Stderr(bytes) => {
                *err += bytes.len() as u64;
                stderr.write_all(&bytes).await.and(stderr.flush().await)
            }
            ProcessEvent::End(end) => return Ok(end),
        };
        written.map_err(|error| terminal::write_failed(&error))?;
    }
}

fn lost(error: &AgentError) -> Failure {
    Failure::new(Exit::INTERNAL, "the sandbox does not answer").because(error)
}
