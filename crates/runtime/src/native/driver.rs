//! The engine's half of the native driver: it speaks to the spawner.
//!
//! One task owns the socket. Each slot has at most one request on its way; its answer goes to
//! whoever waits for it, and the slot's end to everybody who asks. What a slot holds of the
//! engine (its lease, its directories) is dropped when the spawner says that it is gone, not
//! before: a number is free again only when nothing of it is left.

use super::channel::{self, ChannelError};
use crate::programs;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use soulbox_wire::spawner::{
    CgroupLimits, Create, Event, Failure, GENERATION, Init, Network, Request, Usage,
};
use std::collections::HashMap;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};

/// A request to the driver that failed.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The spawner's program could not be started.
    #[error("cannot start the spawner")]
    Spawn(#[source] std::io::Error),
    /// The spawner cannot work on this host.
    #[error("this host cannot run sandboxes: cannot {}; see 'soulbox doctor'", .0.step)]
    Unable(Failure, #[source] Errno),
    /// The spawner and the engine do not speak the same protocol.
    #[error("the spawner speaks generation {0} of the protocol, this engine {GENERATION}")]
    Generation(u32),
    /// A step of Linux failed.
    #[error("cannot {}", .0.step)]
    Step(Failure, #[source] Errno),
    /// The spawner has ended, and every sandbox with it.
    #[error("the spawner has ended unexpectedly, and every sandbox with it; restart the engine")]
    SpawnerGone,
    /// The sandbox has ended.
    #[error("the sandbox has ended")]
    Ended,
    /// The request does not fit a packet.
    #[error("the request is too large: fewer or shorter mounts are needed")]
    TooLarge(#[source] ChannelError),
}

impl DriverError {
    fn step(failure: Failure) -> Self {
        let errno = Errno::from_raw_os_error(failure.errno);
        Self::Step(failure, errno)
    }

    /// Linux's error number, when the failure is a system call's.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Unable(_, errno) | Self::Step(_, errno) if errno.raw_os_error() != 0 => {
                Some(*errno)
            }
            _ => None,
        }
    }
}

/// How a slot ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Whether a sandbox ran in it.
    pub ran: bool,
    /// The signal that ended its PID 1, 0 if none did.
    pub signal: i32,
    /// What it had used.
    pub usage: Usage,
    /// What could not be given back.
    pub problems: Vec<Failure>,
}

/// What a slot's preparation or a sandbox's start brought.
#[derive(Debug, Default)]
pub struct Made {
    /// The host's process id of PID 1; 0 before it runs.
    pub pid: u32,
    /// Steps and their lengths in microseconds.
    pub phases: Vec<(String, u64)>,
    /// UDP and TCP socket of the slot's resolver, when it has internet and was made just now.
    pub resolver: Vec<OwnedFd>,
}

/// A reply to the one request of a slot that is on its way.
type Reply = Result<(Event, Vec<OwnedFd>), DriverError>;

/// What a slot keeps alive until it is gone.
pub type Kept = Box<dyn std::any::Any + Send>;

struct Entry {
    waiting: Option<oneshot::Sender<Reply>>,
    gone: watch::Sender<Option<Gone>>,
    _kept: Kept,
}

#[derive(Default)]
struct Slots {
    entries: HashMap<u32, Entry>,
    closed: bool,
}

struct Shared {
    slots: Mutex<Slots>,
    /// Not bounded in itself, but each slot has one request and one end in it at most.
    requests: mpsc::UnboundedSender<(Request, Vec<OwnedFd>)>,
    empty: tokio::sync::Notify,
}

