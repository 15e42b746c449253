//! A file with btrfs in it, for hosts whose own file systems limit nothing.
//!
//! The file's room is taken from the host when it is made: a file with holes on a host that fills
//! up would have btrfs fail in the middle of a write, and with it every sandbox. For the same
//! reason btrfs never gives blocks back to the host (`nodiscard`).
//!
//! Nothing of it outlives its users, however they end: it is mounted nowhere but in the spawner's
//! own namespace, which Linux unmounts with the spawner, and the loop device lets go of the file
//! with the last mount. Engines with the same data directory find each other's device under a lock.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    FallocateFlags, FlockOperation, IFlags, Mode, OFlags, fallocate, flock, fstat, ioctl_getflags,
    ioctl_setflags,
};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};
use soulbox_model::ByteSize;
use soulbox_syscall::loop_device::{self, Backing};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file's name.
const FILE: &str = "pool.btrfs";
/// Its name while it is being made.
const UNFINISHED: &str = "pool.new";
/// Whoever makes, attaches or sweeps holds a lock on this one.
const LOCK: &str = "lock";

/// The least file: below, btrfs has hardly room for its own.
const LEAST: u64 = 512 << 20;
/// The most that is taken without being asked to.
const MOST: u64 = 64 << 30;
/// The part of the host's free room that is taken without being asked to.
const PART: u64 = 4;

/// Where distributions put the program that makes btrfs.
const PROGRAMS: [&str; 4] = [
    "/usr/sbin/mkfs.btrfs",
    "/sbin/mkfs.btrfs",
    "/usr/bin/mkfs.btrfs",
    "/run/current-system/sw/bin/mkfs.btrfs",
];

/// How often, and how long apart, a step is tried that waits for Linux to clear away what an
/// engine that has just died used.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// A pool's file that cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum PoolFileError {
    /// The program that makes btrfs is missing.
    #[error("cannot find the program mkfs.btrfs: install the package btrfs-progs")]
    NoProgram,
    /// It failed.
    #[error("mkfs.btrfs refused: {0}")]
    Make(String),
    /// The host has too little room.
    #[error(
        "the pool for sandboxes' disks needs {need} of room in {place:?}, where {} MiB are free; \
         free some, or set storage.size", free.bytes() >> 20
    )]
    NoRoom {
        /// Where it would be made.
        place: PathBuf,
        /// What is needed.
        need: ByteSize,
        /// What is free.
        free: ByteSize,
    },
    /// Linux has no btrfs.
    #[error("this Linux has no btrfs (modprobe btrfs)")]
    NoBtrfs,
    /// Linux refused a step.
    #[error("cannot {step}")]
    Step {
        /// What was being done, and on what.
        step: String,
        /// Linux's error.
        #[source]
        source: io::Error,
    },
}

fn step<E: Into<io::Error>>(step: impl Into<String>) -> impl FnOnce(E) -> PoolFileError {
    let step = step.into();
    move |error| PoolFileError::Step {
        step,
        source: error.into(),
    }
}

/// A mounted pool.
pub struct PoolFile {
    /// Its mount, attached nowhere yet.
    pub mount: OwnedFd,
    /// The file's size in bytes.
    pub size: u64,
    /// Held while the pool is being opened and swept.
    pub turn: OwnedFd,
}

impl PoolFile {
    /// Opens the pool in `place`, making it if it is not there, or larger if `size` says so; 0
    /// leaves the size to the room of the host.
    ///
    /// # Errors
    /// [`PoolFileError`].
    pub fn open(place: &Path, size: ByteSize) -> Result<Self, PoolFileError> {
        private_directory(place).map_err(step(format!("make the directory {place:?}")))?;
        let turn = turn(place).map_err(step(format!("lock {place:?}")))?;
        let path = place.join(FILE);
        if !path.exists() {
            make(place, size)?;
        }
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(&path, flags, Mode::empty())
            .map_err(step(format!("open {path:?}")))?;
        let (name, device) = attach(&file)?;
        let now = length(&file).map_err(step(format!("look at {path:?}")))?;
        let mount = patiently(|| mount(&name)).map_err(|errno| match errno {
            Errno::NODEV => PoolFileError::NoBtrfs,
            errno => step(format!("mount {path:?} ({name})"))(errno),
        })?;
        let mut pool = Self {
            mount,
            size: now,
            turn,
        };
        if size.bytes() > now {
            pool.grow(&file, &device, size.bytes())
                .map_err(step(format!("make {path:?} {size} large")))?;
        }
        Ok(pool)
    }

    fn grow(&mut self, file: &OwnedFd, device: &OwnedFd, size: u64) -> Result<(), Errno> {
        fallocate(file, FallocateFlags::empty(), 0, size)?;
        loop_device::follow_size(device.as_fd())?;
        soulbox_syscall::btrfs::grow(self.mount.as_fd())?;
        self.size = size;
        Ok(())
    }
}

/// Waits for one's turn at the pool in `place`.
fn turn(place: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let lock = rustix::fs::open(place.join(LOCK), flags, Mode::from(0o600))?;
    rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive))?;
    Ok(lock)
}

fn private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn length(file: &OwnedFd) -> Result<u64, Errno> {
    Ok(u64::try_from(fstat(file)?.st_size).unwrap_or(0))
}

