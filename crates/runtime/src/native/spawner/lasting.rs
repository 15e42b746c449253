//! Outliving the engine, and the next one.
//!
//! ```text
//! engine ─ Init ─▶ working ─ channel closes, Leave ─▶ alone ─ connect, Adopt ─▶ working
//!                                                        └─ last sandbox ends ─▶ end
//! ```
//!
//! One engine at a time: another one that connects is told so, unless the one before is gone.
//! Whoever connects must be the same user; the socket lies where nobody else can go.

use super::super::channel;
use super::super::sandbox::{Sandbox, Stage};
use super::super::source::Source;
use super::super::step::{Step, StepError};
use super::{Motion, Spawner};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with, listen, sockopt};
use soulbox_wire::spawner::{Event, Failure, GENERATION};
use std::collections::HashMap;
use std::time::Duration;

/// How many engines wait for their turn to connect.
const WAITING: i32 = 4;

/// How many bytes of events may wait for an engine that does not read: some eight thousand.
/// Linux allows less to ordinary users.
const EVENTS_WAITING: usize = 8 * 1024 * 1024;

/// How long an engine that does not read may hold the spawner up before it is left to itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a spawner needs to outlive its engine.
pub(super) struct Lasting {
    listener: OwnedFd,
    /// By them the engine and its directories are known to be alive.
    locks: Vec<OwnedFd>,
    /// What could not be given back of slots.
    problems: HashMap<u32, Vec<Failure>>,
}

impl Lasting {
    /// Listens. The first descriptor is the bound socket, the rest are locks.
    pub(super) fn begin(mut descriptors: impl Iterator<Item = OwnedFd>) -> Result<Self, StepError> {
        let listener = descriptors.next().ok_or(Errno::BADF);
        let listener = listener.step(|| "find the socket for engines".to_owned())?;
        // Here, so that those who connect see whose socket it is.
        listen(&listener, WAITING).step(|| "listen for engines".to_owned())?;
        rustix::io::ioctl_fionbio(&listener, true).step(|| "listen for engines".to_owned())?;
        Ok(Self {
            listener,
            locks: descriptors.collect(),
            problems: HashMap::new(),
        })
    }

    pub(super) fn listener(&self) -> &OwnedFd {
        &self.listener
    }
}

impl Lasting {
    /// What could not be given back of a slot, now or before.
    pub(super) fn problems(&mut self, slot: u32, new: Vec<Failure>) -> Vec<Failure> {
        if !new.is_empty() {
            self.problems.insert(slot, new);
        }
        self.problems.get(&slot).cloned().unwrap_or_default()
    }
}

/// Whether there is something to be read, be it the end.
pub(super) fn is_readable(channel: &OwnedFd) -> bool {
    let mut watched = [PollFd::new(channel, PollFlags::IN)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    matches!(poll(&mut watched, Some(&at_once)), Ok(n) if n > 0)
}

/// Whether the other side is gone.
fn is_closed(channel: &OwnedFd) -> bool {
    let mut watched = [PollFd::new(channel, PollFlags::empty())];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let told = poll(&mut watched, Some(&at_once));
    let [watched] = watched;
    told.is_ok()
        && watched
            .revents()
            .intersects(PollFlags::HUP | PollFlags::ERR)
}

impl Spawner {
    /// Works for an engine from now on.
    pub(super) fn meet(&mut self, engine: OwnedFd) -> Result<(), StepError> {
        if self.lasting.is_some() {
            // One that hangs must not keep deadlines from being kept. What Linux refuses here only
            // makes that less sure.
            let _ = sockopt::set_socket_send_buffer_size_force(&engine, EVENTS_WAITING);
            let _ = sockopt::set_socket_timeout(&engine, sockopt::Timeout::Send, Some(PATIENCE));
        }
        let flags = epoll::EventFlags::IN;
        epoll::add(&self.poll, &engine, Source::Engine.pack(), flags)
            .step(|| "watch the engine".to_owned())?;
        self.engine = Some(engine);
        Ok(())
    }

    /// The engine is gone. Ends what nobody was given.
    pub(super) fn part(&mut self) {
        if let Some(engine) = self.engine.take() {
            // Copies of it may live in children that are just being made.
            let _ = epoll::delete(&self.poll, &engine);
        }
        let unknown = |(slot, sandbox): (&u32, &Sandbox)| {
            let given = sandbox.stage() == Stage::Running && self.journal.note_of(*slot).is_some();
            (!given).then_some(*slot)
        };
        let unknown: Vec<_> = self.sandboxes.iter().filter_map(unknown).collect();
        unknown.into_iter().for_each(|slot| self.destroy(slot));
    }

    /// Whether neither an engine nor a sandbox is left.
    pub(super) fn is_forsaken(&self) -> bool {
        self.engine.is_none() && self.sandboxes.is_empty()
    }

    /// An engine connects.
    pub(super) fn on_connect(&mut self) {
        let Some(lasting) = &self.lasting else {
            return;
        };
        let Ok(newcomer) = accept_with(&lasting.listener, SocketFlags::CLOEXEC) else {
            return;
        };
        let me = rustix::process::geteuid();
        if sockopt::socket_peercred(&newcomer).map(|peer| peer.uid) != Ok(me) {
            return;
        }
        if let Some(engine) = &self.engine {
            if !is_closed(engine) {
                let _ = channel::send(&newcomer, &Event::Busy, &[]);
                return;
            }
            // Its end is not read yet.
            self.part();
        }
        if self.meet(newcomer).is_ok() {
            // Only now it asks: what nobody reads when a channel closes would take the answer along.
            let hello = Event::Hello {
                generation: GENERATION,
                not_enforced: self.builder.not_enforced().to_vec(),
            };
            self.tell(&hello, &[]);
        }
    }

    /// Tells the engine what there is.
    pub(super) fn adopted_by(&mut self, generation: u32) {
        let Some(lasting) = &self.lasting else {
            return;
        };
        let runs = |sandbox: &&mut Sandbox| sandbox.stage() == Stage::Running;
        let mut held = Vec::new();
        for sandbox in self.sandboxes.values_mut().filter(runs) {
            let Some(note) = self.journal.note_of(sandbox.slot) else {
                continue;
            };
            let event = Event::Held {
                slot: sandbox.slot,
                pid: sandbox.pid(),
                note: note.to_owned(),
                frozen: sandbox.motion == Motion::Frozen,
                deadline: sandbox.expiry,
            };
            held.push((event, sandbox.copy_resolver()));
        }
        let adopted = Event::Adopted {
            generation: GENERATION.min(generation),
            not_enforced: self.builder.not_enforced().to_vec(),
            held: u32::try_from(held.len()).unwrap_or(u32::MAX),
        };
        let locks: Vec<_> = lasting.locks.iter().map(AsFd::as_fd).collect();
        self.tell(&adopted, &locks);
        for (event, resolver) in &held {
            let resolver: Vec<_> = resolver.iter().map(AsFd::as_fd).collect();
            self.tell(event, &resolver);
        }
    }
}
