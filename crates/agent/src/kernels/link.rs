//! The conversation with one process. What a kernel says is read only while there is room for it.

use crate::kernels::frame::FrameReader;
use crate::kernels::process::KernelProcess;
use std::cell::{Cell, RefCell};
use std::io;
use tokio::sync::Notify;

/// The way to one process.
pub(crate) struct Link {
    process: KernelProcess,
    /// Bytes for it that Linux has not taken.
    outgoing: RefCell<Vec<u8>>,
    closed: Cell<bool>,
    /// Told when something is to be written, when there is room again, or when it is closed.
    changed: Notify,
}

/// Who hears a kernel.
pub(crate) trait Listener {
    /// Takes in a frame.
    fn hear(&self, frame: &[u8]);

    /// Whether another one may be read.
    fn has_room(&self) -> bool;
}

impl Link {
    pub(crate) fn new(process: KernelProcess) -> Self {
        Self {
            process,
            outgoing: RefCell::default(),
            closed: Cell::new(false),
            changed: Notify::new(),
        }
    }

    /// Sends frames, now as far as Linux takes them. A process that is gone shows when it is read.
    pub(crate) fn send(&self, frames: Vec<u8>) {
        let mut outgoing = self.outgoing.borrow_mut();
        match outgoing.is_empty() {
            true => *outgoing = frames,
            false => outgoing.extend(frames),
        }
        drop(outgoing);
        if self.flush().is_err() || !self.outgoing.borrow().is_empty() {
            self.changed.notify_one();
        }
    }

    fn flush(&self) -> io::Result<()> {
        let mut outgoing = self.outgoing.borrow_mut();
        let mut sent = 0;
        let result = loop {
            let rest = outgoing.get(sent..).unwrap_or_default();
            if rest.is_empty() {
                break Ok(());
            }
            match self.process.control.try_write(rest) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        match sent == outgoing.len() {
            // Gives the memory of a long request back.
            true => *outgoing = Vec::new(),
            false => drop(outgoing.drain(..sent)),
        }
        result
    }

    /// Interrupts the cell that runs.
    pub(crate) fn interrupt(&self) {
        self.process.interrupt();
    }

    /// There may be room again.
    pub(crate) fn look_again(&self) {
        self.changed.notify_one();
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&self) {
        self.process.ended().await;
    }

    /// Ends the process; nothing of it is heard any more.
    pub(crate) fn kill(&self) {
        self.closed.set(true);
        self.process.kill();
        self.changed.notify_one();
    }

    /// What the process said before it served.
    pub(crate) fn last_words(&self) -> String {
        self.process.last_words()
    }

    /// Hears the process until it is gone, breaks the protocol, or was killed.
    pub(crate) async fn converse(&self, listener: &impl Listener) {
        let mut reader = FrameReader::default();
        while !self.closed.get() {
            let writing = !self.outgoing.borrow().is_empty();
            let mut ended = false;
            tokio::select! {
                biased;
                () = self.changed.notified() => {}
                _ = self.process.control.readable(), if listener.has_room() => {}
                _ = self.process.control.writable(), if writing => {}
                () = self.process.ended() => ended = true,
            }
            if ended {
                // What it said before: as much as fits a socket.
                while let Ok(true) = self.read(&mut reader, listener) {}
                return;
            }
            let mut broken = self.flush().is_err();
            // Until Linux has no more, or it would be too much.
            while !broken && !self.closed.get() && listener.has_room() {
                match self.read(&mut reader, listener) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(_) => broken = true,
                }
            }
            if broken {
                return;
            }
        }
    }

    /// Reads once. False when there is nothing now; an error when there never will be.
    fn read(&self, reader: &mut FrameReader, listener: &impl Listener) -> io::Result<bool> {
        match self.process.control.try_read_buf(reader.room()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        while let Some(frame) = reader.next_frame().map_err(io::Error::other)? {
            if self.closed.get() {
                break;
            }
            listener.hear(frame);
        }
        Ok(true)
    }
}
