//! Interpreters that are started once and then forked into sandboxes that run already.

use super::{CgroupLimits, Layer};
use serde::{Deserialize, Serialize};

/// The first generation in which a spawner knows zygotes.
pub const ZYGOTES: u32 = 4;

/// Where a zygote finds what came with the order, in its own tree.
pub const ZYGOTE_HOME: &str = "/run/soulbox";

/// The program that it runs, below [`ZYGOTE_HOME`].
pub const ZYGOTE_PROGRAM: &str = "zygote.py";

/// A directory below [`ZYGOTE_HOME`] that it may write to: matplotlib does not load without one.
pub const ZYGOTE_CACHES: &str = "matplotlib";

/// A zygote to start, in a slot of its own: with the slot's network namespace (which reaches
/// nothing) and cgroups, in the host's process namespace, and as the uid that owns the user
/// namespaces of the sandboxes that it is to serve.
///
/// Descriptors: the files that it finds in [`ZYGOTE_HOME`] as one ([`pack`]), then one that is only kept
/// open until everything is given back, with `keeps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zygote {
    /// Its slot.
    pub slot: u32,
    /// The host uid that it runs as: [`super::Create::owner`] of its sandboxes.
    pub owner: u32,
    /// Its trees, all of them read-only: the first one at `/`.
    pub layers: Vec<Layer>,
    /// What is executed, with its arguments. Descriptor 3 is its end of the channel to the spawner.
    pub command: Vec<String>,
    /// What it may use.
    pub limits: CgroupLimits,
    /// The most files that it, and each process that comes out of it, may have open.
    pub open_files: u32,
    /// The size in bytes of its `/tmp`.
    pub scratch: u64,
    /// Whether a descriptor comes along that is to be kept open: the lock on the template.
    pub keeps: bool,
}

/// The most bytes of a zygote's files together.
pub const MAX_FILES: usize = 1024 * 1024;

/// Puts files one after the other: for each the length of its path as 2 bytes, its path, the length of
/// its content as 4 bytes, its content. Numbers are little-endian, paths relative without `..`.
///
/// None when a length does not fit.
#[must_use]
pub fn pack(files: &[(&str, &[u8])]) -> Option<Vec<u8>> {
    let mut packed = Vec::new();
    for (path, content) in files {
        packed.extend(u16::try_from(path.len()).ok()?.to_le_bytes());
        packed.extend(path.as_bytes());
        packed.extend(u32::try_from(content.len()).ok()?.to_le_bytes());
        packed.extend(*content);
    }
    (packed.len() <= MAX_FILES).then_some(packed)
}

/// The reverse of [`pack`]; none when it is not what that gives.
#[must_use]
pub fn unpack(mut packed: &[u8]) -> Option<Vec<(&str, &[u8])>> {
    let mut files = Vec::new();
    while !packed.is_empty() {
        let (length, rest) = packed.split_first_chunk()?;
        let (path, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
        let path = std::str::from_utf8(path).ok()?;
        let plain = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (content, rest) = rest.split_at_checked(length)?;
        if !plain {
            return None;
        }
        files.push((path, content));
        packed = rest;
    }
    Some(files)
}

/// A copy of a zygote to be made a process of a running sandbox.
///
/// Descriptor: the process's end of its control socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// The sandbox's slot.
    pub slot: u32,
    /// The zygote's slot.
    pub zygote: u32,
    /// The process's user inside.
    pub uid: u32,
    /// Its group inside.
    pub gid: u32,
    /// Its other groups inside, [`MAX_GROUPS`](crate::zygote::MAX_GROUPS) at most.
    pub groups: Vec<u32>,
    /// Its directory inside, an absolute path of at most [`MAX_DIRECTORY`](crate::zygote::MAX_DIRECTORY) bytes.
    pub directory: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_out_as_they_went_in() {
        let files: &[(&str, &[u8])] = &[("a.py", b"one"), ("b/c.so", b""), ("d", &[0; 300])];
        let packed = pack(files).unwrap();
        assert_eq!(unpack(&packed).unwrap(), files);
        assert_eq!(unpack(&[]), Some(Vec::new()));
        for cut in 1..packed.len() {
            let whole = [4 + 2 + 4 + 3, 4 + 2 + 4 + 3 + 2 + 6 + 4];
            assert_eq!(
                unpack(&packed[..cut]).is_some(),
                whole.contains(&cut),
                "{cut}"
            );
        }
        for path in ["", "/a", "a/", "a//b", "../a", "a/../b", "."] {
            assert_eq!(unpack(&pack(&[(path, b"")]).unwrap()), None, "{path:?}");
        }
        assert_eq!(pack(&[("a", &[0; MAX_FILES])]), None);
    }
}
