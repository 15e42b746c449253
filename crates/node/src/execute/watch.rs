//! What ends a run from outside: its time, its output, a request.

use crate::execute::Execution;
use crate::execute::output::{Channel, Printed};
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;

/// What ended a run from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Somebody asked for it.
    Killed,
    /// Its time was over.
    TimedOut,
    /// It printed too much.
    TooMuchOutput,
}

/// Watches over one run, across all its commands. The first thing that ends it counts.
pub struct Watch<'s> {
    stop: Pin<Box<dyn Future<Output = ()> + Send + 's>>,
    timeout: Duration,
    deadline: Option<Instant>,
    limit: Option<u64>,
    drain: Duration,
    printed: Printed,
    stopped: Option<Stop>,
    overrun: Option<Duration>,
}

impl<'s> Watch<'s> {
    pub(super) fn new(
        execution: &Execution,
        stop: Pin<Box<dyn Future<Output = ()> + Send + 's>>,
    ) -> Self {
        Self {
            stop,
            timeout: execution.timeout,
            deadline: None,
            limit: execution.output_limit,
            drain: execution.drain,
            printed: Printed::default(),
            stopped: None,
            overrun: None,
        }
    }

    /// From now on the time counts.
    pub(super) fn start_clock(&mut self) {
        self.deadline = Instant::now().checked_add(self.timeout);
    }

    /// What ended the run, if anything did.
    pub fn stopped(&self) -> Option<Stop> {
        self.stopped
    }

    /// Every process was killed just now.
    pub(super) fn note_killed(&mut self) {
        if let (Some(Stop::TimedOut), Some(deadline)) = (self.stopped, self.deadline) {
            self.overrun.get_or_insert(deadline.elapsed());
        }
    }

    /// How long after its time the last process of the run was killed.
    pub(super) fn overrun(&self) -> Option<Duration> {
        self.overrun
    }

    /// How much was passed on.
    pub fn printed(&self) -> Printed {
        self.printed
    }

    /// How long what was printed before the end may still take to arrive.
    pub(super) fn drain(&self) -> Duration {
        self.drain
    }

    /// Counts a piece of output and says how much of it may still be passed on. Less than all of
    /// it means that the run is over.
    pub(super) fn count(&mut self, channel: Channel, length: usize) -> usize {
        let printed = self.printed.of(channel);
        let room = self
            .limit
            .map_or(u64::MAX, |limit| limit.saturating_sub(*printed));
        let passed = usize::try_from(room).unwrap_or(usize::MAX).min(length);
        *printed += passed as u64;
        if passed < length {
            self.stopped.get_or_insert(Stop::TooMuchOutput);
        }
        passed
    }

    /// Waits for `work`; none when the run is ended from outside first.
    pub(super) async fn guard<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        if self.stopped.is_some() {
            return None;
        }
        let deadline = self.deadline;
        let time = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = &mut self.stop => self.stopped = Some(Stop::Killed),
            done = work => return Some(done),
            () = time => self.stopped = Some(Stop::TimedOut),
        }
        None
    }
}
