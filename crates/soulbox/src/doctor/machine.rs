//! What can be seen of the machine.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Room and flags of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileSystem {
    /// Bytes that can still be written.
    pub(crate) free: u64,
    /// Files that can still be made; 0 where the file system has no such limit.
    pub(crate) free_files: u64,
    /// Whether programs may not be started from it.
    pub(crate) no_exec: bool,
    /// Whether devices on it do not work.
    pub(crate) no_dev: bool,
    /// Whether nothing can be written.
    pub(crate) read_only: bool,
}

/// One line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountLine {
    /// Where it shows.
    pub(crate) at: PathBuf,
    /// The type of the file system.
    pub(crate) kind: String,
    /// The options of the file system.
    pub(crate) options: Vec<String>,
}

/// The machine, seen through its files below `root`: `/`, or a made-up tree in tests.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    root: PathBuf,
    path: Option<OsString>,
}

impl Machine {
    /// This machine.
    pub(crate) fn this() -> Self {
        Self {
            root: "/".into(),
            path: std::env::var_os("PATH"),
        }
    }

    /// The machine whose files are below `root`.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            path: Some("/usr/bin".into()),
        }
    }

    fn real(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The text of a file; none when it cannot be read.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.real(Path::new(path))).ok()
    }

    /// What is in a file; none when it cannot be read.
    pub(crate) fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        fs::read(self.real(path)).ok()
    }

    /// The names in a directory, in order; none when it cannot be read.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.real(Path::new(path)))
            .into_iter()
            .flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// The size of a file in bytes.
    pub(crate) fn size(&self, path: &Path) -> Option<u64> {
        Some(fs::metadata(self.real(path)).ok()?.len())
    }

    /// The number that a file holds.
    pub(crate) fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.trim().parse().ok()
    }

    /// Whether a file or directory is there.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.real(Path::new(path)).exists()
    }

    /// Whether Linux has a module: loaded, built in or on disk.
    pub(crate) fn has_module(&self, name: &str) -> bool {
        if self.has(&format!("/sys/module/{name}")) {
            return true;
        }
        let Some(release) = self.text("/proc/sys/kernel/osrelease") else {
            return false;
        };
        let lists = ["modules.builtin", "modules.dep"];
        let file = format!("/{name}.ko");
        lists.iter().any(|list| {
            let text = self.text(&format!("/lib/modules/{}/{list}", release.trim()));
            text.is_some_and(|text| text.contains(&file))
        })
    }

    /// The value of `key:` in a file such as `/proc/meminfo`.
    pub(crate) fn field(&self, path: &str, key: &str) -> Option<String> {
        let text = self.text(path)?;
        let value = |line: &str| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim().to_owned());
        text.lines().find_map(value)
    }

    /// Where the program `name` is, looked up as a shell does, and in the directories of root.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        let path = self.path.clone().unwrap_or_default();
        let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
        let mut all = std::env::split_paths(&path).chain(more);
        all.find_map(|directory| {
            let file = directory.join(name);
            let about = fs::metadata(self.real(&file)).ok()?;
            (about.is_file() && about.permissions().mode() & 0o111 != 0).then_some(file)
        })
    }

    /// All mounts.
    pub(crate) fn mounts(&self) -> Vec<MountLine> {
        let text = self.text("/proc/self/mountinfo").unwrap_or_default();
        text.lines().filter_map(mount_line).collect()
    }

    /// The file system that holds `path`, or would: the nearest parent that exists.
    pub(crate) fn file_system(&self, path: &Path) -> Option<(PathBuf, FileSystem)> {
        let existing = path.ancestors().find(|parent| self.real(parent).exists())?;
        let about = rustix::fs::statvfs(self.real(existing)).ok()?;
        use rustix::fs::StatVfsMountFlags as Flag;
        let found = FileSystem {
            free: about.f_bavail.saturating_mul(about.f_frsize),
            free_files: about.f_favail,
            no_exec: about.f_flag.contains(Flag::NOEXEC),
            no_dev: about.f_flag.contains(Flag::NODEV),
            read_only: about.f_flag.contains(Flag::RDONLY),
        };
        Some((existing.to_owned(), found))
    }

    /// Whether a tmpfs of this machine takes an extended attribute that the overlay sets; none when
    /// it cannot be tried.
    pub(crate) fn tmpfs_takes_attributes(&self, name: &str) -> Option<bool> {
        use rustix::fs::{Mode, OFlags, XattrFlags, fsetxattr, open};
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = open(
            self.real(Path::new("/dev/shm")),
            flags,
            Mode::RUSR | Mode::WUSR,
        )
        .ok()?;
        match fsetxattr(file, name, b"y", XattrFlags::empty()) {
            Ok(()) => Some(true),
            Err(rustix::io::Errno::PERM) => None,
            Err(_) => Some(false),
        }
    }

    /// Whether this process may write in the directory `path`.
    pub(crate) fn may_write(&self, path: &Path) -> bool {
        rustix::fs::access(self.real(path), rustix::fs::Access::WRITE_OK).is_ok()
    }
}

/// Reads a line of mountinfo: `id parent major:minor root at options [tags] - kind source options`.
fn mount_line(line: &str) -> Option<MountLine> {
    let (left, right) = line.split_once(" - ")?;
    let mut right = right.split(' ');
    Some(MountLine {
        at: left.split(' ').nth(4)?.into(),
        kind: right.next()?.to_owned(),
        options: right.nth(1)?.split(',').map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_lines_are_read() {
        let line = "33 31 0:30 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu";
        let mount = mount_line(line).unwrap();
        assert_eq!(mount.at, Path::new("/sys/fs/cgroup/cpu"));
        assert_eq!(mount.kind, "cgroup");
        assert_eq!(mount.options, ["rw", "cpu"]);
        for odd in ["", " - ", "a b - c", "1 2 3 4 5 6 - x"] {
            let _ = mount_line(odd);
        }
    }
}
