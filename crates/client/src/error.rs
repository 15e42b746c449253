//! Why a request got no good answer.

use crate::exchange::ExchangeError;
use crate::line::LineError;
use crate::url::Url;
use http::StatusCode;
use serde::Deserialize;

/// The most of a message that is passed on, in characters.
const WORDS: usize = 1000;

/// A request that got no good answer.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
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
    pub fn refused(status: StatusCode, body: &[u8]) -> Self {
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
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
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
    }
}