impl Shared {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        // No code can panic while it holds the lock; if one did, the map is still whole.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The native driver.
pub struct NativeDriver {
    shared: Arc<Shared>,
    process: Mutex<Option<Child>>,
    task: tokio::task::JoinHandle<()>,
}

impl NativeDriver {
    /// Starts a spawner. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`DriverError::Unable`] tells what the host lacks.
    pub async fn start(init: Init) -> Result<Self, DriverError> {
        let (mine, spawners) = channel::pair().map_err(spawn_error)?;
        let process = start_process(spawners)?;
        let agent = sealed_program("soulbox-agent", programs::AGENT).map_err(spawn_error)?;
        channel::send(&mine, &Request::Init(init), &[agent.as_fd()])
            .map_err(|_| DriverError::SpawnerGone)?;
        let stream = std::os::unix::net::UnixStream::from(mine);
        stream.set_nonblocking(true).map_err(DriverError::Spawn)?;
        // Only its readiness is used: reads and writes keep packets and descriptors together.
        let socket = UnixStream::from_std(stream).map_err(DriverError::Spawn)?;
        match receive(&socket).await {
            Ok((
                Event::Hello {
                    generation: GENERATION,
                },
                _,
            )) => {}
            Ok((Event::Hello { generation }, _)) => {
                return Err(DriverError::Generation(generation));
            }
            Ok((Event::Unable(failure), _)) => {
                let errno = Errno::from_raw_os_error(failure.errno);
                return Err(DriverError::Unable(failure, errno));
            }
            Ok(_) | Err(_) => return Err(DriverError::SpawnerGone),
        }
        let (requests, incoming) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            slots: Mutex::default(),
            requests,
            empty: tokio::sync::Notify::new(),
        });
        let task = tokio::spawn(serve(socket, Arc::clone(&shared), incoming));
        Ok(Self {
            shared,
            process: Mutex::new(Some(process)),
            task,
        })
    }

    /// The spawner's process id, by which its leases are known.
    pub fn spawner_pid(&self) -> Option<u32> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.as_ref().map(Child::id)
    }

    /// Takes a slot's number into use; `kept` is dropped when all of it is given back.
    ///
    /// # Errors
    /// [`DriverError::SpawnerGone`].
    pub fn open(&self, slot: u32, kept: Kept) -> Result<Slot, DriverError> {
        let (gone, watch) = watch::channel(None);
        let mut slots = self.shared.slots();
        if slots.closed {
            return Err(DriverError::SpawnerGone);
        }
        slots.entries.insert(
            slot,
            Entry {
                waiting: None,
                gone,
                _kept: kept,
            },
        );
        Ok(Slot {
            shared: Arc::clone(&self.shared),
            slot,
            gone: watch,
        })
    }

    /// Ends every sandbox and the spawner, and waits until all is given back.
    pub async fn stop(&self) {
        for slot in self.shared.slots().entries.keys() {
            let _ = self
                .shared
                .requests
                .send((Request::Destroy { slot: *slot }, Vec::new()));
        }
        loop {
            let empty = self.shared.empty.notified();
            let slots = self.shared.slots().entries.len();
            if slots == 0 {
                break;
            }
            empty.await;
        }
        self.task.abort();
        let process = self
            .process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut process) = process {
            // With the task the socket is closed, at which the spawner ends.
            let _ = tokio::task::spawn_blocking(move || process.wait()).await;
        }
    }
}

impl Drop for NativeDriver {
    fn drop(&mut self) {
        // The spawner ends when the socket closes; whoever wants to wait for that calls `stop`.
        self.task.abort();
    }
}

fn spawn_error(errno: Errno) -> DriverError {
    DriverError::Spawn(errno.into())
}

/// A program in memory that nobody can change, executable through its descriptor.
fn sealed_program(name: &str, bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let program = match rustix::fs::memfd_create(name, flags | MemfdFlags::EXEC) {
        // Linux before 6.3 knows no such flag and makes every memfd executable.
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags)?,
        other => other?,
    };
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::write(&program, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&program, seals)?;
    Ok(program)
}

fn start_process(channel: OwnedFd) -> Result<Child, DriverError> {
    let program = sealed_program("soulbox-spawner", programs::SPAWNER).map_err(spawn_error)?;
    let path = format!("/proc/self/fd/{}", rustix::fd::AsRawFd::as_raw_fd(&program));
    #[allow(
        clippy::disallowed_methods,
        reason = "the spawner is the one process of the driver"
    )]
    let mut command = Command::new(path);
    command.arg0("soulbox-spawner").env_clear().current_dir("/");
    command
        .stdin(Stdio::from(channel))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    command.spawn().map_err(DriverError::Spawn)
}

async fn receive(socket: &UnixStream) -> Result<(Event, Vec<OwnedFd>), ChannelError> {
    when_ready(socket, Interest::READABLE, || channel::receive(socket)).await
}

async fn send(
    socket: &UnixStream,
    request: &Request,
    descriptors: &[OwnedFd],
) -> Result<(), ChannelError> {
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    when_ready(socket, Interest::WRITABLE, || {
        channel::send(socket, request, &borrowed)
    })
    .await
}

