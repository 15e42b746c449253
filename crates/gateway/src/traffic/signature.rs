//! Signed URLs of files: whoever has one may read or write that one path, without a token.
//!
//! `v1_` and the SHA-256 of `path:operation:user:token`, with `:expiry` if there is one, in base64 without
//! padding. That is E2B's form; its SDKs make these URLs by themselves.

use super::AGENT_PORT;
use super::target::Target;
use crate::door::Gateway;
use crate::error::ApiError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::{Method, Request, StatusCode, Uri};
use sha2::{Digest as _, Sha256};
use soulbox_control::token::Purpose;
use soulbox_model::Moment;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq as _;

/// Why a signature is not accepted, in the words that clients compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    #[error("missing signature query parameter")]
    Missing,
    #[error("invalid signature")]
    Invalid,
    #[error("signature is already expired")]
    Expired,
}

/// What a signature is about.
struct Signed {
    path: String,
    operation: &'static str,
    user: String,
    signature: Option<String>,
    expiry: Option<String>,
    /// Whether any of these is there more than once. Then nobody can say what was signed: the agent takes
    /// the first.
    twice: bool,
}

impl Signed {
    fn of(method: &Method, uri: &Uri) -> Self {
        let mut signed = Self {
            path: String::new(),
            operation: if *method == Method::POST {
                "write"
            } else {
                "read"
            },
            user: String::new(),
            signature: None,
            expiry: None,
            twice: false,
        };
        let (mut path, mut user) = (None, None);
        for (key, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            let field = match &*key {
                "path" => &mut path,
                "username" => &mut user,
                "signature" => &mut signed.signature,
                "signature_expiration" => &mut signed.expiry,
                _ => continue,
            };
            match field {
                None => *field = Some(value.into_owned()),
                Some(_) => signed.twice = true,
            }
        }
        signed.path = path.unwrap_or_default();
        signed.user = user.unwrap_or_default();
        signed
    }

    fn matches(&self, given: &str, token: &str) -> bool {
        !self.twice && bool::from(self.expected(token).as_bytes().ct_eq(given.as_bytes()))
    }

    /// The signature of what was asked for.
    fn expected(&self, token: &str) -> String {
        let mut text = format!("{}:{}:{}:{token}", self.path, self.operation, self.user);
        if let Some(expiry) = &self.expiry {
            text.push(':');
            text.push_str(expiry);
        }
        let digest = STANDARD_NO_PAD.encode(Sha256::digest(text.as_bytes()));
        format!("v1_{digest}")
    }

    /// An expiry is a part of what is signed, so that it is looked at once the signature is right.
    fn check(&self, token: &str, now: Moment) -> Result<(), SignatureError> {
        let given = self.signature.as_deref().ok_or(SignatureError::Missing)?;
        if !self.matches(given, token) {
            return Err(SignatureError::Invalid);
        }
        match &self.expiry {
            None => Ok(()),
            Some(expiry) => match expiry.parse::<u64>() {
                Ok(expiry) if expiry >= now.as_secs() => Ok(()),
                Ok(_) => Err(SignatureError::Expired),
                Err(_) => Err(SignatureError::Invalid),
            },
        }
    }
}

/// Whether requests with this method may be signed.
pub(crate) fn operations(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::POST].contains(method)
}

/// Checks the signature of a request for a file.
pub(crate) fn check(method: &Method, uri: &Uri, token: &str) -> Result<(), SignatureError> {
    Signed::of(method, uri).check(token, Moment::now())
}

/// For fuzzing: the path and the user of a request that a signature can be right for. Such a signature is
/// accepted, and neither for another token nor with another path.
#[cfg(fuzzing)]
pub(crate) fn fuzz(method: &Method, uri: &Uri) -> Option<(String, String)> {
    let mut signed = Signed::of(method, uri);
    signed.expiry = None;
    let right = signed.expected("token");
    if !signed.matches(&right, "token") {
        assert!(signed.twice);
        return None;
    }
    assert!(!signed.matches(&right, "other"));
    let asked = (signed.path.clone(), signed.user.clone());
    signed.path.push('x');
    assert!(!signed.matches(&right, "token"));
    Some(asked)
}

