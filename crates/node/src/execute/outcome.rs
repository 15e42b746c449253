//! Why a run ended.

use crate::execute::guest::End;
use crate::execute::output::Printed;
use crate::execute::transfer::TransferError;
use crate::execute::watch::Stop;
use soulbox_model::{Cause, Phases};
use std::time::Duration;

/// How far a run came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its files were being copied in.
    CopyIn,
    /// It was being compiled.
    Compile,
    /// It ran.
    Run,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// Why it ended.
    pub cause: Cause,
    /// How far it came.
    pub stage: Stage,
    /// The exit code, where the program ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
    /// How much it printed, as far as it was passed on.
    pub printed: Printed,
    /// The files that could not be copied out.
    pub failed_downloads: Vec<TransferError>,
    /// How long after its time the last process of a run that timed out was killed; none where
    /// the host could not kill them by itself.
    pub overrun: Option<Duration>,
    /// How long everything took.
    pub duration: Duration,
    /// Where the time went.
    pub phases: Phases,
}

/// What is known about an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) stop: Option<Stop>,
    pub(super) end: Option<End>,
    pub(super) out_of_memory: bool,
    pub(super) disk_full: bool,
}

impl Facts {
    /// Ended from outside before a process was there.
    pub(super) fn before(stop: Option<Stop>) -> Self {
        Self {
            stop,
            end: None,
            out_of_memory: false,
            disk_full: false,
        }
    }

    /// Whether the program ended by itself and says that all is well.
    pub(super) fn went_well(&self) -> bool {
        self.stop.is_none() && self.end == Some(End::Exited(0))
    }
}

impl Outcome {
    /// Decides on the cause. What ended the run from outside came first by nature; after that a
    /// program that says that all is well is believed, whatever a child of it ran into.
    pub(super) fn decide(facts: Facts, stage: Stage) -> Self {
        let (exit_code, signal) = match facts.end {
            Some(End::Exited(code)) => (Some(code), None),
            Some(End::Signalled(signal)) => (None, Some(signal)),
            None => (None, None),
        };
        let cause = match (facts.stop, facts.end) {
            (Some(Stop::Killed), _) => Cause::Killed,
            (Some(Stop::TimedOut), _) => Cause::TimedOut,
            (Some(Stop::TooMuchOutput), _) => Cause::TooMuchOutput,
            (None, Some(End::Exited(0))) => Cause::Exited,
            (None, _) if facts.out_of_memory => Cause::OutOfMemory,
            (None, _) if facts.disk_full => Cause::DiskFull,
            (None, Some(End::Exited(_))) => Cause::Exited,
            (None, Some(End::Signalled(_))) => Cause::Signalled,
            (None, None) => Cause::Killed,
        };
        Self {
            cause,
            stage,
            exit_code,
            signal,
            printed: Printed::default(),
            failed_downloads: Vec::new(),
            overrun: None,
            duration: Duration::ZERO,
            phases: Phases::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(stop: Option<Stop>, end: Option<End>, memory: bool, disk: bool) -> Cause {
        let facts = Facts {
            stop,
            end,
            out_of_memory: memory,
            disk_full: disk,
        };
        Outcome::decide(facts, Stage::Run).cause
    }

    #[test]
    fn every_cause_has_its_facts() {
        use End::{Exited, Signalled};
        for (facts, expected) in [
            ((None, Some(Exited(0)), true, true), Cause::Exited),
            ((None, Some(Exited(1)), false, false), Cause::Exited),
            ((None, Some(Exited(1)), false, true), Cause::DiskFull),
            ((None, Some(Exited(1)), true, true), Cause::OutOfMemory),
            ((None, Some(Signalled(9)), true, false), Cause::OutOfMemory),
            ((None, Some(Signalled(9)), false, false), Cause::Signalled),
            ((None, None, true, false), Cause::OutOfMemory),
            (
                (Some(Stop::TimedOut), Some(Signalled(9)), true, false),
                Cause::TimedOut,
            ),
            (
                (Some(Stop::TooMuchOutput), None, false, false),
                Cause::TooMuchOutput,
            ),
            ((Some(Stop::Killed), None, true, true), Cause::Killed),
        ] {
            let (stop, end, memory, disk) = facts;
            assert_eq!(cause(stop, end, memory, disk), expected, "{facts:?}");
        }
    }
}
