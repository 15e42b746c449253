//! What is to be told to the host on one connection.

use crate::commands::kept::Recorded;
use soulbox_wire::commands::Event;
use soulbox_wire::connect::encode_frame;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use tokio::sync::Notify;

/// One frame, with the command whose file travels beside it.
pub(crate) struct Letter {
    pub(crate) frame: Vec<u8>,
    pub(crate) file_of: Option<Rc<Recorded>>,
}

/// Frames that wait for being sent. How many there are is bounded by who asks: requests are read
/// only while few wait, each command ends once, and growth is told once for each time it is asked.
#[derive(Default)]
pub(crate) struct Outbox {
    letters: RefCell<VecDeque<Letter>>,
    closed: Cell<bool>,
    /// Told when there is something to send, or it is closed.
    pub(crate) filled: Notify,
    /// Told when something was taken.
    pub(crate) taken: Notify,
}

impl Outbox {
    pub(crate) fn tell(&self, event: &Event) {
        self.push(event, None);
    }

    /// Tells of a command whose file goes along.
    pub(crate) fn hand_over(&self, event: &Event, command: &Rc<Recorded>) {
        self.push(event, Some(Rc::clone(command)));
    }

    fn push(&self, event: &Event, file_of: Option<Rc<Recorded>>) {
        // Events are strings and numbers, which always serialise.
        let json = serde_json::to_vec(event).unwrap_or_default();
        let frame = encode_frame(0, &json);
        self.letters
            .borrow_mut()
            .push_back(Letter { frame, file_of });
        self.filled.notify_one();
    }

    /// The next one to be sent.
    pub(crate) fn take(&self) -> Option<Letter> {
        self.taken.notify_one();
        self.letters.borrow_mut().pop_front()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.letters.borrow().len()
    }

    /// Nothing is sent any more: another connection takes its place.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.filled.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }
}
