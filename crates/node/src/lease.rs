//! Slots of the machine: who holds which range of ids, subnet and name.
//!
//! One table for all engines of the machine, whatever their data directories, so that none of
//! them ever gives two sandboxes the same ids. A slot's number decides everything that must not
//! collide: its 65,536 host ids, its subnet, the names of its cgroups and links.
//!
//! The table is a file of one record per slot. Changes are made under a lock on the file, which
//! Linux lets go of when its holder dies. A record names its holder, a spawner, by process id and
//! start time, so that a number that Linux gives to another process later is not taken for the
//! holder; and the engine that it works for by that engine's mark. While that engine lives, it
//! alone clears away what its spawner left.

use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use soulbox_runtime::native::identity;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many slots a machine has; number 0 is never given out: its ids are those of the owners of
/// user namespaces.
pub const SLOTS: u32 = 4096;

/// The first host id of slot 0. From here to 2^31 no Linux distribution gives out ids
/// (<https://systemd.io/UIDS-GIDS/>).
pub const ID_BASE: u32 = 0x7000_0000;

/// The length of a record in bytes: process id, mark of the engine, start time.
const RECORD: usize = 16;

/// The longest boot id (`/proc/sys/kernel/random/boot_id`) with its line's end.
const BOOT_ID: usize = 37;

/// Where the number is that is tried next.
const NEXT_AT: u64 = 48;

/// Where the first record is; before it the boot id, for a table of another boot holds nothing.
const RECORDS_AT: u64 = 64;

/// A slot that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The table cannot be read or written.
    #[error("cannot use the table of slots {path:?}; it must be writable for all engines")]
    Table {
        /// The table's path.
        path: PathBuf,
        /// Linux's error.
        #[source]
        source: std::io::Error,
    },
    /// All slots are in use.
    #[error("all {} slots of this machine are in use; end some sandboxes first", SLOTS - 1)]
    Full,
    /// There are as many sandboxes as there may be.
    #[error(
        "there are {most} sandboxes on this machine, which is the most that there may be \
         (setting node.max_sandboxes); end some first"
    )]
    Most {
        /// The most that there may be.
        most: u32,
    },
}

/// A process that holds slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// When it started, in clock ticks since boot (proc(5), field 22 of `stat`).
    pub started: u64,
}

impl Holder {
    /// The process `pid` as it lives now; `None` when there is none, or it has ended and only
    /// waits to be collected.
    pub fn of(pid: u32) -> Option<Self> {
        let started = identity::started(pid)?;
        Some(Self { pid, started })
    }

    /// Whether it still lives.
    pub fn lives(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }
}

/// The table of slots.
#[derive(Debug)]
pub struct Table {
    path: PathBuf,
    file: OwnedFd,
}

/// What a slot's record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The slot's number, 1 to 4095.
    pub slot: u32,
    /// The spawner that holds it.
    pub holder: Holder,
    /// The mark of the engine that the spawner works for; 0 where none is noted.
    pub engine: u32,
}

/// A slot that is held. Dropping it makes the number free again: nothing of the slot may be left
/// then, else [`Lease::leave`] it.
#[derive(Debug)]
pub struct Lease {
    table: Arc<Table>,
    slot: u32,
    holder: Holder,
}

impl Table {
    /// Opens the table in `directory`, making both if they are missing.
    ///
    /// # Errors
    /// [`LeaseError::Table`].
    pub fn open(directory: &Path) -> Result<Self, LeaseError> {
        let path = directory.join("slots");
        let open = || -> std::io::Result<OwnedFd> {
            std::fs::create_dir_all(directory)?;
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
            Ok(rustix::fs::open(&path, flags, Mode::from(0o600))?)
        };
        let file = open().map_err(|source| LeaseError::Table {
            path: path.clone(),
            source,
        })?;
        let table = Self { path, file };
        table.begin_boot().map_err(|errno| table.error(errno))?;
        Ok(table)
    }

