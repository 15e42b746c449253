//! Each request as its operator sees it: its id, its line in the log, its count.
//!
//! What is written names no secret: keys and tokens come in headers, of which none is written, and of a
//! query only what is known to hold none. How the answer's body goes on is not waited for.

use crate::door::{self, Gateway};
use crate::error::ApiError;
use crate::traffic::target::{self, Target};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use hyper::body::Incoming;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tracing::{Instrument as _, Level};

/// The request's id: taken from the client if it can be one, and told in the answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken.
const LONGEST_ID: usize = 128;
/// The longest path that is written.
const LONGEST_PATH: usize = 256;

/// Fields of queries whose values are written. All others may hold a secret: signatures do, and what
/// comes to a wrong address may hold anything.
const OPEN: [&str; 12] = [
    "limit",
    "state",
    "order",
    "start",
    "end",
    "cursor",
    "direction",
    "level",
    "follow",
    "offset",
    "template",
    "startedAfter",
];

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surface {
    /// E2B's control plane.
    E2b,
    /// SoulBox's own interface.
    Native,
    /// Health, metrics, documents, the page.
    Operator,
    /// A sandbox.
    Sandbox,
}

impl Surface {
    /// The word in the log and in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::E2b => "e2b",
            Self::Native => "native",
            Self::Operator => "operator",
            Self::Sandbox => "sandbox",
        }
    }

    fn of(target: &Result<Option<Target>, ApiError>, path: &str) -> Self {
        let operator = ["/", "/health", "/metrics", "/openapi.json"];
        match target {
            Ok(Some(_)) | Err(_) => Self::Sandbox,
            Ok(None) if path == "/files" => Self::Sandbox,
            Ok(None) if path.starts_with("/v1/") || path.starts_with("/api/v1/") => Self::Native,
            Ok(None) if operator.contains(&path) || path.starts_with("/page/") => Self::Operator,
            Ok(None) => Self::E2b,
        }
    }
}

/// Answers a request, and tells of it.
pub(crate) async fn answer(gateway: &Gateway, request: Request<Incoming>) -> Response {
    let began = Instant::now();
    let target = target::of(request.headers(), request.uri());
    let surface = Surface::of(&target, request.uri().path());
    let id = id_of(request.headers());
    let method = request.method().clone();
    let line = Line::of(surface, &target, request.uri());
    let span = tracing::error_span!("request", id = id.to_str().unwrap_or_default());
    let answered = door::answer(gateway, target, request);
    let mut response = answered.instrument(span.clone()).await;
    let (status, took) = (response.status(), began.elapsed());
    gateway.metrics.answered(surface, &method, status, took);
    // A sandbox's own server may have named the request by itself.
    response.headers_mut().entry(REQUEST_ID).or_insert(id);
    if let Some(line) = line {
        let _entered = span.entered();
        line.write(surface, method.as_str(), status.as_u16(), began);
    }
    response
}

/// What the log is told of a request.
struct Line {
    sandbox: Option<String>,
    port: Option<u16>,
    path: String,
}

impl Line {
    /// Nothing if nobody reads it.
    fn of(surface: Surface, target: &Result<Option<Target>, ApiError>, uri: &Uri) -> Option<Self> {
        let written = match surface {
            Surface::Sandbox => tracing::enabled!(Level::DEBUG),
            _ => tracing::enabled!(Level::INFO),
        };
        if !written {
            return None;
        }
        let target = target.as_ref().ok().and_then(Option::as_ref);
        let own_port = target.is_some_and(|target| target.port != crate::traffic::AGENT_PORT);
        Some(Self {
            sandbox: match target {
                Some(target) => Some(target.id.to_string()),
                None => in_path(uri.path()),
            },
            port: target.map(|target| target.port),
            path: match own_port {
                // What somebody's own server is asked is none of ours.
                true => "…".to_owned(),
                false => shown(uri),
            },
        })
    }