/// Searches for the sandbox of a signed URL that names none: with a fixed URL for all sandboxes, E2B's SDKs
/// make such ones. A signature fits one token at the most. Nothing if the request is no signed one.
pub(crate) fn sought<B>(
    gateway: &Gateway,
    request: &Request<B>,
) -> Option<Result<Target, ApiError>> {
    let (method, uri) = (request.method(), request.uri());
    if uri.path() != "/files" || !operations(method) {
        return None;
    }
    let signed = Signed::of(method, uri);
    let given = signed.signature.as_deref()?;
    if !gateway.signed.may_seek() {
        return Some(Err(ApiError {
            status: StatusCode::TOO_MANY_REQUESTS,
            message:
                "too many signed URLs that name no sandbox; use <port>-<id>.<domain> as the host"
                    .to_owned(),
            retry_after: Some(Duration::from_secs(1)),
        }));
    }
    let secret = gateway.control.secret();
    let found = gateway
        .control
        .all()
        .into_iter()
        .map(|live| live.id())
        .find(|id| signed.matches(given, &secret.token(Purpose::Agent, id)));
    let refused = || {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            SignatureError::Invalid.to_string(),
        )
    };
    Some(
        found
            .map(|id| Target {
                id,
                port: AGENT_PORT,
            })
            .ok_or_else(refused),
    )
}

/// How often sandboxes are searched for: each search tries every live one.
#[derive(Debug, Default)]
pub(crate) struct Seekers(Mutex<Option<(Instant, u32)>>);

/// Searches in a second. One takes about 2 µs for each live sandbox.
const SEARCHES: u32 = 100;

impl Seekers {
    fn may_seek(&self) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match &mut *window {
            Some((began, count)) if now.duration_since(*began) < Duration::from_secs(1) => {
                *count += 1;
                *count <= SEARCHES
            }
            other => {
                *other = Some((now, 1));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_at(uri: &'static str, now: u64) -> Result<(), SignatureError> {
        let signed = Signed::of(&Method::GET, &Uri::from_static(uri));
        signed.check("tok123", Moment::from_millis(now * 1000))
    }

    #[test]
    fn the_signature_is_the_one_that_e2b_makes() {
        // Made by E2B's own SDK: token tok123, path x, read, no user.
        let known = "/files?path=x&signature=v1_K5MN%2Fmn8%2FQOz4HdNgRMg7U9twMrBlrHT0Y%2B3LRWR1gc";
        assert_eq!(check_at(known, 0), Ok(()));
        assert_eq!(check_at("/files?path=x", 0), Err(SignatureError::Missing));
        let other = "/files?path=y&signature=v1_K5MN%2Fmn8%2FQOz4HdNgRMg7U9twMrBlrHT0Y%2B3LRWR1gc";
        assert_eq!(check_at(other, 0), Err(SignatureError::Invalid));
    }

    #[test]
    fn one_signed_path_opens_no_other() {
        let known = "signature=v1_K5MN%2Fmn8%2FQOz4HdNgRMg7U9twMrBlrHT0Y%2B3LRWR1gc";
        for query in [
            "path=/etc/shadow&path=x",
            "path=x&path=/etc/shadow",
            "path=x&path=x",
            "path=x&username=&username=root",
            "%70ath=/etc/shadow&path=x",
        ] {
            let uri: &'static str = format!("/files?{query}&{known}").leak();
            assert_eq!(check_at(uri, 0), Err(SignatureError::Invalid), "{query}");
        }
    }

    #[test]
    fn an_expiry_counts() {
        let text = "x:read::tok123:100";
        let signature = STANDARD_NO_PAD
            .encode(Sha256::digest(text))
            .replace('+', "%2B");
        let uri = format!("/files?path=x&signature=v1_{signature}&signature_expiration=100");
        let uri: &'static str = uri.leak();
        assert_eq!(check_at(uri, 100), Ok(()));
        assert_eq!(check_at(uri, 101), Err(SignatureError::Expired));
    }

    #[test]
    fn searches_are_counted() {
        let seekers = Seekers::default();
        let allowed = (0..SEARCHES + 10).filter(|_| seekers.may_seek()).count();
        assert!(allowed <= SEARCHES as usize + 1);
    }
}