    fn error(&self, errno: Errno) -> LeaseError {
        LeaseError::Table {
            path: self.path.clone(),
            source: errno.into(),
        }
    }

    /// Empties a table that an earlier boot left.
    fn begin_boot(&self) -> Result<(), Errno> {
        let boot = std::fs::read("/proc/sys/kernel/random/boot_id").map_err(|_| Errno::NOSYS)?;
        let boot = boot.get(..boot.len().min(BOOT_ID)).unwrap_or_default();
        let _lock = self.lock()?;
        let mut found = [0; BOOT_ID];
        let length = rustix::io::pread(&self.file, &mut found, 0)?;
        if found.get(..length) == Some(boot) {
            return Ok(());
        }
        rustix::fs::ftruncate(&self.file, 0)?;
        let length = RECORDS_AT + u64::from(SLOTS) * RECORD as u64;
        rustix::fs::ftruncate(&self.file, length)?;
        rustix::io::pwrite(&self.file, boot, 0).map(|_| ())
    }

    /// Locks the table against other processes and, by its own descriptor, other threads.
    fn lock(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let lock = rustix::fs::open(&self.path, flags, Mode::empty())?;
        rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive))?;
        Ok(lock)
    }

    fn records(&self) -> Result<Vec<u8>, Errno> {
        let mut records = vec![0; SLOTS as usize * RECORD];
        let mut read = 0;
        while let Some(rest) = records.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match rustix::io::pread(&self.file, rest, RECORDS_AT + read as u64)? {
                0 => break,
                n => read += n,
            }
        }
        Ok(records)
    }

    fn write(&self, slot: u32, holder: Option<(Holder, u32)>) -> Result<(), Errno> {
        let mut record = [0; RECORD];
        if let Some((holder, engine)) = holder {
            record[..4].copy_from_slice(&holder.pid.to_le_bytes());
            record[4..8].copy_from_slice(&engine.to_le_bytes());
            record[8..].copy_from_slice(&holder.started.to_le_bytes());
        }
        let at = RECORDS_AT + u64::from(slot) * RECORD as u64;
        rustix::io::pwrite(&self.file, &record, at).map(|_| ())
    }

    /// Takes a free slot for `holder`, who must live at least as long as what is in the slot, and
    /// works for the engine with the mark `engine`.
    ///
    /// The machine's engines go round: a number that was just given back comes last, for Linux
    /// clears away the links and namespaces that bear it in the background.
    ///
    /// # Errors
    /// [`LeaseError::Full`], [`LeaseError::Table`].
    pub fn take(self: &Arc<Self>, holder: Holder, engine: u32) -> Result<Lease, LeaseError> {
        self.take_of(holder, engine, SLOTS - 1)
    }

    /// The same while fewer than `most` are taken.
    ///
    /// # Errors
    /// [`LeaseError::Most`] too.
    pub fn take_of(
        self: &Arc<Self>,
        holder: Holder,
        engine: u32,
        most: u32,
    ) -> Result<Lease, LeaseError> {
        let mut room = true;
        let mut take = || -> Result<Option<u32>, Errno> {
            let _lock = self.lock()?;
            let records = self.records()?;
            let mut next = [0; 4];
            rustix::io::pread(&self.file, &mut next, NEXT_AT)?;
            let next = u32::from_le_bytes(next).clamp(1, SLOTS - 1);
            let free = |slot: &u32| record_at(&records, *slot).is_none();
            let taken = (1..SLOTS).filter(|slot| !free(slot)).count();
            room = most >= SLOTS - 1 || taken < most as usize;
            if !room {
                return Ok(None);
            }
            let slot = (next..SLOTS).chain(1..next).find(free);
            if let Some(slot) = slot {
                self.write(slot, Some((holder, engine)))?;
                let next = if slot + 1 < SLOTS { slot + 1 } else { 1 };
                rustix::io::pwrite(&self.file, &next.to_le_bytes(), NEXT_AT)?;
            }
            Ok(slot)
        };
        let slot = take()
            .map_err(|errno| self.error(errno))?
            .ok_or(LeaseError::Full);
        let slot = match slot {
            Err(LeaseError::Full) if !room => return Err(LeaseError::Most { most }),
            slot => slot?,
        };
        Ok(Lease {
            table: Arc::clone(self),
            slot,
            holder,
        })
    }

    /// Frees the slots of holders that have died, after `clean` has removed what they left.
    /// A slot whose remains cannot be removed stays taken: its ids must not meet files of before.
    /// Returns the freed ones.
    ///
    /// # Errors
    /// [`LeaseError::Table`].
    pub fn reclaim(&self, clean: impl Fn(&Record) -> bool) -> Result<Vec<u32>, LeaseError> {
        let reclaim = || -> Result<Vec<u32>, Errno> {
            let _lock = self.lock()?;
            let records = self.records()?;
            let mut freed = Vec::new();
            for record in (1..SLOTS).filter_map(|slot| record_at(&records, slot)) {
                if !record.holder.lives() && clean(&record) {
                    self.write(record.slot, None)?;
                    freed.push(record.slot);
                }
            }
            Ok(freed)
        };
        reclaim().map_err(|errno| self.error(errno))
    }

    /// A slot that `holder` has taken already, of an engine whose place the caller has taken.
    pub(crate) fn held_lease(self: &Arc<Self>, holder: Holder, slot: u32) -> Lease {
        Lease {
            table: Arc::clone(self),
            slot,
            holder,
        }
    }

    /// Frees a slot, unless it was reclaimed after its holder's death: it is somebody else's then,
    /// or will be.
    fn free(&self, slot: u32, holder: Holder) -> Result<(), Errno> {
        let _lock = self.lock()?;
        let mut record = [0; RECORD];
        let at = RECORDS_AT + u64::from(slot) * RECORD as u64;
        rustix::io::pread(&self.file, &mut record, at)?;
        match record_at(&record, 0) {
            Some(record) if record.holder == holder => self.write(slot, None),
            _ => Ok(()),
        }
    }

    /// The slots in use and their holders.
    ///
    /// # Errors
    /// [`LeaseError::Table`].
    pub fn held(&self) -> Result<Vec<Record>, LeaseError> {
        let records = self.records().map_err(|errno| self.error(errno))?;
        let held = (1..SLOTS).filter_map(|slot| record_at(&records, slot));
        Ok(held.collect())
    }
}

