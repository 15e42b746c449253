//! Which way a request goes: to a sandbox, or to the programming interface.

use crate::drained::Drained;
use crate::error::{ApiError, in_shape};
use crate::metrics::Metrics;
use crate::traffic::target::Target;
use crate::{e2b, head, metrics, native, openapi, page, traffic};
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use soulbox_control::Control;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;

/// What every request needs.
#[derive(Clone)]
pub(crate) struct Gateway {
    pub(crate) control: Arc<Control>,
    pub(crate) signed: Arc<traffic::signature::Seekers>,
    pub(crate) ports: Arc<traffic::port::kept::Ports>,
    /// The name below which sandboxes have host names that clients can use, if there are any.
    pub(crate) domain: Option<Arc<str>>,
    /// Told when the server begins to stop.
    pub(crate) stopping: watch::Sender<bool>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Places for terminals.
    pub(crate) terminals: Arc<Semaphore>,
    routes: Arc<Router>,
}

impl Gateway {
    pub(crate) fn new(control: Arc<Control>, domain: Option<String>) -> Self {
        let terminals = control.settings().server.terminals as usize;
        let bare = Self {
            metrics: Arc::new(Metrics::new(control.metrics())),
            terminals: Arc::new(Semaphore::new(terminals)),
            signed: Arc::default(),
            ports: Arc::new(traffic::port::kept::Ports::new(&control)),
            domain: domain.map(Arc::from),
            control,
            stopping: watch::Sender::new(false),
            routes: Arc::default(),
        };
        let routes = Router::new()
            .route("/health", get(health))
            .merge(e2b::routes())
            .merge(native::routes())
            .merge(metrics::routes())
            .merge(openapi::routes())
            .merge(page::routes())
            .fallback(nowhere)
            .method_not_allowed_fallback(wrong_method)
            .with_state(bare.clone());
        Self {
            routes: Arc::new(routes),
            ..bare
        }
    }
}

/// Answers one request, which is for `target` or for the programming interface.
pub(crate) async fn answer(
    gateway: &Gateway,
    target: Result<Option<Target>, ApiError>,
    request: Request<Incoming>,
) -> Response {
    if let Err(error) = head::check(&request) {
        let mut response = error.into_response();
        // Nobody knows for sure where the next request begins.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
        return response;
    }
    match target {
        Ok(Some(target)) => traffic::serve(gateway, target, request).await,
        Ok(None) => match traffic::signature::sought(gateway, &request) {
            Some(Ok(target)) => traffic::serve(gateway, target, request).await,
            Some(Err(error)) => error.into_response(),
            None if !is_text(request.uri().path()) => {
                ApiError::bad("path: what it encodes is no UTF-8").into_response()
            }
            None => {
                let request = request.map(|body| Body::new(Drained::new(body)));
                let routes = Router::clone(&gateway.routes);
                let answered = routes.oneshot(request).await;
                in_shape(answered.unwrap_or_else(|never| match never {})).await
            }
        },
        Err(error) => error.into_response(),
    }
}

/// Whether a path is text once it is decoded. What takes parts of paths would refuse others in a shape of its own.
fn is_text(path: &str) -> bool {
    percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .is_ok()
}

async fn health() -> Response {
    let version = env!("CARGO_PKG_VERSION");
    axum::Json(serde_json::json!({ "status": "ok", "version": version })).into_response()
}

async fn nowhere(request: Request<Body>) -> ApiError {
    let shown: String = request.uri().path().chars().take(200).collect();
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!("there is nothing at {} {shown}", request.method()),
    )
}

async fn wrong_method(method: Method) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{method} is not allowed here"),
    )
}
