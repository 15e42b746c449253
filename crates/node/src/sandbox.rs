//! A live sandbox in its owner's hands.

use crate::ceiling::Promise;
use crate::deadline::Deadline;
use crate::ending::End;
use crate::memory_kill::{MemoryKill, MemoryKills};
use crate::metrics::Metrics;
use crate::note::{Note, TooLong};
use crate::resolver;
use crate::storage::Gauge;
use crate::template::Template;
use crate::zygotes::Supplier;
use soulbox_model::{ByteSize, Isolation, Phases, SandboxId, SandboxSpec, TemplateName};
use soulbox_runtime::agent_client::AgentClient;
use soulbox_runtime::native::driver::{DriverError, Gone, PauseError, Slot, wait_gone};
use soulbox_wire::spawner;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// What a sandbox has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Processor time of all its processes. Where no cgroup counts it (v1 without v2 and without
    /// `cpuacct` beside `cpu`) it is known at the sandbox's end only.
    pub cpu: Duration,
    /// The most memory at once, page cache of its files included.
    pub peak_memory: ByteSize,
    /// Processes that Linux killed for want of memory.
    pub oom_kills: u64,
}

impl From<spawner::Usage> for Usage {
    fn from(usage: spawner::Usage) -> Self {
        Self {
            cpu: Duration::from_micros(usage.cpu_us),
            peak_memory: ByteSize(usage.peak_memory),
            oom_kills: usage.oom_kills,
        }
    }
}

/// A note that cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// It is too long.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The sandbox has ended, or the spawner has.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// What a sandbox needs for as long as it lives.
pub(crate) struct Kept {
    /// Its resolver.
    pub(crate) _resolver: Option<resolver::Service>,
    /// Its template's trees.
    pub(crate) template: Option<Arc<Template>>,
    /// The way of its zygote's copies into it.
    pub(crate) supplier: Option<Arc<Supplier>>,
    /// Its memory.
    pub(crate) _promise: Promise,
    /// Where it is told what Linux killed.
    pub(crate) memory_kills: Arc<MemoryKills>,
    /// How long it may take to stand still.
    pub(crate) pause_timeout: Duration,
}

/// A live sandbox. Dropping it ends it, unless the engine has left it to the next one;
/// [`Sandbox::destroy`] also waits for that.
pub struct Sandbox {
    id: SandboxId,
    spec: SandboxSpec,
    pid: u32,
    phases: Phases,
    agent: AgentClient,
    slot: Mutex<(Slot, Note)>,
    paused: tokio::sync::watch::Receiver<bool>,
    number: u32,
    end: tokio::sync::watch::Receiver<Option<Gone>>,
    gauge: Gauge,
    kept: Kept,
}

impl Sandbox {
    pub(crate) fn new(
        id: SandboxId,
        spec: SandboxSpec,
        pid: u32,
        phases: Phases,
        agent: AgentClient,
        (slot, gauge, note): (Slot, Gauge, Note),
        kept: Kept,
    ) -> Self {
        let (end, number) = (slot.end(), slot.number());
        let paused = slot.paused();
        let slot = Mutex::new((slot, note));
        Self {
            id,
            spec,
            pid,
            phases,
            agent,
            slot,
            paused,
            number,
            end,
            gauge,
            kept,
        }
    }

    /// Its id.
    pub fn id(&self) -> &SandboxId {
        &self.id
    }

    /// What it was asked to be.
    pub fn spec(&self) -> &SandboxSpec {
        &self.spec
    }

    /// The template that it was made from.
    pub fn template(&self) -> &TemplateName {
        &self.spec.template
    }

    /// By what the build of its template is known on this machine: another build of the same name has another.
    /// Empty where that cannot be told.
    pub fn build(&self) -> String {
        let Some(template) = &self.kept.template else {
            return String::new();
        };
        let (record, rootfs) = (&template.record, &template.layers.rootfs);
        match std::fs::metadata(rootfs) {
            Ok(about) => format!(
                "{} {} {:?} {}:{} {}.{}",
                self.spec.template,
                record.created,
                record.recipe,
                about.dev(),
                about.ino(),
                about.ctime(),
                about.ctime_nsec(),
            ),
            Err(_) => String::new(),
        }
    }

    /// The level of isolation that it has.
    pub fn isolation(&self) -> Isolation {
        self.spec.isolation
    }

    /// Where the time of its create went.
    pub fn phases(&self) -> &Phases {
        &self.phases
    }

    /// The way to its agent.
    pub fn agent(&self) -> &AgentClient {
        &self.agent
    }

