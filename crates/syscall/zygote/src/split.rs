//! The two clones that change stacks, which no compiled code can make.
//!
//! [`split`] is called in Z and comes back twice, as `fork` does: in Z, and in C, whose memory is a
//! copy that was made meanwhile. Between the two lies a helper, A, that runs `body` on a stack of
//! its own in Z's memory while Z is suspended; and B, A's copy, that calls [`go_on`], which makes
//! C from what Z had on its stack when it called [`split`].

use crate::call::{Result, checked};
use core::cell::Cell;

/// Bytes of the helper's stack.
const STACK: usize = 32 * 1024;

/// The helper's stack.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct Stack([u8; STACK]);

impl Stack {
    /// One that nothing has used.
    #[must_use]
    pub const fn new() -> Self {
        Self([0; STACK])
    }
}

impl Default for Stack {
    fn default() -> Self {
        Self::new()
    }
}

/// Where C goes on: the stack pointer of Z inside of [`split`].
#[derive(Debug)]
pub struct Resume(Cell<usize>);

impl Resume {
    /// One that [`split`] fills.
    #[must_use]
    pub const fn new() -> Self {
        Self(Cell::new(0))
    }
}

impl Default for Resume {
    fn default() -> Self {
        Self::new()
    }
}

/// What the helper runs; its status is the helper's exit status.
pub type Body<T> = extern "C" fn(&mut T) -> i32;

/// On which side [`split`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// In Z; the helper has ended.
    Zygote,
    /// In C.
    Joining,
}

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".pushsection .text.soulbox_split,\"ax\",@progbits",
    ".balign 16",
    ".hidden soulbox_split",
    ".globl soulbox_split",
    ".type soulbox_split,@function",
    // rdi: place of the stack pointer, rsi: top of the helper's stack, rdx: body, rcx: its argument
    "soulbox_split:",
    "    push rbx",
    "    push rbp",
    "    push r12",
    "    push r13",
    "    push r14",
    "    push r15",
    "    mov [rdi], rsp",
    "    mov r12, rdx",
    "    mov r13, rcx",
    // CLONE_VM | CLONE_VFORK | SIGCHLD; rsi is the stack already
    "    mov edi, 0x4111",
    "    xor edx, edx",
    "    xor r10d, r10d",
    "    xor r8d, r8d",
    "    mov eax, 56",
    "    syscall",
    "    test rax, rax",
    "    jz 2f",
    "1:  pop r15",
    "    pop r14",
    "    pop r13",
    "    pop r12",
    "    pop rbp",
    "    pop rbx",
    "    ret",
    // the helper
    "2:  xor ebp, ebp",
    "    mov rdi, r13",
    "    call r12",
    "    mov edi, eax",
    "    mov eax, 60",
    "    syscall",
    "    ud2",
    ".size soulbox_split, . - soulbox_split",
    ".hidden soulbox_go_on",
    ".globl soulbox_go_on",
    ".type soulbox_go_on,@function",
    // rdi: the stack pointer that soulbox_split saved
    "soulbox_go_on:",
    "    mov rsi, rdi",
    // CLONE_VM | SIGCHLD
    "    mov edi, 0x111",
    "    xor edx, edx",
    "    xor r10d, r10d",
    "    xor r8d, r8d",
    "    mov eax, 56",
    "    syscall",
    "    test rax, rax",
    "    jz 1b",
    "    js 3f",
    // B: from here on the memory is C's
    "    xor edi, edi",
    "    mov eax, 60",
    "    syscall",
    "    ud2",
    "3:  ret",
    ".size soulbox_go_on, . - soulbox_go_on",
    ".popsection",
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".pushsection .text.soulbox_split,\"ax\",@progbits",
    ".balign 16",
    ".hidden soulbox_split",
    ".globl soulbox_split",
    ".type soulbox_split,@function",
    // x0: place of the stack pointer, x1: top of the helper's stack, x2: body, x3: its argument
    "soulbox_split:",
    "    stp x29, x30, [sp, #-160]!",
    "    stp x19, x20, [sp, #16]",
    "    stp x21, x22, [sp, #32]",
    "    stp x23, x24, [sp, #48]",
    "    stp x25, x26, [sp, #64]",
    "    stp x27, x28, [sp, #80]",
    "    stp d8, d9, [sp, #96]",
    "    stp d10, d11, [sp, #112]",
    "    stp d12, d13, [sp, #128]",
    "    stp d14, d15, [sp, #144]",
    "    mov x9, sp",
    "    str x9, [x0]",
    "    mov x19, x2",
    "    mov x20, x3",
    // CLONE_VM | CLONE_VFORK | SIGCHLD; x1 is the stack already
    "    mov x0, #0x4111",
    "    mov x2, #0",
    "    mov x3, #0",
    "    mov x4, #0",
    "    mov x8, #220",
    "    svc #0",
    "    cbz x0, 2f",
    "1:  ldp x19, x20, [sp, #16]",
    "    ldp x21, x22, [sp, #32]",
    "    ldp x23, x24, [sp, #48]",
    "    ldp x25, x26, [sp, #64]",
    "    ldp x27, x28, [sp, #80]",
    "    ldp d8, d9, [sp, #96]",
    "    ldp d10, d11, [sp, #112]",
    "    ldp d12, d13, [sp, #128]",
    "    ldp d14, d15, [sp, #144]",
    "    ldp x29, x30, [sp], #160",
    "    ret",
    // the helper
    "2:  mov x29, #0",
    "    mov x30, #0",
    "    mov x0, x20",
    "    blr x19",
    "    mov x8, #93",
    "    svc #0",
    "    brk #1",
    ".size soulbox_split, . - soulbox_split",
    ".hidden soulbox_go_on",
    ".globl soulbox_go_on",
    ".type soulbox_go_on,@function",
    // x0: the stack pointer that soulbox_split saved
    "soulbox_go_on:",
    "    mov x1, x0",
    // CLONE_VM | SIGCHLD
    "    mov x0, #0x111",
    "    mov x2, #0",
    "    mov x3, #0",
    "    mov x4, #0",
    "    mov x8, #220",
    "    svc #0",
    "    cbz x0, 1b",
    "    tbnz x0, #63, 3f",
    // B: from here on the memory is C's
    "    mov x0, #0",
    "    mov x8, #93",
    "    svc #0",
    "    brk #1",
    "3:  ret",
    ".size soulbox_go_on, . - soulbox_go_on",
    ".popsection",
);

