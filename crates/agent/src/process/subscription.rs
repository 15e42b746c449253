//! One reader of a process's output: a short queue, and the stream that empties it.

use crate::limits;
use crate::rpc::message_frame;
use bytes::Bytes;
use hyper::body::{Body, Frame};
use soulbox_wire::connect::{Code, RpcError, end_frame};
use soulbox_wire::envd::process::{Empty, EventResponse, ProcessEvent};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

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

    fn is_done(&self) -> bool {
        self.finished.get() && self.frames.borrow().is_empty()
    }
}

/// The body of a `Start` or `Connect`.
pub(crate) struct EventStream {
    subscription: Rc<Subscription>,
    keepalive: Duration,
    /// When the stream itself ends, whatever the process does.
    deadline: Option<Instant>,
    last_frame: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl EventStream {
    pub(crate) fn new(
        subscription: Rc<Subscription>,
        keepalive: Duration,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            subscription,
            keepalive,
            deadline,
            last_frame: Instant::now(),
            timer: None,
        }
    }

    fn next_timer(&self) -> Instant {
        let keepalive = self.last_frame + self.keepalive;
        self.deadline
            .map_or(keepalive, |deadline| deadline.min(keepalive))
    }

    /// What a passed timer brings: the end, a keepalive, or nothing because frames came since.
    fn timer_frame(&mut self) -> Option<Bytes> {
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.subscription.finished.set(true);
            let error = RpcError::new(Code::DeadlineExceeded, "time limit of the stream passed");
            return Some(end_frame(Some(&error)).into());
        }
        (self.last_frame + self.keepalive <= now).then(|| {
            self.last_frame = now;
            let event = ProcessEvent {
                keepalive: Some(Empty {}),
                ..ProcessEvent::default()
            };
            message_frame(&EventResponse { event })
        })
    }
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let next = this.subscription.frames.borrow_mut().pop_front();
        if let Some(frame) = next {
            this.last_frame = Instant::now();
            this.subscription.room.notify_one();
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        if this.subscription.finished.get() {
            return Poll::Ready(None);
        }
        let at = this.next_timer();
        let mut timer = this
            .timer
            .take()
            .unwrap_or_else(|| Box::pin(sleep_until(at)));
        while timer.as_mut().poll(context).is_ready() {
            if let Some(frame) = this.timer_frame() {
                return Poll::Ready(Some(Ok(Frame::data(frame))));
            }
            timer.as_mut().reset(this.next_timer());
        }
        this.timer = Some(timer);
        let mut reader = this.subscription.reader.borrow_mut();
        if !reader
            .as_ref()
            .is_some_and(|known| known.will_wake(context.waker()))
        {
            *reader = Some(context.waker().clone());
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.subscription.is_done()
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.subscription.open.set(false);
        self.subscription.frames.borrow_mut().clear();
        self.subscription.room.notify_one();
    }
}
