//! Listing sandboxes.

use super::{unexpected, view};
use crate::auth::Team;
use crate::door::Gateway;
use crate::error::ApiError;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, Uri};
use soulbox_control::list::{Cursor, ListQuery};
use soulbox_control::{SandboxCommand, SandboxReply};
use soulbox_model::{Moment, SandboxState, TemplateReference};
use std::collections::BTreeMap;

/// Where the next page begins; absent on the last one.
const NEXT: HeaderName = HeaderName::from_static("x-next-token");

/// Those that run or are paused, in pages.
pub(crate) async fn v2(
    State(gateway): State<Gateway>,
    Team(team): Team,
    uri: Uri,
) -> Result<Response, ApiError> {
    match query(uri.query().unwrap_or_default())? {
        Some(query) => list(&gateway, &team, query).await,
        None => Ok(axum::Json([(); 0]).into_response()),
    }
}

/// Those that run.
pub(crate) async fn running(
    State(gateway): State<Gateway>,
    Team(team): Team,
    uri: Uri,
) -> Result<Response, ApiError> {
    let Some(mut query) = query(uri.query().unwrap_or_default())? else {
        return Ok(axum::Json([(); 0]).into_response());
    };
    query.states = vec![SandboxState::Running];
    // This generation has no pages.
    query.limit = usize::MAX;
    list(&gateway, &team, query).await
}

async fn list(
    gateway: &Gateway,
    team: &soulbox_model::TeamId,
    query: ListQuery,
) -> Result<Response, ApiError> {
    let reply = gateway
        .control
        .execute(team, SandboxCommand::List(query))
        .await?;
    let SandboxReply::Page(page) = reply else {
        return Err(unexpected());
    };
    let listed = page.sandboxes.iter();
    let listed = listed.map(|view| view::listed(gateway, view));
    let sandboxes: Vec<_> = listed.collect();
    let mut response = axum::Json(sandboxes).into_response();
    let next = page
        .next
        .map(|cursor| HeaderValue::from_str(&cursor.to_text()));
    if let Some(Ok(next)) = next {
        response.headers_mut().insert(NEXT, next);
    }
    Ok(response)
}

/// Reads the query; none when nothing can match it.
pub(crate) fn query(text: &str) -> Result<Option<ListQuery>, ApiError> {
    let mut query = ListQuery::default();
    for (key, value) in form_urlencoded::parse(text.as_bytes()) {
        match &*key {
            "metadata" => query.metadata = metadata(&value)?,
            "state" => query.states.extend(states(&value)?),
            "order" => query.ascending = ascending(&value)?,
            "startedAfter" => query.started_after = Some(moment(&value)?),
            "template" => match value.parse::<TemplateReference>() {
                Ok(_) => query.template = Some(value.into_owned()),
                Err(_) => return Ok(None),
            },
            "limit" => query.limit = limit(&value)?,
            "nextToken" if !value.is_empty() => query.after = Some(Cursor::parse(&value)?),
            _ => {}
        }
    }
    Ok(Some(query))
}

/// E2B's SDKs encode a name and a value before they make a form of them, which is encoded once more as a part
/// of the query.
fn metadata(text: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let pairs = form_urlencoded::parse(text.as_bytes());
    let pairs: BTreeMap<_, _> = pairs
        .map(|(key, value)| (decode_part(&key), decode_part(&value)))
        .collect();
    match pairs.contains_key("") {
        true => Err(ApiError::bad("metadata: a name is empty")),
        false => Ok(pairs),
    }
}

/// Decodes one part. It is no form of its own: neither `=` nor `&` nor `+` divides it.
fn decode_part(text: &str) -> String {
    let whole = text
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    let mut pairs = form_urlencoded::parse(whole.as_bytes());
    pairs
        .next()
        .map_or_else(String::new, |(key, _)| key.into_owned())
}

fn states(text: &str) -> Result<Vec<SandboxState>, ApiError> {
    let state = |word: &str| match word.trim() {
        "running" => Ok(SandboxState::Running),
        "paused" => Ok(SandboxState::Paused),
        other => {
            let shown: String = other.chars().take(40).collect();
            Err(ApiError::bad(format!(
                "state: {shown:?} is neither running nor paused"
            )))
        }
    };
    text.split(',').map(state).collect()
}

fn ascending(text: &str) -> Result<bool, ApiError> {
    match text {
        "asc" => Ok(true),
        "desc" => Ok(false),
        _ => Err(ApiError::bad("order: it is neither asc nor desc")),
    }
}

fn moment(text: &str) -> Result<Moment, ApiError> {
    Moment::parse(text)
        .ok_or_else(|| ApiError::bad("startedAfter: it is no time of RFC 3339 with a zone"))
}

fn limit(text: &str) -> Result<usize, ApiError> {
    let limit = text
        .parse()
        .ok()
        .filter(|limit| (1..=ListQuery::MOST).contains(limit));
    limit.ok_or_else(|| ApiError::bad(format!("limit: it must be 1 to {}", ListQuery::MOST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_encoded_three_times() {
        // As E2B's SDK sends {"a b": "c&d"}.
        let query = query("metadata=a%252520b%3Dc%252526d").unwrap().unwrap();
        assert_eq!(
            query.metadata,
            BTreeMap::from([("a b".to_owned(), "c&d".to_owned())])
        );
    }

    #[test]
    fn plain_metadata_is_read_too() {
        let query = query("metadata=user%3Dabc%26app%3Dprod").unwrap().unwrap();
        assert_eq!(query.metadata.len(), 2);
        assert_eq!(query.metadata["app"], "prod");
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (text, field) in [
            ("state=ended", "state"),
            ("state=running,", "state"),
            ("order=up", "order"),
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=-1", "limit"),
            ("startedAfter=now", "startedAfter"),
            ("nextToken=x", "nextToken"),
        ] {
            let error = query(text).unwrap_err();
            assert!(
                error.message.starts_with(field),
                "{text}: {}",
                error.message
            );
            assert_eq!(error.status.as_u16(), 400);
        }
        assert!(query("template=../x").unwrap().is_none());
        assert!(
            query("nextToken=&state=running%2Cpaused")
                .unwrap()
                .is_some()
        );
    }
}
