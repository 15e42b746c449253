//! The agent's own port. Whether a request may go there is decided here: what the agent itself would say
//! proves nothing.

use super::{refuse, signature};
use crate::body::Stalling;
use crate::door::Gateway;
use crate::error::ApiError;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::header::{self, HeaderMap, HeaderName};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use hyper::body::Incoming;
use soulbox_control::Live;
use soulbox_control::token::Purpose;

/// The header with the sandbox's token.
const ACCESS_TOKEN: &str = "x-access-token";

/// The agent's routes that are for the host alone.
const INTERNAL: [&str; 7] = [
    "/init",
    "/freeze",
    "/unfreeze",
    "/collapse",
    "/fsfreeze",
    "/fsthaw",
    "/upgrade",
];

/// Headers of one connection, which are not passed on
/// ([RFC 9110, section 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)), and those that are for
/// us.
const OURS: [HeaderName; 10] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("x-access-token"),
    HeaderName::from_static("x-api-key"),
];

/// Passes a request to the agent, if it may go there.
pub(crate) async fn serve(gateway: &Gateway, live: &Live, request: Request<Incoming>) -> Response {
    let path = request.uri().path();
    if INTERNAL.contains(&path) {
        return ApiError::new(StatusCode::NOT_FOUND, "there is nothing here").into_response();
    }
    if let Err(error) = check(gateway, live, &request) {
        return error.into_response();
    }
    let (mut parts, body) = request.into_parts();
    strip(&mut parts.headers);
    parts
        .headers
        .insert(header::HOST, HeaderValue::from_static("agent"));
    parts.uri = origin_form(&parts.uri);
    parts.version = http::Version::HTTP_11;
    let stall = gateway.control.settings().server.body_timeout;
    let request = Request::from_parts(parts, Stalling::new(body, stall));
    match live.agent().pass(request).await {
        Ok(mut response) => {
            strip(response.headers_mut());
            response.map(Body::new)
        }
        Err(error) => {
            let id = live.id();
            tracing::debug!(sandbox = %id, error = &error as &dyn std::error::Error, "the agent does not answer");
            match live.record().is_live() {
                true => refuse::closed(&id, super::AGENT_PORT),
                false => refuse::not_found(&id),
            }
        }
    }
}

/// Checks the token, or the signature in its place.
fn check(gateway: &Gateway, live: &Live, request: &Request<Incoming>) -> Result<(), ApiError> {
    let record = live.record();
    let (method, path) = (request.method(), request.uri().path());
    let open = *method == Method::OPTIONS
        || (path == "/health" && (*method == Method::GET || *method == Method::HEAD));
    if !record.secure || open {
        return Ok(());
    }
    let secret = gateway.control.secret();
    let given = request.headers().get(ACCESS_TOKEN);
    let accepted = given.is_some_and(|token| {
        let token = token.to_str().unwrap_or_default();
        secret.accepts(Purpose::Agent, &record.id, token)
    });
    if accepted {
        return Ok(());
    }
    let refuse = |message: &str| Err(ApiError::new(StatusCode::UNAUTHORIZED, message));
    if path != "/files" || !signature::operations(method) {
        return refuse(
            "unauthorized access, please provide a valid access token or method signing if supported",
        );
    }
    if given.is_some() {
        return refuse("access token present in header but does not match");
    }
    let token = secret.token(Purpose::Agent, &record.id);
    signature::check(method, request.uri(), &token)
        .map_err(|error| ApiError::new(StatusCode::UNAUTHORIZED, error.to_string()))
}

/// Removes what belongs to one connection only.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OURS) {
        headers.remove(name);
    }
}

/// The target without scheme and host.
fn origin_form(uri: &Uri) -> Uri {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    target.parse().unwrap_or_else(|_| Uri::from_static("/"))
}
