//! A sandbox in E2B's words.

use crate::door::Gateway;
use crate::e2b::ENVD_VERSION;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use soulbox_control::SandboxView;
use soulbox_model::{Limits, NetworkMode, SandboxId, SandboxState};
use std::collections::BTreeMap;

/// What E2B's field for the client's id holds, which nobody reads.
const CLIENT_ID: &str = "soulbox";

/// The level of isolation, in every reply about a sandbox.
const ISOLATION: HeaderName = HeaderName::from_static("soulbox-isolation");
/// The limits that nothing holds sandboxes to on this host.
const NOT_ENFORCED: HeaderName = HeaderName::from_static("soulbox-not-enforced");
/// The steps of a create
/// ([Server-Timing](https://www.w3.org/TR/server-timing/)).
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// A sandbox as its creator and those who connect to it are told.
#[derive(Serialize)]
pub(crate) struct Sandbox<'a> {
    #[serde(rename = "templateID")]
    template_id: String,
    #[serde(rename = "sandboxID")]
    sandbox_id: &'a SandboxId,
    #[serde(rename = "clientID")]
    client_id: &'static str,
    #[serde(rename = "envdVersion")]
    envd_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<String>,
    #[serde(rename = "envdAccessToken", skip_serializing_if = "Option::is_none")]
    envd_access_token: Option<&'a str>,
    #[serde(rename = "trafficAccessToken")]
    traffic_access_token: Option<&'a str>,
    domain: Option<&'a str>,
}

pub(crate) fn sandbox<'a>(gateway: &'a Gateway, view: &'a SandboxView) -> Sandbox<'a> {
    let (template_id, alias) = gateway.control.called(&view.record.template);
    Sandbox {
        template_id,
        sandbox_id: &view.record.id,
        client_id: CLIENT_ID,
        envd_version: ENVD_VERSION,
        alias,
        envd_access_token: view.access_token.as_deref(),
        traffic_access_token: view.traffic_token.as_deref(),
        domain: domain(gateway),
    }
}

/// The domain of host names, while they can be used: clients prepend `https://`.
fn domain(gateway: &Gateway) -> Option<&str> {
    gateway.domain.as_deref()
}

/// A sandbox in a list.
#[derive(Serialize)]
pub(crate) struct Listed<'a> {
    #[serde(rename = "templateID")]
    template_id: String,
    #[serde(rename = "sandboxID")]
    sandbox_id: &'a SandboxId,
    #[serde(rename = "clientID")]
    client_id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<String>,
    #[serde(rename = "startedAt")]
    started_at: String,
    #[serde(rename = "endAt")]
    end_at: String,
    #[serde(rename = "cpuCount")]
    cpu_count: u32,
    #[serde(rename = "memoryMB")]
    memory_mb: u64,
    #[serde(rename = "diskSizeMB")]
    disk_size_mb: u64,
    state: &'static str,
    #[serde(rename = "envdVersion")]
    envd_version: &'static str,
    metadata: &'a BTreeMap<String, String>,
    isolation: &'static str,
}

pub(crate) fn listed<'a>(gateway: &Gateway, view: &'a SandboxView) -> Listed<'a> {
    let record = &view.record;
    let limits = &record.limits;
    let (template_id, alias) = gateway.control.called(&record.template);
    Listed {
        template_id,
        sandbox_id: &record.id,
        client_id: CLIENT_ID,
        alias,
        started_at: record.started_at.to_string(),
        end_at: record.end_at.to_string(),
        cpu_count: cpu_count(limits),
        memory_mb: limits.memory.bytes() >> 20,
        disk_size_mb: limits.disk.bytes() >> 20,
        state: state(record.state),
        envd_version: ENVD_VERSION,
        metadata: &record.metadata,
        isolation: record.isolation.as_str(),
    }
}

/// E2B knows two states.
fn state(state: SandboxState) -> &'static str {
    match state {
        SandboxState::Paused => "paused",
        _ => "running",
    }
}

fn cpu_count(limits: &Limits) -> u32 {
    limits.cpu_millis.div_ceil(1000)
}

/// Everything about a sandbox.
#[derive(Serialize)]
pub(crate) struct Detail<'a> {
    #[serde(flatten)]
    listed: Listed<'a>,
    #[serde(rename = "envdAccessToken", skip_serializing_if = "Option::is_none")]
    envd_access_token: Option<&'a str>,
    #[serde(rename = "allowInternetAccess")]
    allow_internet_access: bool,
    domain: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<&'a serde_json::Value>,
    lifecycle: Lifecycle,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lifecycle {
    auto_resume: bool,
    on_timeout: &'static str,
}

pub(crate) fn detail<'a>(gateway: &'a Gateway, view: &'a SandboxView) -> Detail<'a> {
    let record = &view.record;
    Detail {
        listed: listed(gateway, view),
        envd_access_token: view.access_token.as_deref(),
        allow_internet_access: record.network == NetworkMode::Internet,
        domain: domain(gateway),
        network: record.network_rules.as_ref(),
        lifecycle: Lifecycle {
            auto_resume: record.lifecycle.auto_resume,
            on_timeout: record.lifecycle.on_timeout.as_str(),
        },
    }
}

/// The level of isolation, what of its limits nothing holds it to, and where the time went.
pub(crate) fn headers(gateway: &Gateway, view: &SandboxView) -> HeaderMap {
    let isolation = HeaderValue::from_static(view.record.isolation.as_str());
    let mut headers = HeaderMap::from_iter([(ISOLATION, isolation)]);
    let lacking = gateway.control.node().not_enforced().join(", ");
    if let Ok(lacking) = HeaderValue::from_str(&lacking)
        && !lacking.is_empty()
    {
        headers.insert(NOT_ENFORCED, lacking);
    }
    let metric = |(step, micros): &(String, u64)| {
        let millis = micros / 1000;
        let rest = micros % 1000;
        format!("{};dur={millis}.{rest:03}", step.replace([' ', ','], "-"))
    };
    let timing: Vec<_> = view.phases.0.iter().map(metric).collect();
    if let Ok(timing) = HeaderValue::from_str(&timing.join(", "))
        && !timing.is_empty()
    {
        headers.insert(SERVER_TIMING, timing);
    }
    headers
}
