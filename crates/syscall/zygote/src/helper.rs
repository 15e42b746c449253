//! From Z to C: what A and B do.

use crate::call::{self, Errno};
use crate::message::{LAPS, Lap, Step};
use crate::number;
use crate::packet::Request;
use crate::split::{self, Resume, Side, Stack};

/// What failed, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// What was to be done.
    pub step: Step,
    /// Linux's error.
    pub errno: Errno,
}

/// Makes a [`Failure`] of an error.
pub trait At<T> {
    /// Says at which step the error came.
    ///
    /// # Errors
    /// The error, with its step.
    fn at(self, step: Step) -> Result<T, Failure>;
}

impl<T> At<T> for call::Result<T> {
    fn at(self, step: Step) -> Result<T, Failure> {
        self.map_err(|errno| Failure { step, errno })
    }
}

/// The times of a join.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: u64,
    /// Nanoseconds from the start to each lap.
    pub laps: [u64; LAPS],
}

impl Clock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: call::now(),
            laps: [0; LAPS],
        }
    }

    /// Notes that a lap has ended.
    pub fn lap(&mut self, lap: Lap) {
        if let Some(place) = self.laps.get_mut(lap as usize) {
            *place = call::now().wrapping_sub(self.start);
        }
    }
}

/// What A and B work from; A stores in it in Z's own memory.
struct Plan<'a> {
    first: i32,
    pid: i32,
    resume: &'a Resume,
    clock: &'a mut Clock,
    tell: &'a dyn Fn(Failure),
    failure: Option<Failure>,
}

/// Makes C. Comes back in Z, and in C, which is inside the sandbox's user and pid namespaces with
/// all capabilities there.
///
/// # Errors
/// The step that failed in Z or A. What fails in B is told by `tell`.
///
/// # Safety
/// All signals are blocked and the process has one thread.
pub unsafe fn make(
    request: &Request<'_>,
    stack: &mut Stack,
    clock: &mut Clock,
    tell: &dyn Fn(Failure),
) -> Result<Side, Failure> {
    let [pid, ..] = *request.namespaces;
    let resume = Resume::new();
    let mut plan = Plan {
        first: request.first,
        pid,
        resume: &resume,
        clock,
        tell,
        failure: None,
    };
    // SAFETY: signals are blocked, by this function's condition; `run` makes system calls and
    // stores to the plan, and only a copy of the process comes to `go_on`.
    let side = unsafe { split::split(&resume, stack, run, &mut plan) };
    let side = side.at(Step::Helper)?;
    match plan.failure {
        Some(failure) => Err(failure),
        None => Ok(side),
    }
}

/// A, and then B.
extern "C" fn run(plan: &mut Plan<'_>) -> i32 {
    match prepare(plan) {
        Ok(()) => 0,
        Err(failure) => {
            plan.failure = Some(failure);
            1
        }
    }
}

fn prepare(plan: &mut Plan<'_>) -> Result<(), Failure> {
    let [pid, ..] = number::NAMESPACES;
    call::enter(plan.first, number::USER_AND_NETWORK).at(Step::User)?;
    call::enter(plan.pid, pid).at(Step::Pid)?;
    plan.clock.lap(Lap::Helper);
    // SAFETY: A has one thread, and the copy gets its own memory; A goes on to its end.
    let copied = unsafe { call::copy_as_sibling() }.at(Step::Copy)?;
    if copied != 0 {
        return Ok(());
    }
    plan.clock.lap(Lap::Copied);
    // SAFETY: B is a copy with memory of its own, made while Z was in `split`.
    if let Err(failure) = unsafe { split::go_on(plan.resume) }.at(Step::Own) {
        (plan.tell)(failure);
    }
    call::exit(1)
}
