//! One connection to a port of a sandbox.

use crate::body::Stalling;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use soulbox_runtime::agent_client::SandboxStream;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tokio::sync::OwnedSemaphorePermit;

/// Bytes of an answer's head, and of what is read at once.
const BUFFER: usize = 64 * 1024;
/// Headers of an answer.
const HEADERS: usize = 128;

/// A request that got no answer.
pub(super) enum LinkError {
    /// Nothing of it was sent.
    Unsent(Box<Request<Stalling>>),
    /// Some of it may have been sent.
    Broken(hyper::Error),
}

type Driver = http1::Connection<TokioIo<SandboxStream>, Stalling>;

/// One connection. It makes progress only while somebody waits through [`Link::drive`], so that no task and
/// no other thread is between a client and its server.
pub(super) struct Link {
    sender: http1::SendRequest<Stalling>,
    driver: Driver,
    /// Whether the driver is over, and must not be asked any more.
    over: bool,
    place: OwnedSemaphorePermit,
}

impl Link {
    pub(super) async fn new(
        stream: SandboxStream,
        place: OwnedSemaphorePermit,
    ) -> hyper::Result<Self> {
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(BUFFER)
            .max_headers(HEADERS)
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Self {
            sender,
            driver,
            over: false,
            place,
        })
    }

    /// Lets it read and write what it can.
    pub(super) fn advance(&mut self, context: &mut Context<'_>) {
        // Without a shutdown at its end: after a change of protocol the connection goes on.
        if !self.over {
            self.over = self.driver.poll_without_shutdown(context).is_ready();
        }
    }

    /// Whether it can take a request. It may have found out by now that the server has hung up.
    pub(super) fn is_usable(&mut self) -> bool {
        self.advance(&mut Context::from_waker(Waker::noop()));
        !self.over && self.sender.is_ready()
    }

    /// The bare connection after an answer that changed the protocol, and what came over it already.
    pub(super) async fn into_stream(mut self) -> (SandboxStream, Bytes, OwnedSemaphorePermit) {
        poll_fn(|context| {
            self.advance(context);
            match self.over {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        let parts = self.driver.into_parts();
        (parts.io.into_inner(), parts.read_buf, self.place)
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Stalling>,
    ) -> Result<Response<Incoming>, LinkError> {
        let answer = self.sender.try_send_request(request);
        let mut answer = pin!(answer);
        let answered = poll_fn(|context| {
            self.advance(context);
            answer.as_mut().poll(context)
        });
        answered
            .await
            .map_err(|mut error| match error.take_message() {
                Some(unsent) => LinkError::Unsent(Box::new(unsent)),
                None => LinkError::Broken(error.into_error()),
            })
    }
}
