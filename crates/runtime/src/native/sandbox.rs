//! What the spawner keeps of a slot and the sandbox, or the zygote, in it.

use super::cgroup::Group;
use super::channel;
use super::guest::Report;
use super::identity::Identity;
use super::journal::{End, Ending, clock};
use super::spawner::{Broker, Motion};
use super::step::{Step, StepError};
use super::undo::Undo;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use soulbox_syscall::wait;
use soulbox_wire::spawner::{
    Cause, CgroupLimits, Deadline, Event, Failure, Metrics, StopAt, Usage,
};
use std::rc::Rc;
use std::time::Instant;

/// How far a slot has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Network namespace and cgroups are there.
    Slot,
    /// The child builds its tree.
    Building,
    /// The child waits for its start.
    Prepared,
    /// The agent is being started.
    Starting,
    /// The agent accepts connections.
    Running,
    /// It is being ended.
    Ending,
}

/// What the spawner keeps of a slot and the sandbox in it.
pub(super) struct Sandbox {
    pub(super) slot: u32,
    pub(super) stage: Stage,
    pub(super) stop_at: StopAt,
    pub(super) group: Rc<Group>,
    pub(super) namespace: Rc<OwnedFd>,
    pub(super) resolver: Vec<OwnedFd>,
    pub(super) child: Option<Child>,
    pub(super) phases: Vec<(String, u64)>,
    pub(super) clock: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) failure_told: bool,
    pub(super) ended: Option<wait::Ended>,
    pub(super) usage: Usage,
    pub(super) motion: Motion,
    /// When the spawner acts by itself.
    pub(super) expiry: Option<Deadline>,
    /// Whether it did.
    pub(super) expired: bool,
    /// Whether its resolver's sockets were told.
    pub(super) resolver_told: bool,
    /// Kept open until everything is given back.
    pub(super) kept: Option<OwnedFd>,
    /// The host uid that owns its user namespace, or that it runs as when it is a zygote.
    pub(super) owner: u32,
    /// How many processes it may have, as it was made.
    pub(super) pids: u32,
    /// How many files each of its processes may have open at the most.
    pub(super) open_files: u32,
    /// The way to it, when it is a zygote.
    pub(super) broker: Option<Broker>,
    pub(super) undo: Undo,
}

pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) identity: Identity,
    pub(super) pidfd: OwnedFd,
    pub(super) channel: Option<OwnedFd>,
    pub(super) ready: Option<OwnedFd>,
}

/// Microseconds since `start`.
pub(super) fn micros_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

impl Sandbox {
    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn channel(&self) -> Option<&OwnedFd> {
        self.child.as_ref()?.channel.as_ref()
    }

    pub(super) fn ready(&self) -> Option<&OwnedFd> {
        self.child.as_ref()?.ready.as_ref()
    }

    pub(super) fn pidfd(&self) -> Option<&OwnedFd> {
        Some(&self.child.as_ref()?.pidfd)
    }

