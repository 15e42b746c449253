//! Where a server is.

use crate::cmd::serve::Credentials;
use crate::exit::Exit;
use crate::failure::Failure;
use http::uri::Authority;
use soulbox_settings::Settings;
use std::fmt;

/// The port of a URL that names none.
const PORT: u16 = 80;

/// A server's address: `http://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    authority: String,
}

impl Url {
    /// The server that the settings name; without one, the server whose data directory this is, by the file
    /// that it wrote, or where it would listen.
    ///
    /// # Errors
    /// The URL is none, or not of a kind that is spoken here.
    pub(crate) fn of(
        settings: &Settings,
        credentials: Option<&Credentials>,
    ) -> Result<Self, Failure> {
        match (settings.client.url.as_str(), credentials) {
            ("", Some(credentials)) => Self::parse(&credentials.url),
            ("", None) => Self::parse(&format!("http://{}", settings.server.listen)),
            (url, _) => Self::parse(url),
        }
    }

    /// Reads `http://host[:port][/]`.
    ///
    /// # Errors
    /// It is not that.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let refuse = |why: &str| {
            let shown: String = text.chars().take(300).collect();
            Failure::new(Exit::USAGE, format!("{shown:?} is no server's URL: {why}"))
                .help("such as http://127.0.0.1:3000 (--server, setting client.url)")
        };
        if text.starts_with("https://") {
            return Err(refuse(
                "the command line speaks http only; use a tunnel, such as ssh -L",
            ));
        }
        let rest = text
            .strip_prefix("http://")
            .ok_or_else(|| refuse("it does not begin with http://"))?;
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
            None => PORT,
        };
        Ok(Self {
            authority: format!("{}:{port}", authority.host()),
        })
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_and_a_port() {
        let authority = |text| Url::parse(text).unwrap().authority;
        assert_eq!(authority("http://127.0.0.1:3000"), "127.0.0.1:3000");
        assert_eq!(authority("http://box.example/"), "box.example:80");
        assert_eq!(authority("http://[::1]:99"), "[::1]:99");
        for bad in [
            "",
            "http://",
            "127.0.0.1:1",
            "https://box:1",
            "http://u@h:1",
            "http://h/x",
            "http://h:x",
            "http://h:70000",
        ] {
            assert_eq!(Url::parse(bad).unwrap_err().exit, Exit::USAGE, "{bad}");
        }
    }
}
