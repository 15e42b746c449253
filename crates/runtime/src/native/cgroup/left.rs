//! Groups that a killed spawner left.

use super::{Freezer, Layout};
use rustix::io::Errno;
use std::path::Path;

/// Lets what a killed spawner left frozen go on, without which it could not end.
pub fn thaw_left(layout: &Layout, name: &str, slot: u32) {
    let freezing = layout.hierarchies.iter().filter(|h| h.freezes);
    for hierarchy in freezing {
        let freezer = if hierarchy.v2 {
            Freezer::V2
        } else {
            Freezer::V1
        };
        let (file, value) = freezer.switch(false);
        let path = hierarchy.mount.join(name).join(super::name_of(slot));
        // Mostly there is no such group any more.
        let _ = std::fs::write(path.join(file), value);
    }
}

/// Removes the groups that a killed spawner left of a slot, and ends what still runs in them.
///
/// # Errors
/// Linux's own, for the first directory that could not be removed.
pub fn remove_left(layout: &Layout, name: &str, slot: u32) -> Result<(), Errno> {
    thaw_left(layout, name, slot);
    for hierarchy in &layout.hierarchies {
        let path = hierarchy.mount.join(name).join(super::name_of(slot));
        let members = std::fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        for pid in members.lines().filter_map(|line| line.parse().ok()) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                // It may have ended by itself meanwhile.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        remove_when_empty(&path)?;
    }
    Ok(())
}

/// Removes a group whose last processes are about to end.
fn remove_when_empty(path: &Path) -> Result<(), Errno> {
    /// How often, with a pause of 5 ms, Linux is given time to end killed processes.
    const TRIES: u32 = 200;
    for _ in 0..TRIES {
        match rustix::fs::rmdir(path) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY) => std::thread::sleep(std::time::Duration::from_millis(5)),
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::BUSY)
}
