//! Asking a registry for something: who we are, redirects, mirrors, and trying again.

use super::Registry;
use super::challenge;
use super::error::CallError;
use super::http::{self as wire, Answer, Ask, HttpError};
use super::line::{LineError, is_loopback};
use super::token::TokenKey;
use crate::oci::digest::Digest;
use crate::oci::reference::{DOCKER_HUB, Reference};
use crate::steps::RegistryAuth;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use http::uri::{Authority, Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::PoisonError;
use std::time::Duration;

/// What registries say that the digest of their answer is.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Where Docker Hub's images really are.
const HUB_HOST: &str = "registry-1.docker.io";
/// The most redirects of one request.
const MAX_REDIRECTS: usize = 5;
/// The first wait before a request is tried again; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const MAX_WAIT: Duration = Duration::from_secs(15);

/// A repository on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The host, perhaps with a port.
    pub(super) authority: String,
    /// The repository there.
    pub(super) repository: String,
    /// The name of the registry that passwords are kept for.
    pub(super) login: String,
    /// Whether it is a mirror, which is not told the password for the registry.
    pub(super) mirror: bool,
}

/// A short answer.
pub(super) struct Short {
    /// Its media type, if the registry said one.
    pub(super) kind: Option<String>,
    /// Its digest, if the registry said one.
    pub(super) told: Option<Digest>,
    pub(super) content: Bytes,
}

/// Counts how often something was tried.
pub(super) struct Retries {
    tried: u32,
    most: u32,
}

impl Retries {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            tried: 1,
            most: registry.options.attempts,
        }
    }

    /// It got on: what comes is counted anew.
    pub(super) fn forget(&mut self) {
        self.tried = 1;
    }

    /// Waits until it can be tried again. Gives the error back when it is for good, or has come too
    /// often.
    pub(super) async fn pause(&mut self, error: CallError) -> Result<(), CallError> {
        let Some(after) = error.may_pass().filter(|_| self.tried < self.most) else {
            return Err(error);
        };
        tracing::debug!(%error, tried = self.tried, "a registry is asked again");
        tokio::time::sleep(after.unwrap_or_else(|| back_off(self.tried))).await;
        self.tried += 1;
        Ok(())
    }
}

/// Tells the operator that a mirror could as well not be there.
pub(super) fn tell_mirror(place: &Place, error: &dyn std::error::Error) {
    tracing::info!(mirror = place.authority, %error, "a mirror did not help");
}