/// Makes the file under another name first: one that is found is complete.
fn make(place: &Path, size: ByteSize) -> Result<(), PoolFileError> {
    let program = PROGRAMS.iter().map(Path::new).find(|path| path.is_file());
    let program = program.ok_or(PoolFileError::NoProgram)?;
    let path = place.join(UNFINISHED);
    let remove = || match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    // What an engine left that was killed here.
    remove().map_err(step(format!("remove {path:?}")))?;
    let made = reserve(place, &path, size).and_then(|()| fill(program, &path));
    let named = made.and_then(|()| {
        fs::rename(&path, place.join(FILE)).map_err(step(format!("rename {path:?}")))
    });
    if named.is_err() {
        let _ = remove();
    }
    named
}

/// Makes a file whose room is really taken.
fn reserve(place: &Path, path: &Path, size: ByteSize) -> Result<(), PoolFileError> {
    let about = rustix::fs::statvfs(place).map_err(step(format!("look at {place:?}")))?;
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    let wanted = match size.bytes() {
        0 => (free / PART).min(MOST) >> 20 << 20,
        size => size,
    };
    let need = wanted.max(LEAST);
    let no_room = || PoolFileError::NoRoom {
        place: place.to_owned(),
        need: ByteSize(need),
        free: ByteSize(free),
    };
    if wanted < LEAST || need > free {
        return Err(no_room());
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file =
        rustix::fs::open(path, flags, Mode::from(0o600)).map_err(step(format!("make {path:?}")))?;
    // On a btrfs of the host a copy of each block that is written would need room again; other
    // file systems do not know the mark.
    if let Ok(flags) = ioctl_getflags(&file) {
        let _ = ioctl_setflags(&file, flags | IFlags::NOCOW);
    }
    match fallocate(&file, FallocateFlags::empty(), 0, wanted) {
        Err(Errno::NOSPC | Errno::DQUOT) => Err(no_room()),
        result => result.map_err(step(format!("reserve room for {path:?}"))),
    }
}

/// Makes btrfs in the file: one copy of everything, for the host's disk has the redundancy; data
/// and metadata in the same room, for otherwise data can take what metadata needs; and without
/// giving the reserved room back.
fn fill(program: &Path, path: &Path) -> Result<(), PoolFileError> {
    #[allow(
        clippy::disallowed_methods,
        reason = "a program of the host that makes a file system"
    )]
    let mut command = std::process::Command::new(program);
    let output = command
        .args(["--quiet", "--nodiscard", "--label", "soulbox"])
        .args(["--mixed", "--metadata", "single", "--data", "single"])
        .arg(path)
        .env_clear()
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(step(format!("run {program:?}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.chars().filter(|c| !c.is_control()).take(300).collect();
    Err(PoolFileError::Make(said))
}

/// The loop device of the file: the one that another engine uses, or a new one. The descriptor
/// keeps it until it is mounted.
fn attach(file: &OwnedFd) -> Result<(String, OwnedFd), PoolFileError> {
    let about = fstat(file).map_err(step("look at the pool's file"))?;
    let ours = Backing {
        device: about.st_dev,
        inode: about.st_ino,
    };
    if let Some(found) = attached(ours) {
        return Ok(found);
    }
    let control = rustix::fs::open(
        "/dev/loop-control",
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(step("open /dev/loop-control (modprobe loop)"))?;
    let take = || {
        let number = loop_device::free_number(control.as_fd())?;
        let name = format!("/dev/loop{number}");
        let device = open_device(&name)?;
        loop_device::configure(device.as_fd(), file.as_fd())?;
        Ok((name, device))
    };
    patiently(take).map_err(step("find a free loop device"))
}

fn open_device(name: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::open(name, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

/// The loop device that a file is behind already.
fn attached(ours: Backing) -> Option<(String, OwnedFd)> {
    let entries = fs::read_dir("/sys/block").ok()?;
    let in_use = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let name = entry.file_name().into_string().ok()?;
        let looped = name.starts_with("loop") && entry.path().join("loop").exists();
        looped.then(|| format!("/dev/{name}"))
    });
    in_use.into_iter().find_map(|name| {
        let device = open_device(&name).ok()?;
        let backing = loop_device::backing(device.as_fd()).ok()?;
        (backing == ours).then_some((name, device))
    })
}

fn mount(device: &str) -> Result<OwnedFd, Errno> {
    let context = fsopen("btrfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "source", device)?;
    fsconfig_set_flag(context.as_fd(), "nodiscard")?;
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOATIME;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Tries again while what is needed is being cleared away by Linux.
fn patiently<T>(mut take: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    let mut left = TRIES;
    loop {
        match take() {
            Err(Errno::BUSY | Errno::EXIST | Errno::NXIO) if left > 0 => {
                left -= 1;
                std::thread::sleep(PAUSE);
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_room_is_told_so_and_keeps_nothing() {
        let place = tempfile::tempdir().unwrap();
        let error = reserve(
            place.path(),
            &place.path().join(UNFINISHED),
            ByteSize::gib(1 << 30),
        );
        assert!(
            matches!(error, Err(PoolFileError::NoRoom { .. })),
            "{error:?}"
        );
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn patience_has_an_end_and_is_for_what_passes() {
        let mut tries = 0;
        let result: Result<(), Errno> = patiently(|| {
            tries += 1;
            Err(if tries < 3 { Errno::BUSY } else { Errno::PERM })
        });
        assert_eq!((result, tries), (Err(Errno::PERM), 3));
    }
}
