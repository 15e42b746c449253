//! The native part of a Python zygote: makes processes that join sandboxes which run already.
//!
//! ```text
//! Z  the zygote: Python, everything imported, no rights, outside of every sandbox
//! └─ A  shares Z's memory; enters the sandbox's user namespace, then is to make children in its
//!    │  pid namespace; lives for less than a millisecond
//!    B  a copy of Z inside the pid namespace, Z's child, so that nobody has to wait for it; makes
//!    │  C and is gone
//!    C  takes over B's memory and Z's stack: a child of the sandbox's first process, and, when it
//!       has joined the other namespaces and given up all rights, Python again
//! ```
//!
//! A is there because entering a user namespace cannot be undone and Z must not do it. B is there
//! because a child of Z's would be no child of the sandbox's first process, and its end would be
//! told to nobody inside. Nothing in a sandbox can name, signal or trace A or Z, so nothing inside
//! can hold the zygote up.
//!
//! The library is loaded by `ctypes` into interpreters of any template, beside any C library, so it
//! uses none: no allocation, no thread-local variable, system calls alone. It is called once, and
//! returns in each process that has joined.
//!
//! | What | File |
//! |---|---|
//! | the loop | [`serve`] |
//! | the messages | [`message`], the file of `soulbox-wire` |
//! | a packet and its descriptors | [`packet`] |
//! | from Z to C | [`split`], [`helper`] |
//! | what the C library keeps about a thread | [`thread`] |
//! | from C's first instruction to Python's | [`join`], [`restrict`] |
//! | system calls | [`call`], [`number`] |

#![no_std]
#![allow(
    unsafe_code,
    reason = "part of what `soulbox-syscall` is for: nothing but system calls"
)]

pub mod call;
pub mod helper;
pub mod join;
#[path = "../../../wire/src/zygote.rs"]
pub mod message;
pub mod number;
pub mod packet;
pub mod restrict;
pub mod serve;
pub mod split;
pub mod thread;

#[cfg(feature = "freestanding")]
mod freestanding;
