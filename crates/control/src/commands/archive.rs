//! What lasts of commands: records in the store, output below the data directory.
//!
//! | Key | Value |
//! |---|---|
//! | `command/<sandbox>/running/<id>` | the record of one that is not over |
//! | `command/<sandbox>/ended/<id>` | the record of one that is |
//!
//! Output lies in `commands/<sandbox>/<id>.out` and `.err`; an empty one has no file.

use crate::error::ControlError;
use crate::idempotency::Held;
use crate::records::{json, read_value};
use soulbox_model::{CommandId, CommandRecord, OutputSize, SandboxId};
use soulbox_runtime::agent_client::{OutputFile, OutputStream};
use soulbox_store::{Operation, Range, Span, StateStore, StoreError, Transaction};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that are copied at once.
const PIECE: usize = 256 * 1024;

/// What lasts.
#[derive(Clone)]
pub(crate) struct Archive {
    store: Arc<dyn StateStore>,
    directory: Arc<Path>,
}

impl Archive {
    pub(crate) fn new(store: Arc<dyn StateStore>, data_dir: &Path) -> Self {
        Self {
            store,
            directory: data_dir.join("commands").into(),
        }
    }

    /// Where output lies.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Keeps a command that is about to be started, and with it, at once or not at all, the key of
    /// the request that asked for it.
    pub(crate) async fn begin(
        &self,
        record: &CommandRecord,
        held: Option<&Held>,
    ) -> Result<(), ControlError> {
        let put = Operation::put(running(&record.sandbox, &record.id), json(record));
        let mut transaction = Transaction::doing(vec![put]);
        if let Some(held) = held {
            transaction = held.guard(transaction);
        }
        match self.store.transact(transaction).await?.committed() {
            Some(_) => Ok(()),
            None => Err(ControlError::KeyTaken),
        }
    }

    /// Forgets a command that was not started, and the key of the request.
    pub(crate) async fn withdraw(
        &self,
        record: &CommandRecord,
        held: Option<&Held>,
    ) -> Result<(), StoreError> {
        let key = held.map(|held| Operation::delete(held.key()));
        let delete = Operation::delete(running(&record.sandbox, &record.id));
        let operations = std::iter::once(delete).chain(key).collect();
        let transaction = Transaction::doing(operations);
        self.store.transact(transaction).await.map(drop)
    }

    /// Keeps the ends of commands, and forgets others.
    pub(crate) async fn end(
        &self,
        ended: &[CommandRecord],
        forgotten: &[(SandboxId, CommandId)],
    ) -> Result<(), StoreError> {
        let kept = ended.iter().flat_map(|record| {
            let (sandbox, id) = (&record.sandbox, &record.id);
            [
                Operation::delete(running(sandbox, id)),
                Operation::put(over(sandbox, id), json(record)),
            ]
        });
        let gone = forgotten
            .iter()
            .map(|(sandbox, id)| Operation::delete(over(sandbox, id)));
        let transaction = Transaction::doing(kept.chain(gone).collect());
        self.store.transact(transaction.ending()).await.map(drop)
    }

    /// A command that is in no book: one that is over, or whose end could not be kept.
    pub(crate) async fn find(
        &self,
        sandbox: &SandboxId,
        id: &CommandId,
    ) -> Result<Option<CommandRecord>, StoreError> {
        // It may become over between two looks.
        for key in [over(sandbox, id), running(sandbox, id), over(sandbox, id)] {
            if let Some(entry) = self.store.get(&key).await? {
                return Ok(read_value(&key, &entry.value));
            }
        }
        Ok(None)
    }

    /// The commands of a sandbox that were not over when they were last heard of.
    pub(crate) async fn running(
        &self,
        sandbox: &SandboxId,
    ) -> Result<Vec<CommandRecord>, StoreError> {
        self.all(format!("command/{sandbox}/running/")).await
    }

    /// The commands of a sandbox that are over, the oldest first.
    pub(crate) async fn ended(
        &self,
        sandbox: &SandboxId,
    ) -> Result<Vec<CommandRecord>, StoreError> {
        self.all(format!("command/{sandbox}/ended/")).await
    }

    async fn all(&self, prefix: String) -> Result<Vec<CommandRecord>, StoreError> {
        let mut values = Vec::new();
        let mut range = Range::prefix(prefix);
        loop {
            let page = self.store.range(range.clone()).await?;
            let read = page.entries.iter();
            values.extend(read.filter_map(|entry| read_value(&entry.key, &entry.value)));
            match page.entries.last() {
                Some(last) if page.more => range = range.after(last.key.clone()),
                _ => return Ok(values),
            }
        }
    }

