//! Writing a command's output into the host's file.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use soulbox_wire::commands::{OUTPUT_HEAD, OutputSize, output_room, write_sizes};
use soulbox_wire::envd::output::Output;
use std::cell::Cell;

/// A file for a command's output, and how much of it is filled. It cannot grow: what is beyond
/// its room is counted only.
pub(crate) struct Log {
    file: OwnedFd,
    room: u64,
    sizes: Cell<[OutputSize; 2]>,
    /// Whether writing failed: nothing is kept from then on.
    broken: Cell<bool>,
}

impl Log {
    /// Takes over an empty file for output.
    pub(crate) fn new(file: OwnedFd) -> rustix::io::Result<Self> {
        let length = u64::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0);
        Ok(Self {
            room: output_room(length),
            file,
            sizes: Cell::default(),
            broken: Cell::new(false),
        })
    }

    /// Adds what a command wrote, as far as there is room.
    pub(crate) fn append(&self, output: Output, data: &[u8]) {
        let index = usize::from(output == Output::Stderr);
        let mut sizes = self.sizes.get();
        let Some(size) = sizes.get_mut(index) else {
            return;
        };
        let start = OUTPUT_HEAD + self.room * (index as u64);
        // What is cut once stays cut: the file holds the beginning, without holes.
        if !size.is_cut() && !self.broken.get() {
            let room = usize::try_from(self.room - size.kept).unwrap_or(usize::MAX);
            let kept = data.get(..room).unwrap_or(data);
            let written = self.write(kept, start + size.kept);
            self.broken.set(written < kept.len());
            size.kept += written as u64;
        }
        size.total = size.total.saturating_add(data.len() as u64);
        self.sizes.set(sizes);
        // The host reads the numbers before the bytes, so the bytes come first.
        self.write(&write_sizes(sizes), 0);
    }

    /// Writes all of `data`, or as much as Linux lets it; says how much.
    fn write(&self, data: &[u8], mut at: u64) -> usize {
        let mut left = data;
        while !left.is_empty() {
            match rustix::io::pwrite(&self.file, left, at) {
                Ok(0) => break,
                Ok(written) => {
                    left = left.get(written..).unwrap_or_default();
                    at += written as u64;
                }
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        data.len() - left.len()
    }

    /// Bytes that it keeps.
    pub(crate) fn kept(&self) -> u64 {
        self.sizes.get().iter().map(|size| size.kept).sum()
    }
}

impl AsFd for Log {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::MemfdFlags;
    use soulbox_wire::commands::{OUTPUT_NUMBERS, output_length, read_sizes};

    fn log(room: u64) -> Log {
        let file = rustix::fs::memfd_create("output", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, output_length(room)).unwrap();
        Log::new(file).unwrap()
    }

    fn sizes(log: &Log) -> [OutputSize; 2] {
        let mut head = [0; OUTPUT_NUMBERS];
        assert_eq!(rustix::io::pread(log, &mut head, 0), Ok(OUTPUT_NUMBERS));
        read_sizes(head, log.room)
    }

    fn text(log: &Log, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let read = rustix::io::pread(log, &mut bytes, OUTPUT_HEAD + at).unwrap();
        bytes.truncate(read);
        bytes
    }

    #[test]
    fn outputs_are_kept_apart_and_cut_at_their_room() {
        let log = log(8);
        log.append(Output::Stdout, b"12345");
        log.append(Output::Stderr, b"err");
        log.append(Output::Stdout, b"67890");
        log.append(Output::Stdout, b"x");
        let size = |kept, total| OutputSize { kept, total };
        assert_eq!(sizes(&log), [size(8, 11), size(3, 3)]);
        assert_eq!(text(&log, 0, 8), b"12345678");
        assert_eq!(text(&log, 8, 3), b"err");
        assert_eq!(log.kept(), 11);
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let file = rustix::fs::open(
            "/dev/null",
            rustix::fs::OFlags::RDONLY,
            rustix::fs::Mode::empty(),
        );
        let log = Log {
            file: file.unwrap(),
            room: 8,
            sizes: Cell::default(),
            broken: Cell::new(false),
        };
        log.append(Output::Stdout, b"123");
        let size = log.sizes.get()[0];
        assert_eq!((size.kept, size.total), (0, 3));
    }
}
