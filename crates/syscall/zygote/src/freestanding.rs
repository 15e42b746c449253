//! What the compiler expects a library without a standard library to have.

use core::panic::PanicInfo;

/// Ends the process: nothing here is meant to panic, and nothing could be told.
#[panic_handler]
fn end(_: &PanicInfo<'_>) -> ! {
    crate::call::exit(101)
}

// What the compiler makes of copies and fills, which is otherwise the C library's. Not in Rust: the
// compiler would see a copy in its own definition.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".pushsection .text.soulbox_memory,\"ax\",@progbits",
    ".hidden memcpy",
    ".globl memcpy",
    ".type memcpy,@function",
    "memcpy:",
    "    mov rax, rdi",
    "    mov rcx, rdx",
    "    rep movsb",
    "    ret",
    ".size memcpy, . - memcpy",
    ".hidden memset",
    ".globl memset",
    ".type memset,@function",
    "memset:",
    "    mov r8, rdi",
    "    mov eax, esi",
    "    mov rcx, rdx",
    "    rep stosb",
    "    mov rax, r8",
    "    ret",
    ".size memset, . - memset",
    ".popsection",
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".pushsection .text.soulbox_memory,\"ax\",@progbits",
    ".hidden memcpy",
    ".globl memcpy",
    ".type memcpy,@function",
    "memcpy:",
    "    mov x3, x0",
    "1:  cbz x2, 2f",
    "    ldrb w4, [x1], #1",
    "    strb w4, [x3], #1",
    "    sub x2, x2, #1",
    "    b 1b",
    "2:  ret",
    ".size memcpy, . - memcpy",
    ".hidden memset",
    ".globl memset",
    ".type memset,@function",
    "memset:",
    "    mov x3, x0",
    "1:  cbz x2, 2f",
    "    strb w1, [x3], #1",
    "    sub x2, x2, #1",
    "    b 1b",
    "2:  ret",
    ".size memset, . - memset",
    ".popsection",
);
