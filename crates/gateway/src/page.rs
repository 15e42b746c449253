//! The page: what an operator sees in a browser. It is made of files that are part of the program, asks
//! nobody but this server, and does nothing that the interface does not do; a key is entered in it.

use crate::door::Gateway;
use crate::error::ApiError;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, StatusCode};

const INDEX: &str = include_str!("page/index.html");

/// The files beside it, with their types.
const FILES: [(&str, &str, &str); 5] = [
    ("page.js", SCRIPT, include_str!("page/page.js")),
    ("page.css", STYLE, include_str!("page/page.css")),
    ("xterm.js", SCRIPT, include_str!("page/xterm/xterm.js")),
    (
        "addon-fit.js",
        SCRIPT,
        include_str!("page/xterm/addon-fit.js"),
    ),
    ("xterm.css", STYLE, include_str!("page/xterm/xterm.css")),
];

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// What the page may do: load its own files and ask this server. The terminal makes its own style elements.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/", get(index))
        .route("/page/{file}", get(file))
}

/// The page for a browser; for others, what this is.
async fn index(headers: HeaderMap) -> Response {
    let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    if accepts.is_some_and(|accepts| accepts.contains("text/html")) {
        return told(HTML, INDEX);
    }
    let version = env!("CARGO_PKG_VERSION");
    let told = serde_json::json!({
        "name": "SoulBox", "version": version, "openapi": "/openapi.json", "metrics": "/metrics",
    });
    ([(VARY, "accept")], Json(told)).into_response()
}

async fn file(Path(name): Path<String>) -> Result<Response, ApiError> {
    let found = FILES.iter().find(|(file, ..)| *file == name);
    let (_, kind, text) =
        found.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "the page has no such file"))?;
    Ok(told(kind, text))
}

fn told(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-cache"),
        (VARY, "accept"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_nothing_but_its_own_files() {
        let parts = INDEX.split('"').chain(FILES[0].2.split('"'));
        let named = parts.filter_map(|part| {
            part.strip_prefix("page/")
                .or_else(|| part.strip_prefix("./"))
        });
        let mut count = 0;
        for name in named {
            assert!(FILES.iter().any(|(file, ..)| *file == name), "{name}");
            count += 1;
        }
        assert_eq!(count, 5, "three of the page, two of its script");
        for text in [INDEX, FILES[0].2, FILES[1].2] {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(
                !text.contains("//cdn") && !text.contains("http://") && !text.contains("https://")
            );
            assert!(
                !text.contains("innerHTML"),
                "what comes from others is text"
            );
        }
    }
}
