//! Letting sandboxes stand still, and go on.
//!
//! The spawner never waits for one of them: it looks at those that are about to stand still now
//! and then, and lets them go on when they take too long.

use super::super::cgroup::Freezer;
use super::super::sandbox::{Sandbox, Stage};
use super::super::step::StepError;
use super::Spawner;
use soulbox_wire::spawner::{Event, Refusal};
use std::time::{Duration, Instant};

/// How often a sandbox is looked at that is about to stand still. Most do at once.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Whether a sandbox stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::native) enum Motion {
    /// It runs.
    Going,
    /// It was told to stand still, and goes on at this time if it does not. At a deadline it was
    /// told for good.
    Stopping(Option<Instant>),
    /// It stands still.
    Frozen,
}

impl Spawner {
    pub(super) fn freeze(&mut self, slot: u32, within: Duration) {
        let begun = match self.sandboxes.get_mut(&slot) {
            Some(sandbox) => sandbox.begin_freeze(Instant::now().checked_add(within)),
            None => Err(Refusal::NotRunning),
        };
        match begun {
            Ok(()) => self.look_at(slot),
            Err(why) => self.tell(&Event::Refused { slot, why }, &[]),
        }
    }

    pub(super) fn thaw(&mut self, slot: u32) {
        let thawed = match self.sandboxes.get_mut(&slot) {
            Some(sandbox) if sandbox.motion == Motion::Frozen => sandbox
                .thaw()
                .map_err(|error| Refusal::Linux(error.failure())),
            Some(sandbox) if sandbox.stage() == Stage::Running => Err(Refusal::NotFrozen),
            _ => Err(Refusal::NotRunning),
        };
        let event = match thawed {
            Ok(()) => Event::Thawed { slot },
            Err(why) => Event::Refused { slot, why },
        };
        self.tell(&event, &[]);
    }

    /// Its deadline came. Where nothing can freeze it, it ends.
    pub(super) fn pause_at_deadline(&mut self, slot: u32) {
        let begun = match self.sandboxes.get_mut(&slot) {
            Some(sandbox) => sandbox.begin_freeze(None),
            None => return,
        };
        match begun {
            Ok(()) => self.look_at(slot),
            Err(Refusal::Frozen | Refusal::NotRunning) => {}
            Err(_) => self.expire(slot),
        }
    }

    /// When a sandbox is to be looked at that is about to stand still.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let stopping = |sandbox: &Sandbox| matches!(sandbox.motion, Motion::Stopping(_));
        let any = self.sandboxes.values().any(stopping);
        any.then(|| Instant::now() + LOOK_EVERY)
    }

    /// Looks at those that are about to stand still.
    pub(super) fn look_at_freezing(&mut self) {
        let stopping = |(slot, sandbox): (&u32, &Sandbox)| {
            matches!(sandbox.motion, Motion::Stopping(_)).then_some(*slot)
        };
        let slots: Vec<_> = self.sandboxes.iter().filter_map(stopping).collect();
        slots.into_iter().for_each(|slot| self.look_at(slot));
    }

    fn look_at(&mut self, slot: u32) {
        let Some(sandbox) = self.sandboxes.get_mut(&slot) else {
            return;
        };
        let Motion::Stopping(until) = sandbox.motion else {
            return;
        };
        let event = if sandbox.group.is_frozen() {
            sandbox.motion = Motion::Frozen;
            match until {
                Some(_) => Event::Frozen { slot },
                None => Event::Paused { slot },
            }
        } else if until.is_some_and(|until| until <= Instant::now()) {
            // It was just written to, so it can be again; a sandbox that stayed half-frozen
            // could still be ended.
            let _ = sandbox.thaw();
            let why = Refusal::TooSlow;
            Event::Refused { slot, why }
        } else {
            return;
        };
        self.tell(&event, &[]);
    }
}

impl Sandbox {
    fn begin_freeze(&mut self, until: Option<Instant>) -> Result<(), Refusal> {
        if self.stage() != Stage::Running {
            return Err(Refusal::NotRunning);
        }
        if self.motion != Motion::Going {
            return Err(Refusal::Frozen);
        }
        if self.group.freezer().is_none() {
            return Err(Refusal::NoFreezer);
        }
        let begun = self.group.freeze();
        begun.map_err(|error| Refusal::Linux(error.failure()))?;
        self.motion = Motion::Stopping(until);
        Ok(())
    }

    fn thaw(&mut self) -> Result<(), StepError> {
        self.group.thaw()?;
        self.motion = Motion::Going;
        Ok(())
    }

    /// Lets a frozen sandbox come to the end that it was told: on v1 nothing that is frozen ends.
    pub(in crate::native) fn thaw_to_end(&mut self) {
        if self.motion != Motion::Going && self.group.freezer() == Some(Freezer::V1) {
            let _ = self.group.thaw();
        }
        self.motion = Motion::Going;
    }
}
