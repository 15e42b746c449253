//! What an agent tells of its sandbox's commands. All of it is the word of the sandbox: it can
//! harm nothing but what is known about its own commands.

use super::book::Book;
use super::running::Running;
use futures_util::future::BoxFuture;
use soulbox_model::{CommandEnd, CommandId, CommandState};
use soulbox_runtime::agent_client::{CommandEvents, OutputFile, ProcessEnd};
use soulbox_wire::commands::{End, Event, Request};
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often a broken connection is opened anew while commands run, and how long between.
const TRIES: u32 = 10;
const REST: Duration = Duration::from_millis(200);

/// Listens until the connection is over or nobody needs the book any more. In a box, as it may open the
/// connection after this one, which is listened to in turn.
pub(super) fn listening(
    book: Weak<Book>,
    events: CommandEvents,
    number: u64,
) -> BoxFuture<'static, ()> {
    Box::pin(listen(book, events, number))
}

async fn listen(book: Weak<Book>, mut events: CommandEvents, number: u64) {
    // Those that the agent knew when the connection was opened, until it has told them all.
    let mut known = Some(HashSet::new());
    loop {
        let next = events.next().await;
        let Some(book) = book.upgrade() else { return };
        match next {
            Ok((Event::Recalled, _)) => {
                if let Some(known) = known.take() {
                    lose_unknown(&book, number, &known);
                }
            }
            Ok((event, file)) => take(&book, event, file, &mut known).await,
            Err(error) => {
                tracing::debug!(sandbox = %book.sandbox, %error, "the connection for commands is over");
                book.unlink(number).await;
                book.calls.give_up();
                return book.reconnect().await;
            }
        }
    }
}

async fn take(
    book: &Arc<Book>,
    event: Event,
    file: Option<rustix::fd::OwnedFd>,
    known: &mut Option<HashSet<CommandId>>,
) {
    match event {
        Event::Started { id, pid } => {
            if let Some(command) = find(book, &id) {
                command.run(pid);
            }
        }
        Event::Refused { id, error } => {
            if let Some(command) = find(book, &id).filter(|c| c.state() == CommandState::Starting) {
                command.refuse(error);
            }
        }
        Event::Grew { id } => {
            if let Some(command) = find(book, &id) {
                command.asked.store(false, Ordering::Relaxed);
                command.tell();
            }
        }
        Event::Ended { id, end } => match find(book, &id) {
            Some(command) => ended(book, &command, end),
            None => forget(book, id).await,
        },
        Event::Done { call, error } => book.calls.answer(call, error),
        Event::Known { id, pid, end } => {
            let Some(command) = find(book, &id) else {
                if end.is_some() {
                    forget(book, id).await;
                }
                return;
            };
            if let Some(known) = known {
                known.insert(command.id.clone());
            }
            if command.output().is_none()
                && let Some(Ok(output)) = file.map(|file| OutputFile::adopt(file, book.output))
            {
                command.set_output(output);
            }
            command.run(pid);
            if let Some(end) = end {
                ended(book, &command, end);
            }
        }
        Event::Recalled => {}
    }
}

fn find(book: &Book, id: &str) -> Option<Arc<Running>> {
    book.find(&id.parse().ok()?)
}

fn ended(book: &Arc<Book>, command: &Arc<Running>, told: End) {
    let end = ProcessEnd::from(told.end);
    let end = match end.signal {
        None if end.exit_code >= 0 => CommandEnd::Exited(end.exit_code),
        signal => CommandEnd::Killed(signal),
    };
    let detail = match told.timed_out {
        true => "its time limit passed",
        false => "",
    };
    if command.end(&end, told.timed_out, detail) {
        book.finish(command);
    }
}

/// Tells the agent to forget what is in no book: its start was never acknowledged, or its end is
/// kept already.
async fn forget(book: &Arc<Book>, id: String) {
    if let Some(link) = book.open_link().await {
        // If it does not arrive, the next connection brings it up again.
        let _ = link.sender.send(&Request::Forget { id }, None).await;
    }
}

/// Gives up what the agent does not know, but for what was sent to it since.
fn lose_unknown(book: &Arc<Book>, number: u64, known: &HashSet<CommandId>) {
    for command in book.all() {
        let is_older = command.sent_on.load(Ordering::Relaxed) < number;
        if is_older && !known.contains(&command.id) {
            lose(book, &command, "the sandbox's agent does not know it");
        }
    }
}

/// Gives a command up.
pub(super) fn lose(book: &Arc<Book>, command: &Arc<Running>, why: &str) {
    if command.end(&CommandEnd::Lost, false, why) {
        book.finish(command);
    }
}

impl Book {
    /// Opens a connection if there is anything to hear of.
    pub(super) async fn reconnect(self: &Arc<Self>) {
        for _ in 0..TRIES {
            if self.all().iter().all(|command| command.is_over()) {
                return;
            }
            if self.link().await.is_ok() {
                // Who follows asks again.
                for command in self.all() {
                    command.asked.store(false, Ordering::Relaxed);
                    command.tell();
                }
                return;
            }
            tokio::time::sleep(REST).await;
        }
        for command in self.all() {
            lose(self, &command, "the sandbox's agent cannot be reached");
        }
    }
}
