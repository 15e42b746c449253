//! Why a request got no good answer, and what that means for a person.

use super::exchange::ExchangeError;
use super::line::LineError;
use super::url::Url;
use crate::exit::Exit;
use crate::failure::Failure;
use http::StatusCode;
use serde::Deserialize;

/// The most of a message that is passed on, in characters.
const WORDS: usize = 1000;

/// A request that got no good answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    /// Nobody answers.
    #[error("no server at {url}")]
    Nobody {
        /// Where.
        url: Url,
        /// Why.
        source: ExchangeError,
    },
    /// Somebody answers, but it is not sure who.
    #[error("no trusted connection to the server at {url}")]
    Stranger {
        /// Where.
        url: Url,
        /// Why.
        source: ExchangeError,
    },
    /// The server answered otherwise than a server does.
    #[error("the server at {url} gave no answer that can be read")]
    Answer {
        /// Where.
        url: Url,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server refused.
    #[error("{message}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// Its words.
        message: String,
    },
}

/// The body of a refusal.
#[derive(Deserialize)]
struct Words {
    message: String,
}

impl RemoteError {
    /// No answer.
    pub(crate) fn of(url: &Url, source: ExchangeError) -> Self {
        let url = url.clone();
        match source {
            ExchangeError::Line(LineError::Untrusted(_) | LineError::Shake(_)) => {
                Self::Stranger { url, source }
            }
            ExchangeError::Line(LineError::Connect(_))
            | ExchangeError::Timeout {
                what: "connect", ..
            } => Self::Nobody { url, source },
            source => Self::Answer {
                url,
                source: Box::new(source),
            },
        }
    }

    /// A refusal, by its body.
    pub(crate) fn refused(status: StatusCode, body: &[u8]) -> Self {
        let words = match serde_json::from_slice::<Words>(body) {
            Ok(words) => words.message,
            Err(_) => String::from_utf8_lossy(body).into_owned(),
        };
        let words: String = words.trim().chars().take(WORDS).collect();
        let message = match words.is_empty() {
            true => format!("the server answered {status}"),
            false => words,
        };
        Self::Refused { status, message }
    }

    /// Whether what was asked for is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    fn exit(&self) -> Exit {
        let Self::Refused { status, .. } = self else {
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
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        let failure = Self::of(error.exit(), &error);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        let refused = |status: u16, body: &str| {
            RemoteError::refused(StatusCode::from_u16(status).unwrap(), body.as_bytes())
        };
        let error = refused(
            404,
            r#"{"code":404,"message":"sandbox \"x\" was not found"}"#,
        );
        assert_eq!(error.to_string(), "sandbox \"x\" was not found");
        assert!(error.is_not_found());
        assert_eq!(
            refused(500, "").to_string(),
            "the server answered 500 Internal Server Error"
        );
        assert!(refused(500, &"x".repeat(5000)).to_string().len() <= WORDS);
        for (status, exit) in [
            (400, Exit::USAGE),
            (401, Exit::SERVER),
            (404, Exit::NOT_FOUND),
            (409, Exit::NO),
            (429, Exit::CREATE),
            (500, Exit::SERVER),
            (501, Exit::HOST),
        ] {
            assert_eq!(Failure::from(refused(status, "{}")).exit, exit, "{status}");
        }
    }
}
