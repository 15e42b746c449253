//! Making slots and sandboxes, and what their first processes say meanwhile.

use super::super::sandbox::{Sandbox, Stage};
use super::super::source::Source;
use super::Spawner;
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use soulbox_wire::spawner::{Create, Event, Network, StopAt};

impl Spawner {
    pub(super) fn make_slot(&mut self, slot: u32, network: Network) {
        if self.sandboxes.contains_key(&slot) {
            return self.refuse(slot, "make a slot that is taken", Errno::BUSY);
        }
        let made = self.journal.taken(slot, network);
        match made.and_then(|()| self.builder.make_slot(slot, network, None)) {
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

    pub(super) fn create(&mut self, create: &Create, descriptors: Vec<OwnedFd>) {
        let slot = create.slot;
        let sandbox = match self.sandboxes.remove(&slot) {
            Some(sandbox) if sandbox.stage() == Stage::Slot => Ok(sandbox),
            Some(taken) => {
                self.sandboxes.insert(slot, taken);
                return self.refuse(slot, "make a sandbox in a slot that is taken", Errno::BUSY);
            }
            None => {
                let taken = self.journal.taken(slot, create.network);
                taken.and_then(|()| {
                    let joined_by = create.joinable.then_some(create.owner);
                    self.builder.make_slot(slot, create.network, joined_by)
                })
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
    pub(super) fn watch(&self, slot: u32, sandbox: &Sandbox) {
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
        self.watch_broker(slot, sandbox);
    }

    /// A child says that it is built, or why not; or it closed the channel by becoming the agent.
    pub(super) fn on_report(&mut self, slot: u32) {
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

    pub(super) fn on_ready(&mut self, slot: u32) {
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
}
