//! One reader of a process's output: a short queue, and the stream that empties it.

use crate::limits;
use crate::rpc::message_frame;
use crate::stream::Source;
use bytes::Bytes;
use soulbox_wire::envd::process::{Empty, EventResponse, ProcessEvent};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::sync::Notify;

/// The queue between a process's pump and one stream.
pub(crate) struct Subscription {
    frames: RefCell<VecDeque<Bytes>>,
    finished: Cell<bool>,
    open: Cell<bool>,
    owns_time_limit: bool,
    reader: RefCell<Option<Waker>>,
    room: Rc<Notify>,
}

impl Subscription {
    /// A queue that begins with `first`. `room` is told whenever a frame leaves it.
    pub(crate) fn new(first: Bytes, owns_time_limit: bool, room: Rc<Notify>) -> Rc<Self> {
        Rc::new(Self {
            frames: RefCell::new(VecDeque::from([first])),
            finished: Cell::new(false),
            open: Cell::new(true),
            owns_time_limit,
            reader: RefCell::new(None),
            room,
        })
    }

    /// Whether the process's time limit is that of this reader's own call.
    pub(crate) fn owns_time_limit(&self) -> bool {
        self.owns_time_limit
    }

    /// Whether somebody still reads.
    pub(crate) fn is_open(&self) -> bool {
        self.open.get()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.frames.borrow().len() < limits::QUEUED_CHUNKS
    }

    pub(crate) fn push(&self, frame: Bytes) {
        if self.open.get() && !self.finished.get() {
            self.frames.borrow_mut().push_back(frame);
            self.wake();
        }
    }

    /// Adds the last frames; nothing comes after them.
    pub(crate) fn finish(&self, last: Bytes) {
        self.push(last);
        self.finished.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }
}

/// The reading side of a subscription; dropping it ends the subscription.
pub(crate) struct Events(pub(crate) Rc<Subscription>);

impl Source for Events {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Self(subscription) = self;
        if let Some(frame) = subscription.frames.borrow_mut().pop_front() {
            subscription.room.notify_one();
            return Poll::Ready(Some(frame));
        }
        if subscription.finished.get() {
            return Poll::Ready(None);
        }
        *subscription.reader.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    fn is_over(&self) -> bool {
        self.0.finished.get() && self.0.frames.borrow().is_empty()
    }

    fn keepalive(&self) -> Bytes {
        let event = ProcessEvent {
            keepalive: Some(Empty {}),
            ..ProcessEvent::default()
        };
        message_frame(&EventResponse { event })
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.0.open.set(false);
        self.0.frames.borrow_mut().clear();
        self.0.room.notify_one();
    }
}
