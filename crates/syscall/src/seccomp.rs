//! Loading a system-call filter.

use crate::clone::last_error;
use rustix::io::{Errno, Result};

/// One instruction of a filter: Linux's `struct sock_filter`, as plain numbers.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// What it does (include/uapi/linux/bpf_common.h).
    pub code: u16,
    /// How many instructions a jump skips when its test holds.
    pub jt: u8,
    /// How many it skips when not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

const _: () = {
    assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>());
    assert!(align_of::<Instruction>() == align_of::<libc::sock_filter>());
};

/// Puts the calling thread, and whatever it starts from then on, under `program`, for good.
///
/// `no_new_privs` is left alone, so the caller needs SYS_ADMIN in its user namespace: load before
/// the capabilities are dropped. No flag is set: other threads are not touched, and the
/// mitigations of speculative execution stay as the host has chosen.
///
/// # Errors
/// Linux's own, see seccomp(2): [`Errno::ACCESS`] without SYS_ADMIN, [`Errno::INVAL`] when the
/// program is empty, longer than 4096 instructions or malformed, [`Errno::NOSYS`] when Linux was
/// built without filters.
pub fn load(program: &[Instruction]) -> Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let program = libc::sock_fprog {
        len,
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `filter` points to `len` instructions of the layout that Linux expects (checked
    // above at compile time), which live through the call; Linux copies them and writes nothing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(last_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers every call with `answer`.
    fn always(answer: u32) -> [Instruction; 1] {
        [Instruction {
            code: 0x06,
            jt: 0,
            jf: 0,
            k: answer,
        }]
    }

    #[test]
    fn malformed_programs_are_refused() {
        assert_eq!(load(&[]), Err(Errno::INVAL));
        assert_eq!(load(&vec![always(0)[0]; 5000]), Err(Errno::INVAL));
        assert_eq!(load(&vec![always(0)[0]; 70_000]), Err(Errno::INVAL));
        let jump_past_end = [
            Instruction {
                code: 0x05,
                jt: 0,
                jf: 0,
                k: 9,
            },
            always(0)[0],
        ];
        assert_eq!(load(&jump_past_end), Err(Errno::INVAL));
    }

    #[test]
    fn a_loaded_program_answers_in_its_thread_only() {
        // Load the number; getppid fails with EDOM, all else is allowed.
        let getppid = u32::try_from(libc::SYS_getppid).expect("call numbers are small");
        let edom = u32::try_from(libc::EDOM).expect("error numbers are small");
        let program = [
            Instruction {
                code: 0x20,
                jt: 0,
                jf: 0,
                k: 0,
            },
            Instruction {
                code: 0x15,
                jt: 0,
                jf: 1,
                k: getppid,
            },
            Instruction {
                code: 0x06,
                jt: 0,
                jf: 0,
                k: 0x0005_0000 | edom,
            },
            Instruction {
                code: 0x06,
                jt: 0,
                jf: 0,
                k: 0x7FFF_0000,
            },
        ];
        let parent = || {
            // SAFETY: getppid takes nothing and touches no memory.
            let id = unsafe { libc::syscall(libc::SYS_getppid) };
            if id < 0 { Err(last_error()) } else { Ok(id) }
        };
        let inside = std::thread::spawn(move || {
            let before = parent();
            load(&program).expect("root may load a filter");
            (before, parent())
        });
        let (before, after) = inside.join().expect("the thread ends by itself");
        assert!(before.is_ok());
        assert_eq!(after, Err(Errno::DOM));
        assert!(parent().is_ok());
    }
}
