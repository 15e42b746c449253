//! What a query holds, read strictly: an error names the field.

use crate::door::Gateway;
use crate::error::ApiError;
use axum::extract::FromRequestParts;
use http::request::Parts;
use std::convert::Infallible;
use std::ops::RangeInclusive;

/// The fields of a query. Of one that comes twice the last is taken.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl FromRequestParts<Gateway> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Gateway) -> Result<Self, Infallible> {
        Ok(Self::read(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    /// Reads a query; the head of a request bounds how long it is.
    pub(crate) fn read(text: &str) -> Self {
        Self(
            form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// The value of a field; none if it is absent or empty.
    fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter().rev();
        let (_, value) = fields.find(|(key, _)| key == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether a field is there, as in `?follow`, and not false.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        let mut fields = self.0.iter().rev();
        match fields
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
        {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(_) => Err(ApiError::bad(format!(
                "{name}: it is neither true nor false"
            ))),
        }
    }

    /// Text, at most 1,000 letters.
    pub(crate) fn word(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.get(name) {
            Some(value) if value.len() > 1000 => Err(ApiError::bad(format!(
                "{name}: it is longer than 1000 bytes"
            ))),
            other => Ok(other),
        }
    }

    /// The parts of all fields of this name, with commas between them.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        let fields = self.0.iter().filter(|(key, _)| key == name);
        let parts = fields.flat_map(|(_, value)| value.split(','));
        parts
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect()
    }

    /// A number in a range.
    pub(crate) fn number(
        &self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            ApiError::bad(format!(
                "{name}: it must be a number from {least} to {most}"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_field_is_named() {
        let query = Query::read("limit=0&start=x&follow&level=&no=false&odd=maybe");
        let error = |error: ApiError| error.message;
        assert!(error(query.number("limit", 1..=5).unwrap_err()).starts_with("limit: "));
        assert!(error(query.number("start", 0..=5).unwrap_err()).starts_with("start: "));
        assert_eq!(query.number("absent", 0..=5).unwrap(), None);
        assert_eq!(query.word("level").unwrap(), None);
        assert!(query.flag("follow").unwrap());
        assert!(!query.flag("no").unwrap() && !query.flag("absent").unwrap());
        assert!(query.flag("odd").is_err());
        let long = format!("search={}", "x".repeat(1001));
        assert!(Query::read(&long).word("search").is_err());
    }
}
