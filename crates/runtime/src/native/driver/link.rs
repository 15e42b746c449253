//! The socket to the spawner: requests out, events in, each to the slot that it is about.

use super::{DriverError, Entry, Gone, Reply, Shared};
use crate::native::channel::{self, ChannelError};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use soulbox_wire::spawner::{Event, Request};
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// A socket as tokio watches it. Only its readiness is used: reads and writes keep packets and
/// descriptors together.
pub(super) fn socket(channel: OwnedFd) -> Result<UnixStream, DriverError> {
    let stream = std::os::unix::net::UnixStream::from(channel);
    stream.set_nonblocking(true).map_err(DriverError::Spawn)?;
    UnixStream::from_std(stream).map_err(DriverError::Spawn)
}

/// Receives the next event.
pub(super) async fn receive(socket: &UnixStream) -> Result<(Event, Vec<OwnedFd>), ChannelError> {
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
pub(super) async fn serve(
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
    if slots.left {
        // What is in use goes on, and nobody is told that it ended.
        drop(slots);
        shared.lost.send_replace(true);
        return;
    }
    let entries = std::mem::take(&mut slots.entries);
    drop(slots);
    // Before anybody hears of an end: whoever asks for a sandbox then gets another spawner.
    shared.lost.send_replace(true);
    for (_, mut entry) in entries {
        answer(&mut entry, Err(DriverError::SpawnerGone));
        end(entry, Gone::with_the_spawner());
    }
    shared.empty.notify_waiters();
}

/// Tells a slot's end and gives back what it held of the engine.
fn end(entry: Entry, gone: Gone) {
    entry.kept.give_back(gone.is_clean());
    entry.gone.send_replace(Some(gone));
}

fn answer(entry: &mut Entry, reply: Reply) {
    if let Some(waiting) = entry.waiting.take() {
        // Whoever waited may have gone away meanwhile.
        let _ = waiting.send(reply);
    }
}

fn refuse(shared: &Shared, request: &Request, error: ChannelError) {
    let (slot, joins) = match request {
        Request::Create(create) => (create.slot, false),
        Request::Zygote(zygote) => (zygote.slot, false),
        Request::Join(join) => (join.slot, true),
        _ => return,
    };
    let mut slots = shared.slots();
    match slots.entries.get_mut(&slot) {
        // Whoever waits for it hears that it is dropped.
        Some(entry) if joins => drop(entry.joining.take()),
        Some(entry) => answer(entry, Err(DriverError::TooLarge(error))),
        None => {}
    }
}

fn dispatch(shared: &Shared, event: Event, descriptors: Vec<OwnedFd>) {
    let slot = match &event {
        Event::Hello { .. }
        | Event::Unable(_)
        | Event::Busy
        | Event::Adopted { .. }
        | Event::Held { .. } => return,
        Event::SlotReady { slot, .. }
        | Event::Prepared { slot, .. }
        | Event::Ready { slot, .. }
        | Event::Failed { slot, .. }
        | Event::Limited { slot }
        | Event::Killed { slot }
        | Event::Used { slot, .. }
        | Event::Measured { slot, .. }
        | Event::Frozen { slot }
        | Event::Thawed { slot }
        | Event::Paused { slot }
        | Event::DeadlineSet { slot }
        | Event::Noted { slot }
        | Event::Refused { slot, .. }
        | Event::ZygoteReady { slot, .. }
        | Event::Joined { slot, .. }
        | Event::NotJoined { slot, .. }
        | Event::Gone { slot, .. } => *slot,
    };
    let mut slots = shared.slots();
    match event {
        Event::Gone {
            ran,
            cause,
            code,
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
            let gone = Gone {
                ran,
                cause,
                code,
                signal,
                usage,
                problems,
                lost: false,
            };
            end(entry, gone);
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
            let Some(entry) = slots.entries.get_mut(&slot) else {
                return;
            };
            match event {
                Event::Frozen { .. } | Event::Paused { .. } => _ = entry.paused.send_replace(true),
                Event::Thawed { .. } => _ = entry.paused.send_replace(false),
                Event::Joined { .. } | Event::NotJoined { .. } => {
                    if let Some(joining) = entry.joining.take() {
                        // Whoever waited may have gone away meanwhile.
                        let _ = joining.send(Ok((event, descriptors)));
                    }
                    return;
                }
                _ => {}
            }
            if !matches!(event, Event::Paused { .. }) {
                answer(entry, Ok((event, descriptors)));
            }
        }
    }
}
