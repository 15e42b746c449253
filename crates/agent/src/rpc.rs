//! Connect RPC on top of HTTP: what all methods have in common.

use crate::limits;
use crate::reply::{Body, Reply, json};
use crate::request::{BodyError, read_whole};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use soulbox_wire::connect::{
    Code, FORKED_HEADER, FrameError, FrameReader, RpcError, STREAM_TYPE, TIMEOUT_HEADER,
    UNARY_TYPE, VERSION_HEADER, end_frame, parse_timeout,
};
use soulbox_wire::envd::json::base64;
use std::time::Duration;

/// Request header: seconds of silence after which a stream gets a keepalive.
const KEEPALIVE_HEADER: &str = "keepalive-ping-interval";

/// What the headers of a call say.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The user to act as, where the client names one.
    pub(crate) user: Option<String>,
    /// How long the client waits.
    pub(crate) timeout: Option<Duration>,
    /// Silence after which a stream gets a keepalive.
    pub(crate) keepalive: Duration,
    /// Whether an interpreter that is loaded already may stand in for the program.
    pub(crate) forked: bool,
}

impl Call {
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, RpcError> {
        let invalid = |message: &str| RpcError::new(Code::InvalidArgument, message);
        if text(headers, VERSION_HEADER).is_some_and(|version| version != "1") {
            return Err(invalid("connect-protocol-version must be 1"));
        }
        for name in [CONTENT_ENCODING.as_str(), "connect-content-encoding"] {
            if text(headers, name).is_some_and(|encoding| encoding != "identity") {
                let message = "compressed messages are not supported, send identity";
                return Err(RpcError::new(Code::Unimplemented, message));
            }
        }
        let timeout = match text(headers, TIMEOUT_HEADER) {
            None => None,
            Some(value) => Some(
                parse_timeout(value)
                    .ok_or_else(|| invalid("connect-timeout-ms must be at most ten digits"))?,
            ),
        };
        // An interval that is no number of seconds is as good as none, as in E2B's own server.
        let keepalive = text(headers, KEEPALIVE_HEADER)
            .and_then(|value| value.parse().ok())
            .filter(|seconds| *seconds > 0)
            .map_or(limits::KEEPALIVE, |seconds: u32| {
                Duration::from_secs(seconds.into())
            });
        Ok(Self {
            user: basic_user(headers)?,
            timeout,
            keepalive,
            forked: headers.contains_key(FORKED_HEADER),
        })
    }
}

/// A header's value, where it is text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The user of a Basic authorization, whose password means nothing.
fn basic_user(headers: &HeaderMap) -> Result<Option<String>, RpcError> {
    let malformed = || RpcError::new(Code::Unauthenticated, "malformed authorization header");
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let value = value.to_str().map_err(|_| malformed())?;
    let Some((scheme, credentials)) = value.split_once(' ') else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let decoded = base64::decode(credentials.trim()).ok_or_else(malformed)?;
    let decoded = String::from_utf8(decoded).map_err(|_| malformed())?;
    let (user, rest) = decoded.split_once(':').ok_or_else(malformed)?;
    // A client of ours may ask for `user:group`, which a colon follows as it follows any user.
    let user = match rest.strip_suffix(':') {
        Some(group) => format!("{user}:{group}"),
        None => user.to_owned(),
    };
    Ok((!user.is_empty()).then_some(user))
}

/// Whether a request carries the content type `wanted`, with or without parameters.
fn has_type(headers: &HeaderMap, wanted: &str) -> bool {
    let kind = text(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    kind.split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case(wanted)
}

/// Whether the caller of an unknown method expects a stream.
pub(crate) fn expects_stream(headers: &HeaderMap) -> bool {
    has_type(headers, STREAM_TYPE)
}

/// The answer to what is no call of this kind at all; `None` when it is one.
fn refuse<B>(request: &Request<B>, wanted: &'static str) -> Option<Reply> {
    if request.method() != Method::POST {
        let mut reply = crate::reply::status(StatusCode::METHOD_NOT_ALLOWED);
        reply
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(reply);
    }
    if !has_type(request.headers(), wanted) {
        let mut reply = crate::reply::status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        reply
            .headers_mut()
            .insert("accept-post", HeaderValue::from_static(wanted));
        return Some(reply);
    }
    None
}

impl From<BodyError> for RpcError {
    fn from(error: BodyError) -> Self {
        let code = match error {
            BodyError::TooLong(_) => Code::ResourceExhausted,
            BodyError::Stalled => Code::DeadlineExceeded,
            BodyError::Broken(_) => Code::Canceled,
            BodyError::Compression(_) => Code::InvalidArgument,
        };
        Self::new(code, error.to_string())
    }
}

/// What a frame that cannot be read means to the caller.
pub(crate) fn frame_error(error: &FrameError) -> RpcError {
    let code = match error {
        FrameError::TooLong { .. } => Code::ResourceExhausted,
        FrameError::Flags(_) | FrameError::Truncated => Code::InvalidArgument,
    };
    RpcError::new(code, error.to_string())
}

/// A message from its JSON. An empty body is an empty message.
pub(crate) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, RpcError> {
    let json = if json.is_empty() { b"{}" } else { json };
    // A list would do for the parser, too, with the fields in their order.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(RpcError::new(
            Code::InvalidArgument,
            "invalid message: not a JSON object",
        ));
    }
    serde_json::from_slice(json)
        .map_err(|error| RpcError::new(Code::InvalidArgument, format!("invalid message: {error}")))
}

