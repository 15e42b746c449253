//! What can be asked about commands, each with its answer.

use crate::command::{SandboxCommand, SandboxReply};
use crate::control::Control;
use crate::error::ControlError;
use soulbox_model::{CommandRecord, TeamId};
use std::sync::Arc;

impl Control {
    /// Does what a team asks about the commands of a sandbox.
    pub(crate) async fn execute_on_command(
        self: &Arc<Self>,
        team: &TeamId,
        command: SandboxCommand,
    ) -> Result<SandboxReply, ControlError> {
        let one = |record: CommandRecord| SandboxReply::Command(Box::new(record));
        match command {
            SandboxCommand::StartCommand(sandbox, new) => {
                self.start_command(team, &sandbox, *new).await.map(one)
            }
            SandboxCommand::ListCommands(sandbox) => {
                let all = self.list_commands(team, &sandbox).await?;
                Ok(SandboxReply::Commands(all))
            }
            SandboxCommand::GetCommand(sandbox, id) => {
                self.command_record(team, &sandbox, &id).await.map(one)
            }
            SandboxCommand::WaitCommand(sandbox, id, limit) => {
                let waited = self.wait_command(team, &sandbox, &id, limit);
                waited.await.map(one)
            }
            SandboxCommand::SignalCommand {
                sandbox,
                command,
                signal,
                group,
            } => {
                let sent = self.signal_command(team, &sandbox, &command, signal, group);
                sent.await.map(|()| SandboxReply::Done)
            }
            SandboxCommand::ReadOutput {
                sandbox,
                command,
                stream,
                offset,
                limit,
            } => {
                let command = self.command(team, &sandbox, &command).await?;
                let piece = command.read(&self.archive, stream, offset, limit).await?;
                Ok(SandboxReply::Output(Box::new(piece)))
            }
            _ => Err(ControlError::NotBuilt("this is no request about commands")),
        }
    }
}
