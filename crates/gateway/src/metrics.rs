//! What the server counts, told as Prometheus asks for it: `/metrics`. `docs/metrics.md` lists the names.

use crate::access::Surface;
use crate::auth;
use crate::client::Client;
use crate::door::Gateway;
use crate::error::ApiError;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

/// Upper bounds of requests, in seconds, up to the head of the answer.
const REQUESTS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
];

/// [OpenMetrics](https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md), which
/// Prometheus reads.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Requested {
    surface: &'static str,
    method: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct On {
    surface: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// What the gateway counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Requested, Counter>,
    durations: Family<On, Histogram, fn() -> Histogram>,
    errors: Family<Kind, Counter>,
    pub(crate) terminals: Gauge,
}

impl Metrics {
    pub(crate) fn new(control: &soulbox_control::metrics::Metrics) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(REQUESTS)),
            errors: Family::default(),
            terminals: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "http_requests",
            "Requests that were answered, by surface (e2b, native, operator, sandbox), method and class of status",
            metrics.requests.clone(),
        );
        registry.register(
            "soulbox_gateway_request_duration_seconds",
            "Requests up to the head of their answer, by surface",
            metrics.durations.clone(),
        );
        registry.register(
            "soulbox_gateway_errors",
            "Requests to the programming interface that were refused or failed, by kind",
            metrics.errors.clone(),
        );
        registry.register(
            "soulbox_gateway_terminals",
            "Terminals in browsers that are open",
            metrics.terminals.clone(),
        );
        control.register(registry);
        metrics
    }

    /// Counts a request that was answered.
    pub(crate) fn answered(
        &self,
        surface: Surface,
        method: &Method,
        status: StatusCode,
        took: Duration,
    ) {
        let on = surface.as_str();
        let requested = Requested {
            surface: on,
            method: method_word(method),
            status: class(status),
        };
        self.requests.get_or_create(&requested).inc();
        let durations = self.durations.get_or_create(&On { surface: on });
        durations.observe(took.as_secs_f64());
        // What a sandbox answers is its own affair.
        if surface != Surface::Sandbox
            && let Some(kind) = kind(status)
        {
            self.errors.get_or_create(&Kind { kind }).inc();
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to memory does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Methods have bounded names here: a client may make up any.
fn method_word(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

/// The kind of a failure; none if it is none.
fn kind(status: StatusCode) -> Option<&'static str> {
    Some(match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => "wrong_request",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "unauthorized",
        StatusCode::NOT_FOUND | StatusCode::GONE => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "wrong_method",
        StatusCode::REQUEST_TIMEOUT => "slow_request",
        StatusCode::CONFLICT => "conflict",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::TOO_MANY_REQUESTS => "busy",
        StatusCode::NOT_IMPLEMENTED => "not_built",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        StatusCode::INSUFFICIENT_STORAGE => "disk_full",
        status if status.is_server_error() => "internal",
        status if status.is_client_error() => "other",
        _ => return None,
    })
}

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/metrics", get(tell))
}

/// For Prometheus: from this machine, or with a key.
async fn tell(State(gateway): State<Gateway>, request: Request) -> Result<Response, ApiError> {
    let client = request.extensions().get::<Client>();
    let local = client.is_some_and(|client| client.address.is_loopback());
    // Behind a proxy on this machine everybody comes from this machine.
    let passed_on = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    let direct = !passed_on
        .iter()
        .any(|name| request.headers().contains_key(*name));
    if !(local && direct) {
        auth::team(&gateway, request.headers())?;
    }
    gateway.control.metrics();
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], gateway.metrics.text()).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_model::{EndCause, SandboxState};
    use soulbox_model::{Isolation, NetworkMode, SandboxSpec, TemplateName};
    use soulbox_node::{KindLevel, PoolLevel};
    use soulbox_settings::Settings;
    use std::collections::BTreeSet;

    /// All of them once.
    fn text() -> String {
        let control = soulbox_control::metrics::Metrics::default();
        let metrics = Metrics::new(&control);
        let took = Duration::from_millis(3);
        metrics.answered(Surface::E2b, &Method::POST, StatusCode::CREATED, took);
        metrics.answered(Surface::E2b, &Method::GET, StatusCode::NOT_FOUND, took);
        control.created(&Ok(()), took);
        let busy = soulbox_control::ControlError::Stopping;
        control.created::<()>(&Err(busy), took);
        control.ended(EndCause::Expired);
        control.committed(took);
        let level = PoolLevel {
            pool: "parked",
            ready: 1,
            wanted: 2,
            taken: 3,
            misses: 4,
        };
        control.note(&[SandboxState::Running], 5, &[level]);
        let kind = KindLevel {
            spec: SandboxSpec {
                template: TemplateName::host(),
                isolation: Isolation::Namespace,
                limits: Settings::with(&[]).unwrap().sandbox.limits(),
                network: NetworkMode::None,
                mounts: Vec::new(),
            },
            team: None,
            level,
            loaded: None,
            asked: 4,
            rate: 0.0,
            foreseen: 1,
            error: Some(0.5),
        };
        control.note_kinds(&[kind]);
        metrics.text()
    }

    #[test]
    fn the_names_that_dashboards_know_are_told() {
        let text = text();
        for line in [
            r#"http_requests_total{surface="e2b",method="POST",status="2xx"} 1"#,
            r#"vm_creation_duration_seconds_bucket{le="0.004"} 1"#,
            r#"soulbox_control_sandboxes{state="running"} 1"#,
            r#"soulbox_node_pool_misses_total{pool="parked"} 4"#,
            r#"soulbox_node_kind_hit_rate{template="host",team="",network="none""#,
            r#"soulbox_gateway_errors_total{kind="not_found"} 1"#,
            r#"soulbox_control_create_failures_total{kind="stopping"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn the_document_lists_every_name_with_its_words() {
        let document = include_str!("../../../docs/metrics.md");
        let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
        let listed: BTreeSet<_> = rows
            .filter_map(|row| row.split_once("` | "))
            .map(|(name, rest)| {
                (
                    name.to_owned(),
                    rest.split(" | ").collect::<Vec<_>>().join(" "),
                )
            })
            .map(|(name, rest)| (name, rest.trim_end_matches(" |").to_owned()))
            .collect();
        let text = text();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let helps: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# HELP "))
            .collect();
        let told: BTreeSet<_> = types
            .filter_map(|line| {
                let (name, kind) = line.split_once(' ')?;
                let help = helps
                    .iter()
                    .find_map(|help| help.strip_prefix(&format!("{name} ")))?;
                let suffix = if kind == "counter" { "_total" } else { "" };
                Some((format!("{name}{suffix}"), format!("{kind} {help}")))
            })
            .collect();
        assert_eq!(listed, told, "docs/metrics.md and what is told differ");
    }

    #[test]
    fn labels_are_bounded() {
        let odd = Method::from_bytes(b"BREW").unwrap();
        assert_eq!(method_word(&odd), "other");
        assert_eq!(kind(StatusCode::CREATED), None);
        assert_eq!(kind(StatusCode::IM_A_TEAPOT), Some("other"));
    }
}
