//! The proxies that the environment names, as most programs understand them.

use crate::source::Source;
use std::fmt;

/// What `HTTPS_PROXY` and its kin say. Empty: not said.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For everything that has none of its own: `ALL_PROXY`.
    pub all: String,
    /// For plain HTTP: `http_proxy`. In capitals it could be a header of a request to a CGI program.
    pub http: String,
    /// For TLS: `HTTPS_PROXY`.
    pub https: String,
    /// The hosts that are reached without one: `NO_PROXY`.
    pub none: String,
}

impl Proxies {
    /// Those that a source names, in capitals or small letters.
    pub fn of(source: &dyn Source) -> Self {
        let first = |names: &[&str]| {
            let mut values = names.iter().filter_map(|name| source.variable(name));
            let value = values.find_map(|value| value.into_string().ok());
            value.unwrap_or_default()
        };
        let cgi = source.variable("REQUEST_METHOD").is_some();
        let http: &[&str] = match cgi {
            true => &["http_proxy"],
            false => &["http_proxy", "HTTP_PROXY"],
        };
        Self {
            all: first(&["all_proxy", "ALL_PROXY"]),
            http: first(http),
            https: first(&["https_proxy", "HTTPS_PROXY"]),
            none: first(&["no_proxy", "NO_PROXY"]),
        }
    }
}

/// Addresses of proxies may have passwords in them.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Fixed;

    #[test]
    fn small_letters_count_first_and_nothing_is_shown() {
        let variables = [
            ("https_proxy", "http://me:SECRET@small:1"),
            ("HTTPS_PROXY", "http://large:1"),
            ("HTTP_PROXY", "http://plain:1"),
            ("NO_PROXY", "lan"),
        ];
        let mut source = Fixed::default();
        for (name, value) in variables {
            source.variables.insert(name.into(), value.into());
        }
        let proxies = Proxies::of(&source);
        assert_eq!(proxies.https, "http://me:SECRET@small:1");
        assert_eq!(
            (proxies.http.as_str(), proxies.none.as_str()),
            ("http://plain:1", "lan")
        );
        assert!(!format!("{proxies:?}").contains("SECRET"));
        source
            .variables
            .insert("REQUEST_METHOD".into(), "GET".into());
        assert_eq!(Proxies::of(&source).http, "");
    }
}
