//! The body of an answer.

use super::kept::Home;
use super::link::Link;
use bytes::Bytes;
use http::HeaderMap;
use http::header::TRANSFER_ENCODING;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A question whose answer comes later.
type Asked = Pin<Box<dyn Future<Output = bool> + Send>>;

/// The body of an answer. The connection makes progress while this is polled, and is kept for the next
/// request once this has come to its end.
pub(super) struct PortBody {
    home: Home,
    link: Option<Link>,
    body: Incoming,
    /// Whether nothing but the end of the connection says where it ends.
    open_ended: bool,
    /// Whether the sandbox lives, asked at an end that proves nothing.
    lives: Option<Asked>,
}

impl PortBody {
    pub(super) fn new(home: Home, link: Link, body: Incoming, headers: &HeaderMap) -> Self {
        let sized = body.size_hint().exact().is_some() || headers.contains_key(TRANSFER_ENCODING);
        let mut this = Self {
            home,
            link: Some(link),
            open_ended: !sized,
            lives: None,
            body,
        };
        if this.body.is_end_stream() {
            this.finish();
        }
        this
    }

    fn finish(&mut self) {
        if let Some(link) = self.link.take()
            && !self.open_ended
        {
            self.home.give_back(link);
        }
    }

    fn poll_lives(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(lives) = &mut self.lives else {
            return Poll::Ready(None);
        };
        let lives = ready!(lives.as_mut().poll(context));
        self.lives = None;
        let cut = || io::Error::new(io::ErrorKind::ConnectionAborted, "the sandbox ended");
        Poll::Ready((!lives).then(|| Err(cut())))
    }

    /// Without a length, the death of the sandbox looks like the end of the answer. The agent dies with
    /// its sandbox.
    fn ask(&self) -> Asked {
        let live = Arc::clone(self.home.live());
        Box::pin(async move {
            live.look(|record| record.is_live()) && live.agent().health().await.is_ok()
        })
    }
}

impl Body for PortBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.lives.is_some() {
            return this.poll_lives(context);
        }
        if let Some(link) = &mut this.link {
            link.advance(context);
        }
        match ready!(Pin::new(&mut this.body).poll_frame(context)) {
            Some(frame) => Poll::Ready(Some(frame.map_err(io::Error::other))),
            None => {
                let asks = this.open_ended && this.link.is_some();
                this.finish();
                if !asks {
                    return Poll::Ready(None);
                }
                this.lives = Some(this.ask());
                this.poll_lives(context)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        !self.open_ended && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for PortBody {
    fn drop(&mut self) {
        // Its last frame was its end, and nobody asked for another one.
        if self.body.is_end_stream() {
            self.finish();
        }
    }
}
