//! System calls that `rustix` does not offer safely: the only crate with unsafe code.
//!
//! It decides nothing: each function is one call (or one call's inseparable sequence) of Linux,
//! with its SAFETY reason. What `rustix` offers safely is used from there directly.
//!
//! | Family | File |
//! |---|---|
//! | subvolumes and quota groups of btrfs | [`btrfs`] |
//! | new processes in new namespaces | [`clone`] |
//! | descriptor numbers | [`descriptor`] |
//! | starting a program from a descriptor | [`execute`] |
//! | a file as a block device | [`loop_device`] |
//! | attributes of mounts | [`mount`] |
//! | moving the caller between namespaces | [`namespace`] |
//! | links, addresses, routes, netfilter | [`netlink`] |
//! | descriptors beside bytes | [`passing`] |
//! | starting programs | [`process`] |
//! | limits of directory trees on ext4 and XFS | [`project`] |
//! | what a program was started with | [`inherit`] |
//! | which thread goes first | [`scheduling`] |
//! | signals, hearing of the end of children | [`signal`] |
//! | system-call filters | [`seccomp`] |
//! | network namespaces of somebody else's | [`stranger`] |
//! | pseudo-terminals | [`terminal`] |
//! | a dead child's accounts | [`wait`] |

#![allow(unsafe_code)]

pub mod btrfs;
pub mod clone;
pub mod descriptor;
pub mod execute;
pub mod inherit;
pub mod loop_device;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod passing;
pub mod process;
pub mod project;
pub mod scheduling;
pub mod seccomp;
pub mod signal;
pub mod stranger;
pub mod terminal;
pub mod wait;
