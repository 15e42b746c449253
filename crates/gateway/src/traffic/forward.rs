//! What a proxy changes of a message's head.

use crate::client::Client;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Uri, Version};

/// Headers of one connection, which are not passed on
/// ([RFC 9110, section 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)).
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// The header with the token for a sandbox's own ports. It is for us, not for what listens there.
pub(crate) const TRAFFIC_TOKEN: HeaderName = HeaderName::from_static("e2b-traffic-access-token");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Removes what belongs to one connection only.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// The target without scheme and host.
pub(crate) fn origin_form(uri: &Uri) -> Uri {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    target.parse().unwrap_or_else(|_| Uri::from_static("/"))
}

/// The protocol that a request or an answer changes to, if it does. Only HTTP/1.1 can.
pub(super) fn upgrade(version: Version, headers: &HeaderMap) -> Option<HeaderValue> {
    let tokens = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        text.split(',')
            .any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
    };
    let wanted = headers.get_all(header::CONNECTION).iter().any(tokens);
    let protocol = headers.get(header::UPGRADE)?;
    (version == Version::HTTP_11 && wanted).then(|| protocol.clone())
}

/// Marks a head as one that changes the protocol of its connection.
pub(super) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

/// Makes of a client's request the one that a server in a sandbox gets.
pub(super) fn to_port(parts: &mut Parts, client: &Client, mask_host: Option<HeaderValue>) {
    let upgrade = upgrade(parts.version, &parts.headers);
    let named = parts.uri.authority().map(|authority| authority.as_str());
    let named = named.and_then(|host| HeaderValue::from_str(host).ok());
    let host = named.or_else(|| parts.headers.get(header::HOST).cloned());
    let headers = &mut parts.headers;
    strip(headers);
    // We answer 100 ourselves, as soon as the server reads.
    headers.remove(header::EXPECT);
    headers.remove(TRAFFIC_TOKEN);
    let scheme = if client.tls { "https" } else { "http" };
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    append_address(headers, client);
    headers.remove(FORWARDED_HOST);
    headers.remove(header::HOST);
    if let Some(host) = host {
        let told = mask_host.unwrap_or_else(|| host.clone());
        headers.insert(FORWARDED_HOST, host);
        headers.insert(header::HOST, told);
    }
    if let Some(protocol) = upgrade {
        set_upgrade(headers, protocol);
    }
    parts.uri = origin_form(&parts.uri);
    parts.version = Version::HTTP_11;
}

/// Earlier proxies have their own entries; ours comes last.
fn append_address(headers: &mut HeaderMap, client: &Client) {
    let before: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let address = client.address.to_string();
    let all = match before.is_empty() {
        true => address,
        false => format!("{}, {address}", before.join(", ")),
    };
    if let Ok(all) = HeaderValue::from_str(&all) {
        headers.insert(FORWARDED_FOR, all);
    }
}

/// Whether a request can be passed on at all: a tunnel to anywhere cannot.
pub(super) fn is_passable(method: &Method) -> bool {
    *method != Method::CONNECT
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use std::net::Ipv4Addr;

    fn passed(request: http::request::Builder, mask_host: Option<&'static str>) -> Parts {
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let client = Client {
            address: Ipv4Addr::new(192, 0, 2, 7).into(),
            tls: true,
            place: None,
        };
        to_port(&mut parts, &client, mask_host.map(HeaderValue::from_static));
        parts
    }

    #[test]
    fn what_is_the_connections_own_stays_behind() {
        let request = Request::get("/a?b=c")
            .header("host", "80-i1.d:8443")
            .header("connection", "keep-alive, X-Own, host")
            .header("x-own", "1")
            .header("te", "trailers")
            .header("expect", "100-continue")
            .header("e2b-traffic-access-token", "secret")
            .header("x-access-token", "theirs")
            .header("x-forwarded-for", "198.51.100.1")
            .header("x-forwarded-for", "198.51.100.2")
            .header("x-forwarded-host", "elsewhere")
            .header("x-forwarded-proto", "gopher");
        let parts = passed(request, None);
        let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("host"), Some("80-i1.d:8443"));
        assert_eq!(header("x-forwarded-host"), Some("80-i1.d:8443"));
        assert_eq!(header("x-forwarded-proto"), Some("https"));
        let all = "198.51.100.1, 198.51.100.2, 192.0.2.7";
        assert_eq!(header("x-forwarded-for"), Some(all));
        assert_eq!(parts.headers.get_all("x-forwarded-for").iter().count(), 1);
        assert_eq!(header("x-access-token"), Some("theirs"));
        for gone in [
            "connection",
            "x-own",
            "te",
            "expect",
            "e2b-traffic-access-token",
            "upgrade",
        ] {
            assert_eq!(header(gone), None, "{gone}");
        }
    }

    #[test]
    fn a_host_in_the_target_counts_and_may_be_masked() {
        let parts = passed(Request::get("http://80-i1.d/x"), Some("localhost:80"));
        assert_eq!(parts.uri, "/x");
        assert_eq!(parts.headers["host"], "localhost:80");
        assert_eq!(parts.headers["x-forwarded-host"], "80-i1.d");
    }

    #[test]
    fn upgrades_are_passed_on_for_http_1_1_only() {
        let request = || {
            Request::get("/")
                .header("connection", "keep-alive, Upgrade")
                .header("upgrade", "websocket")
        };
        let parts = passed(request(), None);
        assert_eq!(parts.headers["connection"], "upgrade");
        assert_eq!(parts.headers["upgrade"], "websocket");
        let parts = passed(request().version(Version::HTTP_10), None);
        assert!(!parts.headers.contains_key("upgrade"));
        let parts = passed(Request::get("/").header("upgrade", "websocket"), None);
        assert!(!parts.headers.contains_key("upgrade"));
    }
}
