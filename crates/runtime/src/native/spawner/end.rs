//! Ends: those that were asked for, those that came by themselves, and those that are overdue.

use super::super::journal::{End, Ending};
use super::super::sandbox::{Sandbox, Stage};
use super::{CREATE_LIMIT, Spawner};
use rustix::event::Timespec;
use rustix::io::Errno;
use soulbox_wire::spawner::{Cause, Event, Failure, Usage};
use std::time::Instant;

impl Spawner {
    /// PID 1 has ended, and with it every process of the sandbox.
    pub(super) fn on_end(&mut self, slot: u32) {
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
    pub(super) fn give_back(&mut self, slot: u32) {
        self.forsake(slot);
        let Some(mut sandbox) = self.sandboxes.remove(&slot) else {
            return;
        };
        self.deadlines.forget(slot, sandbox.expiry);
        sandbox.settle_usage();
        if let Some(end) = sandbox.end() {
            self.journal.ended(slot, end);
        }
        let problems = sandbox.give_back();
        self.gone(slot, Some(&sandbox), problems);
    }

    /// Tells a failure once and ends what there is of the sandbox.
    pub(super) fn fail(&mut self, slot: u32, failure: Failure) {
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

    /// Ends a sandbox; the rest follows when PID 1 has ended.
    pub(super) fn destroy(&mut self, slot: u32) {
        let Some(sandbox) = self.sandboxes.get_mut(&slot) else {
            return self.gone(slot, None, Vec::new());
        };
        if !sandbox.kill() {
            self.give_back(slot);
        }
    }

    pub(super) fn gone(&mut self, slot: u32, sandbox: Option<&Sandbox>, problems: Vec<Failure>) {
        self.journal.back(slot, &problems);
        // Told again to an engine that asks later: until it is cleared, its number is not free.
        let problems = match &mut self.lasting {
            Some(lasting) => lasting.problems(slot, problems),
            None => problems,
        };
        let event = sandbox.map_or_else(
            || Event::Gone {
                slot,
                ran: false,
                cause: Cause::Failed,
                code: None,
                signal: 0,
                usage: Usage::default(),
                problems: problems.clone(),
            },
            |sandbox| sandbox.account(problems.clone()),
        );
        self.tell(&event, &[]);
    }

    pub(super) fn next_deadline(&self) -> Option<Timespec> {
        let overdue = self.sandboxes.values().filter_map(Sandbox::deadline);
        let zygotes = self.sandboxes.values().filter_map(|s| s.broker.as_ref());
        let joins = zygotes.filter_map(super::Broker::deadline);
        let next = overdue.chain(joins).chain(self.next_look()).min()?;
        let wait = next.saturating_duration_since(Instant::now());
        Timespec::try_from(wait).ok()
    }

    pub(super) fn end_overdue(&mut self) {
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
    pub(super) fn end_all(&mut self) {
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
