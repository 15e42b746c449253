//! The spawner as a process.

use super::DriverError;
use crate::programs;
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// A program in memory that nobody can change, executable through its descriptor.
pub(super) fn sealed_program(name: &str, bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let program = match rustix::fs::memfd_create(name, flags | MemfdFlags::EXEC) {
        // Linux before 6.3 knows no such flag and makes every memfd executable.
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags)?,
        other => other?,
    };
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::write(&program, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&program, seals)?;
    Ok(program)
}

pub(super) fn start(channel: OwnedFd) -> Result<Child, DriverError> {
    let program = sealed_program("soulbox-spawner", programs::SPAWNER)
        .map_err(|errno| DriverError::Spawn(errno.into()))?;
    let path = format!("/proc/self/fd/{}", rustix::fd::AsRawFd::as_raw_fd(&program));
    #[allow(
        clippy::disallowed_methods,
        reason = "the spawner is the one process of the driver"
    )]
    let mut command = Command::new(path);
    command.arg0("soulbox-spawner").env_clear().current_dir("/");
    command
        .stdin(Stdio::from(channel))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    command.spawn().map_err(DriverError::Spawn)
}
