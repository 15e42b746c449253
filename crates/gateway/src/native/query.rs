//! Queries: an error names the field that is wrong.

use crate::door::Gateway;
use crate::error::ApiError;
use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::de::DeserializeOwned;

/// The fields of a request's query.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Gateway> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Gateway) -> Result<Self, ApiError> {
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        let axum::extract::Query(fields) =
            query.map_err(|error| ApiError::bad(format!("query: {}", error.body_text())))?;
        Ok(Self(fields))
    }
}
