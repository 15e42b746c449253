//! Which process Linux killed for want of memory, read from Linux's own log.
//!
//! A line of the log names the process, what it held and its user on the host, and the user's
//! number tells the slot: nobody else has it. The name is the process's own choice and so
//! hostile; Linux writes at most 15 bytes of it, with control characters escaped.

use crate::lease::{ID_BASE, SLOTS};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use soulbox_model::ByteSize;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The longest record of the log that is read; Linux makes none longer (`PRINTKRB_RECORD_MAX` is
/// 1024, and each byte takes four when it is escaped).
const RECORD: usize = 8 * 1024;

/// How many records are read at once: as many as the log holds at its usual size.
const RECORDS: usize = 16 * 1024;

/// The longest name of a process (`TASK_COMM_LEN`), each byte escaped.
const NAME: usize = 64;

/// The ids of one slot.
const IDS: u32 = 65_536;

/// A process that Linux killed for want of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryKill {
    /// Its name, without control characters; the process chose it.
    pub process: String,
    /// What it held when it was killed.
    pub held: ByteSize,
    /// Which one it is of those that were killed in its sandbox, from 1.
    pub number: u64,
}

/// Linux's log, as far as it tells of such processes.
pub(crate) struct MemoryKills {
    state: Mutex<State>,
}

struct State {
    log: Option<OwnedFd>,
    last: HashMap<u32, MemoryKill>,
}

impl MemoryKills {
    /// Begins to follow the log from now on. Where it may not be read, nothing is ever known.
    pub(crate) fn follow() -> Self {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let log = rustix::fs::open("/dev/kmsg", flags, Mode::empty()).ok();
        let log = log.filter(|log| rustix::fs::seek(log, SeekFrom::End(0)).is_ok());
        Self {
            state: Mutex::new(State {
                log,
                last: HashMap::new(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was killed in a slot; to be called before something new runs in it.
    pub(crate) fn forget(&self, slot: u32) {
        let mut state = self.state();
        state.read();
        state.last.remove(&slot);
    }

    /// The last process that was killed in a slot.
    pub(crate) fn of(&self, slot: u32) -> Option<MemoryKill> {
        let mut state = self.state();
        state.read();
        state.last.get(&slot).cloned()
    }
}

impl State {
    /// Reads what is new. One record comes with each read.
    fn read(&mut self) {
        let Some(log) = &self.log else {
            return;
        };
        let mut record = [0; RECORD];
        for _ in 0..RECORDS {
            match rustix::io::read(log, &mut record) {
                Ok(0) => return,
                Ok(length) => {
                    let bytes = record.get(..length).unwrap_or_default();
                    if let Some((slot, mut kill)) = find(&String::from_utf8_lossy(bytes)) {
                        let before = self.last.get(&slot).map_or(0, |last| last.number);
                        kill.number = before + 1;
                        self.last.insert(slot, kill);
                    }
                }
                // Some were overwritten before they were read.
                Err(Errno::PIPE | Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

/// The slot and the process that a record tells of, if it tells of one. Linux's words since 5.5
/// (`__oom_kill_process` in mm/oom_kill.c):
/// `6,…;Memory cgroup out of memory: Killed process 7 (name) total-vm:1kB, anon-rss:2kB,
/// file-rss:3kB, shmem-rss:4kB, UID:5 pgtables:6kB oom_score_adj:7`.
pub(crate) fn find(record: &str) -> Option<(u32, MemoryKill)> {
    let (_, text) = record.split_once(';')?;
    let (_, text) = text.split_once("Killed process ")?;
    let (_, text) = text.split_once(" (")?;
    // The name may hold these very words; the last ones are Linux's own.
    let (name, figures) = text.rsplit_once(") total-vm:")?;
    let number = |key: &str, unit: &str| -> Option<u64> {
        let (_, rest) = figures.split_once(key)?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        rest.strip_prefix(digits)?.starts_with(unit).then_some(())?;
        digits.parse().ok()
    };
    let uid = u32::try_from(number("UID:", " ")?).ok()?;
    let slot = uid.checked_sub(ID_BASE)? / IDS;
    if !(1..SLOTS).contains(&slot) {
        return None;
    }
    let kib = [
        number("anon-rss:", "kB")?,
        number("file-rss:", "kB")?,
        number("shmem-rss:", "kB").unwrap_or(0),
    ];
    let kib = kib.iter().fold(0_u64, |sum, kib| sum.saturating_add(*kib));
    let visible = name.chars().filter(|c| !c.is_control());
    let kill = MemoryKill {
        process: visible.take(NAME).collect(),
        held: ByteSize(kib.saturating_mul(1024)),
        number: 1,
    };
    Some((slot, kill))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, uid: u32) -> String {
        format!(
            "6,1402,5622440510,-;Memory cgroup out of memory: Killed process 7421 ({name}) \
             total-vm:313040kB, anon-rss:60000kB, file-rss:6000kB, shmem-rss:0kB, UID:{uid} \
             pgtables:180kB oom_score_adj:500\n"
        )
    }

    #[test]
    fn the_process_and_its_slot_are_found() {
        let (slot, kill) = find(&record("python3", ID_BASE + 5 * IDS + 1000)).unwrap();
        assert_eq!((slot, kill.process.as_str()), (5, "python3"));
        assert_eq!(kill.held, ByteSize(66_000 * 1024));
    }

    #[test]
    fn a_name_cannot_speak_for_linux() {
        for name in [
            ") total-vm:1kB,",
            "x (y) UID:0 ",
            "Killed process",
            "a\\x0ab\u{1b}",
        ] {
            let (slot, kill) = find(&record(name, ID_BASE + IDS)).unwrap();
            assert_eq!((slot, kill.held), (1, ByteSize(66_000 * 1024)), "{name}");
            assert!(!kill.process.contains('\u{1b}'), "{name}");
        }
        let long = find(&record(&"n".repeat(5000), ID_BASE + IDS)).unwrap().1;
        assert_eq!(long.process.len(), NAME);
    }

    #[test]
    fn processes_of_nobody_and_other_records_are_left_out() {
        for uid in [0, 1000, ID_BASE, ID_BASE + SLOTS * IDS, u32::MAX] {
            assert_eq!(find(&record("python3", uid)), None, "{uid}");
        }
        for other in [
            "",
            "6,1,2,-;",
            "6,1,2,-;Killed process 7 (x",
            "Killed process 7 (x) total-vm:",
        ] {
            assert_eq!(find(other), None, "{other}");
        }
    }
}