    /// Who supplies its agent with copies of its template's zygote; none where there is no zygote.
    pub fn supplier(&self) -> Option<Arc<Supplier>> {
        self.kept.supplier.clone()
    }

    /// The host's process id of its first process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its slot's number, 1 to 4095.
    pub fn slot(&self) -> u32 {
        self.number
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// [`DriverError::Ended`] when it has ended.
    pub async fn usage(&self) -> Result<Usage, DriverError> {
        Ok(self.slot.lock().await.0.usage().await?.into())
    }

    /// What it uses now; also while it is paused.
    ///
    /// # Errors
    /// [`DriverError::Ended`] when it has ended.
    pub async fn metrics(&self) -> Result<Metrics, DriverError> {
        let counted = self.slot.lock().await.0.measure().await?;
        let filling = self.gauge.filling(self.pid);
        Ok(Metrics::new(counted, filling, &self.spec.limits))
    }

    /// Stops every process in it, memory and connections kept, and waits until all of them stand
    /// still. A paused sandbox can be looked at from outside and ended; nothing inside answers.
    ///
    /// # Errors
    /// [`PauseError`]; the sandbox is as it was. What takes too long goes on.
    pub async fn pause(&self) -> Result<(), PauseError> {
        let mut slot = self.slot.lock().await;
        slot.0.freeze(self.kept.pause_timeout).await
    }

    /// Lets a paused sandbox go on.
    ///
    /// # Errors
    /// [`PauseError`]; the sandbox is as it was.
    pub async fn resume(&self) -> Result<(), PauseError> {
        self.slot.lock().await.0.thaw().await
    }

    /// Whether it stands still, by [`Sandbox::pause`] or its deadline: a receiver that tells each
    /// change.
    pub fn paused(&self) -> tokio::sync::watch::Receiver<bool> {
        self.paused.clone()
    }

    /// Sets when it is ended or paused, in place of what was set before; `None`: never. The spawner
    /// keeps the time, whether an engine is there or not; an end is told as
    /// [`HowEnded::Expired`](crate::HowEnded::Expired).
    ///
    /// # Errors
    /// [`DriverError::Ended`] when it has ended.
    pub async fn set_deadline(&self, deadline: Option<Deadline>) -> Result<(), DriverError> {
        let deadline = deadline.map(Into::into);
        self.slot.lock().await.0.set_deadline(deadline).await
    }

    /// Writes down what an engine that takes it over later is to tell, at most 1,024 bytes; it
    /// replaces what was written before.
    ///
    /// # Errors
    /// [`NoteError`]; the note before stays.
    pub async fn set_note(&self, text: &str) -> Result<(), NoteError> {
        let mut kept = self.slot.lock().await;
        let (slot, note) = &mut *kept;
        let mut new = note.clone();
        new.set_callers(text)?;
        slot.write_note(new.text(), None).await?;
        *note = new;
        Ok(())
    }

    /// The last of its processes that Linux killed for want of memory; none where there was none,
    /// or Linux's log may not be read.
    pub fn memory_kill(&self) -> Option<MemoryKill> {
        self.kept.memory_kills.of(self.number)
    }

    /// Kills every process in it but the first, without the help of anything inside; they may take
    /// a moment to end.
    ///
    /// # Errors
    /// [`DriverError::Ended`] when it has ended.
    pub async fn kill_processes(&self) -> Result<(), DriverError> {
        self.slot.lock().await.0.kill().await
    }

    /// Whether its disk is full, as Linux says.
    pub fn disk_is_full(&self) -> bool {
        self.gauge.is_full(self.pid)
    }

    /// Waits for its end, whoever brings it about.
    pub async fn ended(&self) -> Usage {
        wait_gone(&mut self.end.clone()).await.usage.into()
    }

    /// Its end, whoever brings it about, to be waited for without holding the sandbox. Never told of
    /// one that goes on after its engine has left.
    pub fn end(&self) -> impl Future<Output = End> + Send + use<> {
        let mut end = self.end.clone();
        async move { (&wait_gone(&mut end).await).into() }
    }

    /// Whether it ended because the spawner was lost; then nothing is known of its end.
    pub fn was_lost(&self) -> bool {
        self.end.borrow().as_ref().is_some_and(|gone| gone.lost)
    }

    /// Ends it and waits until everything is given back. Tells what it had used.
    pub async fn destroy(self) -> Usage {
        self.slot.into_inner().0.destroy().await.usage.into()
    }
}
