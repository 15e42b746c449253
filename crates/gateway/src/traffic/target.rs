//! Which sandbox and port a request names.
//!
//! By its host, `<port>-<id>.<domain>`, or by the headers `E2b-Sandbox-Id` and `E2b-Sandbox-Port`. A host
//! that has that form decides: a page in a browser chooses its headers, but not its host.

use crate::error::ApiError;
use http::header::HOST;
use http::{HeaderMap, Uri};
use soulbox_model::SandboxId;

/// The sandbox's id.
const ID: &str = "e2b-sandbox-id";
/// The port in it.
const PORT: &str = "e2b-sandbox-port";

/// A port of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) id: SandboxId,
    pub(crate) port: u16,
}

/// The port that a request is for; none for one to the programming interface.
pub(crate) fn of(headers: &HeaderMap, uri: &Uri) -> Result<Option<Target>, ApiError> {
    let host = uri.host().or_else(|| headers.get(HOST)?.to_str().ok());
    if let Some(target) = host.and_then(of_host) {
        return Ok(Some(target));
    }
    match (headers.get(ID), headers.get(PORT)) {
        (None, None) => Ok(None),
        (Some(id), Some(port)) => {
            let (id, port) = (
                id.to_str().unwrap_or_default(),
                port.to_str().unwrap_or_default(),
            );
            Ok(Some(Target {
                id: id_of(id)?,
                port: port.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
                    ApiError::bad("header E2b-Sandbox-Port: it must be a port, 1 to 65535")
                })?,
            }))
        }
        (Some(_), None) => Err(ApiError::bad("header E2b-Sandbox-Port is missing")),
        (None, Some(_)) => Err(ApiError::bad("header E2b-Sandbox-Id is missing")),
    }
}

fn of_host(host: &str) -> Option<Target> {
    let (label, domain) = host.split_once('.')?;
    let (port, id) = label.split_once('-')?;
    let decimal = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if !decimal || domain.is_empty() {
        return None;
    }
    Some(Target {
        id: id.to_ascii_lowercase().parse().ok()?,
        port: port.parse().ok().filter(|port| *port != 0)?,
    })
}

/// An id as clients send it: older ones append the id of a client after a dash.
fn id_of(text: &str) -> Result<SandboxId, ApiError> {
    let mut parts = text.split('-');
    let id = parts.next().unwrap_or_default();
    if parts.nth(1).is_some() {
        return Err(ApiError::bad(
            "header E2b-Sandbox-Id: it has more than two parts",
        ));
    }
    id.parse()
        .map_err(|error| ApiError::bad(format!("header E2b-Sandbox-Id: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(pairs: &[(&'static str, &str)]) -> Result<Option<Target>, ApiError> {
        let headers = pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        of(&headers, &Uri::from_static("/x"))
    }

    fn named(id: &str, port: u16) -> Option<Target> {
        Some(Target {
            id: id.parse().unwrap(),
            port,
        })
    }

    #[test]
    fn a_host_names_a_sandbox_only_in_its_own_form() {
        let host = |host| target(&[("host", host)]).unwrap();
        assert_eq!(
            host("8080-iabc.sandbox.localhost:8443"),
            named("iabc", 8080)
        );
        assert_eq!(host("49983-IABC.e2b.local"), named("iabc", 49983));
        for other in [
            "localhost:3000",
            "127.0.0.1",
            "api.example.com",
            "8080-iabc",
            "x-iabc.d",
            "0-iabc.d",
            "70000-iabc.d",
            "-iabc.d",
            "8080-.d",
            "80-i_c.d",
            "[::1]:3000",
            "+8-i.d",
        ] {
            assert_eq!(host(other), None, "{other}");
        }
    }

    #[test]
    fn headers_come_in_pairs() {
        let pair = |id, port| target(&[("host", "localhost"), (ID, id), (PORT, port)]);
        assert_eq!(pair("iabc", "49983").unwrap(), named("iabc", 49983));
        assert_eq!(pair("iabc-client1", "80").unwrap(), named("iabc", 80));
        for (id, port) in [
            ("iabc", ""),
            ("", "80"),
            ("a-b-c", "80"),
            ("i/..", "80"),
            ("iabc", "0"),
            ("iabc", "99999"),
        ] {
            assert!(pair(id, port).is_err(), "{id} {port}");
        }
        assert!(target(&[(ID, "iabc")]).is_err());
        assert!(target(&[(PORT, "80")]).is_err());
        assert_eq!(target(&[]).unwrap(), None);
    }

    #[test]
    fn the_host_decides() {
        let both = target(&[("host", "80-ione.d"), (ID, "itwo"), (PORT, "81")]);
        assert_eq!(both.unwrap(), named("ione", 80));
    }
}
