//! The commands of a sandbox that are not over, and the connection to its agent about them.

use super::finish::Finished;
use super::listen::listening;
use super::running::Running;
use crate::error::ControlError;
use crate::live::Live;
use soulbox_model::{CommandId, SandboxId};
use soulbox_runtime::agent_client::{AgentClient, AgentError, CommandSender};
use soulbox_wire::commands::Request;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// The books of all sandboxes in which there was a command.
pub(crate) struct Books {
    all: Mutex<HashMap<SandboxId, Arc<Book>>>,
    pub(super) finished: mpsc::UnboundedSender<Finished>,
    /// The most bytes that are kept of an output.
    output: u64,
}

impl Books {
    pub(crate) fn new(finished: mpsc::UnboundedSender<Finished>, output: u64) -> Self {
        Self {
            all: Mutex::default(),
            finished,
            output,
        }
    }

    /// The book of a live sandbox; a new one if there was none.
    pub(crate) fn of(&self, live: &Live) -> Result<Arc<Book>, ControlError> {
        let id = live.id();
        let mut all = self.lock();
        let book = all.entry(id.clone()).or_insert_with(|| {
            Arc::new(Book {
                sandbox: id.clone(),
                agent: live.agent().clone(),
                output: self.output,
                finished: self.finished.clone(),
                commands: Mutex::default(),
                link: tokio::sync::Mutex::default(),
                links: AtomicU64::new(0),
                calls: Calls::default(),
            })
        });
        let book = Arc::clone(book);
        // Who ends it marks that first, and closes its book then.
        if !live.lock().is_live() {
            if book.lock().running.is_empty() {
                all.remove(&id);
            }
            return Err(ControlError::Ended(id));
        }
        Ok(book)
    }

    /// The book of a sandbox, if there is one.
    pub(crate) fn find(&self, id: &SandboxId) -> Option<Arc<Book>> {
        self.lock().get(id).cloned()
    }

    /// Takes a command out of its book, as it was withdrawn or its end is kept; and the book of a
    /// sandbox that has ended away with its last command, not before: until its end is kept, a
    /// command is found here only. Says whether the book is gone.
    pub(super) fn remove(&self, book: &Arc<Book>, command: &CommandId) -> bool {
        let mut all = self.lock();
        book.lock().running.remove(command);
        Self::let_go(&mut all, book)
    }

    /// Closes the book of a sandbox that has ended. Says which of its commands were not over.
    pub(super) fn close(&self, id: &SandboxId) -> Option<(Arc<Book>, Vec<Arc<Running>>)> {
        let mut all = self.lock();
        let book = all.get(id).cloned()?;
        let commands = {
            let mut commands = book.lock();
            commands.closed = true;
            commands.running.values().cloned().collect()
        };
        Self::let_go(&mut all, &book);
        Some((book, commands))
    }

    fn let_go(all: &mut HashMap<SandboxId, Arc<Book>>, book: &Arc<Book>) -> bool {
        let commands = book.lock();
        let is_done = commands.closed && commands.running.is_empty();
        if is_done {
            all.remove(&book.sandbox);
        }
        is_done
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SandboxId, Arc<Book>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The commands of one sandbox.
pub(crate) struct Book {
    pub(crate) sandbox: SandboxId,
    pub(crate) agent: AgentClient,
    /// The most bytes that are kept of an output.
    pub(crate) output: u64,
    finished: mpsc::UnboundedSender<Finished>,
    commands: Mutex<Commands>,
    link: tokio::sync::Mutex<Option<Arc<Link>>>,
    links: AtomicU64,
    pub(super) calls: Calls,
}

#[derive(Default)]
struct Commands {
    running: BTreeMap<CommandId, Arc<Running>>,
    /// The sandbox has ended: no more are taken in.
    closed: bool,
}

/// A connection to the agent.
pub(crate) struct Link {
    /// The way to it.
    pub(crate) sender: CommandSender,
    /// Its place among those of this server, from 1.
    pub(crate) number: u64,
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, Commands> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a command in, unless `most` are in it already or the sandbox has ended.
    pub(crate) fn insert(&self, command: Arc<Running>, most: usize) -> Result<(), ControlError> {
        let mut commands = self.lock();
        if commands.closed {
            return Err(ControlError::Ended(self.sandbox.clone()));
        }
        if commands.running.len() >= most {
            let reason =
                format!("{most} commands run in this sandbox already (setting commands.running)");
            return Err(ControlError::Busy {
                reason,
                retry: std::time::Duration::from_secs(1),
            });
        }
        commands.running.insert(command.id.clone(), command);
        Ok(())
    }

    pub(crate) fn find(&self, id: &CommandId) -> Option<Arc<Running>> {
        self.lock().running.get(id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Running>> {
        self.lock().running.values().cloned().collect()
    }

    /// Hands a command over whose end is to be kept.
    pub(crate) fn finish(self: &Arc<Self>, command: &Arc<Running>) {
        let finished = Finished::Command(Arc::clone(self), Arc::clone(command));
        // The receiver ends with the server.
        let _ = self.finished.send(finished);
    }

    /// The connection to the agent; opens one if there is none.
    pub(crate) async fn link(self: &Arc<Self>) -> Result<Arc<Link>, AgentError> {
        let mut current = self.link.lock().await;
        if let Some(link) = &*current {
            return Ok(Arc::clone(link));
        }
        let (sender, events) = self.agent.commands().await?;
        sender.send(&Request::Recall, None).await?;
        let number = self.links.fetch_add(1, Ordering::Relaxed) + 1;
        let link = Arc::new(Link { sender, number });
        *current = Some(Arc::clone(&link));
        tokio::spawn(listening(Arc::downgrade(self), events, number));
        Ok(link)
    }

    /// The connection, if there is one.
    pub(crate) async fn open_link(&self) -> Option<Arc<Link>> {
        self.link.lock().await.clone()
    }

    /// This connection is over.
    pub(crate) async fn unlink(&self, number: u64) {
        let mut current = self.link.lock().await;
        if current.as_ref().is_some_and(|link| link.number == number) {
            *current = None;
        }
    }

    /// Sends a request on whatever connection there is. It is not sent again if that breaks.
    pub(crate) async fn send(self: &Arc<Self>, request: &Request) -> Result<(), AgentError> {
        let link = self.link().await?;
        link.sender.send(request, None).await
    }
}

/// Requests whose answer is waited for.
#[derive(Default)]
pub(super) struct Calls {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, Answer>>,
}

type Answer = tokio::sync::oneshot::Sender<Option<soulbox_wire::connect::RpcError>>;

impl Calls {
    /// A number for a request, and where its answer comes.
    pub(super) fn begin(
        &self,
    ) -> (
        u64,
        tokio::sync::oneshot::Receiver<Option<soulbox_wire::connect::RpcError>>,
    ) {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, answer| !answer.is_closed());
        waiting.insert(number, sender);
        (number, receiver)
    }

    pub(super) fn answer(&self, call: u64, error: Option<soulbox_wire::connect::RpcError>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = waiting.remove(&call) {
            let _ = answer.send(error);
        }
    }

    /// The connection broke: nobody answers any more.
    pub(super) fn give_up(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.clear();
    }
}
