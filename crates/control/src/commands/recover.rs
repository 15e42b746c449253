//! Commands after a restart of the server, and after the end of their sandbox.

use super::finish::Finished;
use super::running::Running;
use crate::control::Control;
use soulbox_model::{CommandEnd, CommandRecord, Moment, SandboxEnd, SandboxId};
use soulbox_store::StoreError;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The signal that ends what is in a sandbox that ends.
const KILL: i32 = 9;

impl Control {
    /// Takes over the commands of sandboxes that lived when the server was last heard of: the
    /// agents of those that still do tell what became of them.
    pub(crate) async fn recover_commands(
        self: &Arc<Self>,
        sandboxes: &[SandboxId],
    ) -> Result<(), StoreError> {
        for sandbox in sandboxes {
            let records = self.archive.running(sandbox).await?;
            if records.is_empty() {
                continue;
            }
            let book = self.find(sandbox).map(|live| self.books.of(&live));
            match book {
                Some(Ok(book)) => {
                    for record in records {
                        let command = Running::new(record, None, true, self.log());
                        // They were let in once.
                        let _ = book.insert(command, usize::MAX);
                    }
                    tokio::spawn(async move { book.reconnect().await });
                }
                _ => self.lose_commands(records).await?,
            }
        }
        Ok(())
    }

    async fn lose_commands(&self, mut records: Vec<CommandRecord>) -> Result<(), StoreError> {
        const WHY: &str = "its sandbox ended while no server ran";
        for record in &mut records {
            record.end(&CommandEnd::Lost, Moment::now(), WHY);
        }
        // A transaction has its bounds.
        for some in records.chunks(32) {
            self.archive.end(some, &[]).await?;
        }
        Ok(())
    }

    /// Ends the commands of a sandbox that has ended.
    pub(crate) fn end_commands(&self, sandbox: &SandboxId, end: &SandboxEnd) {
        let Some((book, commands)) = self.books.close(sandbox) else {
            return;
        };
        let detail = match end.detail.as_str() {
            "" => format!("its sandbox ended: {}", end.cause.as_str()),
            more => format!("its sandbox ended: {}, {more}", end.cause.as_str()),
        };
        for command in commands {
            if command.end(&CommandEnd::Killed(Some(KILL)), false, &detail) {
                book.finish(&command);
            }
        }
        let _ = self.books.finished.send(Finished::Sandbox(sandbox.clone()));
    }

    /// Waits until the ends of commands are kept that happened so far. Before the store is closed.
    pub async fn settle_commands(&self) {
        let (done, settled) = oneshot::channel();
        if self.books.finished.send(Finished::Settled(done)).is_ok() {
            let _ = settled.await;
        }
    }
}
