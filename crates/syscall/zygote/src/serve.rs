//! The loop: takes requests of the broker and makes a process for each.

use crate::call::{self, Disposition, Errno};
use crate::helper::{self, Clock, Failure};
use crate::join;
use crate::message::{Kind, LAPS, Reply, Step};
use crate::number;
use crate::packet::{self, Arrival, Packet};
use crate::restrict::FilterProgram;
use crate::split::{Side, Stack};
use crate::thread::{Area, Thread};

/// The process has joined its sandbox.
pub const JOINED: i32 = 0;
/// This is the zygote still, and the broker has closed its socket.
pub const CLOSED: i32 = 1;

/// Takes requests from the socket `broker` until it is closed, and makes a process in a sandbox for
/// each. Returns [`JOINED`] in every such process, [`CLOSED`] in the zygote at the end, and a
/// negative error number if the zygote cannot serve: `EDEADLK` for a process with several threads.
///
/// `filter` is the sandboxes' system-call filter: `count` instructions of eight bytes. `offset` and
/// `size` are the C library's `__rseq_offset` and `__rseq_size`; 0 and 0 if it has none.
///
/// # Safety
/// The process has one thread, which calls this with nothing half done that others would have to
/// end: every process that joins goes on from here. The filter's instructions stay where they are.
#[cfg_attr(feature = "freestanding", unsafe(no_mangle))]
pub unsafe extern "C" fn soulbox_zygote_serve(
    broker: i32,
    filter: *const u64,
    count: usize,
    offset: isize,
    size: usize,
) -> i32 {
    if call::has_threads() {
        return -number::EDEADLK;
    }
    // SAFETY: by this function's condition.
    let Some(filter) = (unsafe { FilterProgram::new(filter, count) }) else {
        return -number::EINVAL;
    };
    // SAFETY: by this function's condition.
    let thread = unsafe { Thread::take(Area { offset, size }) };
    match serve(broker, &filter, &thread) {
        Ok(status) => status,
        Err(Errno(number)) => -number,
    }
}

fn serve(broker: i32, filter: &FilterProgram, thread: &Thread) -> call::Result<i32> {
    // Nothing is to run but this, and nobody waits for the helpers.
    call::block(u64::MAX)?;
    call::set_signal(number::SIGCHLD, Disposition::Ignore)?;
    // The C library keeps these two for its threads, so Python cannot see whether whoever started
    // the zygote ignored them.
    for signal in number::OF_THREADS {
        call::set_signal(signal, Disposition::Default)?;
    }
    // What others of this user could find in its memory or among its descriptors is not theirs.
    call::set_dumpable(false)?;
    packet::reply(broker, &ready());
    let mut packet = Packet::new();
    let mut stack = Stack::new();
    loop {
        let arrival = packet.receive(broker);
        let mut clock = Clock::start();
        let made = match arrival {
            Ok(Arrival::End) => return Ok(CLOSED),
            Ok(Arrival::Packet) => make(broker, &packet, &mut stack, &mut clock),
            Err(errno @ Errno(number::EBADMSG)) => Err(Failure {
                step: Step::Request,
                errno,
            }),
            Err(errno) => return Err(errno),
        };
        match made {
            Ok(Side::Zygote) => {}
            Ok(Side::Joining) => {
                finish(broker, &packet, filter, thread, &mut clock);
                return Ok(JOINED);
            }
            Err(failure) => packet::reply(broker, &failed(packet.id(), failure, &clock)),
        }
        packet.release();
    }
}

/// Makes a process for the request in `packet`; comes back in the zygote and in it.
fn make(
    broker: i32,
    packet: &Packet,
    stack: &mut Stack,
    clock: &mut Clock,
) -> Result<Side, Failure> {
    let request = packet.request().ok_or(Failure {
        step: Step::Request,
        errno: Errno(number::EBADMSG),
    })?;
    let id = request.received.id();
    let tell = |failure| packet::reply(broker, &failed(id, failure, &Clock::start()));
    // SAFETY: the zygote has one thread and has blocked all signals.
    unsafe { helper::make(&request, stack, clock, &tell) }
}

/// The new process's way to its sandbox, and its word that it is there. Ends it when it fails.
fn finish(
    broker: i32,
    packet: &Packet,
    filter: &FilterProgram,
    thread: &Thread,
    clock: &mut Clock,
) {
    let Some(request) = packet.request() else {
        call::exit(1)
    };
    let id = request.received.id();
    if let Err(failure) = join::join(&request, thread, filter, clock) {
        packet::reply(broker, &failed(id, failure, clock));
        call::exit(1)
    }
    let pid = call::process_id();
    packet::greet(
        request.control,
        pid,
        request.received.uid(),
        request.received.gid(),
    );
    clock.lap(crate::message::Lap::Joined);
    packet::reply(
        broker,
        &Reply {
            kind: Kind::Joined,
            id,
            pid,
            step: Step::Request,
            errno: 0,
            laps: clock.laps,
        },
    );
    if join::keep_control(&request).is_err() {
        call::exit(1)
    }
}

fn ready() -> Reply {
    Reply {
        kind: Kind::Ready,
        id: 0,
        pid: call::process_id(),
        step: Step::Request,
        errno: 0,
        laps: [0; LAPS],
    }
}

fn failed(id: u64, failure: Failure, clock: &Clock) -> Reply {
    Reply {
        kind: Kind::Failed,
        id,
        pid: 0,
        step: failure.step,
        errno: failure.errno.0,
        laps: clock.laps,
    }
}
