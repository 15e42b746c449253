//! What is answered: the object that `soulbox run --json` prints.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use soulbox_control::{Listener, Ran, Started};
use soulbox_node::execute::{Capture, Channel, Sink};
use std::io;

/// Output that is kept for the answer.
#[derive(Debug, Default)]
pub(super) struct Kept(pub(super) Capture);

impl Sink for Kept {
    async fn write(&mut self, channel: Channel, bytes: Bytes) -> io::Result<()> {
        self.0.write(channel, bytes).await
    }
}

impl Listener for Kept {
    async fn started(&mut self, _: Started) {}
}

/// The object; without output where that was passed on as it came.
pub(super) fn json<S>(ran: &Ran<S>, capture: Option<&Capture>) -> Vec<u8> {
    let Ran {
        report,
        outcome,
        usage,
        files,
        ..
    } = ran;
    let document = report.document(outcome, *usage, capture, files);
    // Strings and numbers always serialise.
    serde_json::to_vec(&document).unwrap_or_default()
}

pub(super) fn respond(json: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = StatusCode::OK;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
