//! Whose key a request brings, and for whom it acts.
//!
//! The keys of the team that a server has from the beginning are the operator's: they may act for every team, which
//! is how teams come to their first keys.

use crate::door::Gateway;
use crate::error::ApiError;
use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use soulbox_model::{ApiKey, TeamId};

/// The header by which the operator acts for a team.
const TEAM: &str = "soulbox-team";
/// Before a key among the subprotocols of a WebSocket.
const KEY: &str = "soulbox.key.";

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
    let own = team_of(gateway, given)?;
    match headers.get(TEAM) {
        None => Ok(own),
        Some(asked) => acting(&own, asked.to_str().unwrap_or_default()),
    }
}

/// Whose key a WebSocket brings: in the headers as everywhere, or among the subprotocols, since a page cannot set
/// headers on one.
pub(crate) fn team_of_socket(gateway: &Gateway, headers: &HeaderMap) -> Result<TeamId, ApiError> {
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let offered = offered.filter_map(|value| value.to_str().ok());
    let mut words = offered.flat_map(|value| value.split(',')).map(str::trim);
    let key = words.find_map(|word| word.strip_prefix(KEY));
    match key.and_then(|key| URL_SAFE_NO_PAD.decode(key).ok()) {
        Some(key) => team_of(gateway, &String::from_utf8_lossy(&key)),
        None => team(gateway, headers),
    }
}

/// The team for which the owner of a key acts.
fn acting(own: &TeamId, asked: &str) -> Result<TeamId, ApiError> {
    let team: TeamId = asked
        .parse()
        .map_err(|error| ApiError::bad(format!("header Soulbox-Team: {error}")))?;
    match team == *own || *own == TeamId::default_team() {
        true => Ok(team),
        false => Err(ApiError::new(
            StatusCode::FORBIDDEN,
            format!("a key of team {} acts for that team alone", own.as_str()),
        )),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_acts_for_every_team_and_a_team_for_itself() {
        let team = |name: &str| name.parse::<TeamId>().unwrap();
        let status = |own, asked| acting(&team(own), asked).map_err(|error| error.status.as_u16());
        assert_eq!(status("default", "acme"), Ok(team("acme")));
        assert_eq!(status("acme", "acme"), Ok(team("acme")));
        assert_eq!(status("acme", "default"), Err(403));
        assert_eq!(status("acme", "other"), Err(403));
        for wrong in ["", "Acme", "a/b", "../default", &"a".repeat(65)] {
            assert_eq!(status("default", wrong), Err(400), "{wrong}");
        }
    }
}
