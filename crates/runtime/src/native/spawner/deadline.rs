//! What the spawner does by itself at a time, whether an engine is there or not.

use super::super::sandbox::{Sandbox, Stage};
use super::super::step::{Step, StepError};
use super::Spawner;
use rustix::fd::OwnedFd;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use soulbox_wire::spawner::{Deadline, Event, Refusal, Then};
use std::collections::BTreeSet;

/// The deadlines of all sandboxes, and a timer for the next one.
pub(super) struct Deadlines {
    timer: OwnedFd,
    all: BTreeSet<(u64, u32)>,
    /// What the timer is set to.
    armed: Option<u64>,
}

impl Deadlines {
    pub(super) fn begin() -> Result<Self, StepError> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags)
            .step(|| "make a timer for deadlines".to_owned())?;
        Ok(Self {
            timer,
            all: BTreeSet::new(),
            armed: None,
        })
    }

    pub(super) fn timer(&self) -> &OwnedFd {
        &self.timer
    }

    /// Sets the timer to the next deadline.
    pub(super) fn arm(&mut self) {
        let next = self.all.first().map(|(at, _)| *at);
        if next == self.armed {
            return;
        }
        // Zero would stop it.
        let at = next.map_or(0, |at| at.max(1));
        let spec = Itimerspec {
            it_interval: timespec(0),
            it_value: timespec(at),
        };
        if timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec).is_ok() {
            self.armed = next;
        }
    }

    /// The timer has told.
    pub(super) fn disarm(&mut self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.timer, &mut count);
        self.armed = None;
    }

    pub(super) fn forget(&mut self, slot: u32, deadline: Option<Deadline>) {
        if let Some(deadline) = deadline {
            self.all.remove(&(deadline.at_ms, slot));
        }
    }

    /// One whose deadline has come.
    fn due(&mut self, now: u64) -> Option<u32> {
        let (_, slot) = self.all.first().copied().filter(|(at, _)| *at <= now)?;
        self.all.pop_first();
        Some(slot)
    }
}

fn timespec(ms: u64) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(ms % 1000 * 1_000_000).unwrap_or(0),
    }
}

/// The time in milliseconds since boot, sleep included.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let ms = time.tv_sec.saturating_mul(1000) + time.tv_nsec / 1_000_000;
    u64::try_from(ms).unwrap_or(0)
}

impl Spawner {
    pub(super) fn set_deadline(&mut self, slot: u32, deadline: Option<Deadline>) {
        let sandbox = self.sandboxes.get_mut(&slot);
        let Some(sandbox) = sandbox.filter(|sandbox| sandbox.stage() == Stage::Running) else {
            let why = Refusal::NotRunning;
            return self.tell(&Event::Refused { slot, why }, &[]);
        };
        let before = std::mem::replace(&mut sandbox.expiry, deadline);
        self.deadlines.forget(slot, before);
        if let Some(deadline) = deadline {
            self.deadlines.all.insert((deadline.at_ms, slot));
        }
        self.tell(&Event::DeadlineSet { slot }, &[]);
    }

    /// Does what is due.
    pub(super) fn act_on_deadlines(&mut self) {
        let now = now();
        while let Some(slot) = self.deadlines.due(now) {
            let Some(sandbox) = self.sandboxes.get_mut(&slot) else {
                continue;
            };
            match sandbox.expiry.take().map(|deadline| deadline.then) {
                Some(Then::Pause) => self.pause_at_deadline(slot),
                Some(Then::End) => self.expire(slot),
                None => {}
            }
        }
    }

    pub(super) fn expire(&mut self, slot: u32) {
        if let Some(sandbox) = self.sandboxes.get_mut(&slot) {
            sandbox.expire();
            self.destroy(slot);
        }
    }
}

impl Sandbox {
    fn expire(&mut self) {
        self.expired = self.stage() == Stage::Running;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn the_timer_tells_the_next_deadline_and_each_is_due_once() {
        let mut deadlines = Deadlines::begin().unwrap();
        let begin = now();
        deadlines
            .all
            .extend([(begin + 3_600_000, 1), (begin + 20, 2)]);
        deadlines.arm();
        let mut watched = [rustix::event::PollFd::new(
            &deadlines.timer,
            rustix::event::PollFlags::IN,
        )];
        let limit = timespec(10_000);
        assert_eq!(rustix::event::poll(&mut watched, Some(&limit)), Ok(1));
        deadlines.disarm();
        let at = now();
        assert!((begin + 20..begin + 5000).contains(&at), "{at}");
        assert_eq!(deadlines.due(at), Some(2));
        assert_eq!(deadlines.due(at), None);
        let far = deadlines.all.first().map(|(at, _)| Deadline {
            at_ms: *at,
            then: Then::End,
        });
        deadlines.forget(1, far);
        assert_eq!(deadlines.due(u64::MAX), None);
        assert_eq!(
            rustix::io::read(&deadlines.timer, &mut [0; 8]),
            Err(Errno::AGAIN)
        );
    }
}
