//! Classic BPF as Linux runs it for seccomp, instruction by instruction.

use crate::policy::program::Instruction;

/// A system call as a filter sees it: Linux's `struct seccomp_data`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) number: u32,
    pub(crate) architecture: u32,
    pub(crate) arguments: [u64; 6],
}

impl Call {
    /// The word at a byte of the description: number, architecture, 8 bytes of where the call was
    /// made (which no rule asks for), and the arguments, each with its lower half first.
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.architecture,
            16..64 if offset.is_multiple_of(4) => {
                let argument = self.arguments[usize::try_from(offset - 16).unwrap() / 8];
                let half = if offset.is_multiple_of(8) {
                    argument
                } else {
                    argument >> 32
                };
                u32::try_from(half & 0xFFFF_FFFF).unwrap()
            }
            _ => panic!("the compiler does not load from byte {offset}"),
        }
    }
}

/// The filter's answer, and how many instructions it took.
pub(crate) fn run(program: &[Instruction], call: &Call) -> (u32, usize) {
    let mut accumulator = 0_u32;
    let mut at = 0;
    for steps in 1.. {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { jt } else { jf });
        match code {
            0x20 => accumulator = call.word(k),
            0x54 => accumulator &= k,
            0x05 => at += usize::try_from(k).unwrap(),
            0x15 => at += jump(accumulator == k),
            0x35 => at += jump(accumulator >= k),
            0x45 => at += jump(accumulator & k != 0),
            0x06 => return (k, steps),
            _ => panic!("the compiler does not write instruction {code:#x}"),
        }
    }
    unreachable!("a program ends")
}
