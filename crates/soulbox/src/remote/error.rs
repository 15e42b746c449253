//! What a request without a good answer means for a person.

use crate::exit::Exit;
use crate::failure::Failure;
use http::StatusCode;
use soulbox_client::RemoteError;
use soulbox_client::line::SetUpError;
use soulbox_client::roots::TrustError;
use soulbox_client::url::UrlError;
use soulbox_client::way::TokenError;

fn exit(error: &RemoteError) -> Exit {
    let RemoteError::Refused { status, .. } = error else {
        return Exit::SERVER;
    };
    match status.as_u16() {
        404 => Exit::NOT_FOUND,
        // The sandbox is in another state: already paused, already running.
        409 => Exit::NO,
        429 | 507 => Exit::CREATE,
        501 => Exit::HOST,
        400 | 405..=428 => Exit::USAGE,
        _ => Exit::SERVER,
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        let failure = Self::of(exit(&error), &error);
        match &error {
            RemoteError::Nobody { .. } => {
                failure.help("start one: soulbox serve; or name another: --server URL")
            }
            RemoteError::Stranger { .. } => failure.help(
                "--ca FILE names who vouches for it (`soulbox ca path` on its machine); the URL must have its domain",
            ),
            RemoteError::Refused { status, .. } if *status == StatusCode::UNAUTHORIZED => failure
                .help("the key is of another server; see SOULBOX_API_KEY, E2B_API_KEY, --api-key-file"),
            RemoteError::Refused { status, .. } if *status == StatusCode::SERVICE_UNAVAILABLE => {
                failure.help("try again in a few seconds")
            }
            _ => failure,
        }
    }
}

impl From<UrlError> for Failure {
    fn from(error: UrlError) -> Self {
        Self::of(Exit::USAGE, &error).help(
            "such as http://127.0.0.1:3000 or https://box.example (--server, setting client.url)",
        )
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Self::of(Exit::SERVER, &error)
    }
}

impl From<SetUpError> for Failure {
    fn from(error: SetUpError) -> Self {
        let exit = match &error {
            SetUpError::Trust(TrustError::Unreadable { .. }) => Exit::NOT_FOUND,
            SetUpError::Trust(_) | SetUpError::Name { .. } => Exit::USAGE,
            SetUpError::Tls(_) => Exit::INTERNAL,
        };
        let failure = Self::of(exit, &error);
        match error {
            SetUpError::Trust(_) => failure.help(
                "--ca and setting client.ca name a file in PEM: `soulbox ca path` tells a server's",
            ),
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_exit_code() {
        for (status, exit) in [
            (400, Exit::USAGE),
            (401, Exit::SERVER),
            (404, Exit::NOT_FOUND),
            (409, Exit::NO),
            (429, Exit::CREATE),
            (500, Exit::SERVER),
            (501, Exit::HOST),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let refused = RemoteError::refused(status, b"{}");
            assert_eq!(Failure::from(refused).exit, exit, "{status}");
        }
    }
}
