//! Rules of a sandbox's network, in E2B's words. What is enforced today: all of the internet, or none. A rule
//! that would restrict more than that is refused, never taken and ignored.

use super::id_of;
use crate::auth::Team;
use crate::body::MaybeJson;
use crate::door::Gateway;
use crate::error::ApiError;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use soulbox_control::SandboxCommand;

/// The most bytes of rules, as they are kept. E2B's documents name no bound; a rule has a few dozen.
pub(crate) const MOST: usize = 64 * 1024;

/// All addresses.
const ALL: [&str; 2] = ["0.0.0.0/0", "all"];

/// The fields that there are.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    allow_public_traffic: Option<bool>,
    allow_out: Option<Vec<String>>,
    deny_out: Option<Vec<String>>,
    #[serde(alias = "allow_internet_access")]
    allow_internet_access: Option<bool>,
    dns_servers: Option<Vec<String>>,
    egress_proxy: Option<serde_json::Value>,
    mask_request_host: Option<String>,
    https_ports: Option<Vec<u16>>,
    rules: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Rules that were read.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// As they were given.
    pub(crate) given: Option<serde_json::Value>,
    /// Whether nothing may be reached.
    pub(crate) denies_all: bool,
    /// Whether requests to ports need a token.
    pub(crate) private_traffic: bool,
    /// What ports are told as the host's name.
    pub(crate) mask_host: Option<String>,
}

impl Rules {
    /// Reads rules and refuses those that nothing would enforce.
    pub(crate) fn read(given: Option<serde_json::Value>) -> Result<Self, ApiError> {
        let Some(given) = given.filter(|value| !value.is_null()) else {
            return Ok(Self::default());
        };
        let bytes = given.to_string().len();
        if bytes > MOST {
            let reason = format!("network: {bytes} bytes are more than {MOST}");
            return Err(ApiError::bad(reason));
        }
        let fields: Fields = serde_path_to_error::deserialize(&given).map_err(|error| {
            ApiError::bad(format!("network.{}: {}", error.path(), error.inner()))
        })?;
        let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
        let denied = fields.deny_out.clone().unwrap_or_default();
        let denies_all = denied.iter().any(|rule| ALL.contains(&rule.as_str()))
            || fields.allow_internet_access == Some(false);
        let finer = [
            (
                !denied.is_empty() && !denies_all,
                "denyOut with single addresses",
            ),
            (
                denies_all && some(&fields.allow_out),
                "allowOut beside a denyOut of everything",
            ),
            (some(&fields.dns_servers), "dnsServers"),
            (
                fields.egress_proxy.is_some_and(|proxy| !proxy.is_null()),
                "egressProxy",
            ),
            (
                fields.https_ports.is_some_and(|ports| !ports.is_empty()),
                "httpsPorts",
            ),
            (fields.rules.is_some_and(|rules| !rules.is_empty()), "rules"),
        ];
        if let Some((_, what)) = finer.iter().find(|(used, _)| *used) {
            return Err(ApiError::not_built(format!(
                "network: {what} would not be enforced; there is all of the internet, or none (allow_internet_access)"
            )));
        }
        if let Some(host) = &fields.mask_request_host
            && !is_host(host)
        {
            return Err(ApiError::bad("network.maskRequestHost: it is no host name"));
        }
        Ok(Self {
            given: Some(given),
            denies_all,
            private_traffic: fields.allow_public_traffic == Some(false),
            mask_host: fields.mask_request_host,
        })
    }
}

/// A host's name, perhaps with `${PORT}` in it.
fn is_host(text: &str) -> bool {
    let plain = text.replace("${PORT}", "80");
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'_');
    !plain.is_empty() && plain.len() <= 253 && plain.bytes().all(fits)
}

/// Sets other rules. Whether a sandbox has internet is settled when it is made.
pub(crate) async fn set(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
    MaybeJson(given): MaybeJson<serde_json::Value>,
) -> Result<StatusCode, ApiError> {
    let id = id_of(&id)?;
    let rules = Rules::read(given)?;
    if rules.denies_all {
        return Err(ApiError::not_built(
            "network: the internet cannot be taken from a sandbox that runs; create it with allow_internet_access false",
        ));
    }
    let command = SandboxCommand::SetNetwork(id, rules.given);
    gateway.control.execute(&team, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_nothing_would_enforce_is_refused() {
        let status = |value| {
            Rules::read(Some(value))
                .map(|_| ())
                .map_err(|error| error.status.as_u16())
        };
        assert_eq!(status(json!({})), Ok(()));
        assert_eq!(status(json!({"allowOut": ["1.1.1.1"]})), Ok(()));
        assert_eq!(status(json!({"denyOut": ["1.1.1.1"]})), Err(501));
        assert_eq!(
            status(json!({"denyOut": ["0.0.0.0/0"], "allowOut": ["a.com"]})),
            Err(501)
        );
        assert_eq!(status(json!({"rules": {"a.com": []}})), Err(501));
        assert_eq!(status(json!({"denyOut": "x"})), Err(400));
        assert_eq!(status(json!({"allowOut": ["x".repeat(MOST)]})), Err(400));
        assert_eq!(status(json!({"maskRequestHost": "a b"})), Err(400));
        assert_eq!(
            status(json!({"maskRequestHost": "localhost:${PORT}"})),
            Ok(())
        );
        let all = Rules::read(Some(json!({"denyOut": ["0.0.0.0/0"]}))).unwrap();
        assert!(all.denies_all);
    }
}
