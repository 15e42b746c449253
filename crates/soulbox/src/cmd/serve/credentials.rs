//! What a client needs: where the server is, and a key.

use crate::exit::Exit;
use crate::failure::Failure;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use soulbox_control::Control;
use soulbox_model::{ApiKey, TeamId};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file below the data directory.
const FILE: &str = "credentials.json";

/// What a client needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// Where the server listens.
    pub(crate) url: String,
    /// Where it listens for TLS, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls_url: Option<String>,
    /// A key for it; none when the operator fixed it elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_key: Option<String>,
}

impl Credentials {
    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join(FILE)
    }

    /// Reads the file of a server with that data directory; none if there is none.
    pub(crate) fn read(data_dir: &Path) -> Result<Option<Self>, Failure> {
        let path = Self::path(data_dir);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| broken(&path, &error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(broken(&path, &error)),
        }
    }

    /// Writes the file, for its owner alone.
    fn write(&self, data_dir: &Path) -> Result<(), Failure> {
        let path = Self::path(data_dir);
        let draft = path.with_extension(format!("{}", std::process::id()));
        let written = (|| {
            let flags = OFlags::WRONLY
                | OFlags::CREATE
                | OFlags::TRUNC
                | OFlags::CLOEXEC
                | OFlags::NOFOLLOW;
            let mut file = std::fs::File::from(rustix::fs::open(&draft, flags, Mode::from(0o600))?);
            file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
            file.write_all(b"\n")?;
            std::fs::rename(&draft, &path)
        })();
        written.map_err(|error: io::Error| {
            let _ = std::fs::remove_file(&draft);
            Failure::new(Exit::HOST, format!("cannot write {}", path.display())).because(&error)
        })
    }

    /// The lines that a shell takes.
    pub(crate) fn exports(&self) -> String {
        let key = match &self.api_key {
            Some(key) => format!("export E2B_API_KEY={key}"),
            None => "# E2B_API_KEY is the key that the operator fixed".to_owned(),
        };
        let url = &self.url;
        format!("export E2B_API_URL={url}\nexport E2B_SANDBOX_URL={url}\n{key}")
    }
}

fn broken(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::HOST, format!("cannot read {}", path.display())).because(error)
}

/// Makes sure that there is a key, and writes the file.
pub(super) async fn settle(
    control: &Arc<Control>,
    fixed: Option<ApiKey>,
    address: SocketAddr,
    domain: Option<&str>,
) -> Result<Credentials, Failure> {
    let data_dir = &control.settings().paths.data_dir;
    let url = format!("http://{}", reachable(address));
    let tls_url = domain.map(|domain| format!("https://{domain}"));
    let before = Credentials::read(data_dir).ok().flatten();
    let credentials = match fixed {
        Some(key) => {
            control.keys().fix(&key);
            Credentials {
                url,
                tls_url,
                api_key: None,
            }
        }
        None => {
            let known = |text: &String| {
                ApiKey::given(text).is_some_and(|key| control.keys().team_of(&key).is_some())
            };
            let kept = before.as_ref().and_then(|before| before.api_key.clone());
            let kept = kept.filter(known);
            let api_key = match kept {
                Some(key) => key,
                None => {
                    let made = control
                        .keys()
                        .create("first", &TeamId::default_team())
                        .await;
                    let (key, _) = made.map_err(|error| Failure::of(Exit::HOST, &error))?;
                    key.reveal().to_owned()
                }
            };
            Credentials {
                url,
                tls_url,
                api_key: Some(api_key),
            }
        }
    };
    // What stands there already needs no room: a full disk keeps no server from starting.
    if before.as_ref() != Some(&credentials) {
        credentials.write(data_dir)?;
    }
    Ok(credentials)
}

/// An address that clients on this machine can use: one that stands for all is none.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
