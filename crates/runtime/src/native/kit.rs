//! Ready-made parts that all sandboxes share read-only: `/dev`, a small `/sys`, an empty place.
//!
//! They belong to the host's root, whom no sandbox knows, so nobody inside can change them even
//! where a mount were writable.

use super::home::{self, KIT_DEV, KIT_EMPTY, KIT_SYS};
use super::step::{Step, StepError};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

/// Character devices of `/dev`: name, major, minor (Documentation/admin-guide/devices.txt).
/// Each works on the caller only or gives nothing away.
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Links of `/dev` that programs expect.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Files of the host's `/sys` that run-time systems read to size themselves, copied once.
const SYS_FILES: [&str; 6] = [
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/cpu/possible",
    "/sys/devices/system/cpu/present",
    "/sys/devices/system/node/online",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size",
];

/// Fills the kit below the present directory, which is to become the spawner's root.
pub(super) fn fill() -> Result<(), StepError> {
    let [dev, sys, empty] = [KIT_DEV, KIT_SYS, KIT_EMPTY].map(|path| path.trim_start_matches('/'));
    for (path, attributes) in [
        (
            dev,
            MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC,
        ),
        (sys, no_files()),
        (empty, no_files()),
    ] {
        home::attach(home::tmpfs("mode=0755,size=1m", attributes)?, path)?;
    }
    fill_dev(dev)?;
    fill_sys(sys)?;
    for path in [dev, sys, empty] {
        let mount = home::open_directory(path)?;
        soulbox_syscall::mount::set_attributes(
            rustix::fd::AsFd::as_fd(&mount),
            soulbox_syscall::mount::Attributes::READ_ONLY,
            None,
            false,
        )
        .step(|| format!("make {path} read-only"))?;
    }
    Ok(())
}

/// For mounts that hold nothing to run and no device.
fn no_files() -> MountAttrFlags {
    MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
}

fn fill_dev(dev: &str) -> Result<(), StepError> {
    // A umask of the caller would take rights away from the nodes.
    let umask = rustix::process::umask(Mode::empty());
    let nodes = DEVICES.into_iter().try_for_each(|(name, major, minor)| {
        let path = format!("{dev}/{name}");
        let made = mknodat(
            CWD,
            &path,
            FileType::CharacterDevice,
            Mode::from(0o666),
            makedev(major, minor),
        );
        made.step(|| format!("make the device {path}"))
    });
    rustix::process::umask(umask);
    nodes?;
    for (name, target) in LINKS {
        let path = format!("{dev}/{name}");
        rustix::fs::symlink(target, &path).step(|| format!("make the link {path}"))?;
    }
    home::make_directories(&format!("{dev}/shm"))?;
    home::make_directories(&format!("{dev}/pts"))
}

fn fill_sys(sys: &str) -> Result<(), StepError> {
    for directory in [
        "class/net",
        "fs/cgroup",
        "devices/system/cpu",
        "bus",
        "block",
    ] {
        home::make_directories(&format!("{sys}/{directory}"))?;
    }
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for cpu in 0..cpus {
        home::make_directories(&format!("{sys}/devices/system/cpu/cpu{cpu}"))?;
    }
    for source in SYS_FILES {
        // A host that lacks one of them is as good: programs cope without.
        let Ok(content) = std::fs::read(source) else {
            continue;
        };
        let path = format!("{sys}/{}", source.trim_start_matches("/sys/"));
        if let Some((directory, _)) = path.rsplit_once('/') {
            home::make_directories(directory)?;
        }
        std::fs::write(&path, content)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
            .step(|| format!("write {path}"))?;
    }
    Ok(())
}