    /// The phases since they were taken last.
    pub(super) fn take_phases(&mut self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.phases)
    }

    /// The resolver's sockets, once; copies of them, where they are to be told again.
    pub(super) fn take_resolver(&mut self, again: bool) -> Vec<OwnedFd> {
        if std::mem::replace(&mut self.resolver_told, true) {
            return Vec::new();
        }
        match again {
            true => self.copy_resolver(),
            false => std::mem::take(&mut self.resolver),
        }
    }

    /// Copies of the resolver's sockets; none when Linux refuses one.
    pub(super) fn copy_resolver(&self) -> Vec<OwnedFd> {
        let copies = self.resolver.iter().map(OwnedFd::try_clone);
        copies.collect::<Result<_, _>>().unwrap_or_default()
    }

    /// The process id of PID 1; 0 when there is none.
    pub(super) fn pid(&self) -> u32 {
        let pid = self.child.as_ref().map(|child| child.pid.as_raw_nonzero());
        pid.and_then(|pid| u32::try_from(pid.get()).ok())
            .unwrap_or(0)
    }

    /// True the first time only.
    pub(super) fn note_failure(&mut self) -> bool {
        !std::mem::replace(&mut self.failure_told, true)
    }

    /// Notes a step that ended now.
    pub(super) fn lap(&mut self, name: &str) {
        self.phases
            .push((name.to_owned(), micros_since(self.clock)));
        self.clock = Instant::now();
    }

    pub(super) fn limit(&self, limits: &CgroupLimits) -> Result<(), StepError> {
        self.group.limit(limits)
    }

    /// Kills every process but the first.
    pub(super) fn kill_others(&self) -> Result<(), StepError> {
        let child = self.child.as_ref().ok_or(Errno::SRCH);
        let killed = child.and_then(|child| self.group.kill_others(child.pid));
        killed
            .map(drop)
            .step(|| "kill the processes of the sandbox".to_owned())
    }

    pub(super) fn usage(&self) -> Usage {
        self.group.usage()
    }

    pub(super) fn metrics(&self) -> Metrics {
        self.group.metrics()
    }

    /// Reads the child's report. `Ok(Some(Prepared))` when it waits for its start now.
    pub(super) fn hear(&mut self) -> Result<Option<StopAt>, Failure> {
        let Some(child) = self.child.as_mut() else {
            return Ok(None);
        };
        let Some(channel) = child.channel.as_ref() else {
            return Ok(None);
        };
        match channel::receive::<Report>(channel) {
            Ok((Report::Built { phases }, _)) => {
                self.phases.extend(phases);
                self.clock = Instant::now();
                if self.stop_at == StopAt::Running {
                    self.stage = Stage::Starting;
                    return Ok(None);
                }
                self.stage = Stage::Prepared;
                self.deadline = None;
                Ok(Some(StopAt::Prepared))
            }
            Ok((Report::Failed(failure), _)) => Err(failure),
            // It became the agent, or died: the pidfd tells.
            Err(_) => {
                child.channel = None;
                Ok(None)
            }
        }
    }

    /// Reads the ready pipe. Tells the pid when the agent accepts connections.
    pub(super) fn hear_ready(&mut self) -> Result<Option<u32>, Failure> {
        let Some(child) = self.child.as_mut() else {
            return Ok(None);
        };
        let Some(ready) = child.ready.take() else {
            return Ok(None);
        };
        let mut byte = [0];
        if rustix::io::read(&ready, &mut byte) != Ok(1) {
            // It ended before it was ready: the pidfd tells.
            return Ok(None);
        }
        child.channel = None;
        let pid = u32::try_from(child.pid.as_raw_nonzero().get()).unwrap_or(0);
        self.stage = Stage::Running;
        self.deadline = None;
        self.lap("agent");
        Ok(Some(pid))
    }

    /// Kills PID 1, and with it the sandbox; false when there is none.
    pub(super) fn kill(&mut self) -> bool {
        let Some(child) = self.child.as_ref() else {
            return false;
        };
        if self.ended.is_some() {
            return false;
        }
        self.stage = Stage::Ending;
        self.deadline = None;
        let _ = rustix::process::pidfd_send_signal(&child.pidfd, Signal::KILL);
        self.thaw_to_end();
        true
    }

    /// Collects PID 1; true once it has ended.
    pub(super) fn collect(&mut self) -> bool {
        let Some(child) = self.child.as_ref() else {
            return true;
        };
        if self.ended.is_none() {
            match wait::try_wait(child.pid) {
                Ok(Some(ended)) => self.ended = Some(ended),
                Ok(None) => return false,
                Err(_) => {
                    self.ended = Some(wait::Ended {
                        code: None,
                        signal: None,
                        cpu: std::time::Duration::ZERO,
                    });
                }
            }
        }
        true
    }

    /// Waits for PID 1's end, which was asked for.
    pub(super) fn collect_blocking(&mut self) {
        while !self.collect() {
            let Some(child) = self.child.as_ref() else {
                return;
            };
            let mut watched = [rustix::event::PollFd::new(
                &child.pidfd,
                rustix::event::PollFlags::IN,
            )];
            let _ = rustix::event::poll(&mut watched, None);
        }
    }

    /// Reads the accounts a last time.
    pub(super) fn settle_usage(&mut self) {
        self.usage = self.group.usage();
        if let (Some(ended), 0) = (self.ended, self.usage.cpu_us) {
            self.usage.cpu_us = u64::try_from(ended.cpu.as_micros()).unwrap_or(u64::MAX);
        }
    }

    /// Gives everything back.
    pub(super) fn give_back(&mut self) -> Vec<Failure> {
        self.child = None;
        self.resolver.clear();
        let problems = self.undo.run();
        self.kept = None;
        problems
    }

    /// How PID 1 ended, for the journal; none when there never was one.
    pub(super) fn end(&self) -> Option<End> {
        let ended = self.ended?;
        let ending = match self.stage {
            _ if self.failure_told => Ending::Failed,
            _ if self.expired => Ending::Expired,
            Stage::Ending => Ending::Asked,
            _ => Ending::Alone,
        };
        Some(End {
            at: clock(),
            ending,
            code: ended.code,
            signal: ended.signal,
            usage: self.usage,
        })
    }

    /// How it ended, for the engine.
    pub(super) fn account(&self, problems: Vec<Failure>) -> Event {
        let end = self.end();
        let cause = match end.as_ref().map(|end| end.ending) {
            Some(Ending::Asked) => Cause::Asked,
            Some(Ending::Expired) => Cause::Expired,
            Some(Ending::Alone) => Cause::Alone,
            _ => Cause::Failed,
        };
        Event::Gone {
            slot: self.slot,
            ran: self.ended.is_some(),
            cause,
            code: end.as_ref().and_then(|end| end.code),
            signal: end.and_then(|end| end.signal).unwrap_or(0),
            usage: self.usage,
            problems,
        }
    }
}
