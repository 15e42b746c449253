//! Whose key a request brings.

use crate::door::Gateway;
use crate::error::ApiError;
use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use soulbox_model::{ApiKey, TeamId};

/// The team whose key the request brings, in `X-API-KEY` or as a bearer.
pub(crate) struct Team(pub(crate) TeamId);

impl FromRequestParts<Gateway> for Team {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, ApiError> {
        team(gateway, &parts.headers).map(Self)
    }
}

/// The team whose key is in the headers.
pub(crate) fn team(gateway: &Gateway, headers: &HeaderMap) -> Result<TeamId, ApiError> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = || {
        let (scheme, token) = header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    };
    let given = header("x-api-key").or_else(bearer).ok_or_else(|| {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "no API key: send it in the header X-API-KEY (E2B's SDKs take it from E2B_API_KEY)",
        )
    })?;
    team_of(gateway, given)
}

/// The team whose key this is.
pub(crate) fn team_of(gateway: &Gateway, key: &str) -> Result<TeamId, ApiError> {
    let team = ApiKey::given(key).and_then(|key| gateway.control.keys().team_of(&key));
    team.ok_or_else(|| {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "this API key is not known here; `soulbox key ls` lists the keys of this server",
        )
    })
}