/// The slots in use as a table's file says, for whoever only wants to know.
pub fn read(file: &[u8]) -> Vec<Record> {
    let at = usize::try_from(RECORDS_AT).unwrap_or(usize::MAX);
    let records = file.get(at..).unwrap_or_default();
    let held = (1..SLOTS).filter_map(|slot| record_at(records, slot));
    held.collect()
}

fn record_at(records: &[u8], slot: u32) -> Option<Record> {
    let at = slot as usize * RECORD;
    let word = |at: usize| {
        Some(u32::from_le_bytes(
            records.get(at..at + 4)?.try_into().ok()?,
        ))
    };
    let (pid, engine) = (word(at)?, word(at + 4)?);
    let started = u64::from_le_bytes(records.get(at + 8..at + RECORD)?.try_into().ok()?);
    let holder = Holder { pid, started };
    (pid != 0).then_some(Record {
        slot,
        holder,
        engine,
    })
}

impl Lease {
    /// The slot's number, 1 to 4095.
    pub fn slot(&self) -> u32 {
        self.slot
    }
}

impl Lease {
    /// Leaves the slot taken, for whoever clears away what is in it once its holder has died.
    pub fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Err(errno) = self.table.free(self.slot, self.holder) {
            // The record names this process's spawner; the next engine frees it.
            tracing::warn!(slot = self.slot, %errno, "cannot free a slot");
        }
    }
}

#[cfg(test)]
mod tests;
