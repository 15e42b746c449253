//! Killing all processes of a sandbox but its first, without the help of anything inside.

use super::{Controller, Group};
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::collections::HashSet;

/// How often the processes are listed and killed at most. No new ones can be made meanwhile, so
/// the second list holds those only that were half-way made at the first.
const ROUNDS: u32 = 8;

/// The most bytes of one list: that many processes are more than a sandbox can have.
const LIST: usize = 64 * 1024 * 1024;

impl Group {
    /// Kills every process of the group but `first`, the first one of its pid namespace. They may
    /// take a moment to end. True when there were any.
    ///
    /// # Errors
    /// What kept the processes from being listed.
    pub fn kill_others(&self, first: Pid) -> Result<bool, Errno> {
        let namespace = pid_namespace(first)?;
        // Without this, a process that forks faster than it is listed would get away.
        self.set_pids("0");
        let mut killed = HashSet::from([first]);
        let rounds = (0..ROUNDS).try_for_each(|_| {
            let before = killed.len();
            let round = self.kill_round(namespace, &mut killed);
            match round {
                Ok(()) if killed.len() > before => Ok(()),
                Ok(()) => Err(None),
                Err(errno) => Err(Some(errno)),
            }
        });
        self.set_pids(&self.pids.get().to_string());
        match rounds {
            Err(Some(errno)) => Err(errno),
            Ok(()) | Err(None) => Ok(killed.len() > 1),
        }
    }

    /// One round: kills those that are not yet among the `killed`.
    fn kill_round(&self, namespace: u64, killed: &mut HashSet<Pid>) -> Result<(), Errno> {
        for pid in self.members()? {
            if killed.contains(&pid) {
                continue;
            }
            // A number can be given to another process between the list and here; what the
            // descriptor means cannot change any more.
            let Ok(process) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else {
                continue;
            };
            if pid_namespace(pid) == Ok(namespace)
                && rustix::process::pidfd_send_signal(&process, Signal::KILL).is_ok()
            {
                killed.insert(pid);
            }
        }
        Ok(())
    }

    /// The processes of the group.
    fn members(&self) -> Result<Vec<Pid>, Errno> {
        let Some(part) = self.parts.first() else {
            return Ok(Vec::new());
        };
        let list = part.open("cgroup.procs", OFlags::RDONLY)?;
        let text = read_all(&list)?;
        let pids = text.split(|byte| *byte == b'\n');
        Ok(pids
            .filter_map(|line| std::str::from_utf8(line).ok()?.parse().ok())
            .filter_map(Pid::from_raw)
            .collect())
    }

    fn set_pids(&self, value: &str) {
        let parts = self.parts.iter();
        for part in parts.filter(|part| part.hierarchy().controllers.contains(&Controller::Pids)) {
            // Without it the rounds do what they can.
            let _ = part.set("pids.max", value);
        }
    }
}

/// Which pid namespace a process is in.
fn pid_namespace(pid: Pid) -> Result<u64, Errno> {
    let path = format!("/proc/{}/ns/pid", pid.as_raw_nonzero());
    rustix::fs::stat(path).map(|stat| stat.st_ino)
}

fn read_all(file: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let mut all = Vec::new();
    let mut piece = [0; 16 * 1024];
    while all.len() < LIST {
        match rustix::io::read(file, &mut piece)? {
            0 => break,
            length => all.extend_from_slice(piece.get(..length).unwrap_or_default()),
        }
    }
    Ok(all)
}