/// Does `act` as soon as the socket allows it.
async fn when_ready<T>(
    socket: &UnixStream,
    interest: Interest,
    mut act: impl FnMut() -> Result<T, ChannelError>,
) -> Result<T, ChannelError> {
    loop {
        socket
            .ready(interest)
            .await
            .map_err(|_| ChannelError::Closed)?;
        let mut done = None;
        // The outcome travels beside `try_io`, which is to learn only whether to wait again.
        let tried = socket.try_io(interest, || match act() {
            Err(ChannelError::Linux(Errno::AGAIN)) => Err(std::io::ErrorKind::WouldBlock.into()),
            other => {
                done = Some(other);
                Ok(())
            }
        });
        match (tried, done) {
            (_, Some(done)) => return done,
            (Err(error), None) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            _ => return Err(ChannelError::Closed),
        }
    }
}

/// Carries requests to the spawner and its events back, until the spawner ends.
async fn serve(
    socket: UnixStream,
    shared: Arc<Shared>,
    mut incoming: mpsc::UnboundedReceiver<(Request, Vec<OwnedFd>)>,
) {
    loop {
        tokio::select! {
            biased;
            event = receive(&socket) => match event {
                Ok((event, descriptors)) => dispatch(&shared, event, descriptors),
                Err(ChannelError::Malformed(error)) => {
                    tracing::error!(%error, "the spawner sent a malformed event");
                }
                Err(_) => break,
            },
            request = incoming.recv() => {
                let Some((request, descriptors)) = request else { break };
                match send(&socket, &request, &descriptors).await {
                    Ok(()) => {}
                    Err(error @ (ChannelError::TooLarge { .. } | ChannelError::Malformed(_))) => {
                        refuse(&shared, &request, error);
                    }
                    Err(_) => break,
                }
            }
        }
    }
    let mut slots = shared.slots();
    slots.closed = true;
    let entries = std::mem::take(&mut slots.entries);
    drop(slots);
    for (_, mut entry) in entries {
        answer(&mut entry, Err(DriverError::SpawnerGone));
        let usage = Usage::default();
        entry.gone.send_replace(Some(Gone {
            ran: false,
            signal: 9,
            usage,
            problems: vec![],
        }));
    }
    shared.empty.notify_waiters();
}

fn answer(entry: &mut Entry, reply: Reply) {
    if let Some(waiting) = entry.waiting.take() {
        // Whoever waited may have gone away meanwhile.
        let _ = waiting.send(reply);
    }
}

fn refuse(shared: &Shared, request: &Request, error: ChannelError) {
    let slot = match request {
        Request::Create(create) => create.slot,
        _ => return,
    };
    if let Some(entry) = shared.slots().entries.get_mut(&slot) {
        answer(entry, Err(DriverError::TooLarge(error)));
    }
}

fn dispatch(shared: &Shared, event: Event, descriptors: Vec<OwnedFd>) {
    let slot = match &event {
        Event::Hello { .. } | Event::Unable(_) => return,
        Event::SlotReady { slot, .. }
        | Event::Prepared { slot, .. }
        | Event::Ready { slot, .. }
        | Event::Failed { slot, .. }
        | Event::Limited { slot }
        | Event::Used { slot, .. }
        | Event::Gone { slot, .. } => *slot,
    };
    let mut slots = shared.slots();
    match event {
        Event::Gone {
            ran,
            signal,
            usage,
            problems,
            ..
        } => {
            let Some(mut entry) = slots.entries.remove(&slot) else {
                return;
            };
            let empty = slots.entries.is_empty();
            drop(slots);
            for problem in &problems {
                tracing::warn!(
                    slot,
                    step = problem.step,
                    errno = problem.errno,
                    "cannot give back"
                );
            }
            answer(&mut entry, Err(DriverError::Ended));
            entry.gone.send_replace(Some(Gone {
                ran,
                signal,
                usage,
                problems,
            }));
            drop(entry);
            if empty {
                shared.empty.notify_waiters();
            }
        }
        Event::Failed { failure, .. } => {
            if let Some(entry) = slots.entries.get_mut(&slot) {
                answer(entry, Err(DriverError::step(failure)));
            }
        }
        event => {
            if let Some(entry) = slots.entries.get_mut(&slot) {
                answer(entry, Ok((event, descriptors)));
            }
        }
    }
}

