//! Requests that may be repeated: `Idempotency-Key`
//! ([draft-ietf-httpapi-idempotency-key-header](https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/)).

use crate::body::{parse, whole};
use crate::door::Gateway;
use crate::error::ApiError;
use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;
use soulbox_control::Once;

/// The header.
const KEY: &str = "idempotency-key";

/// A JSON body, and by what its request is known when it is repeated.
pub(crate) struct OnceJson<T>(pub(crate) T, pub(crate) Option<Once>);

impl<T: DeserializeOwned> FromRequest<Gateway> for OnceJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Self, ApiError> {
        let key = Key::of(&request)?;
        let body = whole(request, gateway).await?;
        Ok(Self(parse(&body)?, key.once(&body)?))
    }
}

/// The key of a request, if it has one, and where it goes.
pub(crate) struct Key {
    key: Option<String>,
    route: String,
}

impl Key {
    pub(crate) fn of(request: &Request) -> Result<Self, ApiError> {
        let mut keys = request.headers().get_all(KEY).iter();
        let key = keys.next().map(|key| {
            // What is no text is no visible ASCII either, and refused later.
            key.to_str().unwrap_or_default().to_owned()
        });
        if keys.next().is_some() {
            return Err(ApiError::bad("Idempotency-Key: it stands there twice"));
        }
        let route = format!("{} {}", request.method(), request.uri().path());
        Ok(Self { key, route })
    }

    /// By what the request is known, with its body.
    pub(crate) fn once(self, body: &[u8]) -> Result<Option<Once>, ApiError> {
        let key = self.key.as_deref();
        let once = key.map(|key| Once::new(key, &self.route, body));
        Ok(once.transpose()?)
    }
}
