//! Passing a client's request to the agent as it is, and the answer back as it comes.

use super::connection::{Body, Connection, advance};
use super::{AgentClient, AgentError, AgentLimits};
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// No limit that anybody lives to see: how long an answer takes is between the two who talk.
const PATIENCE: Duration = Duration::from_secs(u32::MAX as u64);

impl AgentClient {
    /// Passes a request on and gives the answer's head as soon as it comes. Neither body is held
    /// back, and neither has a limit of ours: the caller bounds what it must.
    ///
    /// The request must have the form of HTTP/1.1 to an origin: a path as its target, a host, no
    /// headers of the caller's own connection.
    ///
    /// # Errors
    /// The agent cannot be reached, or hangs up.
    pub async fn pass<B>(&self, request: Request<B>) -> Result<Response<PassBody>, AgentError>
    where
        B: HttpBody<Data = Bytes, Error = io::Error> + Send + 'static,
    {
        let patient = AgentLimits {
            header: PATIENCE,
            ..self.limits.clone()
        };
        let request = request.map(|body| match body.is_end_stream() {
            true => Body::Whole(None),
            false => Body::stream(body),
        });
        let (connection, response) = self.pool.send(&patient, request).await?;
        Ok(response.map(|body| PassBody {
            connection: Some(connection),
            body,
            over: false,
        }))
    }
}

/// The body of an answer that is passed on. The connection makes progress while this is polled.
pub struct PassBody {
    connection: Option<Connection>,
    body: Incoming,
    over: bool,
}

impl HttpBody for PassBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        if let Some(connection) = &mut this.connection {
            advance(&mut connection.driver, context);
        }
        let polled = Pin::new(&mut this.body).poll_frame(context);
        this.over |= matches!(polled, Poll::Ready(None));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for PassBody {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        if self.over || self.body.is_end_stream() {
            // Lets it find out that the answer is over.
            advance(
                &mut connection.driver,
                &mut Context::from_waker(Waker::noop()),
            );
            connection.give_back_now();
        }
    }
}