/// What may be where, and who asks.
pub(super) struct Session<'a> {
    pub(super) registry: &'a Registry,
    pub(super) auth: Option<&'a RegistryAuth>,
    /// Mirrors, then the registry itself.
    pub(super) places: Vec<Place>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        registry: &'a Registry,
        image: &Reference,
        auth: Option<&'a RegistryAuth>,
    ) -> Self {
        let mirrors = registry.options.mirrors.iter();
        let mirrors = mirrors.filter(|mirror| mirror.registry == image.registry());
        let mut places: Vec<Place> = mirrors
            .map(|mirror| Place {
                authority: mirror.host.clone(),
                repository: match mirror.prefix.as_str() {
                    "" => image.repository().to_owned(),
                    prefix => format!("{prefix}/{}", image.repository()),
                },
                login: mirror.host.clone(),
                mirror: true,
            })
            .collect();
        let authority = match image.registry() {
            DOCKER_HUB => HUB_HOST,
            other => other,
        };
        places.push(Place {
            authority: authority.to_owned(),
            repository: image.repository().to_owned(),
            login: image.registry().to_owned(),
            mirror: false,
        });
        Self {
            registry,
            auth,
            places,
        }
    }

    /// Gets a short answer from one place after the other until it goes well, from each as often as
    /// the options say.
    pub(super) async fn short(
        &self,
        path: &str,
        headers: &HeaderMap,
        what: &str,
        limit: u64,
    ) -> Result<Short, CallError> {
        let mut error = None;
        for place in &self.places {
            let mut retries = Retries::new(self.registry);
            loop {
                match self.short_once(place, path, headers, what, limit).await {
                    Ok(short) => return Ok(short),
                    Err(failed) => match retries.pause(failed).await {
                        Ok(()) => {}
                        Err(failed) => {
                            if place.mirror {
                                tell_mirror(place, &failed);
                            }
                            error = Some(failed);
                            break;
                        }
                    },
                }
            }
        }
        // There is at least the registry itself.
        Err(error.unwrap_or_else(|| HttpError::Address(path.to_owned()).into()))
    }

    async fn short_once(
        &self,
        place: &Place,
        path: &str,
        headers: &HeaderMap,
        what: &str,
        limit: u64,
    ) -> Result<Short, CallError> {
        let answer = self.get(place, path, headers, what).await?;
        let kind = answer.header(CONTENT_TYPE).map(bare).map(str::to_owned);
        let told = answer.header(CONTENT_DIGEST);
        let told = told.and_then(|told| told.parse().ok());
        let content = answer.body.whole(limit).await?;
        Ok(Short {
            kind,
            told,
            content,
        })
    }

    /// Asks a place for what is at `path` of the repository. `what` is for messages.
    pub(super) async fn get(
        &self,
        place: &Place,
        path: &str,
        headers: &HeaderMap,
        what: &str,
    ) -> Result<Answer, CallError> {
        let registry = self.registry;
        let auth = self.auth.filter(|_| !place.mirror);
        let scheme = registry.scheme(place).await?;
        let url = format!(
            "{scheme}://{}/v2/{}/{path}",
            place.authority, place.repository
        );
        let url: Uri = url
            .parse()
            .map_err(|_| HttpError::Address(path.to_owned()))?;
        let key = TokenKey::new(place, auth);
        let known = registry.tokens().get(&key);
        let mut answer = registry.follow(place, &url, headers, known).await?;
        let mut whom = "somebody without a password";
        if answer.status == StatusCode::UNAUTHORIZED {
            registry.tokens().forget(&key);
            let wanted = answer.headers.get_all(WWW_AUTHENTICATE).iter();
            let challenge = challenge::best(wanted.filter_map(|value| value.to_str().ok()));
            let (pass, who) = registry.pass(place, auth, challenge).await?;
            whom = who;
            if let Some((value, until)) = pass {
                answer = registry
                    .follow(place, &url, headers, Some(value.clone()))
                    .await?;
                if answer.status.is_success() {
                    registry.tokens().keep(key, value, until);
                }
            }
        }
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(CallError::of(answer, &place.authority, what, whom).await)
    }
}

