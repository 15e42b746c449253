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

use super::builder::Builder;
use super::channel::{self, ChannelError};
use super::journal::{End, Ending, Journal};
use super::sandbox::{Sandbox, Stage};
use super::source::Source;
use super::step::{Step, StepError};
use rustix::event::{Timespec, epoll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use soulbox_wire::spawner::{
    Create, Event, Failure, GENERATION, Init, MAX_NOTE, Network, Request, StopAt,
};
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
            Request::Note { slot, text } if text.len() <= MAX_NOTE => self.journal.note(slot, text),
            Request::Note { .. } => {}
            Request::Destroy { slot } => self.destroy(slot),
        }
        true
    }

    fn make_slot(&mut self, slot: u32, network: Network) {
        if self.sandboxes.contains_key(&slot) {
            return self.refuse(slot, "make a slot that is taken", Errno::BUSY);
        }
        let made = self.journal.taken(slot, network);
        match made.and_then(|()| self.builder.make_slot(slot, network)) {
            Ok(mut sandbox) => {
                let event = Event::SlotReady {
                    slot,
                    phases: sandbox.take_phases(),
                };
                self.tell_with_resolver(&event, &mut sandbox);
                self.sandboxes.insert(slot, sandbox);
            }
            Err(error) => {
                self.tell(
                    &Event::Failed {
                        slot,
                        failure: error.failure(),
                    },
                    &[],
                );
                self.gone(slot, None, Vec::new());
            }
        }
    }

    fn create(&mut self, create: &Create, descriptors: Vec<OwnedFd>) {
        let slot = create.slot;
        let sandbox = match self.sandboxes.remove(&slot) {
            Some(sandbox) if sandbox.stage() == Stage::Slot => Ok(sandbox),
            Some(taken) => {
                self.sandboxes.insert(slot, taken);
                return self.refuse(slot, "make a sandbox in a slot that is taken", Errno::BUSY);
            }
            None => {
                let taken = self.journal.taken(slot, create.network);
                taken.and_then(|()| self.builder.make_slot(slot, create.network))
            }
        };
        let created = sandbox.and_then(|mut sandbox| {
            let journal = &mut self.journal;
            let result = self
                .builder
                .create(&mut sandbox, create, descriptors, journal);
            self.watch(slot, &sandbox);
            // A sandbox that failed half-way is kept until its child has ended.
            let failure = result.err();
            self.sandboxes.insert(slot, sandbox);
            failure.map_or(Ok(()), Err)
        });
        if let Err(error) = created {
            self.fail(slot, error.failure());
        }
    }

    /// Watches what a sandbox has to watch.
    fn watch(&self, slot: u32, sandbox: &Sandbox) {
        let sources = [
            (sandbox.channel(), Source::Child(slot)),
            (sandbox.ready(), Source::Ready(slot)),
            (sandbox.pidfd(), Source::End(slot)),
        ];
        for (descriptor, source) in sources {
            if let Some(descriptor) = descriptor {
                // It can fail for want of memory only; the deadline ends such a sandbox.
                let _ = epoll::add(&self.poll, descriptor, source.pack(), epoll::EventFlags::IN);
            }
        }
    }

    /// A child says that it is built, or why not; or it closed the channel by becoming the agent.
    fn on_report(&mut self, slot: u32) {
        let Some(sandbox) = self.sandboxes.get_mut(&slot) else {
            return;
        };
        match sandbox.hear() {
            Ok(Some(StopAt::Prepared)) => {
                self.journal.prepared(slot);
                let event = Event::Prepared {
                    slot,
                    phases: sandbox.take_phases(),
                };
                self.tell_resolver_of(slot, &event);
            }
            Ok(_) => {}
            Err(failure) => self.fail(slot, failure),
        }
    }

    fn on_ready(&mut self, slot: u32) {
        let Some(sandbox) = self.sandboxes.get_mut(&slot) else {
            return;
        };
        match sandbox.hear_ready() {
            Ok(Some(pid)) => {
                self.journal.running(slot);
                let event = Event::Ready {
                    slot,
                    pid,
                    phases: sandbox.take_phases(),
                };
                self.tell_resolver_of(slot, &event);
            }
            Ok(None) => {}
            Err(failure) => self.fail(slot, failure),
        }
    }

    /// PID 1 has ended, and with it every process of the sandbox.
    fn on_end(&mut self, slot: u32) {
        let Some(sandbox) = self.sandboxes.get_mut(&slot) else {
            return;
        };
        // What the child said last is still in the channel.
        if sandbox.stage() == Stage::Building {
            self.on_report(slot);
        }
        let Some(sandbox) = self.sandboxes.get_mut(&slot) else {
            return;
        };
        if !sandbox.collect() {
            return;
        }
        if matches!(
            sandbox.stage(),
            Stage::Building | Stage::Prepared | Stage::Starting
        ) {
            let failure = Failure {
                step: "start the sandbox: its first process ended".to_owned(),
                errno: 0,
            };
            self.fail(slot, failure);
        }
        self.give_back(slot);
    }

    /// Gives back what a sandbox had, whose first process has ended or never was.
    fn give_back(&mut self, slot: u32) {
        let Some(mut sandbox) = self.sandboxes.remove(&slot) else {
            return;
        };
        sandbox.settle_usage();
        if let Some(end) = sandbox.end() {
            self.journal.ended(slot, end);
        }
        let problems = sandbox.give_back();
        self.gone(slot, Some(&sandbox), problems);
    }

    /// Tells a failure once and ends what there is of the sandbox.
    fn fail(&mut self, slot: u32, failure: Failure) {
        match self.sandboxes.get_mut(&slot) {
            Some(sandbox) => {
                if sandbox.note_failure() {
                    self.tell(&Event::Failed { slot, failure }, &[]);
                }
                self.destroy(slot);
            }
            None => {
                self.tell(&Event::Failed { slot, failure }, &[]);
                self.gone(slot, None, Vec::new());
            }
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

    /// Ends a sandbox; the rest follows when PID 1 has ended.
    fn destroy(&mut self, slot: u32) {
        let Some(sandbox) = self.sandboxes.get_mut(&slot) else {
            return self.gone(slot, None, Vec::new());
        };
        if !sandbox.kill() {
            self.give_back(slot);
        }
    }

    fn gone(&mut self, slot: u32, sandbox: Option<&Sandbox>, problems: Vec<Failure>) {
        let (ran, signal, usage) = sandbox.map_or((false, 0, Default::default()), Sandbox::account);
        self.journal.back(slot, &problems);
        self.tell(
            &Event::Gone {
                slot,
                ran,
                signal,
                usage,
                problems,
            },
            &[],
        );
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

    fn next_deadline(&self) -> Option<Timespec> {
        let next = self
            .sandboxes
            .values()
            .filter_map(Sandbox::deadline)
            .min()?;
        let wait = next.saturating_duration_since(Instant::now());
        Timespec::try_from(wait).ok()
    }

    fn end_overdue(&mut self) {
        let now = Instant::now();
        let overdue: Vec<_> = self
            .sandboxes
            .iter()
            .filter(|(_, sandbox)| sandbox.deadline().is_some_and(|deadline| deadline <= now))
            .map(|(slot, _)| *slot)
            .collect();
        for slot in overdue {
            let step = format!("start the sandbox within {} s", CREATE_LIMIT.as_secs());
            self.fail(
                slot,
                Failure {
                    step,
                    errno: Errno::TIMEDOUT.raw_os_error(),
                },
            );
        }
    }

    /// Ends every sandbox and waits until all is given back.
    fn end_all(&mut self) {
        for sandbox in self.sandboxes.values_mut() {
            sandbox.kill();
        }
        for (slot, mut sandbox) in self.sandboxes.drain() {
            sandbox.collect_blocking();
            sandbox.settle_usage();
            if let Some(end) = sandbox.end() {
                let ending = Ending::EngineLost;
                self.journal.ended(slot, End { ending, ..end });
            }
            let problems = sandbox.give_back();
            self.journal.back(slot, &problems);
        }
    }
}

/// When a create that begins now is overdue.
pub(super) fn create_deadline() -> Instant {
    Instant::now() + CREATE_LIMIT
}
