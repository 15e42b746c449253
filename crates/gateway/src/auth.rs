//! Whose key a request brings.

use crate::door::Gateway;
use crate::error::ApiError;
use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;
use soulbox_model::{ApiKey, TeamId};

/// The team whose key the request brings, in `X-API-KEY` or as a bearer.
pub(crate) struct Team(pub(crate) TeamId);

impl FromRequestParts<Gateway> for Team {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, ApiError> {
        let header = |name: &str| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
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
        let team = ApiKey::given(given).and_then(|key| gateway.control.keys().team_of(&key));
        team.map(Self).ok_or_else(|| {
            ApiError::new(
                StatusCode::UNAUTHORIZED,
                "this API key is not known here; `soulbox key ls` lists the keys of this server",
            )
        })
    }
}
