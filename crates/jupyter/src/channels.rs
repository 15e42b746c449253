//! The channels to a kernel that a client needs: shell for requests, iopub for what comes of them, control for what
//! may not wait, stdin for what the kernel asks.

use crate::frame::LONGEST;
use crate::kernel::{Kernel, KernelError, random};
use crate::message::{Heard, Request};
use crate::signature::Key;
use crate::zmtp::{Kind, receive, shake_hands};
use std::io;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};

/// Messages that wait for the bridge, and the bytes that all of them may have. What a kernel publishes beyond that, and
/// beyond ZeroMQ's own thousand, its ZeroMQ drops.
const WAITING: usize = 4096;
const WAITING_BYTES: usize = 2 * LONGEST;

/// What a message counts at the least.
const SMALLEST: usize = 512;

/// Why a kernel cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    #[error("cannot talk with the kernel: {0}")]
    Talk(#[from] io::Error),
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// Where a message came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Shell,
    Published,
    Control,
    Input,
}

/// The channels of one kernel.
pub(crate) struct Channels {
    shell: OwnedWriteHalf,
    control: OwnedWriteHalf,
    input: OwnedWriteHalf,
    heard: mpsc::Receiver<Option<(From, Heard)>>,
    key: Key,
    session: String,
}

impl Channels {
    /// Connects, as soon as the kernel listens. What the kernel publishes before it knows of it is not heard.
    pub(crate) async fn connect(kernel: &mut Kernel) -> Result<Self, ChannelError> {
        let session = random(16)?;
        let no_key = || io::Error::other("its key cannot be used");
        let key = Key::new(&kernel.connection.key).ok_or_else(no_key)?;
        let (tell, heard) = mpsc::channel(WAITING);
        let listener = Listener {
            key: key.clone(),
            tell,
            room: Arc::new(Semaphore::new(WAITING_BYTES)),
        };
        let connection = &kernel.connection;
        // By the same name the kernel finds whom to ask for input.
        let client = Kind::Dealer(&session);
        let [published, shell, control, input] = [
            (connection.iopub_port, Kind::Subscriber, From::Published),
            (connection.shell_port, client, From::Shell),
            (connection.control_port, client, From::Control),
            (connection.stdin_port, client, From::Input),
        ];
        let published = listener.connect(kernel, published).await?;
        let shell = listener.connect(kernel, shell).await?;
        let control = listener.connect(kernel, control).await?;
        let input = listener.connect(kernel, input).await?;
        // Nothing more is said to a publisher, but it takes the end of that for the end of all.
        tokio::spawn(async move {
            let _published = published;
            std::future::pending::<()>().await;
        });
        Ok(Self {
            shell,
            control,
            input,
            heard,
            key,
            session,
        })
    }

    /// Sends a request; gives the id that everything about it has.
    pub(crate) async fn ask(&mut self, request: Request<'_>) -> Result<String, ChannelError> {
        let id = random(16)?;
        let message = request.message(&id, &self.session, &self.key);
        self.shell.write_all(&message).await?;
        Ok(id)
    }

    /// Sends something that may not wait for the cell that runs.
    pub(crate) async fn control(&mut self, request: Request<'_>) -> Result<(), ChannelError> {
        let message = request.message(&random(16)?, &self.session, &self.key);
        Ok(self.control.write_all(&message).await?)
    }

    /// Answers a question of the kernel's with nothing.
    pub(crate) async fn no_input(&mut self) -> io::Result<()> {
        let message = Request::NoInput.message(&random(16)?, &self.session, &self.key);
        self.input.write_all(&message).await
    }

    /// The next message; `None` when a channel is lost, mostly because the kernel has gone. Nothing is lost when it is dropped while it waits.
    pub(crate) async fn hear(&mut self) -> Option<(From, Heard)> {
        self.heard.recv().await.flatten()
    }
}

#[derive(Clone)]
struct Listener {
    key: Key,
    /// None: a channel is lost.
    tell: mpsc::Sender<Option<(From, Heard)>>,
    room: Arc<Semaphore>,
}

impl Listener {
    /// Connects a channel and listens to it; gives what is spoken into.
    async fn connect(
        &self,
        kernel: &mut Kernel,
        (number, kind, from): (u16, Kind<'_>, From),
    ) -> Result<OwnedWriteHalf, ChannelError> {
        let mut socket = kernel.reach(number).await?;
        shake_hands(&mut socket, kind).await?;
        let (reader, writer) = socket.into_split();
        let listener = self.clone();
        tokio::spawn(async move {
            listener.listen(reader, from).await;
            let _ = listener.tell.send(None).await;
        });
        Ok(writer)
    }

    async fn listen(&self, mut reader: OwnedReadHalf, from: From) {
        while let Ok(message) = receive(&mut reader, LONGEST).await {
            let size = u32::try_from(message.size().max(SMALLEST)).unwrap_or(u32::MAX);
            let Some(mut heard) = Heard::new(&message, &self.key) else {
                continue;
            };
            drop(message);
            heard.room = Arc::clone(&self.room).acquire_many_owned(size).await.ok();
            if self.tell.send(Some((from, heard))).await.is_err() {
                return;
            }
        }
    }
}