    fn write(&self, surface: Surface, method: &str, status: u16, began: Instant) {
        let Self {
            sandbox,
            port,
            path,
        } = self;
        let (surface, sandbox) = (surface.as_str(), sandbox.as_deref());
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        match port {
            None if surface != "sandbox" => {
                tracing::info!(surface, method, path, sandbox, status, micros, "answered");
            }
            port => {
                let port = port.map(u64::from);
                tracing::debug!(
                    surface, method, path, sandbox, port, status, micros, "answered"
                );
            }
        }
    }
}

/// The sandbox in a path of the programming interface.
fn in_path(path: &str) -> Option<String> {
    let mut segments = path
        .split('/')
        .skip_while(|segment| *segment != "sandboxes")
        .skip(1);
    let id = segments.next()?;
    id.parse::<soulbox_model::SandboxId>()
        .ok()
        .map(|id| id.to_string())
}

/// A path with its query, without what may be a secret.
fn shown(uri: &Uri) -> String {
    let mut text = String::new();
    for (at, segment) in uri.path().split('/').enumerate() {
        let slash = if at == 0 { "" } else { "/" };
        // Keys and signatures have no place in paths, which does not keep anybody from it.
        let secret = segment.starts_with("e2b_") || segment.starts_with("v1_");
        let _ = write!(text, "{slash}{}", if secret { "…" } else { segment });
    }
    if let Some((at, _)) = text.char_indices().nth(LONGEST_PATH) {
        text.truncate(at);
    }
    let fields = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    for (at, (name, value)) in fields.take(16).enumerate() {
        let mark = if at == 0 { '?' } else { '&' };
        let name: String = name
            .chars()
            .filter(|c| c.is_ascii_graphic())
            .take(32)
            .collect();
        let value: String = match OPEN.contains(&name.as_str()) {
            true => value
                .chars()
                .filter(|c| c.is_ascii_graphic())
                .take(64)
                .collect(),
            false => "…".to_owned(),
        };
        let _ = write!(text, "{mark}{name}={value}");
    }
    text
}

/// The id that the client gave, if it can be one, else a new one.
fn id_of(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| {
        let letter = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:+/=".contains(b);
        (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(letter)
    });
    if let Some(given) = given {
        return given.clone();
    }
    static BEGIN: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let id = format!("{:08x}-{next:x}", *BEGIN & 0xffff_ffff);
    HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown_of(uri: &str) -> String {
        shown(&uri.parse().unwrap())
    }

    #[test]
    fn secrets_in_a_query_are_not_shown() {
        let shown = shown_of("/files?path=/etc/x&signature=v1_abc&signature_expiration=5&limit=3");
        assert_eq!(
            shown,
            "/files?path=…&signature=…&signature_expiration=…&limit=3"
        );
        assert_eq!(shown_of("/x/e2b_0123/y?api_key=e2b_1"), "/x/…/y?api_key=…");
        assert!(shown_of(&format!("/{}", "x".repeat(9000))).len() <= LONGEST_PATH);
        assert_eq!(shown_of("/a?limit=%1b[31m"), "/a?limit=[31m");
    }

    #[test]
    fn a_clients_id_is_kept_if_it_can_be_one() {
        let id = |text: &'static str| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(text))]);
            id_of(&headers).to_str().unwrap().to_owned()
        };
        assert_eq!(id("trace-7.a"), "trace-7.a");
        assert_ne!(id("a b"), "a b");
        assert_ne!(id(""), "");
        let long: &'static str = "x".repeat(LONGEST_ID + 1).leak();
        assert!(id(long).len() < 40);
        assert_ne!(id("\""), id("\""));
    }

    #[test]
    fn a_request_is_for_one_surface() {
        let of = |path| Surface::of(&Ok(None), path);
        assert_eq!(of("/v1/sandboxes"), Surface::Native);
        assert_eq!(of("/v2/sandboxes"), Surface::E2b);
        assert_eq!(of("/page/page.js"), Surface::Operator);
        assert_eq!(of("/files"), Surface::Sandbox);
        assert_eq!(in_path("/v1/sandboxes/i1/events").as_deref(), Some("i1"));
        assert_eq!(in_path("/v1/sandboxes/I%20/events"), None);
        assert_eq!(in_path("/sandboxes"), None);
    }
}
