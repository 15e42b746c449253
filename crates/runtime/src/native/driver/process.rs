//! The spawner as a process.

use super::DriverError;
use crate::native::identity::Identity;
use crate::{programs, zygote};
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use soulbox_wire::spawner::pack;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a spawner that another engine started may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

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

/// The files of a zygote as a spawner takes them, in memory where nobody can change them.
///
/// # Errors
/// Linux's own.
pub fn zygote_files() -> Result<OwnedFd, Errno> {
    let files = zygote::files();
    let files: Vec<_> = files
        .iter()
        .map(|(path, content)| (*path, &**content))
        .collect();
    let packed = pack(&files).ok_or(Errno::FBIG)?;
    sealed_program("soulbox-zygote", &packed)
}

/// A spawner's process.
pub enum Process {
    /// One that this engine started.
    Child(Child),
    /// One that another engine started.
    Other(Identity),
}

impl Process {
    /// Its process id.
    pub fn id(&self) -> u32 {
        match self {
            Self::Child(child) => child.id(),
            Self::Other(identity) => identity.pid,
        }
    }

    /// Waits for its end, which is on its way.
    pub(super) fn wait(mut self) {
        match &mut self {
            Self::Child(child) => drop(child.wait()),
            Self::Other(identity) => drop(identity.end(PATIENCE, PATIENCE)),
        }
    }

    /// Makes sure that it ends. It has closed its channel; what it still does, nobody has asked
    /// for.
    pub(super) fn kill(mut self) {
        match &mut self {
            Self::Child(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Self::Other(identity) => drop(identity.end(Duration::ZERO, PATIENCE)),
        }
    }
}

pub(super) fn start(channel: OwnedFd, lasting: bool) -> Result<Child, DriverError> {
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
        .stderr(match lasting {
            // Whoever reads the engine's must not wait for a spawner that lives on.
            true => Stdio::null(),
            false => Stdio::inherit(),
        });
    command.spawn().map_err(DriverError::Spawn)
}
