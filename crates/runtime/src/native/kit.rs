//! Ready-made parts that all sandboxes share read-only: `/dev`, a small `/sys`, an empty place.
//!
//! They belong to the host's root, whom no sandbox knows, so nobody inside can change them even
//! where a mount were writable.

use super::cgroup::View;
use super::home::{self, KIT_DEV, KIT_EMPTY, KIT_SYS};
use super::policy::{DEVICE_LINKS, DEVICES};
use super::step::{Step, StepError};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

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
pub(super) fn fill(views: &[View], is_root: bool) -> Result<(), StepError> {
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
    fill_dev(dev, is_root)?;
    fill_sys(sys, views)?;
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

fn fill_dev(dev: &str, is_root: bool) -> Result<(), StepError> {
    // A umask of the caller would take rights away from the nodes.
    let umask = rustix::process::umask(Mode::empty());
    let nodes = DEVICES.iter().try_for_each(|device| {
        let path = format!("{dev}/{}", device.name);
        if !is_root {
            return borrow_device(device.name, &path);
        }
        let made = mknodat(
            CWD,
            &path,
            FileType::CharacterDevice,
            Mode::from(0o666),
            makedev(device.major, device.minor),
        );
        made.step(|| format!("make the device {path}"))
    });
    rustix::process::umask(umask);
    nodes?;
    for link in DEVICE_LINKS {
        let path = format!("{dev}/{}", link.name);
        rustix::fs::symlink(link.target, &path).step(|| format!("make the link {path}"))?;
    }
    home::make_directories(&format!("{dev}/shm"))?;
    home::make_directories(&format!("{dev}/pts"))
}

/// Shows the host's own device at `path`: only the host's root may make one.
fn borrow_device(name: &str, path: &str) -> Result<(), StepError> {
    let device = home::open_tree_copy(&format!("/dev/{name}"))?;
    mknodat(CWD, path, FileType::RegularFile, Mode::from(0o600), 0)
        .step(|| format!("make a place for the device {path}"))?;
    home::attach(device, path)
}

fn fill_sys(sys: &str, views: &[View]) -> Result<(), StepError> {
    for directory in [
        "class/net",
        "fs/cgroup",
        "devices/system/cpu",
        "bus",
        "block",
    ] {
        home::make_directories(&format!("{sys}/{directory}"))?;
    }
    for view in views {
        home::make_directories(&format!("{sys}{}", view.guest.trim_start_matches("/sys")))?;
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