unsafe extern "C" {
    fn soulbox_split(resume: *mut usize, top: *mut u8, body: *const (), argument: *mut ())
    -> isize;
    fn soulbox_go_on(resume: usize) -> isize;
}

/// Runs `body` in a helper that shares this process's memory; comes back when the helper has ended,
/// and a second time, in memory of its own, if a copy of the helper called [`go_on`].
///
/// # Errors
/// Linux's own, see clone(2): there is no helper.
///
/// # Safety
/// All signals are blocked, so that no handler runs on the helper's stack. `body` does nothing but
/// system calls and stores to `argument`, which nobody else reads before the helper has ended; it
/// passes `resume` to [`go_on`] in a process with memory of its own only.
pub unsafe fn split<T>(
    resume: &Resume,
    stack: &mut Stack,
    body: Body<T>,
    argument: &mut T,
) -> Result<Side> {
    let top = stack.0.as_mut_ptr_range().end;
    // SAFETY: the helper runs on the whole of `stack`, whose end is aligned as the ABI wants, while
    // this process waits for its end (CLONE_VFORK), so the references stay ours alone. A second
    // return is in a copy of the memory, in which everything is as it was at the call but for what
    // `body` stored.
    let result = unsafe {
        soulbox_split(
            resume.0.as_ptr(),
            top,
            body as *const (),
            core::ptr::from_mut(argument).cast(),
        )
    };
    match checked(result)? {
        0 => Ok(Side::Joining),
        _ => Ok(Side::Zygote),
    }
}

/// Makes C, which goes on where Z called [`split`], and ends the caller. Comes back only when it
/// could not.
///
/// # Errors
/// Linux's own, see clone(2).
///
/// # Safety
/// The caller is alone with its memory, which is a copy of Z's, made while Z was in [`split`] with
/// this `resume`.
pub unsafe fn go_on(resume: &Resume) -> Result<usize> {
    // SAFETY: the stack below the saved pointer is that of a call that has not returned in this
    // memory; the caller leaves it to C at once.
    checked(unsafe { soulbox_go_on(resume.0.get()) })
}
