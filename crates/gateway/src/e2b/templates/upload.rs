//! Archives of files that builds copy in: the client asks for an address, and puts the archive there.
//!
//! The address is of this server, holds no key, and is worth something for an hour: for one hash of one template.

use crate::auth::Team;
use crate::body::Stalling;
use crate::client::Client;
use crate::door::Gateway;
use crate::error::ApiError;
use crate::query::Query;
use axum::extract::{Extension, Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::BytesMut;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use soulbox_control::templates::upload::{NewUpload, UploadError};
use soulbox_model::{Moment, TemplateId};
use std::time::Duration;

/// How long an address can be used.
const VALID: Duration = Duration::from_secs(3600);
/// What is written to disk at once.
const PIECE: usize = 1 << 20;
/// The names of what an address proves itself with.
const UNTIL: &str = "until";
const PERMISSION: &str = "permission";

/// Whether an archive is there, and where it can be put.
pub(super) async fn link(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Extension(client): Extension<Client>,
    Path((template, hash)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<(StatusCode, axum::Json<Value>), ApiError> {
    let entry = gateway.control.own_template(&team, &template)?;
    check(&hash)?;
    let present = gateway.control.uploads().find(&team, &hash).is_some();
    let until = Moment::now().plus(VALID).as_secs().to_string();
    let parts = [entry.id.as_str(), &hash, &until];
    let permission = gateway.control.secret().sign(&parts);
    let base = base(&uri, &headers, client.tls)?;
    let url = format!(
        "{base}/templates/{}/files/{hash}?{UNTIL}={until}&{PERMISSION}={permission}",
        entry.id
    );
    let told = json!({ "present": present, "url": url });
    Ok((StatusCode::CREATED, axum::Json(told)))
}

/// Takes an archive.
pub(super) async fn put(
    State(gateway): State<Gateway>,
    Path((template, hash)): Path<(String, String)>,
    query: Query,
    request: Request,
) -> Result<Response, ApiError> {
    let refused = |reason| ApiError::new(StatusCode::FORBIDDEN, reason);
    let until = query.word(UNTIL)?.unwrap_or_default();
    let given = query.word(PERMISSION)?.unwrap_or_default();
    let parts = [template.as_str(), &hash, until];
    if !gateway.control.secret().vouches(&parts, given) {
        return Err(refused("this address was not given by this server"));
    }
    let is_over = until
        .parse::<u64>()
        .is_ok_and(|end| Moment::now().as_secs() > end);
    if is_over {
        return Err(refused("this address is too old; ask for another one"));
    }
    check(&hash)?;
    let missing = || soulbox_control::ControlError::no_template(&template);
    let id: TemplateId = template.parse().map_err(|_| missing())?;
    let team = gateway.control.team_of_template(&id).ok_or_else(missing)?;
    let settings = gateway.control.settings();
    let most = settings.template.upload;
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > most.bytes()) {
        return Err(told(UploadError::TooLarge(most)));
    }
    let uploads = gateway.control.uploads().clone();
    let begin = move || uploads.begin(&team, &hash, most);
    let new = blocking(begin).await?;
    receive(new, request, settings.server.body_timeout).await?;
    gateway.control.sweep_uploads().await;
    Ok(StatusCode::CREATED.into_response())
}

/// Writes a body to its file as it comes, in pieces.
async fn receive(new: NewUpload, request: Request, stalled: Duration) -> Result<(), ApiError> {
    let mut body = Stalling::new(request.into_body(), stalled);
    let fault = body.fault();
    let mut new = new;
    let mut piece = BytesMut::with_capacity(PIECE);
    loop {
        let frame = body.frame().await;
        let over = frame.is_none();
        match frame {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    piece.extend_from_slice(&data);
                }
            }
            Some(Err(error)) => {
                let plain = || ApiError::bad(format!("the body broke off: {error}"));
                return Err(fault.told().unwrap_or_else(plain));
            }
            None => {}
        }
        if piece.len() >= PIECE || over {
            let full = piece.split().freeze();
            new = blocking(move || new.write(&full).map(|()| new)).await?;
        }
        if over {
            return blocking(move || new.finish().map(drop)).await;
        }
    }
}

/// Does file work where it holds nothing else up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, UploadError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(told),
        Err(_) => Err(soulbox_control::ControlError::Stopping.into()),
    }
}

fn told(error: UploadError) -> ApiError {
    match error {
        UploadError::Hash => ApiError::bad(error.to_string()),
        UploadError::TooLarge(_) => ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
        UploadError::Write(source) => {
            tracing::error!(%source, "an archive is not kept");
            let status = match source.kind() {
                std::io::ErrorKind::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            ApiError::new(status, "the archive cannot be written")
        }
    }
}

fn check(hash: &str) -> Result<(), ApiError> {
    let fits = !hash.is_empty() && hash.len() <= 128;
    match fits && hash.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        true => Ok(()),
        false => Err(told(UploadError::Hash)),
    }
}

/// This server's address as the client has it, also behind a proxy that says how it was reached.
fn base(uri: &Uri, headers: &HeaderMap, tls: bool) -> Result<String, ApiError> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let first = |text: Option<&str>| {
        let text = text?.split(',').next()?.trim();
        Some(text.to_owned()).filter(|text| !text.is_empty())
    };
    let scheme = match header("x-forwarded-proto").map(str::trim) {
        Some("https") => "https",
        Some("http") => "http",
        _ if tls => "https",
        _ => "http",
    };
    let named = uri.authority().map(|authority| authority.to_string());
    let own = || named.or_else(|| header(HOST.as_str()).map(str::to_owned));
    let host = first(header("x-forwarded-host")).or_else(own);
    let fits = |host: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
        host.len() <= 255 && host.chars().all(plain)
    };
    match host.filter(fits) {
        Some(host) => Ok(format!("{scheme}://{host}")),
        None => Err(ApiError::bad("host: it is missing, or can be no host")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str, headers: &[(&'static str, &str)], tls: bool) -> Option<String> {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        base(&uri.parse().unwrap(), &headers.collect(), tls).ok()
    }

    #[test]
    fn the_address_is_the_one_that_the_client_used() {
        let host = ("host", "box:3000");
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of("/a", &[host], false), some("http://box:3000"));
        assert_eq!(of("/a", &[host], true), some("https://box:3000"));
        assert_eq!(of("https://h2.box/a", &[], true), some("https://h2.box"));
        let proxied = [
            host,
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "sbx.example, other"),
        ];
        assert_eq!(of("/a", &proxied, false), some("https://sbx.example"));
        for wrong in ["a/b", "a b", "a@b", "a?b", "a#b"] {
            assert_eq!(of("/a", &[("host", wrong)], false), None, "{wrong}");
        }
        assert_eq!(of("/a", &[], false), None);
    }
}
