//! What a Python zygote is made of: files that are put into a directory of its own, and how it is
//! started there.
//!
//! ```text
//! /usr/bin/python3 DIRECTORY/zygote.py --broker 3 [--kernels DIRECTORY] [--preload a,b]
//! ```
//!
//! Its descriptor 3 is its end of a `SOCK_SEQPACKET` socket; what goes over it is in
//! [`soulbox_wire::zygote`]. What the process has to be, and why, is in `docs/decisions`.

use crate::native::seccomp::FILTER;
use soulbox_syscall::seccomp::Instruction;
use std::borrow::Cow;

/// A file's path below the zygote's directory, and its content.
pub type File = (&'static str, Cow<'static, [u8]>);

/// Takes in a file of `kernels/python`.
macro_rules! python {
    ($($path:literal,)*) => {
        [$((
            $path,
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../kernels/python/",
                $path
            )) as &[u8],
        ),)*]
    };
}

/// The Python side.
static PYTHON: &[(&str, &[u8])] = &python![
    "zygote.py",
    "soulbox_zygote/__init__.py",
    "soulbox_zygote/child.py",
    "soulbox_zygote/ending.py",
    "soulbox_zygote/environment.py",
    "soulbox_zygote/library.py",
    "soulbox_zygote/pages.py",
    "soulbox_zygote/reseed.py",
    "soulbox_zygote/script.py",
    "soulbox_zygote/serving.py",
    "soulbox_zygote/streams.py",
];

/// The native library: a shared object that needs no other.
static LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/zygote.so"));

/// All files of a zygote's directory. Some lie in `soulbox_zygote`, a directory below it; all may be
/// read-only. `matplotlib`, an empty directory that the zygote's user may write to, has to be beside
/// them.
#[must_use]
pub fn files() -> Vec<File> {
    let mut files: Vec<File> = PYTHON
        .iter()
        .map(|(path, content)| (*path, Cow::Borrowed(*content)))
        .collect();
    files.push(("zygote.so", Cow::Borrowed(LIBRARY)));
    files.push(("filter.bin", Cow::Owned(filter())));
    files
}

/// The sandboxes' system-call filter as Linux takes it: an array of `struct sock_filter`.
fn filter() -> Vec<u8> {
    let bytes = |instruction: &Instruction| {
        let Instruction { code, jt, jf, k } = *instruction;
        let mut bytes = [0; 8];
        bytes[..2].copy_from_slice(&code.to_ne_bytes());
        bytes[2] = jt;
        bytes[3] = jf;
        bytes[4..].copy_from_slice(&k.to_ne_bytes());
        bytes
    };
    FILTER.iter().flat_map(bytes).collect()
}