    /// Forgets sandboxes that are no longer known: their records, and their directories.
    pub(crate) async fn sweep(&self) -> Result<(), StoreError> {
        let mut gone = Vec::new();
        for sandbox in self.directories() {
            let live = format!("sandbox/live/{sandbox}");
            let ended = format!("sandbox/ended/{sandbox}");
            let known =
                self.store.get(&live).await?.is_some() || self.store.get(&ended).await?.is_some();
            if !known {
                gone.push(sandbox);
            }
        }
        for sandbox in gone {
            self.forget(&sandbox).await?;
            if let Err(error) = std::fs::remove_dir_all(self.directory.join(sandbox.as_str())) {
                tracing::warn!(%sandbox, %error, "the output of its commands stays");
            }
        }
        Ok(())
    }

    /// Forgets the commands of a sandbox; a few thousand at once.
    async fn forget(&self, sandbox: &SandboxId) -> Result<(), StoreError> {
        for kind in ["running", "ended"] {
            let mut records = self.all(format!("command/{sandbox}/{kind}/")).await?;
            records.truncate(soulbox_store::bounds::REMOVED);
            let span = match records.last() {
                None => continue,
                Some(last) => Span::Between(
                    format!("command/{sandbox}/{kind}/"),
                    format!("command/{sandbox}/{kind}/{}0", last.id),
                ),
            };
            let delete = Operation::DeleteRange(span);
            self.store
                .transact(Transaction::doing(vec![delete]))
                .await?;
        }
        Ok(())
    }

    fn directories(&self) -> Vec<SandboxId> {
        let Ok(entries) = std::fs::read_dir(&self.directory) else {
            return Vec::new();
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        names
            .filter_map(|name| name.to_str()?.parse().ok())
            .collect()
    }

    fn path(&self, sandbox: &SandboxId, id: &CommandId, stream: OutputStream) -> PathBuf {
        let ending = match stream {
            OutputStream::Stdout => "out",
            OutputStream::Stderr => "err",
        };
        let directory = self.directory.join(sandbox.as_str());
        directory.join(format!("{id}.{ending}"))
    }

    /// Puts the output of a command that is over on disk, and into its record what is there.
    pub(crate) fn store_output(
        &self,
        record: &mut CommandRecord,
        output: &OutputFile,
    ) -> io::Result<()> {
        let sizes = super::running::sizes(output);
        for (stream, size) in OutputStream::ALL.into_iter().zip(sizes) {
            let kept = match size.kept {
                0 => 0,
                _ => self.copy(
                    &self.path(&record.sandbox, &record.id, stream),
                    output,
                    stream,
                )?,
            };
            let size = OutputSize {
                kept,
                total: size.total,
            };
            match stream {
                OutputStream::Stdout => record.stdout = size,
                OutputStream::Stderr => record.stderr = size,
            }
        }
        Ok(())
    }

    fn copy(&self, path: &Path, output: &OutputFile, stream: OutputStream) -> io::Result<u64> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut file = File::create(path)?;
        let mut copied = 0;
        loop {
            let piece = output
                .read(stream, copied, PIECE)
                .map_err(io::Error::other)?;
            if piece.is_empty() {
                return Ok(copied);
            }
            file.write_all(&piece)?;
            copied += piece.len() as u64;
        }
    }

    /// Reads output from disk.
    pub(crate) fn read(
        &self,
        record: &CommandRecord,
        stream: OutputStream,
        offset: u64,
        limit: usize,
    ) -> io::Result<Vec<u8>> {
        let size = match stream {
            OutputStream::Stdout => record.stdout,
            OutputStream::Stderr => record.stderr,
        };
        let left = size.kept.saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(limit);
        let mut bytes = vec![0; length];
        if length > 0 {
            let file = File::open(self.path(&record.sandbox, &record.id, stream))?;
            file.read_exact_at(&mut bytes, offset)?;
        }
        Ok(bytes)
    }

    /// Removes the output of a command.
    pub(crate) fn remove_output(&self, sandbox: &SandboxId, id: &CommandId) {
        for stream in OutputStream::ALL {
            let path = self.path(sandbox, id, stream);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "cannot remove output");
                }
                _ => {}
            }
        }
    }
}

fn running(sandbox: &SandboxId, id: &CommandId) -> String {
    format!("command/{sandbox}/running/{id}")
}

fn over(sandbox: &SandboxId, id: &CommandId) -> String {
    format!("command/{sandbox}/ended/{id}")
}
