//! The spawner: a small single-threaded process that makes sandboxes on request.
//!
//! ```text
//!            Slot               Create                     report      ready pipe
//!   (free) ────────▶ slot ───────────────▶ building ─────▶ prepared ──▶ starting ──▶ running
//!                     │                        │ failed        │ Destroy     │ end       │ end
//!                     └────────────────────────┴───────────────┴─────────────┴───────────┴──▶ undo ─▶ Gone
//! ```
//!
//! It listens to the engine, to each sandbox's child while that is being built, to each ready
//! pipe, and to each PID 1's end. When the engine's end of the channel closes, it ends every
//! sandbox, gives everything back and ends itself.

mod end;
mod freeze;
mod make;

pub(super) use freeze::Motion;

use super::builder::Builder;
use super::channel::{self, ChannelError};
use super::journal::Journal;
use super::sandbox::Sandbox;
use super::source::Source;
use super::step::{Step, StepError};
use rustix::event::epoll;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use soulbox_wire::spawner::{Event, Failure, GENERATION, Init, MAX_NOTE, Request};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a sandbox may take from its clone to its ready agent. A create takes 2 ms; this only
/// ends one whose child hangs.
const CREATE_LIMIT: Duration = Duration::from_secs(20);

/// How many events are taken from Linux at once.
const EVENTS: usize = 64;

/// Runs the spawner on its channel to the engine until that closes.
///
/// # Errors
/// When it cannot even begin, or its poll set fails.
pub fn run(engine: OwnedFd) -> Result<(), StepError> {
    let init = match channel::receive::<Request>(&engine) {
        Ok((Request::Init(init), descriptors)) => (init, descriptors),
        Ok(_) | Err(ChannelError::Malformed(_)) => {
            return Err(Errno::PROTO).step(|| "begin without settings".to_owned());
        }
        Err(_) => return Ok(()),
    };
    let (builder, journal) = match begin(&init.0, init.1) {
        Ok(begun) => begun,
        Err(error) => {
            let _ = channel::send(&engine, &Event::Unable(error.failure()), &[]);
            return Err(error);
        }
    };
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).step(|| "make a poll set".to_owned())?;
    epoll::add(&poll, &engine, Source::Engine.pack(), epoll::EventFlags::IN)
        .step(|| "watch the engine".to_owned())?;
    let mut spawner = Spawner {
        engine,
        poll,
        builder,
        journal,
        sandboxes: HashMap::new(),
    };
    let hello = Event::Hello {
        generation: GENERATION.min(init.0.generation),
        not_enforced: spawner.builder.not_enforced().to_vec(),
    };
    spawner.tell(&hello, &[]);
    let result = spawner.serve();
    spawner.end_all();
    result
}

/// Settles the process and begins its journal, which comes first of all.
fn begin(init: &Init, descriptors: Vec<OwnedFd>) -> Result<(Builder, Journal), StepError> {
    let mut descriptors = descriptors.into_iter();
    let (Some(agent), Some(even), Some(odd)) =
        (descriptors.next(), descriptors.next(), descriptors.next())
    else {
        return Err(Errno::BADF).step(|| "find the agent's program and the journal".to_owned());
    };
    let journal = Journal::begin([even, odd])?;
    Ok((
        Builder::new(init, std::iter::once(agent).chain(descriptors).collect())?,
        journal,
    ))
}

struct Spawner {
    engine: OwnedFd,
    poll: OwnedFd,
    builder: Builder,
    journal: Journal,
    sandboxes: HashMap<u32, Sandbox>,
}

