//! Running a recipe's script in a sandbox of its own.

use crate::execute::{Channel, Command, Control, End, Event, Events, Guest, GuestError};
use crate::node::{CreateError, Node};
use soulbox_image::build::BuildStep;
use soulbox_model::{Isolation, SandboxSpec};
use std::pin::Pin;

/// A sandbox that could not be made, or that was lost.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It could not be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// It does not answer, or refused to start the script.
    #[error(transparent)]
    Guest(#[from] GuestError),
}

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptEnd {
    /// By itself, with an exit code.
    Exited(i32),
    /// By a signal.
    Signalled(i32),
    /// It took too long and was ended.
    TimedOut,
    /// Linux killed it for want of memory.
    OutOfMemory,
    /// It was ended because that was asked for.
    Stopped,
}

/// What asks for the end of a build by completing.
pub type Stop<'a> = Pin<&'a mut (dyn Future<Output = ()> + Send)>;

/// What takes a script's output, in pieces.
pub type Output<'a> = &'a mut (dyn FnMut(Channel, &[u8]) + Send);

/// Runs the script of a build: the engine's part, so that everything around it is tested without
/// an engine.
pub trait ScriptRunner: Sync {
    /// Runs `step` in a sandbox of its own, to its end or until `stop` completes, and waits until
    /// that sandbox is gone.
    fn run(
        &self,
        step: &BuildStep,
        output: Output<'_>,
        stop: Stop<'_>,
    ) -> impl Future<Output = Result<ScriptEnd, ScriptError>> + Send;
}

impl ScriptRunner for Node {
    async fn run(
        &self,
        step: &BuildStep,
        output: Output<'_>,
        mut stop: Stop<'_>,
    ) -> Result<ScriptEnd, ScriptError> {
        let spec = SandboxSpec {
            template: step.parent.clone(),
            isolation: Isolation::Namespace,
            limits: step.limits,
            network: step.network,
            mounts: step.mounts.clone(),
        };
        let sandbox = tokio::select! {
            made = self.create(spec) => made?,
            () = &mut stop => return Ok(ScriptEnd::Stopped),
        };
        let ended = tokio::select! {
            ended = tokio::time::timeout(step.timeout, follow(&sandbox, step, output)) => {
                ended.unwrap_or(Ok(ScriptEnd::TimedOut))
            }
            () = &mut stop => Ok(ScriptEnd::Stopped),
        };
        // Its tree may be taken from here on: nobody writes to it any more.
        let usage = sandbox.destroy().await;
        match ended {
            Ok(ScriptEnd::Stopped) => Ok(ScriptEnd::Stopped),
            Ok(ScriptEnd::Exited(0)) => Ok(ScriptEnd::Exited(0)),
            // The agent itself may be what was killed.
            _ if usage.oom_kills > 0 => Ok(ScriptEnd::OutOfMemory),
            ended => Ok(ended?),
        }
    }
}

async fn follow(
    guest: &impl Guest,
    step: &BuildStep,
    output: Output<'_>,
) -> Result<ScriptEnd, GuestError> {
    let command = Command {
        words: step.command.clone(),
        variables: step.env.iter().cloned().collect(),
        workdir: Some("/".to_owned()),
        user: Some("root".to_owned()),
        stdin: false,
        forked: false,
        files: Vec::new(),
    };
    let (mut events, control) = guest.start(&command).await?;
    loop {
        match events.next().await {
            Ok(Event::Stdout(bytes)) => output(Channel::Stdout, &bytes),
            Ok(Event::Stderr(bytes)) => output(Channel::Stderr, &bytes),
            Ok(Event::End(End::Exited(code))) => return Ok(ScriptEnd::Exited(code)),
            Ok(Event::End(End::Signalled(signal))) => return Ok(ScriptEnd::Signalled(signal)),
            Err(error) => {
                // Whether it is heard does not matter: the sandbox ends with this.
                control.kill().await.ok();
                return Err(error);
            }
        }
    }
}
