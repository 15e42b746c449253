//! Getting a registry to answer us: passwords, and tokens from the service that it names
//! (<https://distribution.github.io/distribution/spec/auth/token/>).

use super::Registry;
use super::challenge::Challenge;
use super::credentials::{self, Secret};
use super::error::CallError;
use super::http::{self as wire, Ask};
use super::session::Place;
use crate::oci::digest::Digest;
use crate::steps::RegistryAuth;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The longest answer of a service that gives tokens.
const MAX_TOKEN: u64 = 256 << 10;
/// How long a token is good when nothing is said, as the specification has it.
const DEFAULT_LIFE: u64 = 60;
/// A token that is about to expire is not used for a download that begins.
const MARGIN: Duration = Duration::from_secs(5);
/// The most tokens that are kept.
const MAX_KEPT: usize = 1000;

/// What a token is for: the host, the repository, and who asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    host: String,
    repository: String,
    who: Option<Digest>,
}

impl TokenKey {
    pub(super) fn new(place: &Place, auth: Option<&RegistryAuth>) -> Self {
        let who = |auth: &RegistryAuth| {
            Digest::of(format!("{}\0{}", auth.username, auth.password).as_bytes())
        };
        Self {
            host: place.authority.clone(),
            repository: place.repository.clone(),
            who: auth.map(who),
        }
    }
}

/// Tokens and passwords that registries took, so that the next request begins with them.
#[derive(Default)]
pub(super) struct Tokens(HashMap<TokenKey, (HeaderValue, Option<Instant>)>);

impl Tokens {
    pub(super) fn get(&self, key: &TokenKey) -> Option<HeaderValue> {
        let (value, until) = self.0.get(key)?;
        let good = until.is_none_or(|until| Instant::now() + MARGIN < until);
        good.then(|| value.clone())
    }

    pub(super) fn keep(&mut self, key: TokenKey, value: HeaderValue, until: Option<Instant>) {
        if self.0.len() >= MAX_KEPT {
            self.0.clear();
        }
        self.0.insert(key, (value, until));
    }

    pub(super) fn forget(&mut self, key: &TokenKey) {
        self.0.remove(key);
    }
}

/// What is shown to a registry, and until when it is good.
pub(super) type Pass = (HeaderValue, Option<Instant>);

#[derive(Deserialize)]
struct Given {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Registry {
    /// Answers what a registry wants to know. The name in the second place is who we are to it.
    pub(super) async fn pass(
        &self,
        place: &Place,
        auth: Option<&RegistryAuth>,
        challenge: Option<Challenge>,
    ) -> Result<(Option<Pass>, &'static str), CallError> {
        let secret = match auth {
            Some(auth) => Some(Secret::Password(auth.clone())),
            None => credentials::look_up(&self.options.auth_file, &place.login).await?,
        };
        let whom = match &secret {
            Some(_) => "the user that it was told",
            None => "somebody without a password; log in to it",
        };
        let pass = match (challenge, &secret) {
            (Some(Challenge::Basic), Some(Secret::Password(auth))) => Some((basic(auth)?, None)),
            (Some(Challenge::Basic), _) | (None, _) => None,
            (
                Some(Challenge::Bearer {
                    realm,
                    service,
                    scope,
                }),
                secret,
            ) => {
                let scope =
                    scope.unwrap_or_else(|| format!("repository:{}:pull", place.repository));
                let ask = self.token_request(place, &realm, service, &scope, secret.as_ref())?;
                Some(self.token(place, ask, whom).await?)
            }
        };
        Ok((pass, whom))
    }

    fn token_request(
        &self,
        place: &Place,
        realm: &str,
        service: Option<String>,
        scope: &str,
        secret: Option<&Secret>,
    ) -> Result<Ask, CallError> {
        let wrong = |why| CallError::Token {
            host: place.authority.clone(),
            why,
        };
        let url: Uri = realm
            .parse()
            .map_err(|_| wrong("the address of its token service is none"))?;
        let authority = url.authority().filter(|name| !name.as_str().contains('@'));
        let Some(authority) = authority else {
            return Err(wrong("the address of its token service is none"));
        };
        match url.scheme_str() {
            Some("https") => {}
            Some("http") if self.may_be_plain(authority) => {}
            _ => return Err(wrong("its token service does not speak TLS")),
        }
        let mut fields = vec![("scope", scope.to_owned())];
        fields.extend(service.map(|service| ("service", service)));
        let mut headers = HeaderMap::new();
        if let Some(Secret::Identity(token)) = secret {
            fields.push(("grant_type", "refresh_token".to_owned()));
            fields.push(("client_id", "soulbox".to_owned()));
            fields.push(("refresh_token", token.clone()));
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(CONTENT_TYPE, form);
            return Ok(Ask {
                method: Method::POST,
                url,
                headers,
                body: Bytes::from(encoded(&fields)),
            });
        }
        if let Some(Secret::Password(auth)) = secret {
            fields.push(("account", auth.username.clone()));
            headers.insert(AUTHORIZATION, basic(auth)?);
        }
        let joint = if realm.contains('?') { '&' } else { '?' };
        let url = format!("{realm}{joint}{}", encoded(&fields));
        Ok(Ask {
            method: Method::GET,
            url: url
                .parse()
                .map_err(|_| wrong("the address of its token service is none"))?,
            headers,
            body: Bytes::new(),
        })
    }

    async fn token(&self, place: &Place, ask: Ask, whom: &'static str) -> Result<Pass, CallError> {
        let host = ask.url.host().unwrap_or_default().to_owned();
        let answer = wire::send(&self.lines, self.times(), ask).await?;
        if answer.status != StatusCode::OK {
            let what = format!("a token for {}", place.repository);
            return Err(CallError::of(answer, &host, &what, whom).await);
        }
        let wrong = |why| CallError::Token {
            host: place.authority.clone(),
            why,
        };
        let content = answer.body.whole(MAX_TOKEN).await?;
        let given: Given = serde_json::from_slice(&content)
            .map_err(|_| wrong("its token service gave something else"))?;
        let token = given.token.filter(|token| !token.is_empty());
        let token = token
            .or(given.access_token)
            .ok_or_else(|| wrong("its token service gave none"))?;
        let life = Duration::from_secs(given.expires_in.unwrap_or(DEFAULT_LIFE).min(24 * 3600));
        let value = sensitive(&format!("Bearer {token}"))
            .ok_or_else(|| wrong("its token service gave something else"))?;
        Ok((value, Some(Instant::now() + life)))
    }
}

fn basic(auth: &RegistryAuth) -> Result<HeaderValue, CallError> {
    let pair = STANDARD.encode(format!("{}:{}", auth.username, auth.password));
    sensitive(&format!("Basic {pair}")).ok_or_else(|| CallError::Token {
        host: String::new(),
        why: "the password cannot be sent",
    })
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn encoded(fields: &[(&str, String)]) -> String {
    let each = fields.iter().map(|(name, value)| {
        let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
        format!("{name}={value}")
    });
    each.collect::<Vec<_>>().join("&")
}