impl Spawner {
    fn serve(&mut self) -> Result<(), StepError> {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            let wait = self.next_deadline();
            match epoll::wait(
                &self.poll,
                rustix::buffer::spare_capacity(&mut events),
                wait.as_ref(),
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).step(|| "wait for events".to_owned()),
            }
            for event in &events {
                let source = Source::unpack(event.data);
                match source {
                    Source::Engine => {
                        if !self.on_request() {
                            return Ok(());
                        }
                    }
                    Source::Child(slot) => self.on_report(slot),
                    Source::Ready(slot) => self.on_ready(slot),
                    Source::End(slot) => self.on_end(slot),
                }
            }
            self.end_overdue();
            self.look_at_freezing();
        }
    }

    /// Answers one request; false when the engine is gone.
    fn on_request(&mut self) -> bool {
        let (request, descriptors) = match channel::receive::<Request>(&self.engine) {
            Ok(received) => received,
            Err(ChannelError::Linux(Errno::AGAIN) | ChannelError::Malformed(_)) => return true,
            Err(_) => return false,
        };
        match request {
            Request::Init(_) => {}
            Request::Slot { slot, network } => self.make_slot(slot, network),
            Request::Create(create) => self.create(&create, descriptors),
            Request::Start { slot, limits } => self.change(slot, |builder, sandbox| {
                builder.start(sandbox, &limits)?;
                Ok(None)
            }),
            Request::Limit { slot, limits } => self.change(slot, |_, sandbox| {
                sandbox.limit(&limits)?;
                Ok(Some(Event::Limited { slot }))
            }),
            Request::Kill { slot } => self.change(slot, |_, sandbox| {
                sandbox.kill_others()?;
                Ok(Some(Event::Killed { slot }))
            }),
            Request::Usage { slot } => {
                let usage = self
                    .sandboxes
                    .get(&slot)
                    .map(Sandbox::usage)
                    .unwrap_or_default();
                self.tell(&Event::Used { slot, usage }, &[]);
            }
            Request::Measure { slot } => {
                let metrics = self.sandboxes.get(&slot).map(Sandbox::metrics);
                let metrics = metrics.unwrap_or_default();
                self.tell(&Event::Measured { slot, metrics }, &[]);
            }
            Request::Freeze { slot, within_ms } => {
                self.freeze(slot, Duration::from_millis(within_ms));
            }
            Request::Thaw { slot } => self.thaw(slot),
            Request::Note { slot, text } if text.len() <= MAX_NOTE => self.journal.note(slot, text),
            Request::Note { .. } => {}
            Request::Destroy { slot } => self.destroy(slot),
        }
        true
    }

    fn refuse(&mut self, slot: u32, step: &str, errno: Errno) {
        let failure = Failure {
            step: step.to_owned(),
            errno: errno.raw_os_error(),
        };
        self.tell(&Event::Failed { slot, failure }, &[]);
    }

    /// Applies a change to a sandbox and tells its event or its failure.
    fn change(
        &mut self,
        slot: u32,
        change: impl FnOnce(&Builder, &mut Sandbox) -> Result<Option<Event>, StepError>,
    ) {
        let Some(sandbox) = self.sandboxes.get_mut(&slot) else {
            return self.refuse(slot, "change a sandbox that is not there", Errno::SRCH);
        };
        match change(&self.builder, sandbox) {
            Ok(Some(event)) => self.tell(&event, &[]),
            Ok(None) => {}
            Err(error) => self.fail(slot, error.failure()),
        }
    }

    fn tell_resolver_of(&mut self, slot: u32, event: &Event) {
        if let Some(mut sandbox) = self.sandboxes.remove(&slot) {
            self.tell_with_resolver(event, &mut sandbox);
            self.sandboxes.insert(slot, sandbox);
        }
    }

    fn tell_with_resolver(&self, event: &Event, sandbox: &mut Sandbox) {
        let resolver = sandbox.take_resolver();
        let borrowed: Vec<_> = resolver.iter().map(AsFd::as_fd).collect();
        self.tell(event, &borrowed);
    }

    /// Tells the engine. One that is gone is noticed where its requests are read.
    fn tell(&self, event: &Event, descriptors: &[rustix::fd::BorrowedFd<'_>]) {
        let _ = channel::send(&self.engine, event, descriptors);
    }
}

/// When a create that begins now is overdue.
pub(super) fn create_deadline() -> Instant {
    Instant::now() + CREATE_LIMIT
}
