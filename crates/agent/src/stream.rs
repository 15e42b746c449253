//! Streams of frames to a client, with keepalives and a time limit.

use bytes::Bytes;
use hyper::body::{Body, Frame};
use soulbox_wire::connect::{Code, RpcError, end_frame};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Where the frames of a stream come from.
pub(crate) trait Source {
    /// The next frames; `None` when there will be no more, the last one included.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>>;

    /// Whether it is known already that there will be no more.
    fn is_over(&self) -> bool;

    /// What is sent when nothing else was for a while.
    fn keepalive(&self) -> Bytes;
}

/// The body of a stream.
pub(crate) struct FrameStream<S> {
    source: S,
    keepalive: Duration,
    /// When the stream itself ends, whatever its source has to say.
    deadline: Option<Instant>,
    over: bool,
    last_frame: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S: Source> FrameStream<S> {
    pub(crate) fn new(source: S, keepalive: Duration, deadline: Option<Instant>) -> Self {
        let last_frame = Instant::now();
        Self {
            source,
            keepalive,
            deadline,
            over: false,
            last_frame,
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
            self.over = true;
            let error = RpcError::new(Code::DeadlineExceeded, "time limit of the stream passed");
            return Some(end_frame(Some(&error)).into());
        }
        (self.last_frame + self.keepalive <= now).then(|| {
            self.last_frame = now;
            self.source.keepalive()
        })
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        let at = self.next_timer();
        let mut timer = self
            .timer
            .take()
            .unwrap_or_else(|| Box::pin(sleep_until(at)));
        while timer.as_mut().poll(context).is_ready() {
            if let Some(frame) = self.timer_frame() {
                return Poll::Ready(frame);
            }
            // Frames do not move the timer; it looks for itself when it was passed too early.
            timer.as_mut().reset(self.next_timer());
        }
        self.timer = Some(timer);
        Poll::Pending
    }
}

impl<S: Source + Unpin> Body for FrameStream<S> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = this.source.poll_next(context) {
            this.last_frame = Instant::now();
            return Poll::Ready(frame.map(|frame| Ok(Frame::data(frame))));
        }
        this.poll_timer(context)
            .map(|frame| Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.source.is_over()
    }
}
