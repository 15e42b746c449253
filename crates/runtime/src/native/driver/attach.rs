//! Taking over a spawner that has outlived its engine.

use super::process::Process;
use super::{DriverError, NativeDriver, link};
use crate::native::channel::{self, ChannelError};
use crate::native::identity::Identity;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with, sockopt,
};
use soulbox_wire::spawner::{Deadline, Event, GENERATION, LASTING, Request};
use std::path::Path;
use tokio::net::UnixStream;

/// A spawner that cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Nobody listens: it has ended.
    #[error("no spawner listens")]
    Absent,
    /// Another engine works with it.
    #[error("another engine works with the spawner (process {0})")]
    Busy(u32),
    /// Another user's process listens there.
    #[error("the process that listens belongs to another user")]
    Stranger,
    /// Linux refused.
    #[error("cannot connect to the spawner")]
    Linux(#[source] Errno),
    /// It does not answer as it should.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// A spawner that was taken over.
pub struct Attached {
    /// The way to it.
    pub driver: NativeDriver,
    /// What runs.
    pub held: Vec<Held>,
    /// The locks by which the engine is known to live.
    pub locks: Vec<OwnedFd>,
}

/// A sandbox that runs.
#[derive(Debug)]
pub struct Held {
    /// Its slot.
    pub slot: u32,
    /// The host's process id of its PID 1.
    pub pid: u32,
    /// What the engine before wrote down.
    pub note: String,
    /// Whether it stands still.
    pub paused: bool,
    /// When the spawner acts.
    pub deadline: Option<Deadline>,
    /// UDP and TCP socket of its resolver, when it has internet.
    pub resolver: Vec<OwnedFd>,
}

impl NativeDriver {
    /// Makes the socket at `path` at which engines will find a spawner, in place of what is there.
    ///
    /// # Errors
    /// Linux's own.
    pub fn meeting_place(path: &Path) -> Result<OwnedFd, Errno> {
        match rustix::fs::unlink(path) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        let socket = packet_socket()?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        rustix::fs::chmod(path, rustix::fs::Mode::from(0o600))?;
        Ok(socket)
    }

    /// Takes over the spawner that listens at `path`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`AttachError`]; what runs goes on.
    pub async fn attach(path: &Path) -> Result<Attached, AttachError> {
        let (channel, process) = reach(path)?;
        let socket = link::socket(channel)?;
        match receive(&socket).await? {
            (Event::Hello { .. }, _) => {}
            (Event::Busy, _) => return Err(AttachError::Busy(process.pid)),
            _ => return Err(DriverError::SpawnerGone.into()),
        }
        let generation = GENERATION;
        channel::send(&socket, &Request::Adopt { generation }, &[])
            .map_err(|_| DriverError::SpawnerGone)?;
        let (not_enforced, count, locks) = loop {
            match receive(&socket).await? {
                (
                    Event::Adopted {
                        generation,
                        not_enforced,
                        held,
                    },
                    locks,
                ) if (LASTING..=GENERATION).contains(&generation) => {
                    break (not_enforced, held, locks);
                }
                (Event::Adopted { generation, .. }, _) => {
                    return Err(DriverError::Generation(generation).into());
                }
                // What was in the engine's pools and nobody had been given ends just now.
                _ => {}
            }
        };
        let mut held = Vec::new();
        for _ in 0..count {
            let (event, resolver) = receive(&socket).await?;
            let Event::Held {
                slot,
                pid,
                note,
                frozen,
                deadline,
            } = event
            else {
                return Err(DriverError::SpawnerGone.into());
            };
            held.push(Held {
                slot,
                pid,
                note,
                paused: frozen,
                deadline,
                resolver,
            });
        }
        let driver = Self::serving(socket, Process::Other(process), not_enforced, true);
        Ok(Attached {
            driver,
            held,
            locks,
        })
    }
}

async fn receive(socket: &UnixStream) -> Result<(Event, Vec<OwnedFd>), DriverError> {
    let received = link::receive(socket).await;
    received.map_err(|error: ChannelError| {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "the spawner does not answer");
        DriverError::SpawnerGone
    })
}

fn packet_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

/// Connects, and tells who listens.
fn reach(path: &Path) -> Result<(OwnedFd, Identity), AttachError> {
    let socket = packet_socket().map_err(AttachError::Linux)?;
    let address = SocketAddrUnix::new(path).map_err(AttachError::Linux)?;
    connect(&socket, &address).map_err(|errno| match errno {
        Errno::NOENT | Errno::CONNREFUSED => AttachError::Absent,
        errno => AttachError::Linux(errno),
    })?;
    let peer = sockopt::socket_peercred(&socket).map_err(AttachError::Linux)?;
    if peer.uid != rustix::process::geteuid() {
        return Err(AttachError::Stranger);
    }
    let pid = u32::try_from(peer.pid.as_raw_nonzero().get()).unwrap_or(0);
    let process = Identity::of(pid).ok_or(AttachError::Absent)?;
    Ok((socket, process))
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_wire::spawner::{Cause, Usage};

    /// A spawner that ends what was in the pools of the engine before.
    fn spawner(listener: &OwnedFd) {
        let engine = rustix::net::accept(listener).unwrap();
        let say = |event: &Event| channel::send(&engine, event, &[]).unwrap();
        say(&Event::Hello {
            generation: GENERATION,
            not_enforced: Vec::new(),
        });
        say(&Event::Gone {
            slot: 7,
            ran: false,
            cause: Cause::default(),
            code: None,
            signal: 9,
            usage: Usage::default(),
            problems: Vec::new(),
        });
        let (asked, _) = channel::receive::<Request>(&engine).unwrap();
        assert!(matches!(asked, Request::Adopt { .. }));
        say(&Event::Adopted {
            generation: GENERATION,
            not_enforced: vec!["cpu".to_owned()],
            held: 0,
        });
        // Until the engine leaves.
        let _ = channel::receive::<Request>(&engine);
    }

    #[tokio::test]
    async fn what_ends_meanwhile_does_not_keep_an_engine_from_taking_over() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("spawner");
        let listener = NativeDriver::meeting_place(&place).unwrap();
        rustix::net::listen(&listener, 1).unwrap();
        let spawner = std::thread::spawn(move || spawner(&listener));
        let attached = NativeDriver::attach(&place).await.unwrap();
        assert_eq!(attached.driver.not_enforced(), ["cpu"]);
        assert!(attached.held.is_empty());
        attached.driver.leave().await;
        drop(attached);
        spawner.join().unwrap();
    }
}
