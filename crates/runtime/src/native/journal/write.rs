//! Writing the journal.

use super::{End, FILES, Head, Line, VERSION, boot, clock, shortened};
use crate::native::identity::Identity;
use crate::native::step::{Step, StepError};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use soulbox_wire::spawner::{Failure, Network};
use std::collections::{BTreeMap, VecDeque};

/// A file is changed for the other one when it has grown by so many bytes over what it began
/// with: some 1,500 sandboxes.
const GROWTH: u64 = 1024 * 1024;

/// How many sandboxes' ends are kept over a change of files: as many as can end while no engine is
/// there.
const PAST: usize = 4096;

/// A journal that is being written.
pub(in crate::native) struct Journal {
    files: [OwnedFd; FILES],
    head: Head,
    /// The bytes after which files are changed.
    full: u64,
    growth: u64,
    written: u64,
    /// A line was cut short, so the next one begins with a line's end.
    torn: bool,
    /// The lines of each slot that is held.
    held: BTreeMap<u32, Slot>,
    past: VecDeque<Vec<u8>>,
    most_past: usize,
}

#[derive(Default)]
struct Slot {
    lines: Vec<u8>,
    note: Option<String>,
    end: Option<End>,
}

impl Journal {
    /// Begins a journal in two files that only this process writes, opened to append.
    ///
    /// # Errors
    /// The first line cannot be written.
    pub(in crate::native) fn begin(files: [OwnedFd; FILES]) -> Result<Self, StepError> {
        Self::growing(files, (GROWTH, PAST))
    }

    fn growing(
        files: [OwnedFd; FILES],
        (growth, most_past): (u64, usize),
    ) -> Result<Self, StepError> {
        let boot = boot().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
        let me = Identity::of(std::process::id()).ok_or(Errno::SRCH);
        let mut journal = Self {
            files,
            head: Head {
                version: VERSION,
                boot: boot.step(|| "read the id of this boot".to_owned())?,
                spawner: me.step(|| "look at the spawner's own process".to_owned())?,
                turn: 0,
            },
            full: 0,
            growth,
            written: 0,
            torn: false,
            held: BTreeMap::new(),
            past: VecDeque::new(),
            most_past,
        };
        journal.change_files().step(writing)?;
        Ok(journal)
    }

    /// A slot is about to be made. Nothing of it may be made when this fails.
    pub(in crate::native) fn taken(
        &mut self,
        slot: u32,
        network: Network,
    ) -> Result<(), StepError> {
        self.held.insert(slot, Slot::default());
        let line = Line::Taken {
            slot,
            network,
            at: clock(),
        };
        self.add(slot, &line).step(writing).inspect_err(|_| {
            self.held.remove(&slot);
        })
    }

    /// PID 1 of a slot was cloned.
    pub(in crate::native) fn born(
        &mut self,
        slot: u32,
        process: Identity,
    ) -> Result<(), StepError> {
        self.add(slot, &Line::Born { slot, process }).step(writing)
    }

    /// A sandbox waits for its start.
    pub(in crate::native) fn prepared(&mut self, slot: u32) {
        self.tell(slot, &Line::Prepared { slot });
    }

    /// A sandbox's agent accepts connections.
    pub(in crate::native) fn running(&mut self, slot: u32) {
        self.tell(slot, &Line::Running { slot });
    }

    /// What the engine says that a sandbox is.
    pub(in crate::native) fn note(&mut self, slot: u32, text: String) {
        let line = Line::Note {
            slot,
            text: text.clone(),
        };
        self.tell(slot, &line);
        if let Some(held) = self.held.get_mut(&slot) {
            held.note = Some(text);
        }
    }

    /// What the engine said that a sandbox is.
    pub(in crate::native) fn note_of(&self, slot: u32) -> Option<&str> {
        self.held.get(&slot)?.note.as_deref()
    }

    /// PID 1 has ended.
    pub(in crate::native) fn ended(&mut self, slot: u32, end: End) {
        let line = Line::Ended {
            slot,
            end: end.clone(),
        };
        self.tell(slot, &line);
        if let Some(held) = self.held.get_mut(&slot) {
            held.end = Some(end);
        }
    }

    /// A slot was given back but for `problems`.
    pub(in crate::native) fn back(&mut self, slot: u32, problems: &[Failure]) {
        let line = Line::Back {
            slot,
            problems: shortened(problems),
        };
        self.tell(slot, &line);
        let Some(Slot { note, end, .. }) = self.held.remove(&slot) else {
            return;
        };
        if let Some(end) = end {
            if self.past.len() >= self.most_past {
                self.past.pop_front();
            }
            self.past.push_back(text(&Line::Past { slot, note, end }));
        }
    }

    /// Writes what can be done without: an end must be possible with a full disk too. The next
    /// change of files brings in what is missing.
    fn tell(&mut self, slot: u32, line: &Line) {
        let _ = self.add(slot, line);
    }

    fn add(&mut self, slot: u32, line: &Line) -> Result<(), Errno> {
        let text = text(line);
        let Some(held) = self.held.get_mut(&slot) else {
            return Ok(());
        };
        held.lines.extend_from_slice(&text);
        if self.written >= self.full {
            return self.change_files();
        }
        let written = self.append(&text);
        if written.is_err() {
            // Without room, what is not needed any more may make some.
            return self.change_files();
        }
        written
    }

    fn append(&mut self, text: &[u8]) -> Result<(), Errno> {
        let begin: &[u8] = if self.torn { b"\n" } else { b"" };
        let file = &self.files[usize::from(self.head.turn % 2 == 1)];
        self.torn = true;
        write_all(file, begin)?;
        write_all(file, text)?;
        self.torn = false;
        self.written += text.len() as u64;
        Ok(())
    }

    /// Begins the other file with what still counts. The old one is left as it is: it counts
    /// until the new one is complete.
    fn change_files(&mut self) -> Result<(), Errno> {
        let before = (self.head.turn, self.written, self.torn);
        self.head.turn += 1;
        (self.written, self.torn) = (0, false);
        let mut all = text(&Line::Head(self.head.clone()));
        for line in self
            .past
            .iter()
            .chain(self.held.values().map(|slot| &slot.lines))
        {
            all.extend_from_slice(line);
        }
        all.extend_from_slice(&text(&Line::Complete));
        let file = &self.files[usize::from(self.head.turn % 2 == 1)];
        let changed = rustix::fs::ftruncate(file, 0).and_then(|()| self.append(&all));
        if changed.is_err() {
            let file = &self.files[usize::from(self.head.turn % 2 == 1)];
            let _ = rustix::fs::ftruncate(file, 0);
            (self.head.turn, self.written, self.torn) = before;
        }
        self.full = self.written + self.growth;
        changed
    }
}

fn writing() -> String {
    "write the spawner's journal".to_owned()
}

fn text(line: &Line) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text
}

fn write_all(file: &OwnedFd, mut text: &[u8]) -> Result<(), Errno> {
    while !text.is_empty() {
        match rustix::io::write(file, text) {
            Ok(n) => text = text.get(n..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
