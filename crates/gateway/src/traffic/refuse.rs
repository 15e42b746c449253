//! Why a request does not reach a sandbox. Clients read these texts: E2B's SDKs tell a sandbox that is gone
//! from a port that is closed by them. Whoever navigates in a browser gets a page with the same text.

use crate::error::ApiError;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;
use soulbox_control::ControlError;
use soulbox_model::SandboxId;

/// A request that was refused before anything of it reached the sandbox's server.
pub(crate) struct Refusal {
    status: StatusCode,
    id: SandboxId,
    port: Option<u16>,
    message: &'static str,
}

impl Refusal {
    /// One that names a port.
    pub(crate) fn new(
        status: StatusCode,
        id: &SandboxId,
        port: u16,
        message: &'static str,
    ) -> Self {
        Self {
            status,
            id: id.clone(),
            port: Some(port),
            message,
        }
    }

    /// As JSON.
    pub(crate) fn json(&self) -> Response {
        let code = self.status.as_u16();
        let (id, message) = (&self.id, self.message);
        let body = match self.port {
            Some(port) => {
                json!({ "sandboxId": id, "message": message, "port": port, "code": code })
            }
            None => json!({ "sandboxId": id, "message": message, "code": code }),
        };
        self.answer(body.to_string(), "application/json")
    }

    /// In the form that whoever asked can read.
    pub(crate) fn to(&self, reader: Reader) -> Response {
        match reader {
            Reader::Person => self.answer(self.page(), "text/html; charset=utf-8"),
            Reader::Program => self.json(),
        }
    }

    /// Ids are letters and digits, and the texts are ours: nothing here needs escapes.
    fn page(&self) -> String {
        let port = self
            .port
            .map(|port| format!(", port {port}"))
            .unwrap_or_default();
        let (code, id, message) = (self.status.as_u16(), &self.id, self.message);
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{code}: {message}</title>\
             <style>body{{font:16px/1.5 system-ui,sans-serif;margin:20vh auto;max-width:40rem;padding:0 1rem;\
             color-scheme:light dark}}code{{font-size:.9em}}</style>\
             <h1>{message}</h1><p>Sandbox <code>{id}</code>{port}. Status {code}.</p></html>\n"
        )
    }

    fn answer(&self, body: String, kind: &'static str) -> Response {
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Who reads an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A program: JSON.
    Program,
    /// Somebody who navigates in a browser: a page.
    Person,
}

impl Reader {
    /// Who reads the answer to a request with these headers.
    pub(crate) fn of(request: &HeaderMap) -> Self {
        let text = |name: &str| request.get(name).and_then(|value| value.to_str().ok());
        let navigates = text("sec-fetch-mode").is_none_or(|mode| mode == "navigate");
        match navigates && text("accept").is_some_and(|accept| accept.contains("text/html")) {
            true => Self::Person,
            false => Self::Program,
        }
    }
}

/// There is no such sandbox, or it does not take requests.
pub(crate) fn not_found(id: &SandboxId) -> Refusal {
    Refusal {
        status: StatusCode::BAD_GATEWAY,
        id: id.clone(),
        port: None,
        message: "The sandbox was not found",
    }
}

/// Nothing listens on that port.
pub(crate) fn closed(id: &SandboxId, port: u16) -> Refusal {
    let message = "The sandbox is running but port is not open";
    Refusal::new(StatusCode::BAD_GATEWAY, id, port, message)
}

/// The way to the sandbox failed.
pub(crate) fn failed(error: ControlError) -> Response {
    ApiError::from(error).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    async fn shown(pairs: &[(&'static str, &'static str)]) -> (StatusCode, String) {
        let pairs = pairs.iter().map(|(name, value)| {
            (
                http::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        let id: SandboxId = "i1".parse().unwrap();
        let response = closed(&id, 3000).to(Reader::of(&pairs.collect()));
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn programs_get_json_and_people_get_a_page() {
        let (status, body) = shown(&[("accept", "*/*")]).await;
        assert_eq!(status, 502);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let expected = json!({
            "sandboxId": "i1", "message": "The sandbox is running but port is not open", "port": 3000, "code": 502,
        });
        assert_eq!(body, expected);
        let html = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        for navigation in [&[html][..], &[html, ("sec-fetch-mode", "navigate")]] {
            let (status, body) = shown(navigation).await;
            assert_eq!(status, 502);
            assert!(
                body.starts_with("<!doctype html>") && body.contains("port is not open"),
                "{body}"
            );
        }
        let (_, body) = shown(&[html, ("sec-fetch-mode", "cors")]).await;
        assert!(body.starts_with('{'), "{body}");
    }

    #[tokio::test]
    async fn a_sandbox_that_is_gone_is_told_in_e2bs_words() {
        let id: SandboxId = "i1".parse().unwrap();
        let body = not_found(&id)
            .json()
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let expected =
            json!({ "sandboxId": "i1", "message": "The sandbox was not found", "code": 502 });
        assert_eq!(body, expected);
    }
}
