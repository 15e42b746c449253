//! One run: the code on its way to the kernel, and the output on its way to the client.

use crate::kernels::line::Line;
use crate::kernels::machine::{Outcome, RunId};
use crate::kernels::said::Said;
use crate::limits;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

/// A run of a context's.
pub(crate) struct Run {
    id: RunId,
    /// The request to the kernel, until it is sent.
    request: RefCell<Vec<u8>>,
    /// Lines that the client has not taken.
    lines: RefCell<Vec<u8>>,
    finished: Cell<bool>,
    /// Whether somebody still reads.
    open: Cell<bool>,
    /// Whether the kernel said that it has begun.
    begun: Cell<bool>,
    /// Whether an error was told: there is one at the most.
    failed: Cell<bool>,
    reader: RefCell<Option<Waker>>,
}

/// What is read of a run.
pub(crate) enum Piece {
    /// Whole lines.
    Lines(Bytes),
    /// There will be no more.
    End,
}

impl Run {
    /// A run that `request` begins.
    pub(crate) fn new(id: RunId, request: Vec<u8>) -> Self {
        Self {
            id,
            request: RefCell::new(request),
            lines: RefCell::default(),
            finished: Cell::new(false),
            open: Cell::new(true),
            begun: Cell::new(false),
            failed: Cell::new(false),
            reader: RefCell::default(),
        }
    }

    pub(crate) fn id(&self) -> RunId {
        self.id
    }

    /// The request to the kernel. There is one only once.
    pub(crate) fn take_request(&self) -> Vec<u8> {
        self.request.take()
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.get()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished.get()
    }

    /// Whether more output can be taken in.
    pub(crate) fn has_room(&self) -> bool {
        self.lines.borrow().len() < limits::WAITING_OUTPUT
    }

    /// Passes on what the kernel says of it.
    pub(crate) fn hear(&self, said: &Said<'_>) {
        if said.kind == "count" {
            self.begun.set(true);
        }
        if said.kind == "error" && self.failed.replace(true) {
            return;
        }
        if let Some(line) = Line::of(said) {
            self.tell(&line);
        }
    }

    fn tell(&self, line: &Line<'_>) {
        if self.open.get() && !self.finished.get() {
            line.write(&mut self.lines.borrow_mut());
            self.wake();
        }
    }

    /// It is over. `why` tells why there was no process.
    pub(crate) fn finish(&self, outcome: Outcome, why: &str) {
        let error = match outcome {
            Outcome::Ended | Outcome::Left => None,
            Outcome::Restarted => Some(("ContextRestarting", "Context was restarted")),
            Outcome::NotStarted => Some(("KernelStartError", why)),
            Outcome::Deleted => Some(("ExecutionAborted", "Context was deleted")),
        };
        if let Some((name, value)) = error
            && !self.failed.replace(true)
        {
            self.tell(&Line::Error {
                name,
                value,
                traceback: "",
            });
        }
        self.tell(&Line::EndOfExecution);
        self.finished.set(true);
    }

    /// Nobody reads any more.
    pub(crate) fn close(&self) {
        self.open.set(false);
        self.lines.take();
    }

    /// The lines that are there; whether there was no room before.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<(Piece, bool)> {
        let lines = self.lines.take();
        if !lines.is_empty() {
            let was_full = lines.len() >= limits::WAITING_OUTPUT;
            return Poll::Ready((Piece::Lines(lines.into()), was_full));
        }
        if self.finished.get() {
            return Poll::Ready((Piece::End, false));
        }
        *self.reader.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    /// Waits for its end, or for so much output that it should be taken.
    pub(crate) fn poll_over(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.finished.get() || !self.has_room() {
            return Poll::Ready(());
        }
        *self.reader.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    /// Whether it is known already that nothing comes any more.
    pub(crate) fn is_over(&self) -> bool {
        self.finished.get() && self.lines.borrow().is_empty()
    }

    fn wake(&self) {
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }
}
