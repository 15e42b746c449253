//! What a template has running in its sandboxes from the start.

use soulbox_image::record::Start;
use soulbox_runtime::agent_client::{AgentClient, AgentError, ProcessEvent, StartRequest};
use std::time::Duration;

/// By which the process is found inside.
const TAG: &str = "start";
/// How long there is between two looks whether it is ready: twice as long each time, up to the
/// second.
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Why a template's start command does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It could not be started, or the sandbox was lost.
    #[error("the template's start command {command:?} cannot be run: {source}")]
    Agent {
        /// The command.
        command: String,
        /// What the agent said.
        source: AgentError,
    },
    /// It ended before it was ready.
    #[error(
        "the template's start command {command:?} ended before it was ready ({how}); its last lines:\n{lines}"
    )]
    Ended {
        /// The command.
        command: String,
        /// How, in words.
        how: String,
        /// What it printed last.
        lines: String,
    },
    /// It was not ready in time.
    #[error(
        "the template's start command {command:?} was not ready after {after:?} by {ready:?}; its last lines:\n{lines}"
    )]
    NotReady {
        /// The command.
        command: String,
        /// What tells whether it is.
        ready: String,
        /// How long that was waited for.
        after: Duration,
        /// What it printed last.
        lines: String,
    },
}

/// Starts it and waits until it is ready, for no longer than `limit`. Without a command that tells
/// that, it is ready when it has begun, or, with `least`, when it has run for so long.
///
/// # Errors
/// [`StartError`].
pub(crate) async fn start(
    agent: &AgentClient,
    start: &Start,
    (limit, least): (Duration, Duration),
    line: &mut (dyn FnMut(String) + Send),
) -> Result<(), StartError> {
    let command = start.command.join(" ");
    let failed = |source| StartError::Agent {
        command: command.clone(),
        source,
    };
    let mut words = start.command.iter().cloned();
    let request = StartRequest {
        cmd: words.next().unwrap_or_default(),
        args: words.collect(),
        tag: Some(TAG.to_owned()),
        ..StartRequest::default()
    };
    let mut process = agent.start(&request).await.map_err(failed)?;
    let mut printed = soulbox_image::progress::Lines::default();
    let ready = async {
        match &start.ready {
            Some(ready) => until_ready(agent, ready).await,
            None => {
                tokio::time::sleep(least).await;
                Ok(())
            }
        }
    };
    let mut ready = std::pin::pin!(tokio::time::timeout(limit, ready));
    loop {
        let event = tokio::select! {
            ready = &mut ready => {
                return match ready {
                    Ok(ready) => ready.map_err(failed),
                    Err(_) => Err(StartError::NotReady {
                        command,
                        ready: start.ready.clone().unwrap_or_default(),
                        after: limit,
                        lines: printed.last(),
                    }),
                };
            }
            event = process.next() => event.map_err(failed)?,
        };
        match event {
            Some(ProcessEvent::Stdout(bytes) | ProcessEvent::Stderr(bytes)) => {
                for event in printed.feed(&bytes) {
                    if let soulbox_image::progress::BuildEvent::Line(text) = event {
                        line(text);
                    }
                }
            }
            Some(ProcessEvent::Terminal(_)) => {}
            // One that did its work and left others behind is as ready as it gets.
            Some(ProcessEvent::End(end)) if end.exit_code == 0 => {
                return (&mut ready).await.unwrap_or(Ok(())).map_err(failed);
            }
            end => {
                let how = match end {
                    Some(ProcessEvent::End(end)) => end.status,
                    _ => "its output ended".to_owned(),
                };
                let lines = printed.last();
                return Err(StartError::Ended {
                    command,
                    how,
                    lines,
                });
            }
        }
    }
}

async fn until_ready(agent: &AgentClient, ready: &str) -> Result<(), AgentError> {
    let (mut pause, most) = LOOK;
    loop {
        let request = StartRequest {
            cmd: "/bin/sh".to_owned(),
            args: vec!["-c".to_owned(), ready.to_owned()],
            ..StartRequest::default()
        };
        let mut process = agent.start(&request).await?;
        while let Some(event) = process.next().await? {
            if let ProcessEvent::End(end) = event {
                if end.exit_code == 0 {
                    return Ok(());
                }
                break;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(most);
    }
}
