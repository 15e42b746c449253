//! One command that is not over, or whose end is not noted yet.

use crate::log::{CommandLog, LogEnd};
use soulbox_model::{CommandEnd, CommandId, CommandRecord, CommandState, Moment, OutputSize};
use soulbox_runtime::agent_client::OutputFile;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Of a command whose start was not sent yet: no agent can know it.
pub(super) const NOT_SENT: u64 = u64::MAX;

/// A command, shared by all who start, follow and end it.
pub(crate) struct Running {
    pub(crate) id: CommandId,
    inner: Mutex<Inner>,
    log: CommandLog,
    /// Changes whenever it was started, has written more (while it is followed) or ended.
    pub(crate) changed: watch::Sender<()>,
    /// Whether the agent was asked to tell when it has written more, and has not yet.
    pub(crate) asked: AtomicBool,
    /// The connection on which its start was sent; 0: one of an earlier server; or [`NOT_SENT`].
    pub(crate) sent_on: AtomicU64,
}

struct Inner {
    record: CommandRecord,
    output: Option<Arc<OutputFile>>,
    /// Whether the record of its start is kept, so that the one of its end may follow.
    noted: bool,
    /// Why the agent did not start it.
    refused: Option<soulbox_wire::connect::RpcError>,
}

impl Running {
    pub(crate) fn new(
        record: CommandRecord,
        output: Option<OutputFile>,
        noted: bool,
        log: &CommandLog,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: record.id.clone(),
            inner: Mutex::new(Inner {
                record,
                output: output.map(Arc::new),
                noted,
                refused: None,
            }),
            log: log.clone(),
            changed: watch::Sender::new(()),
            asked: AtomicBool::new(false),
            sent_on: AtomicU64::new(if noted { 0 } else { NOT_SENT }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its record, with as much output as there is now.
    pub(crate) fn record(&self) -> CommandRecord {
        let inner = self.lock();
        let mut record = inner.record.clone();
        if let Some(output) = &inner.output {
            [record.stdout, record.stderr] = sizes(output);
        }
        record
    }

    pub(crate) fn state(&self) -> CommandState {
        self.lock().record.state
    }

    /// Whether it is over; true also if it was refused.
    pub(crate) fn is_over(&self) -> bool {
        let inner = self.lock();
        inner.refused.is_some() || inner.record.state.is_over()
    }

    /// Its output in memory, until that is on disk.
    pub(crate) fn output(&self) -> Option<Arc<OutputFile>> {
        self.lock().output.clone()
    }

    pub(crate) fn set_output(&self, output: OutputFile) {
        self.lock().output = Some(Arc::new(output));
    }

    /// Its output is on disk, or is lost.
    pub(crate) fn let_go_of_output(&self, record: &CommandRecord) {
        let mut inner = self.lock();
        inner.output = None;
        (inner.record.stdout, inner.record.stderr) = (record.stdout, record.stderr);
    }

    pub(crate) fn run(&self, pid: u32) {
        let mut inner = self.lock();
        let record = &mut inner.record;
        let first = record.pid.is_none();
        record.run(pid);
        if first && record.pid.is_some() {
            let program = record.cmd.first().map(String::as_str);
            self.log
                .started(&record.sandbox, pid, program.unwrap_or_default());
        }
        drop(inner);
        self.tell();
    }

    pub(crate) fn refuse(&self, error: soulbox_wire::connect::RpcError) {
        self.lock().refused = Some(error);
        self.tell();
    }

    pub(crate) fn refusal(&self) -> Option<soulbox_wire::connect::RpcError> {
        self.lock().refused.clone()
    }

    /// Ends it, once. Says whether its end is to be kept now.
    pub(crate) fn end(&self, end: &CommandEnd, timed_out: bool, detail: &str) -> bool {
        let mut inner = self.lock();
        if !inner.record.end(end, Moment::now(), detail) {
            return false;
        }
        inner.record.timed_out = timed_out;
        if let Some(pid) = inner.record.pid {
            self.log
                .ended(&inner.record.sandbox, pid, LogEnd::from(end));
        }
        let noted = inner.noted;
        drop(inner);
        self.tell();
        noted
    }

    /// The record of its start is kept. Says whether its end is to be kept now.
    pub(crate) fn note(&self) -> bool {
        let mut inner = self.lock();
        inner.noted = true;
        inner.record.state.is_over()
    }

    /// Tells those who wait that something changed.
    pub(crate) fn tell(&self) {
        self.changed.send_replace(());
    }
}

/// How much there is of both outputs.
pub(crate) fn sizes(output: &OutputFile) -> [OutputSize; 2] {
    output.sizes().map(|size| OutputSize {
        kept: size.kept,
        total: size.total,
    })
}
