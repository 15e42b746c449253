//! Whether a sandbox's disk is full, as Linux says and not the sandbox.

use rustix::fs::statvfs;
use std::fs;
use std::path::{Path, PathBuf};

/// Less room than this is none where Linux tells it to the byte: no file of any use fits.
const FULL: u64 = 64 * 1024;

/// Less room than this part of a quota group is none: what a write needs is reserved in advance,
/// and given back when less was needed.
const FULL_PART: u64 = 64;

/// Less room than this is never taken for a full quota group.
const FULL_GROUP: u64 = 1024 * 1024;

/// What a quota group counts, in the files that Linux names so.
const COUNTS: [&str; 4] = [
    "referenced",
    "rsv_data",
    "rsv_meta_pertrans",
    "rsv_meta_prealloc",
];

/// How much of a sandbox's disk is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filling {
    /// In use, in bytes.
    pub used: u64,
    /// All of it, in bytes.
    pub total: u64,
}

/// Where to see whether a sandbox's disk is full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gauge {
    /// At the root of the sandbox's file system.
    FileSystem,
    /// In quota groups, each with its limit in bytes.
    Groups(Vec<(PathBuf, u64)>),
}

impl Gauge {
    /// How much of the disk is in use of the sandbox whose first process is `pid`; none when it has
    /// ended.
    pub fn filling(&self, pid: u32) -> Option<Filling> {
        match self {
            Self::FileSystem => {
                let disk = statvfs(format!("/proc/{pid}/root")).ok()?;
                let used = disk.f_blocks.saturating_sub(disk.f_bfree);
                Some(Filling {
                    used: used.saturating_mul(disk.f_frsize),
                    total: disk.f_blocks.saturating_mul(disk.f_frsize),
                })
            }
            Self::Groups(groups) => {
                // The first one is the sandbox's own.
                let (group, total) = groups.first()?;
                let used = used(group)?;
                Some(Filling {
                    used,
                    total: *total,
                })
            }
        }
    }

    /// Whether the disk of the sandbox whose first process is `pid` is full.
    pub fn is_full(&self, pid: u32) -> bool {
        match self {
            // Linux answers for the file system at the root of the process; nothing of its tree is
            // opened.
            Self::FileSystem => statvfs(format!("/proc/{pid}/root")).is_ok_and(|disk| {
                let free = disk.f_bavail.saturating_mul(disk.f_frsize);
                free < FULL || (disk.f_files > 0 && disk.f_ffree == 0)
            }),
            Self::Groups(groups) => groups.iter().any(|(group, limit)| {
                let room = (limit / FULL_PART).clamp(FULL, FULL_GROUP);
                used(group).is_some_and(|used| used + room > *limit)
            }),
        }
    }
}

/// What the quota group at `path` below `/sys/fs/btrfs` counts, writes that are on their way
/// included; none when there is no such group.
pub fn used(path: &Path) -> Option<u64> {
    let counts = COUNTS.iter().map(|name| {
        let text = fs::read_to_string(path.join(name)).ok()?;
        text.trim().parse::<u64>().ok()
    });
    counts.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_full_a_little_before_its_limit() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, value: u64| {
            fs::write(directory.path().join(name), format!("{value}\n")).unwrap();
        };
        COUNTS.iter().for_each(|name| write(name, 0));
        let gauge = Gauge::Groups(vec![(directory.path().to_owned(), 100 << 20)]);
        write("referenced", 98 << 20);
        assert!(!gauge.is_full(0));
        write("rsv_data", (1 << 20) + 1);
        assert!(gauge.is_full(0));
        let filling = gauge.filling(0).unwrap();
        assert_eq!((filling.used, filling.total), ((99 << 20) + 1, 100 << 20));
        fs::remove_file(directory.path().join("referenced")).unwrap();
        assert!(!gauge.is_full(0), "a group that is gone is not full");
    }
}