/// A call with one message each way.
pub(crate) async fn unary<Q, A, F>(request: Request<Incoming>, limit: usize, act: F) -> Reply
where
    Q: DeserializeOwned,
    A: Serialize,
    F: AsyncFnOnce(Call, Q) -> Result<A, RpcError>,
{
    if let Some(reply) = refuse(&request, UNARY_TYPE) {
        return reply;
    }
    let answer = async {
        let (head, body) = request.into_parts();
        let call = Call::read(&head.headers)?;
        let timeout = call.timeout;
        let message = parse(&read_whole(body, limit).await?)?;
        let act = act(call, message);
        let Some(timeout) = timeout else {
            return act.await;
        };
        tokio::time::timeout(timeout, act)
            .await
            .map_err(|_| RpcError::new(Code::DeadlineExceeded, "time limit of the call passed"))?
    };
    match answer.await {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err(error) => failed(&error),
    }
}

/// A unary answer that tells a failure.
pub(crate) fn failed(error: &RpcError) -> Reply {
    let status = StatusCode::from_u16(error.code.status());
    json(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error)
}

/// A call with one message there and a stream back.
pub(crate) async fn server_stream<Q, F>(request: Request<Incoming>, act: F) -> Reply
where
    Q: DeserializeOwned,
    F: AsyncFnOnce(Call, Q) -> Result<Body, RpcError>,
{
    if let Some(reply) = refuse(&request, STREAM_TYPE) {
        return reply;
    }
    let body = async {
        let (head, body) = request.into_parts();
        let call = Call::read(&head.headers)?;
        let bytes = read_whole(body, limits::MESSAGE).await?;
        let message = parse(&only_frame(&bytes)?)?;
        act(call, message).await
    };
    stream(
        body.await
            .unwrap_or_else(|error| end_frame(Some(&error)).into()),
    )
}

/// A call with a stream there and one message back, which is a stream, too.
pub(crate) async fn client_stream<F>(request: Request<Incoming>, act: F) -> Reply
where
    F: AsyncFnOnce(Call, Incoming) -> Result<(), RpcError>,
{
    if let Some(reply) = refuse(&request, STREAM_TYPE) {
        return reply;
    }
    let done = async {
        let (head, body) = request.into_parts();
        act(Call::read(&head.headers)?, body).await
    };
    stream(match done.await {
        Ok(()) => {
            let mut frames = soulbox_wire::connect::encode_frame(0, b"{}");
            frames.extend(end_frame(None));
            frames.into()
        }
        Err(error) => end_frame(Some(&error)).into(),
    })
}

/// The one message of a stream that must have exactly one.
fn only_frame(bytes: &[u8]) -> Result<Vec<u8>, RpcError> {
    let one = || RpcError::new(Code::InvalidArgument, "exactly one message is expected");
    let mut reader = FrameReader::new(limits::MESSAGE);
    reader.push(bytes);
    let first = reader.next_frame().map_err(|error| frame_error(&error))?;
    let frame = first.filter(|frame| !frame.end).ok_or_else(one)?;
    reader.finish().map_err(|_| one())?;
    Ok(frame.payload)
}

/// A stream is always answered with 200; how it went stands in its last frame.
pub(crate) fn stream(body: Body) -> Reply {
    let mut reply = Response::new(body);
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(STREAM_TYPE));
    reply
}

/// The answer to a method that does not exist.
pub(crate) fn unknown_method<B>(request: &Request<B>) -> Reply {
    let message = format!("no such method: {}", request.uri().path());
    let error = RpcError::new(Code::Unimplemented, message);
    if expects_stream(request.headers()) {
        return stream(end_frame(Some(&error)).into());
    }
    failed(&error)
}

/// A frame with `message`, ready to be sent.
pub(crate) fn message_frame(message: &impl Serialize) -> Bytes {
    // Messages of ours are strings, numbers and lists of them, which always serialise.
    let json = serde_json::to_vec(message).unwrap_or_default();
    soulbox_wire::connect::encode_frame(0, &json).into()
}
