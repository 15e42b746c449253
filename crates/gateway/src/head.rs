//! Heads of requests that are refused, whatever they ask for: too long, or of two meanings.
//!
//! A head that two readers may understand differently is how a request hides behind another one, or gets
//! past a check ([RFC 9112, section 11.2](https://www.rfc-editor.org/rfc/rfc9112#section-11.2)). Behind
//! this server stand an agent and whatever listens in sandboxes, and in front of it there may be a proxy.

use crate::error::ApiError;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, StatusCode, Version};

/// The most bytes of a request's headers, names and values together. URLs with signatures and metadata
/// filters are long; E2B's own are below 16 KiB.
const MOST_BYTES: usize = 128 * 1024;
/// The most headers.
const MOST: usize = 128;

/// Headers that choose what a request reaches and may do: there is one of each, or none.
const ONCE: [&str; 6] = [
    "host",
    "content-length",
    "e2b-sandbox-id",
    "e2b-sandbox-port",
    "x-access-token",
    "x-api-key",
];

/// Refuses a head that cannot be taken.
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), ApiError> {
    let headers = request.headers();
    let target = request.uri().path_and_query();
    check_size(target.map_or(0, |target| target.as_str().len()), headers)?;
    if *request.method() == Method::CONNECT {
        let message = "CONNECT is not allowed here";
        return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message));
    }
    for name in ONCE {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(ApiError::bad(format!("header {name}: it is there twice")));
        }
    }
    let host = headers.get(HOST);
    if host.is_none() && request.version() == Version::HTTP_11 {
        return Err(ApiError::bad("header host is missing"));
    }
    if host.is_some_and(|host| !is_host(host.as_bytes())) {
        return Err(ApiError::bad("header host: it is no host name"));
    }
    if request.uri().authority().is_some_and(|host| !names(host)) {
        return Err(ApiError::bad("the address: it names no host"));
    }
    if headers.contains_key(CONTENT_LENGTH) && headers.contains_key(TRANSFER_ENCODING) {
        return Err(ApiError::bad(
            "header content-length: it does not go with transfer-encoding",
        ));
    }
    Ok(())
}

/// Whether this is a host, perhaps with a port, or nothing: a request may be for no host.
fn is_host(text: &[u8]) -> bool {
    text.is_empty() || Authority::try_from(text).is_ok_and(|host| names(&host))
}

/// Whether there is a host and, if anything else, a port: a user's name before it is how one host is made to look
/// like another ([RFC 9110, section 4.2.4](https://www.rfc-editor.org/rfc/rfc9110#section-4.2.4)).
fn names(authority: &Authority) -> bool {
    let (whole, host) = (authority.as_str(), authority.host());
    let rest = whole.strip_prefix(host).filter(|_| !host.is_empty());
    rest.is_some_and(|rest| match rest.strip_prefix(':') {
        Some(port) => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            digits && (port.is_empty() || port.parse::<u16>().is_ok())
        }
        None => rest.is_empty(),
    })
}

fn check_size(target: usize, headers: &HeaderMap) -> Result<(), ApiError> {
    let refuse = |message: String| {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Err(ApiError::new(status, message))
    };
    if headers.len() > MOST {
        let count = headers.len();
        return refuse(format!("headers: {count} are more than {MOST}"));
    }
    let of =
        |(name, value): (&http::HeaderName, &http::HeaderValue)| name.as_str().len() + value.len();
    let bytes = target + headers.iter().map(of).sum::<usize>();
    if bytes <= MOST_BYTES {
        return Ok(());
    }
    let longest = headers.iter().max_by_key(|header| of(*header));
    let name = longest.map_or("path", |(name, _)| name.as_str());
    let shown: String = name.chars().take(80).collect();
    refuse(format!(
        "headers: {bytes} bytes are more than {MOST_BYTES}; the longest is {shown}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pairs: &[(&str, &str)]) -> Option<u16> {
        let mut request = Request::builder().uri("/x");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        let checked = check(&request.body(()).unwrap());
        checked.err().map(|error| error.status.as_u16())
    }

    #[test]
    fn what_has_two_meanings_is_refused() {
        assert_eq!(status(&[("host", "a")]), None);
        assert_eq!(status(&[]), Some(400));
        assert_eq!(status(&[("host", "a"), ("host", "a")]), Some(400));
        let lengths = [
            ("host", "a"),
            ("content-length", "1"),
            ("transfer-encoding", "chunked"),
        ];
        assert_eq!(status(&lengths), Some(400));
        for name in [
            "x-api-key",
            "x-access-token",
            "e2b-sandbox-id",
            "e2b-sandbox-port",
        ] {
            assert_eq!(
                status(&[("host", "a"), (name, "1"), (name, "2")]),
                Some(400),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_too_long_is_refused_by_name() {
        let long = "v".repeat(MOST_BYTES);
        assert_eq!(status(&[("host", "a"), ("x-long", &long)]), Some(431));
        let names: Vec<String> = (0..MOST).map(|n| format!("x-{n}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
        assert_eq!(status(&[&[("host", "a")], &many[..]].concat()), Some(431));
    }

    #[test]
    fn a_host_is_a_host() {
        for good in [
            "",
            "localhost",
            "localhost:3000",
            "[::1]:3000",
            "8080-iabc.sandbox.localhost:8443",
            "a_b.d",
            "127.0.0.1:",
        ] {
            assert_eq!(status(&[("host", good)]), None, "{good}");
        }
        for bad in [
            "a b",
            "a/b",
            "user@80-iabc.d",
            "80-iabc.d@other",
            ":80",
            "a:99999",
            "a:80:80",
            "a:+80",
            "[::1",
        ] {
            assert_eq!(status(&[("host", bad)]), Some(400), "{bad}");
        }
        for (address, expected) in [
            ("http://80-iabc.d/x", true),
            ("http://a:b@:99999/", false),
            ("http://user@80-iabc.d/", false),
            ("http://80-iabc.d:99999/", false),
        ] {
            let request = Request::builder().uri(address).header("host", "a").body(());
            let taken = request.is_ok_and(|request| check(&request).is_ok());
            assert_eq!(taken, expected, "{address}");
        }
    }

    #[test]
    fn tunnels_are_refused() {
        let tunnel = Request::builder()
            .method("CONNECT")
            .uri("80-iabc.d:80")
            .header("host", "d");
        let error = check(&tunnel.body(()).unwrap()).unwrap_err();
        assert_eq!(error.status.as_u16(), 405);
    }
}
