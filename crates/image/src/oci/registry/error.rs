//! What a registry can answer instead of what was asked for.

use super::credentials::CredentialsError;
use super::http::{Answer, HttpError};
use http::StatusCode;
use http::header::RETRY_AFTER;
use serde::Deserialize;
use std::time::Duration;

/// The longest message of a registry that is read.
const MAX_MESSAGE: u64 = 64 << 10;
/// The longest wait that a registry may ask for.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Why a registry did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There was no answer, or none that can be read.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// What is needed to log in is not to be had.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// We may not have it, or not without saying who we are.
    #[error("{host} does not give {what} to {whom}{said}")]
    Denied {
        /// The registry, or the service that gives tokens for it.
        host: String,
        /// What was asked for.
        what: String,
        /// Who we are to it.
        whom: &'static str,
        /// What it said, with a colon before it; often nothing.
        said: String,
    },
    /// It is not there.
    #[error("{host} has no {what}{said}")]
    Missing {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// See [`CallError::Denied`].
        said: String,
    },
    /// It has no time now.
    #[error("{host} cannot answer now (status {status}){said}; try again later")]
    Busy {
        /// The registry.
        host: String,
        /// The status of its answer.
        status: StatusCode,
        /// When to come again, if it said so.
        after: Option<Duration>,
        /// See [`CallError::Denied`].
        said: String,
    },
    /// It said something else.
    #[error("{host} answered with status {status}{said}")]
    Status {
        /// The registry.
        host: String,
        /// The status of its answer.
        status: StatusCode,
        /// See [`CallError::Denied`].
        said: String,
    },
    /// It sends us somewhere that we do not go.
    #[error("{host} redirects to {why}")]
    Redirect {
        /// The registry.
        host: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It wants a token from somewhere that we do not ask, or gives none.
    #[error("{host} cannot be logged in to: {why}")]
    Token {
        /// The registry.
        host: String,
        /// What is wrong.
        why: &'static str,
    },
}

impl CallError {
    /// Whether it may go well another time, and perhaps when.
    pub(super) fn may_pass(&self) -> Option<Option<Duration>> {
        match self {
            Self::Http(error) => error.may_pass().then_some(None),
            Self::Busy { after, .. } => Some(*after),
            _ => None,
        }
    }

    /// The error that an answer is. Its message is read, cut, and freed of what is no text.
    pub(super) async fn of(answer: Answer, host: &str, what: &str, whom: &'static str) -> Self {
        let (status, host) = (answer.status, host.to_owned());
        let after = answer.header(RETRY_AFTER);
        let after = after.and_then(|after| after.trim().parse().ok());
        let after = after.map(|seconds| Duration::from_secs(seconds).min(MAX_WAIT));
        let said = match answer.body.whole(MAX_MESSAGE).await {
            Ok(content) => message(&content),
            Err(_) => String::new(),
        };
        let what = what.to_owned();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Denied {
                host,
                what,
                whom,
                said,
            },
            StatusCode::NOT_FOUND => Self::Missing { host, what, said },
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Self::Busy {
                host,
                status,
                after,
                said,
            },
            status if status.is_server_error() => Self::Busy {
                host,
                status,
                after,
                said,
            },
            status => Self::Status { host, status, said },
        }
    }
}

/// The message in a registry's answer, for the end of ours.
fn message(content: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Told>,
    }
    #[derive(Deserialize)]
    struct Told {
        message: String,
    }
    let errors: Option<Errors> = serde_json::from_slice(content).ok();
    let told = errors.and_then(|errors| errors.errors.into_iter().next());
    let text: String = told.map_or_else(String::new, |told| {
        let plain = told.message.chars().filter(|c| !c.is_control());
        plain.take(200).collect()
    });
    match text.trim() {
        "" => String::new(),
        text => format!(": {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_and_plain() {
        let told = |message: &str| {
            message_of(&serde_json::json!({"errors": [{"code": "X", "message": message}]}))
        };
        fn message_of(value: &serde_json::Value) -> String {
            message(value.to_string().as_bytes())
        }
        assert_eq!(told("unknown\u{1b}[31m tag\n"), ": unknown[31m tag");
        assert_eq!(told(&"x".repeat(1000)).len(), 202);
        assert_eq!(message(b"<html>"), "");
        assert_eq!(message_of(&serde_json::json!({"errors": []})), "");
    }
}