impl Registry {
    /// Sends a request and follows where it leads. What says who we are stays with the host that it
    /// is for: signed addresses of object stores need none, and must not be told.
    async fn follow(
        &self,
        place: &Place,
        url: &Uri,
        headers: &HeaderMap,
        authorization: Option<HeaderValue>,
    ) -> Result<Answer, CallError> {
        let wrong = |why| CallError::Redirect {
            host: place.authority.clone(),
            why,
        };
        let mut target = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut headers = headers.clone();
            let same = target.scheme() == url.scheme() && target.authority() == url.authority();
            if let Some(authorization) = authorization.as_ref().filter(|_| same) {
                headers.insert(AUTHORIZATION, authorization.clone());
            }
            let ask = Ask {
                method: Method::GET,
                url: target.clone(),
                headers,
                body: Bytes::new(),
            };
            let answer = wire::send(&self.lines, self.times(), ask).await?;
            if !is_redirect(answer.status) {
                return Ok(answer);
            }
            let location = answer.header(LOCATION);
            let location = location.ok_or_else(|| wrong("nowhere"))?;
            target =
                joined(&target, location).ok_or_else(|| wrong("something that is no address"))?;
            let plain = target.scheme() == Some(&Scheme::HTTP);
            if plain
                && !target
                    .authority()
                    .is_some_and(|name| self.may_be_plain(name))
            {
                return Err(wrong("a host that does not speak TLS"));
            }
        }
        Err(wrong("one address after the other"))
    }

    /// Whether a host may speak plain HTTP.
    pub(super) fn may_be_plain(&self, authority: &Authority) -> bool {
        let named = &self.options.insecure;
        is_loopback(authority.host()) || named.iter().any(|host| host == authority.as_str())
    }

    fn known_scheme(&self, place: &Place) -> Option<Scheme> {
        let known = self.schemes.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&place.authority).cloned()
    }

    /// What a place speaks. Only one that may speak plain HTTP is tried, and TLS first.
    async fn scheme(&self, place: &Place) -> Result<Scheme, CallError> {
        let authority: Option<Authority> = place.authority.parse().ok();
        let authority = authority.filter(|authority| self.may_be_plain(authority));
        let Some(authority) = authority else {
            return Ok(Scheme::HTTPS);
        };
        if let Some(known) = self.known_scheme(place) {
            return Ok(known);
        }
        let url = Uri::builder()
            .scheme(Scheme::HTTPS)
            .authority(authority)
            .path_and_query("/")
            .build()
            .map_err(|_| HttpError::Address(place.authority.clone()))?;
        let opened = tokio::time::timeout(self.options.connect_timeout, self.lines.open(&url));
        let host = place.authority.clone();
        let scheme = match opened.await {
            Err(_) => {
                let (what, limit) = ("connect", self.options.connect_timeout);
                return Err(HttpError::Timeout { host, what, limit }.into());
            }
            Ok(Ok(_)) => Scheme::HTTPS,
            // Proxies let TLS through to few ports.
            Ok(Err(LineError::NotTls(_) | LineError::Proxy(_))) => Scheme::HTTP,
            Ok(Err(source)) => return Err(HttpError::Line { host, source }.into()),
        };
        let mut schemes = self.schemes.lock().unwrap_or_else(PoisonError::into_inner);
        schemes.insert(place.authority.clone(), scheme.clone());
        Ok(scheme)
    }
}

/// A media type without its parameters.
fn bare(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The address that `location` means in an answer from `base`.
fn joined(base: &Uri, location: &str) -> Option<Uri> {
    if location.starts_with('/') && !location.starts_with("//") {
        let mut parts = base.clone().into_parts();
        parts.path_and_query = Some(location.parse().ok()?);
        return Uri::from_parts(parts).ok();
    }
    let url: Uri = location.parse().ok()?;
    let scheme = matches!(url.scheme_str(), Some("http" | "https"));
    let authority = url
        .authority()
        .is_some_and(|name| !name.as_str().contains('@'));
    (scheme && authority).then_some(url)
}

/// How long to wait before the next try: longer each time, and not for all clients the same.
fn back_off(tried: u32) -> Duration {
    let wait = FIRST_WAIT.saturating_mul(1 << tried.saturating_sub(1).min(10));
    // The seed of each new state is random.
    let random = std::hash::RandomState::new().build_hasher().finish() % 256;
    let share = u32::try_from(random).unwrap_or_default();
    wait.min(MAX_WAIT) * (256 + share) / 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_joined_and_odd_ones_refused() {
        let base = Uri::from_static("https://a.example:5000/v2/x");
        for (location, target) in [
            ("/y?z=1", Some("https://a.example:5000/y?z=1")),
            ("https://b.example/y", Some("https://b.example/y")),
            ("//b.example/y", None),
            ("y", None),
            ("ftp://b.example/", None),
            ("https://me:secret@b.example/", None),
            ("", None),
        ] {
            let joined = joined(&base, location).map(|url| url.to_string());
            assert_eq!(joined.as_deref(), target, "{location}");
        }
    }

    #[test]
    fn waits_grow_and_end() {
        for tried in 1..100 {
            let wait = back_off(tried);
            assert!(wait >= FIRST_WAIT / 2 && wait <= MAX_WAIT, "{wait:?}");
        }
        assert!(back_off(20) > back_off(1));
    }
}
