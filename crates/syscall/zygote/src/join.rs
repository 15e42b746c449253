//! From C's first instruction to Python's: the rest of the way into the sandbox.
//!
//! C has all capabilities in the sandbox's user namespace, and nothing runs in it yet but this.

use crate::call;
use crate::helper::{At, Clock, Failure};
use crate::message::{Lap, Step};
use crate::number::{self, NAMESPACES};
use crate::packet::Request;
use crate::restrict::{self, FilterProgram};
use crate::thread::Thread;
use core::ffi::CStr;

/// The control socket's number.
const CONTROL: i32 = 3;

/// Takes the process the rest of the way; then it has nothing of the zygote's but its memory, and
/// the socket to the broker, with the number that the control socket gets.
///
/// # Errors
/// The step that failed. The process is to end then.
pub fn join(
    request: &Request<'_>,
    thread: &Thread,
    filter: &FilterProgram,
    clock: &mut Clock,
) -> Result<(), Failure> {
    // SAFETY: this process's memory is a copy of the zygote's, and it has one thread.
    unsafe { thread.register() };
    clock.lap(Lap::Own);
    call::new_session().at(Step::Session)?;
    // Before the cgroups: v1's for processor time take no real-time threads.
    call::schedule_ordinarily().at(Step::Reset)?;
    for entrance in request.entrances {
        call::write(*entrance, b"0").at(Step::Cgroup)?;
    }
    clock.lap(Lap::Cgroups);
    enter_namespaces(request)?;
    clock.lap(Lap::Namespaces);
    restrict::limit(&request.received)?;
    restrict::become_user(&request.received)?;
    clock.lap(Lap::Identity);
    // As nobody could refuse it: /dev/null belongs to the sandbox, and may have any mode.
    let null = call::open(c"/dev/null").at(Step::Descriptors)?;
    restrict::give_up(&request.received, filter)?;
    clock.lap(Lap::Restricted);
    place(null)?;
    call::set_mask(request.received.umask());
    enter_directory(request.received.directory()).at(Step::Directory)?;
    call::set_signal(number::SIGCHLD, call::Disposition::Default).at(Step::Reset)?;
    call::block(0).at(Step::Reset)?;
    Ok(())
}

/// Leaves nothing but the standard descriptors and the control socket, and lets others of its user
/// look into the process, as into any. To be called when the broker has been told: its socket had
/// the control socket's number.
///
/// # Errors
/// None that Linux should have; nobody can be told but by the process's end.
pub fn keep_control(request: &Request<'_>) -> call::Result<()> {
    call::duplicate(request.control, CONTROL, true)?;
    call::close_from(CONTROL.unsigned_abs() + 1)?;
    // Not before: root in the sandbox could take the broker's socket out of a process that it traces.
    call::set_dumpable(true)?;
    Ok(())
}

/// The namespaces that C is not in yet, and their steps.
fn enter_namespaces(request: &Request<'_>) -> Result<(), Failure> {
    const STEPS: [Step; 4] = [Step::Mount, Step::Ipc, Step::Uts, Step::CgroupNames];
    let namespaces = request.namespaces.iter().zip(NAMESPACES).skip(1);
    for ((namespace, flag), step) in namespaces.zip(STEPS) {
        call::enter(*namespace, flag).at(step)?;
    }
    Ok(())
}

fn place(null: i32) -> Result<(), Failure> {
    for number in 0..CONTROL {
        call::duplicate(null, number, false).at(Step::Descriptors)?;
    }
    call::close(null);
    Ok(())
}

fn enter_directory(path: &[u8]) -> call::Result<usize> {
    let mut space = [0_u8; crate::message::MAX_DIRECTORY + 1];
    for (place, byte) in space.iter_mut().zip(path) {
        *place = *byte;
    }
    let invalid = call::Errno(number::EINVAL);
    let path = CStr::from_bytes_until_nul(&space).map_err(|_| invalid)?;
    call::change_directory(path)
}
