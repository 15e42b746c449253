//! Reading a file that a download still writes.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Bytes that are there.
    len: u64,
    /// Whether no more come; `true` inside: all of it is there, and it is what it should be.
    end: Option<bool>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The writing side. Dropped before [`Growth::complete`], whoever reads is told that the end is
/// missing.
#[derive(Debug, Default)]
pub(super) struct Growth(Arc<Shared>);

impl Growth {
    /// Tells how much is there now.
    pub(super) fn to(&self, len: u64) {
        self.change(|state| state.len = len);
    }

    /// Tells that all of it is there, and that it was checked.
    pub(super) fn complete(&self) {
        self.change(|state| state.end = Some(true));
    }

    /// What reads `file` from its beginning.
    pub(super) fn reader(&self, file: Arc<File>) -> Growing {
        Growing {
            file,
            at: 0,
            shared: Arc::clone(&self.0),
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        drop(state);
        self.0.changed.notify_all();
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        self.change(|state| state.end = state.end.or(Some(false)));
    }
}

/// The reading side, for a thread of its own: it waits for what is not there yet. The end is told
/// only after the whole was checked.
#[derive(Debug)]
pub(super) struct Growing {
    file: Arc<File>,
    at: u64,
    shared: Arc<Shared>,
}

impl Read for Growing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let there = {
            let state = self.shared.state.lock();
            let state = state.unwrap_or_else(PoisonError::into_inner);
            let waited = self
                .shared
                .changed
                .wait_while(state, |state| state.len <= self.at && state.end.is_none());
            let state = waited.unwrap_or_else(PoisonError::into_inner);
            match (state.len - self.at.min(state.len), state.end) {
                (0, Some(true)) => return Ok(0),
                (0, _) => return Err(io::Error::other("the download was broken off")),
                (there, _) => there,
            }
        };
        let most = usize::try_from(there).unwrap_or(usize::MAX).min(into.len());
        let read = self.file.read_at(&mut into[..most], self.at)?;
        if read == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Arc<File> {
        Arc::new(tempfile::tempfile().unwrap())
    }

    #[test]
    fn a_reader_follows_the_writer_to_the_end() {
        let (growth, file) = (Growth::default(), file());
        let mut reader = growth.reader(Arc::clone(&file));
        let read = std::thread::spawn(move || {
            let mut content = Vec::new();
            reader.read_to_end(&mut content).map(|_| content)
        });
        let mut whole = Vec::new();
        for n in 0..100_u8 {
            let piece = [n; 1000];
            file.write_all_at(&piece, whole.len() as u64).unwrap();
            whole.extend_from_slice(&piece);
            growth.to(whole.len() as u64);
        }
        growth.complete();
        assert_eq!(read.join().unwrap().unwrap(), whole);
    }

    #[test]
    fn a_writer_that_is_gone_is_no_end() {
        let (growth, file) = (Growth::default(), file());
        let mut reader = growth.reader(Arc::clone(&file));
        file.write_all_at(b"abc", 0).unwrap();
        growth.to(3);
        drop(growth);
        let mut content = Vec::new();
        assert!(reader.read_to_end(&mut content).is_err());
        assert_eq!(content, b"abc");
    }
}