/// A slot in use. Dropping it ends the sandbox in it.
pub struct Slot {
    shared: Arc<Shared>,
    slot: u32,
    gone: watch::Receiver<Option<Gone>>,
}

impl Slot {
    /// Its number.
    pub fn number(&self) -> u32 {
        self.slot
    }

    /// Makes the network namespace and the cgroups ahead of time.
    ///
    /// # Errors
    /// The step that failed. The slot is being given back then.
    pub async fn prepare(&mut self, network: Network) -> Result<Made, DriverError> {
        let request = Request::Slot {
            slot: self.slot,
            network,
        };
        self.make(request, Vec::new()).await
    }

    /// Makes a sandbox. `descriptors`: the agent's listener, then one tree per mount.
    ///
    /// # Errors
    /// The step that failed. The slot is being given back then.
    pub async fn create(
        &mut self,
        create: Create,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Made, DriverError> {
        self.make(Request::Create(Box::new(create)), descriptors)
            .await
    }

    /// Lets a prepared sandbox run.
    ///
    /// # Errors
    /// The step that failed. The slot is being given back then.
    pub async fn start(&mut self, limits: CgroupLimits) -> Result<Made, DriverError> {
        self.make(
            Request::Start {
                slot: self.slot,
                limits,
            },
            Vec::new(),
        )
        .await
    }

    /// Changes the limits of a running sandbox.
    ///
    /// # Errors
    /// The limit that could not be set; the sandbox is being ended then.
    pub async fn limit(&mut self, limits: CgroupLimits) -> Result<(), DriverError> {
        self.ask(
            Request::Limit {
                slot: self.slot,
                limits,
            },
            Vec::new(),
        )
        .await
        .map(|_| ())
    }

    /// What the sandbox has used so far.
    ///
    /// # Errors
    /// [`DriverError::Ended`] and [`DriverError::SpawnerGone`].
    pub async fn usage(&mut self) -> Result<Usage, DriverError> {
        match self
            .ask(Request::Usage { slot: self.slot }, Vec::new())
            .await?
        {
            (Event::Used { usage, .. }, _) => Ok(usage),
            _ => Err(DriverError::Ended),
        }
    }

    /// A receiver that gets the slot's end, once.
    pub fn end(&self) -> watch::Receiver<Option<Gone>> {
        self.gone.clone()
    }

    /// Ends the sandbox and waits until everything is given back.
    pub async fn destroy(self) -> Gone {
        let mut end = self.gone.clone();
        drop(self);
        wait_gone(&mut end).await
    }

    async fn make(
        &mut self,
        request: Request,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Made, DriverError> {
        let (event, resolver) = self.ask(request, descriptors).await?;
        Ok(match event {
            Event::Ready { pid, phases, .. } => Made {
                pid,
                phases,
                resolver,
            },
            Event::SlotReady { phases, .. } | Event::Prepared { phases, .. } => Made {
                pid: 0,
                phases,
                resolver,
            },
            _ => Made::default(),
        })
    }

    async fn ask(&mut self, request: Request, descriptors: Vec<OwnedFd>) -> Reply {
        let (reply, waiting) = oneshot::channel();
        {
            let mut slots = self.shared.slots();
            let closed = slots.closed;
            let Some(entry) = slots.entries.get_mut(&self.slot) else {
                return Err(if closed {
                    DriverError::SpawnerGone
                } else {
                    DriverError::Ended
                });
            };
            entry.waiting = Some(reply);
        }
        let sent = self.shared.requests.send((request, descriptors));
        sent.map_err(|_| DriverError::SpawnerGone)?;
        waiting.await.map_err(|_| DriverError::SpawnerGone)?
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.gone.borrow().is_none() {
            let request = Request::Destroy { slot: self.slot };
            let _ = self.shared.requests.send((request, Vec::new()));
        }
    }
}

/// Waits for a slot's end.
pub async fn wait_gone(end: &mut watch::Receiver<Option<Gone>>) -> Gone {
    match end.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(gone)) => gone.clone(),
        // The sender is dropped only after it has told the end.
        _ => Gone {
            ran: false,
            signal: 9,
            usage: Usage::default(),
            problems: Vec::new(),
        },
    }
}
