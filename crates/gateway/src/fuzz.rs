//! What the fuzz targets (`fuzz/`) reach of this crate: readers of what clients send, each with what
//! must hold of any input. Built with `--cfg fuzzing` only.

use crate::body;
use crate::e2b::keys::NewKey;
use crate::e2b::sandboxes::{connect, create, list, network, pause, timeout};
use crate::e2b::templates;
use crate::error::ApiError;
use crate::head;
use crate::native;
use crate::traffic::{forward, signature, target};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use serde::de::DeserializeOwned;
use soulbox_control::list::{Cursor, ListQuery};

/// A request's head: a line with its target, then headers, one `name: value` in each line. What it
/// names can be a sandbox's, and is the same for the host of an address as for the header.
pub fn host(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n').take(64);
    let Some(Ok(uri)) = lines.next().map(Uri::try_from) else {
        return;
    };
    let headers = headers(lines);
    let mut request = Request::new(());
    *request.uri_mut() = uri.clone();
    *request.headers_mut() = headers.clone();
    if let Err(error) = head::check(&request) {
        return refused(&error);
    }
    match target::of(&headers, &uri) {
        Ok(Some(found)) => {
            assert!(found.port > 0 && !found.id.as_str().contains(['-', '.', '/']));
            let host = format!("{}-{}.d", found.port, found.id);
            let named = HeaderMap::from_iter([(http::header::HOST, value(&host))]);
            let again = target::of(&named, &Uri::from_static("/"));
            assert_eq!(again.ok().flatten(), Some(found));
        }
        Ok(None) => {}
        Err(error) => refused(&error),
    }
}

fn headers<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            let _ = headers.try_append(name, value);
        }
    }
    headers
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// The query of a signed URL. Gives it as it is passed on, and the path and the user that are signed, if a
/// signature of them is accepted: what the agent reads must be the same. A signature fits nothing else.
pub fn signed(query: &str) -> Option<(String, String, String)> {
    let uri: Uri = format!("/files?{query}").parse().ok()?;
    let (path, user) = signature::fuzz(&Method::GET, &uri)?;
    let passed = forward::origin_form(&uri);
    Some((passed.query()?.to_owned(), path, user))
}

/// The query of a list. What the page after it is asked with reads the same.
pub fn list(text: &str) {
    match list::query(text) {
        Ok(Some(query)) => {
            assert!((1..=ListQuery::MOST).contains(&query.limit));
            assert!(!query.metadata.contains_key(""));
            if let Some(after) = &query.after {
                assert_eq!(Cursor::parse(&after.to_text()).ok().as_ref(), Some(after));
            }
        }
        Ok(None) => {}
        Err(error) => refused(&error),
    }
}

/// The JSON bodies of all requests.
pub fn bodies(data: &[u8]) {
    read::<create::NewSandbox>(data);
    read::<connect::Connect>(data);
    read::<timeout::Timeout>(data);
    read::<timeout::Refresh>(data);
    read::<pause::Pause>(data);
    read::<NewKey>(data);
    read::<templates::NewTemplate>(data);
    let _ = templates::fuzz(data).map_err(|error| refused(&error));
    for said in native::fuzz(data) {
        let _ = said.map_err(|error| refused(&error));
    }
    if let Some(given) = read::<serde_json::Value>(data) {
        match network::Rules::read(Some(given)) {
            Ok(rules) => {
                let kept = rules.given.map_or(0, |given| given.to_string().len());
                assert!(kept <= network::MOST);
            }
            Err(error) => refused(&error),
        }
    }
}

fn read<T: DeserializeOwned>(data: &[u8]) -> Option<T> {
    body::parse(data).map_err(|error| refused(&error)).ok()
}

/// A refusal is the client's fault, or says what is not built; and it says what is wrong.
fn refused(error: &ApiError) {
    let status = error.status;
    assert!(
        status.is_client_error() || status.as_u16() == 501,
        "{error:?}"
    );
    let (field, reason) = error.message.split_once([':', ' ']).unwrap_or_default();
    assert!(!field.is_empty() && !reason.is_empty(), "{error:?}");
}
