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
//! sandbox, gives everything back and ends itself; or, if it is to last, goes on with those that
//! somebody was given until another engine comes or the last of them has ended.

mod deadline;
mod end;
mod freeze;
mod lasting;
mod make;
mod zygote;

pub(super) use freeze::Motion;
pub(super) use zygote::Broker;

use super::builder::Builder;
use super::channel::{self, ChannelError};
use super::journal::Journal;
use super::sandbox::Sandbox;
use super::source::Source;
use super::step::{Step, StepError};
use deadline::Deadlines;
use lasting::{Lasting, is_readable};
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

/// Runs the spawner on its channel to the engine until that closes, or longer if it was told to.
///
/// # Errors
/// When it cannot even begin, or its poll set fails.
pub fn run(engine: OwnedFd) -> Result<(), StepError> {
    let (init, descriptors) = match channel::receive::<Request>(&engine) {
        Ok((Request::Init(init), descriptors)) => (init, descriptors),
        Ok(_) | Err(ChannelError::Malformed(_)) => {
            return Err(Errno::PROTO).step(|| "begin without settings".to_owned());
        }
        Err(_) => return Ok(()),
    };
    let mut spawner = match begin(&init, descriptors) {
        Ok(begun) => begun,
        Err(error) => {
            let _ = channel::send(&engine, &Event::Unable(error.failure()), &[]);
            return Err(error);
        }
    };
    spawner.meet(engine)?;
    let hello = Event::Hello {
        generation: GENERATION.min(init.generation),
        not_enforced: spawner.builder.not_enforced().to_vec(),
    };
    spawner.tell(&hello, &[]);
    let result = spawner.serve();
    spawner.end_all();
    result
}

/// Settles the process and begins its journal, which comes first of all.
fn begin(init: &Init, descriptors: Vec<OwnedFd>) -> Result<Spawner, StepError> {
    let mut descriptors = descriptors.into_iter();
    let (Some(agent), Some(even), Some(odd)) =
        (descriptors.next(), descriptors.next(), descriptors.next())
    else {
        return Err(Errno::BADF).step(|| "find the agent's program and the journal".to_owned());
    };
    let journal = Journal::begin([even, odd])?;
    let storage = if init.storage {
        descriptors.next()
    } else {
        None
    };
    let lasting = match init.lasting {
        true => Some(Lasting::begin(descriptors)?),
        false => None,
    };
    let made_of = std::iter::once(agent).chain(storage).collect();
    let builder = Builder::new(init, made_of)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).step(|| "make a poll set".to_owned())?;
    let deadlines = Deadlines::begin()?;
    let mut sources = vec![(deadlines.timer(), Source::Timer)];
    sources.extend(lasting.iter().map(|l| (l.listener(), Source::Listener)));
    for (descriptor, source) in sources {
        epoll::add(&poll, descriptor, source.pack(), epoll::EventFlags::IN)
            .step(|| "watch timer and socket".to_owned())?;
    }
    Ok(Spawner {
        engine: None,
        poll,
        builder,
        journal,
        sandboxes: HashMap::new(),
        lasting,
        deadlines,
    })
}

struct Spawner {
    engine: Option<OwnedFd>,
    poll: OwnedFd,
    builder: Builder,
    journal: Journal,
    sandboxes: HashMap<u32, Sandbox>,
    /// What it needs to outlive its engine, if it is to.
    lasting: Option<Lasting>,
    deadlines: Deadlines,
}

/// Whether to go on after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// With this engine.
    On,
    /// Without it.
    Engineless,
    /// Not at all.
    End,
}

impl Spawner {
    fn serve(&mut self) -> Result<(), StepError> {
        let mut events = Vec::with_capacity(EVENTS);
        while !self.is_forsaken() {
            self.deadlines.arm();
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
                match Source::unpack(event.data) {
                    Source::Engine => match self.on_request() {
                        Next::On => {}
                        Next::Engineless if self.lasting.is_some() => self.part(),
                        Next::Engineless | Next::End => return Ok(()),
                    },
                    Source::Listener => self.on_connect(),
                    Source::Timer => self.deadlines.disarm(),
                    Source::Child(slot) => self.on_report(slot),
                    Source::Ready(slot) => self.on_ready(slot),
                    Source::End(slot) => self.on_end(slot),
                    Source::Broker(slot) => self.on_broker(slot),
                }
            }
            self.act_on_deadlines();
            self.end_overdue();
            self.end_hanging_zygotes();
            self.look_at_freezing();
        }
        Ok(())
    }

    /// Answers one request.
    fn on_request(&mut self) -> Next {
        let Some(engine) = self.engine.as_ref() else {
            return Next::On;
        };
        // What is told of may be the end of an engine before.
        if self.lasting.is_some() && !is_readable(engine) {
            return Next::On;
        }
        let (request, descriptors) = match channel::receive::<Request>(engine) {
            Ok(received) => received,
            Err(ChannelError::Linux(Errno::AGAIN) | ChannelError::Malformed(_)) => return Next::On,
            Err(_) => return Next::Engineless,
        };
        match request {
            Request::Init(_) => {}
            Request::Adopt { generation } => self.adopted_by(generation),
            Request::Leave => return Next::Engineless,
            Request::End => return Next::End,
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
            Request::Deadline { slot, deadline } => self.set_deadline(slot, deadline),
            Request::Note { slot, answer, text } => self.note(slot, text, answer),
            Request::Zygote(zygote) => self.start_zygote(&zygote, descriptors),
            Request::Join(join) => self.join(&join, descriptors),
            Request::Destroy { slot } => self.destroy(slot),
        }
        Next::On
    }

    fn note(&mut self, slot: u32, text: String, answer: bool) {
        if text.len() <= MAX_NOTE {
            self.journal.note(slot, text);
        }
        if answer {
            self.tell(&Event::Noted { slot }, &[]);
        }
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
        let resolver = sandbox.take_resolver(self.lasting.is_some());
        let borrowed: Vec<_> = resolver.iter().map(AsFd::as_fd).collect();
        self.tell(event, &borrowed);
    }

    /// Tells the engine. One that is gone is noticed where its requests are read.
    fn tell(&self, event: &Event, descriptors: &[rustix::fd::BorrowedFd<'_>]) {
        let Some(engine) = &self.engine else {
            return;
        };
        let told = channel::send(engine, event, descriptors);
        if let Err(ChannelError::Linux(Errno::AGAIN)) = told {
            // It has not read for long. It must not go on as if it knew everything.
            let _ = rustix::net::shutdown(engine, rustix::net::Shutdown::Both);
        }
    }
}

/// When a create that begins now is overdue.
pub(super) fn create_deadline() -> Instant {
    Instant::now() + CREATE_LIMIT
}
