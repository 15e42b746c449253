//! Where a server is.

use http::uri::Authority;
use std::fmt;

/// The most of a wrong URL that is shown, in characters.
const SHOWN: usize = 300;

/// Text that is no server's URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} is no server's URL: {why}")]
pub struct UrlError {
    shown: String,
    why: &'static str,
}

/// The ports of URLs that name none.
const PORT: u16 = 80;
const TLS_PORT: u16 = 443;

/// A server's address: `http://host:port` or `https://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    is_encrypted: bool,
    host: String,
    port: u16,
}

impl Url {
    /// Reads `http://host[:port][/]`, or the same with `https`.
    ///
    /// # Errors
    /// It is not that.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let refuse = |why: &'static str| UrlError {
            shown: text.chars().take(SHOWN).collect(),
            why,
        };
        let (is_encrypted, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => {
                let rest = text.strip_prefix("http://");
                let wrong = || refuse("it begins with neither http:// nor https://");
                (false, rest.ok_or_else(wrong)?)
            }
        };
        let host = rest.strip_suffix('/').unwrap_or(rest);
        let authority: Authority = host
            .parse()
            .map_err(|_| refuse("it has no host, or more than a host"))?;
        let has_port = authority.as_str() != authority.host();
        if has_port && authority.port_u16().is_none() {
            return Err(refuse("its port is none"));
        }
        if authority.host().is_empty() || host.contains('@') {
            return Err(refuse("it has no host, or more than a host"));
        }
        let port = match authority.port() {
            Some(_) => authority
                .port_u16()
                .ok_or_else(|| refuse("its port is none"))?,
            None if is_encrypted => TLS_PORT,
            None => PORT,
        };
        Ok(Self {
            is_encrypted,
            host: authority.host().to_owned(),
            port,
        })
    }

    /// Whether it speaks TLS.
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// The host: a name, or an address without brackets.
    pub fn host(&self) -> &str {
        let inner = self.host.strip_prefix('[');
        let inner = inner.and_then(|host| host.strip_suffix(']'));
        inner.unwrap_or(&self.host)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.is_encrypted { "s" } else { "" };
        write!(f, "http{s}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_and_a_port() {
        let authority = |text| Url::parse(text).unwrap().authority();
        assert_eq!(authority("http://127.0.0.1:3000"), "127.0.0.1:3000");
        assert_eq!(authority("http://box.example/"), "box.example:80");
        assert_eq!(authority("https://box.example/"), "box.example:443");
        assert_eq!(authority("http://[::1]:99"), "[::1]:99");
        assert_eq!(Url::parse("https://[::1]").unwrap().host(), "::1");
        let shown = |text| Url::parse(text).unwrap().to_string();
        assert_eq!(shown("https://box:8443/"), "https://box:8443");
        assert_ne!(shown("http://h:1"), shown("https://h:1"));
        for bad in [
            "",
            "http://",
            "127.0.0.1:1",
            "https://",
            "ftp://box:1",
            "http://u@h:1",
            "http://h/x",
            "http://h:x",
            "http://h:70000",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }
}
