//! The connection on which the host asks for recorded commands and hears of them.

use crate::commands::outbox::Outbox;
use crate::commands::start;
use crate::framed::{self, Frames};
use crate::process::signal;
use crate::state::Agent;
use rustix::fd::{AsFd as _, OwnedFd};
use soulbox_wire::commands::{Event, MAX_REQUEST, PREFACE, Request, Start};
use soulbox_wire::connect::{Code, RpcError};
use std::io;
use std::rc::Rc;
use tokio::net::UnixStream;

/// Bytes that are read at once.
const PIECE: usize = 8 * 1024;
/// Frames that may wait for being sent before no more requests are read.
const WAITING: usize = 64;

/// Whether a connection that was just accepted is for commands; waits for its first bytes.
pub(crate) async fn is_wanted(stream: &UnixStream) -> bool {
    framed::begins_with(stream, PREFACE).await
}

/// Serves a connection for commands until either side ends it.
pub(crate) async fn serve(agent: Rc<Agent>, stream: UnixStream) {
    let outbox = Rc::new(Outbox::default());
    agent.commands.attach(Rc::clone(&outbox));
    // How it ends is the other side's affair; commands go on.
    let _: io::Result<()> = tokio::select! {
        read = read(&agent, &stream, &outbox) => read,
        written = write(&stream, &outbox) => written,
    };
    agent.commands.detach(&outbox);
}

async fn read(agent: &Rc<Agent>, stream: &UnixStream, outbox: &Outbox) -> io::Result<()> {
    let mut frames = Frames::new(stream, PREFACE, MAX_REQUEST, PIECE);
    loop {
        while outbox.waiting() > WAITING {
            outbox.taken.notified().await;
        }
        // Once there is a newer connection, nothing that comes on this one is done.
        if !frames.fill().await? || outbox.is_closed() {
            return Ok(());
        }
        while let Some((request, file)) = frames.next(Request::has_descriptor)? {
            act(agent, outbox, request, file);
        }
    }
}

async fn write(stream: &UnixStream, outbox: &Outbox) -> io::Result<()> {
    while !outbox.is_closed() {
        match outbox.take() {
            Some(letter) => {
                let file = letter.file_of.as_ref().map(|command| command.log.as_fd());
                framed::send(stream, &letter.frame, file).await?;
            }
            None => outbox.filled.notified().await,
        }
    }
    Ok(())
}

fn act(agent: &Rc<Agent>, outbox: &Outbox, request: Request, file: Option<OwnedFd>) {
    match request {
        Request::Start(request) => outbox.tell(&begin(agent, *request, file)),
        Request::Follow { id } => {
            if let Some(command) = agent.commands.find(&id) {
                command.followed.set(true);
            }
        }
        Request::Signal {
            call,
            id,
            signal,
            group,
        } => {
            let error = signal::send_to(agent, &id, signal, group).err();
            outbox.tell(&Event::Done { call, error });
        }
        Request::Forget { id } => agent.commands.forget(&id),
        Request::Recall => {
            for command in agent.commands.all() {
                let known = Event::Known {
                    id: command.id.clone(),
                    pid: command.pid.get(),
                    end: command.end.borrow().clone(),
                };
                outbox.hand_over(&known, &command);
            }
            outbox.tell(&Event::Recalled);
        }
    }
}

fn begin(agent: &Rc<Agent>, request: Start, file: Option<OwnedFd>) -> Event {
    let id = request.id.clone();
    let missing = || RpcError::new(Code::InvalidArgument, "there is no file for output");
    let started = file.ok_or_else(missing);
    match started.and_then(|file| start::start(agent, request, file)) {
        Ok(pid) => Event::Started { id, pid },
        Err(error) => Event::Refused { id, error },
    }
}
