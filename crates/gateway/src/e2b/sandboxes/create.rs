//! Making a sandbox: `POST /sandboxes` and `POST /v2/sandboxes`.

use super::{one, seconds, view};
use crate::auth::Team;
use crate::door::Gateway;
use crate::e2b::sandboxes::network;
use crate::error::ApiError;
use crate::once::OnceJson;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use soulbox_control::{CreateRequest, Once, SandboxCommand};
use soulbox_model::{Isolation, Lifecycle, NetworkMode, OnTimeout, TeamId};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a sandbox lives that is asked for without a time on the first generation of paths.
const V1_TIMEOUT: Duration = Duration::from_secs(15);

/// The most bytes of metadata, names and values together. E2B's documents name no bound; this is far more
/// than its users send.
const MOST_METADATA: usize = 64 * 1024;
/// The most bytes of variables, names and values together: half of what Linux lets a command have.
const MOST_VARIABLES: usize = 1024 * 1024;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewSandbox {
    #[serde(rename = "templateID")]
    template_id: String,
    timeout: Option<i64>,
    auto_pause: Option<bool>,
    auto_pause_memory: Option<bool>,
    auto_resume: Option<AutoResume>,
    secure: Option<bool>,
    #[serde(rename = "allow_internet_access")]
    allow_internet_access: Option<bool>,
    network: Option<serde_json::Value>,
    metadata: Option<BTreeMap<String, String>>,
    env_vars: Option<BTreeMap<String, String>>,
    iam: Option<serde_json::Value>,
    volume_mounts: Option<Vec<serde_json::Value>>,
    /// Ours: the level of isolation.
    isolation: Option<String>,
}

#[derive(Debug, Deserialize)]
struct AutoResume {
    enabled: bool,
}

pub(crate) async fn v1(
    state: State<Gateway>,
    team: Team,
    headers: HeaderMap,
    OnceJson(asked, once): OnceJson<NewSandbox>,
) -> Result<Response, ApiError> {
    let secure = asked.secure.unwrap_or(false);
    create(state, team, &headers, (asked, once), V1_TIMEOUT, secure).await
}

pub(crate) async fn v2(
    state: State<Gateway>,
    team: Team,
    headers: HeaderMap,
    OnceJson(asked, once): OnceJson<NewSandbox>,
) -> Result<Response, ApiError> {
    let timeout = state.control.settings().server.timeout;
    create(state, team, &headers, (asked, once), timeout, true).await
}

async fn create(
    State(gateway): State<Gateway>,
    Team(team): Team,
    headers: &HeaderMap,
    (asked, once): (NewSandbox, Option<Once>),
    timeout: Duration,
    secure: bool,
) -> Result<Response, ApiError> {
    let request = CreateRequest {
        once,
        ..request(&gateway, &team, headers, asked, timeout, secure)?
    };
    let command = SandboxCommand::Create(Box::new(request));
    let view = one(gateway.control.execute(&team, command).await?)?;
    let body = axum::Json(view::sandbox(&gateway, &view));
    Ok((StatusCode::CREATED, view::headers(&gateway, &view), body).into_response())
}

fn request(
    gateway: &Gateway,
    team: &TeamId,
    headers: &HeaderMap,
    asked: NewSandbox,
    timeout: Duration,
    secure: bool,
) -> Result<CreateRequest, ApiError> {
    let lifecycle = lifecycle(&asked)?;
    let timeout = match asked.timeout {
        Some(given) => seconds("timeout", given)?,
        None => timeout,
    };
    if asked.iam.as_ref().is_some_and(|iam| !iam.is_null()) {
        return Err(ApiError::bad(
            "iam: there is no cloud here whose tokens could be given",
        ));
    }
    if asked.volume_mounts.is_some_and(|mounts| !mounts.is_empty()) {
        return Err(ApiError::not_built("volumeMounts: volumes are not built"));
    }
    let rules = network::Rules::read(asked.network)?;
    let open = asked.allow_internet_access.unwrap_or(true) && !rules.denies_all;
    let metadata = asked.metadata.unwrap_or_default();
    let variables = asked.env_vars.unwrap_or_default();
    check_maps(&metadata, &variables)?;
    Ok(CreateRequest {
        template: gateway.control.template(team, &asked.template_id)?,
        timeout,
        lifecycle,
        metadata,
        variables,
        network: match open {
            true => NetworkMode::Internet,
            false => NetworkMode::None,
        },
        network_rules: rules.given,
        secure,
        private_traffic: rules.private_traffic,
        mask_host: rules.mask_host,
        isolation: isolation(headers, asked.isolation.as_deref())?,
        limits: None,
        once: None,
    })
}

fn lifecycle(asked: &NewSandbox) -> Result<Lifecycle, ApiError> {
    let pauses = asked.auto_pause.unwrap_or(false);
    let wakes = asked
        .auto_resume
        .as_ref()
        .is_some_and(|resume| resume.enabled);
    if asked.auto_pause_memory == Some(false) {
        return Err(match (pauses, wakes) {
            (false, _) => ApiError::bad("autoPauseMemory: it is for sandboxes with autoPause"),
            (_, true) => ApiError::bad("autoPauseMemory: it does not go with autoResume"),
            _ => ApiError::not_built(
                "autoPauseMemory: pauses that keep files only are not built; leave it out to keep the memory",
            ),
        });
    }
    Ok(Lifecycle {
        on_timeout: match pauses {
            true => OnTimeout::Pause,
            false => OnTimeout::Kill,
        },
        auto_resume: wakes,
    })
}

/// The level of isolation, by the header or the field `Soulbox-Isolation`.
fn isolation(headers: &HeaderMap, field: Option<&str>) -> Result<Isolation, ApiError> {
    let header = headers
        .get("soulbox-isolation")
        .map(|value| value.to_str().unwrap_or_default());
    match header.or(field) {
        None | Some("namespace") => Ok(Isolation::Namespace),
        Some(level @ ("gvisor" | "vm")) => Err(ApiError::not_built(format!(
            "isolation: the level {level} is not built; there is namespace"
        ))),
        Some(_) => Err(ApiError::bad(
            "isolation: there is the level namespace only",
        )),
    }
}

/// Whether metadata and variables are such as can be taken.
pub(crate) fn check_maps(
    metadata: &BTreeMap<String, String>,
    variables: &BTreeMap<String, String>,
) -> Result<(), ApiError> {
    check_size("metadata", metadata, MOST_METADATA)?;
    check_size("envVars", variables, MOST_VARIABLES)?;
    check_variables("envVars", variables)
}

fn check_size(field: &str, map: &BTreeMap<String, String>, most: usize) -> Result<(), ApiError> {
    let bytes: usize = map.iter().map(|(key, value)| key.len() + value.len()).sum();
    match bytes > most {
        true => Err(ApiError::bad(format!(
            "{field}: {bytes} bytes are more than {most}"
        ))),
        false => Ok(()),
    }
}

pub(crate) fn check_variables(
    field: &str,
    variables: &BTreeMap<String, String>,
) -> Result<(), ApiError> {
    for (name, value) in variables {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let shown: String = name.chars().take(80).collect();
            return Err(ApiError::bad(format!(
                "{field}.{shown:?}: a name must not be empty, and must not hold '='; neither may hold NUL"
            )));
        }
    }
    Ok(())
}
