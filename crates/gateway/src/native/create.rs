//! Making a sandbox with everything that can be said about one: `POST /v1/sandboxes`.

use crate::auth::Team;
use crate::door::Gateway;
use crate::e2b::sandboxes::create::check_maps;
use crate::e2b::sandboxes::{one, seconds, view};
use crate::error::ApiError;
use crate::once::OnceJson;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use soulbox_control::{CreateRequest, SandboxCommand, SandboxView};
use soulbox_model::{
    AskedLimits, Isolation, Lifecycle, LimitError, NetworkMode, OnTimeout, TeamId,
};
#[cfg(fuzzing)]
use soulbox_model::{ByteSize, Limits};
use std::collections::BTreeMap;

/// The template of who names none.
const TEMPLATE: &str = "base";

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/sandboxes", post(create))
}

/// What is asked for. A field that is not known is refused: a limit that is misspelt must not be taken for
/// none.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct NewSandbox {
    template: Option<String>,
    /// Seconds.
    timeout: Option<i64>,
    auto_pause: bool,
    auto_resume: bool,
    metadata: BTreeMap<String, String>,
    env_vars: BTreeMap<String, String>,
    network: Option<NetworkMode>,
    isolation: Isolation,
    /// Of what is absent, the server's settings (section `sandbox`).
    limits: AskedLimits,
}

/// For fuzzing: what is kept of a body has limits and variables that hold.
#[cfg(fuzzing)]
pub(super) fn fuzz(body: &[u8]) -> Result<(), ApiError> {
    let asked: NewSandbox = crate::body::parse(body)?;
    let usual = Limits::usual(2000, ByteSize::mib(1024), 1024, ByteSize::gib(10));
    let limits = asked
        .limits
        .over(usual)
        .map_err(|error| wrong_limit(&error))?;
    assert!(limits.check().is_ok() && limits.memory <= limits.memory_max);
    check_maps(&asked.metadata, &asked.env_vars)
}

async fn create(
    State(gateway): State<Gateway>,
    Team(team): Team,
    OnceJson(asked, once): OnceJson<NewSandbox>,
) -> Result<Response, ApiError> {
    let request = CreateRequest {
        once,
        ..request(&gateway, &team, asked)?
    };
    let command = SandboxCommand::Create(Box::new(request));
    let made = one(gateway.control.execute(&team, command).await?)?;
    let body = axum::Json(tell(&gateway, &made));
    Ok((StatusCode::CREATED, view::headers(&gateway, &made), body).into_response())
}

fn request(gateway: &Gateway, team: &TeamId, asked: NewSandbox) -> Result<CreateRequest, ApiError> {
    let settings = gateway.control.settings();
    check_maps(&asked.metadata, &asked.env_vars)?;
    let timeout = match asked.timeout {
        Some(given) => seconds("timeout", given)?,
        None => settings.server.timeout,
    };
    let template = asked.template.as_deref().unwrap_or(TEMPLATE);
    let template = gateway.control.template(team, template)?;
    let limits = asked.limits.over(gateway.control.limits_of(&template));
    let limits = limits.map_err(|error| wrong_limit(&error))?;
    Ok(CreateRequest {
        limits: Some(limits),
        template,
        timeout,
        lifecycle: Lifecycle {
            on_timeout: match asked.auto_pause {
                true => OnTimeout::Pause,
                false => OnTimeout::Kill,
            },
            auto_resume: asked.auto_resume,
        },
        metadata: asked.metadata,
        variables: asked.env_vars,
        network: asked.network.unwrap_or(settings.sandbox.network),
        network_rules: None,
        secure: true,
        private_traffic: false,
        mask_host: None,
        isolation: asked.isolation,
        once: None,
    })
}

fn wrong_limit(error: &LimitError) -> ApiError {
    ApiError::bad(format!("limits: {error}"))
}

/// What its maker is told: with its token and where the time went.
fn tell(gateway: &Gateway, made: &SandboxView) -> Value {
    let (record, limits) = (&made.record, &made.record.limits);
    let step = |(step, us): &(String, u64)| json!({ "step": step, "us": us });
    json!({
        "sandboxID": record.id,
        "template": record.template,
        "state": record.state,
        "startedAt": record.started_at.to_string(),
        "endAt": record.end_at.to_string(),
        "isolation": record.isolation,
        "network": record.network,
        "metadata": record.metadata,
        "envdAccessToken": made.access_token,
        "notEnforced": gateway.control.node().not_enforced(),
        "phases": made.phases.0.iter().map(step).collect::<Vec<_>>(),
        "limits": {
            "cpuMillis": limits.cpu_millis,
            "cpuWeight": limits.cpu_weight,
            "memoryBytes": limits.memory.bytes(),
            "memoryMaxBytes": limits.memory_max.bytes(),
            "pids": limits.pids,
            "openFiles": limits.open_files,
            "ioReadBytes": limits.io_read.bytes(),
            "ioWriteBytes": limits.io_write.bytes(),
            "diskBytes": limits.disk.bytes(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<NewSandbox, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(read("{}").is_ok());
        for bad in [
            r#"{"limits":{"memroyBytes":1}}"#,
            r#"{"limits":{"pids":-1}}"#,
            r#"{"network":"intrenet"}"#,
            r#"{"isolation":"vm"}"#,
            r#"{"metadata":{"a":1}}"#,
            r#"{"cpu":1}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
