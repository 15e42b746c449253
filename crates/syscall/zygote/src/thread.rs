//! What the C library keeps about its thread, and Linux for it: to be made right in a process whose
//! only thread was made without the library's knowledge.
//!
//! | | glibc | musl |
//! |---|---|---|
//! | thread id, in the thread's descriptor | where Linux clears it at the end | beside other fields |
//! | what Linux clears at the thread's end | the thread id | a lock |
//! | robust list | registered at the start | with the first such lock |
//! | restartable sequences | registered at the start, from 2.35 on | none |

use crate::call;

/// Bytes of musl's thread descriptor in which the thread's id lies (64 since 1.2.0).
const SEARCHED: usize = 128;

/// Where glibc keeps its area of restartable sequences, as it tells itself.
#[derive(Debug, Clone, Copy)]
pub struct Area {
    /// From the thread pointer on: `__rseq_offset`.
    pub offset: isize,
    /// What is in use of it: `__rseq_size`; 0 without such an area.
    pub size: usize,
}

/// What is to be registered again for a new thread.
#[derive(Debug, Clone, Copy)]
pub struct Thread {
    cleared: Option<usize>,
    id: Option<usize>,
    robust_list: Option<(usize, usize)>,
    sequences: Option<(usize, usize)>,
    processor: Option<usize>,
}

impl Thread {
    /// Finds what the calling thread has, and takes back its restartable sequences: a helper that
    /// shares memory with it must not have its processor's number written there.
    ///
    /// # Safety
    /// `area` is what the C library that made this thread says, or of size 0; no other thread is
    /// in the process.
    #[must_use]
    pub unsafe fn take(area: Area) -> Self {
        let id = call::thread_id();
        let cleared = call::id_address();
        let place = match cleared {
            // SAFETY: Linux was told this address by the C library, as that of a number that it
            // writes to.
            Some(at) if unsafe { *(at as *const i32) } == id => Some(at),
            _ => search(id),
        };
        let start = pointer().checked_add_signed(area.offset);
        let start = start.filter(|_| area.size != 0);
        Self {
            cleared,
            id: place,
            robust_list: call::robust_list(),
            sequences: start.and_then(|start| give_up(start, area.size)),
            processor: start.and_then(|start| start.checked_add(4)),
        }
    }

    /// Registers all of it for the calling thread, which has taken over the memory.
    ///
    /// # Safety
    /// The memory is a copy of that of the thread that [`take`](Self::take) was called in, and the
    /// calling thread is the only one in it.
    pub unsafe fn register(&self) {
        if let Some(place) = self.id {
            // SAFETY: the place of the thread's id in its own descriptor.
            unsafe { *(place as *mut i32) = call::thread_id() };
        }
        if let Some(cleared) = self.cleared {
            // SAFETY: the C library's own choice, for the thread that this one replaces.
            unsafe { call::set_id_address(cleared) };
        }
        if let Some((head, length)) = self.robust_list {
            // SAFETY: as above.
            unsafe { call::set_robust_list(head, length) };
        }
        let registered = self.sequences.is_some_and(|(start, length)| {
            // SAFETY: the area of the thread that this one replaces, as it was registered.
            unsafe { call::restartable(start, length, true) }.is_ok()
        });
        if let Some(processor) = self.processor.filter(|_| !registered) {
            const FAILED: i32 = -2;
            // SAFETY: the number lies in the C library's area. It reads from it that it has to ask
            // Linux for the processor.
            unsafe { *(processor as *mut i32) = FAILED };
        }
    }
}

/// Takes the area back from Linux; gives the length that it was registered with, which the C
/// library does not tell: its size in use is at most that.
fn give_up(start: usize, size: usize) -> Option<(usize, usize)> {
    let lengths = [32, size.next_multiple_of(32), 64, 128, 256];
    lengths.into_iter().find_map(|length| {
        // SAFETY: it only takes back, and only what was registered with this very start and length.
        let given_up = unsafe { call::restartable(start, length, false) };
        given_up.ok().map(|_| (start, length))
    })
}

/// Where musl keeps the thread's id: the only place in the descriptor that has that number.
fn search(id: i32) -> Option<usize> {
    let first = descriptor()?;
    let mut found = None;
    for at in (first..first + SEARCHED).step_by(size_of::<i32>()) {
        // SAFETY: the first bytes of the thread's descriptor, which is larger.
        if unsafe { *(at as *const i32) } == id {
            if found.is_some() {
                return None;
            }
            found = Some(at);
        }
    }
    found
}

/// The thread's descriptor, whose first word both C libraries point to itself on x86-64.
#[cfg(target_arch = "x86_64")]
fn descriptor() -> Option<usize> {
    Some(pointer()).filter(|at| *at != 0)
}

/// The thread's descriptor: musl's is 200 bytes before the thread pointer's 16.
#[cfg(target_arch = "aarch64")]
fn descriptor() -> Option<usize> {
    pointer().checked_sub(SEARCHED + 72)
}

/// The thread pointer.
#[cfg(target_arch = "x86_64")]
fn pointer() -> usize {
    let pointer: usize;
    // SAFETY: the ABI has the thread pointer in the first word that the register points to.
    unsafe { core::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, readonly)) };
    pointer
}

/// The thread pointer.
#[cfg(target_arch = "aarch64")]
fn pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, nomem)) };
    pointer
}
