//! The lines of a run, with keepalives. Whoever drops them does not wait for the run any more.

use crate::kernels::context::Context as CodeContext;
use crate::kernels::line::Line;
use crate::kernels::run::{Piece, Run};
use crate::limits;
use bytes::Bytes;
use hyper::body::{Body, Frame};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep, sleep_until};

/// The body of an answer to `/execute`.
pub(super) struct Output {
    context: Rc<CodeContext>,
    run: Rc<Run>,
    last: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Output {
    pub(super) fn new(context: Rc<CodeContext>, run: Rc<Run>) -> Self {
        Self {
            context,
            run,
            last: Instant::now(),
            timer: None,
        }
    }

    /// Waits for the end of the run.
    pub(super) async fn over(&mut self) {
        poll_fn(|context| self.run.poll_over(context)).await;
    }

    fn poll_keepalive(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        let at = self.last + limits::KERNEL_KEEPALIVE;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        while timer.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            // Lines do not move the timer; it looks for itself when it was passed too early.
            if self.last + limits::KERNEL_KEEPALIVE > now {
                timer.as_mut().reset(self.last + limits::KERNEL_KEEPALIVE);
                continue;
            }
            self.last = now;
            timer.as_mut().reset(now + limits::KERNEL_KEEPALIVE);
            let mut line = Vec::new();
            Line::Keepalive.write(&mut line);
            return Poll::Ready(line.into());
        }
        Poll::Pending
    }
}

impl Body for Output {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        match this.run.poll(context) {
            Poll::Ready((Piece::Lines(lines), was_full)) => {
                if was_full {
                    this.context.look_again();
                }
                this.last = Instant::now();
                Poll::Ready(Some(Ok(Frame::data(lines))))
            }
            Poll::Ready((Piece::End, _)) => Poll::Ready(None),
            Poll::Pending => this
                .poll_keepalive(context)
                .map(|line| Some(Ok(Frame::data(line)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.run.is_over()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.run.is_finished() {
            self.context.leave(&self.run);
        }
    }
}
