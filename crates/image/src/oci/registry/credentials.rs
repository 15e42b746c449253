//! Who we are to a registry: what was said explicitly, or what `docker login` left behind.
//!
//! Passwords are neither shown nor logged nor written anywhere.

use crate::oci::reference::DOCKER_HUB;
use crate::steps::RegistryAuth;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The longest file, and the longest answer of a helper.
const MAX_FILE: u64 = 1 << 20;
const MAX_ANSWER: u64 = 64 << 10;
/// How long a helper may take; it may ask a service of the cloud that it is for.
const HELPER_TIME: Duration = Duration::from_secs(30);
/// What Docker calls its own registry in that file.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Why what is needed to log in is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error(
        "cannot read {path:?}, which holds users and passwords of registries (setting registry.auth_file)"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What Linux said.
        source: io::Error,
    },
    /// The file is none of Docker's. What it holds is not told: it may be a password.
    #[error(
        "{path:?} is no configuration file of docker (setting registry.auth_file): line {line}"
    )]
    Form {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
    },
    /// What it says about a registry is damaged.
    #[error("{path:?} says nothing sensible about {host}: log in anew")]
    Entry {
        /// The file.
        path: PathBuf,
        /// The registry.
        host: String,
    },
    /// A helper did not help.
    #[error("the credential helper {program} failed for {host}: {how}")]
    Helper {
        /// The helper.
        program: String,
        /// The registry.
        host: String,
        /// How.
        how: String,
    },
}

/// What is shown to a registry.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Secret {
    /// A user and a password.
    Password(RegistryAuth),
    /// A token by which others are to be had (`identitytoken`).
    Identity(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// Looks up who we are to the registry `host` in the file of `docker login` at `path`. `None`:
/// nobody.
pub(super) async fn look_up(path: &Path, host: &str) -> Result<Option<Secret>, CredentialsError> {
    let Some(file) = read(path).await? else {
        return Ok(None);
    };
    let host = match host {
        DOCKER_HUB | "registry-1.docker.io" => "docker.io",
        other => other,
    };
    if let Some(helper) = file.cred_helpers.iter().find(|(key, _)| is_of(key, host)) {
        return ask(helper.1, host).await;
    }
    if let Some((_, entry)) = file.auths.iter().find(|(key, _)| is_of(key, host)) {
        let secret = entry.secret().ok_or_else(|| CredentialsError::Entry {
            path: path.to_owned(),
            host: host.to_owned(),
        })?;
        if secret.is_some() {
            return Ok(secret);
        }
    }
    match &file.creds_store {
        Some(helper) => ask(helper, host).await,
        None => Ok(None),
    }
}

/// Whether a key of the file means a host: keys are hosts, or addresses of them.
fn is_of(key: &str, host: &str) -> bool {
    let bare = key.strip_prefix("https://").or(key.strip_prefix("http://"));
    let bare = bare.unwrap_or(key).split('/').next().unwrap_or_default();
    let bare = match bare {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    };
    bare.eq_ignore_ascii_case(host)
}

impl Entry {
    /// What it says; the outer `None`: it is damaged, the inner one: nothing.
    fn secret(&self) -> Option<Option<Secret>> {
        if let Some(token) = self
            .identitytoken
            .as_ref()
            .filter(|token| !token.is_empty())
        {
            return Some(Some(Secret::Identity(token.clone())));
        }
        let (username, password) = match (&self.auth, &self.username, &self.password) {
            (Some(auth), ..) if !auth.is_empty() => {
                let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
                let (username, password) = text.split_once(':')?;
                (
                    username.to_owned(),
                    password.trim_end_matches('\0').to_owned(),
                )
            }
            (_, Some(username), Some(password)) => (username.clone(), password.clone()),
            _ => return Some(None),
        };
        Some(Some(Secret::Password(RegistryAuth { username, password })))
    }
}

async fn read(path: &Path) -> Result<Option<File>, CredentialsError> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let read = async {
        let file = tokio::fs::File::open(path).await?;
        let mut text = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut text).await?;
        Ok(text)
    };
    let text = match read.await {
        Ok(text) => text,
        Err(error) if error_kind_is_missing(&error) => return Ok(None),
        Err(source) => {
            let path = path.to_owned();
            return Err(CredentialsError::Unreadable { path, source });
        }
    };
    let parsed = serde_json::from_slice(&text);
    parsed.map(Some).map_err(|error| CredentialsError::Form {
        path: path.to_owned(),
        line: error.line(),
    })
}

fn error_kind_is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    username: String,
    secret: String,
}

/// Asks a credential helper, which is a program of the operator, without a shell.
async fn ask(helper: &str, host: &str) -> Result<Option<Secret>, CredentialsError> {
    let program = format!("docker-credential-{helper}");
    let failed = |how: String| CredentialsError::Helper {
        program: program.clone(),
        host: host.to_owned(),
        how,
    };
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if helper.is_empty() || !helper.bytes().all(name) {
        return Err(failed("its name is none of a program".to_owned()));
    }
    let server = if host == "docker.io" { HUB_KEY } else { host };
    let answer = tokio::time::timeout(HELPER_TIME, run(&program, server)).await;
    let (success, answer) = match answer {
        Err(_) => return Err(failed(format!("it took longer than {HELPER_TIME:?}"))),
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Ok(Ok(done)) => done,
    };
    if !success {
        // The one error that the protocol knows; of others nothing is told, it could be anything.
        return match String::from_utf8_lossy(&answer).contains("credentials not found") {
            true => Ok(None),
            false => Err(failed("it ended with an error".to_owned())),
        };
    }
    let told: Told = serde_json::from_slice(&answer)
        .map_err(|_| failed("its answer is not of the form of a credential helper's".to_owned()))?;
    Ok(Some(match told.username.as_str() {
        "<token>" => Secret::Identity(told.secret),
        _ => Secret::Password(RegistryAuth {
            username: told.username,
            password: told.secret,
        }),
    }))
}

/// Runs a helper: the registry in, an answer out. It is killed when nobody waits for it any more.
async fn run(program: &str, server: &str) -> io::Result<(bool, Vec<u8>)> {
    let mut helper = tokio::process::Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = helper.stdin.take() {
        // One that does not read what it is for tells so by its answer.
        let _ = input.write_all(server.as_bytes()).await;
    }
    let mut answer = Vec::new();
    if let Some(output) = helper.stdout.take() {
        output.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    }
    Ok((helper.wait().await?.success(), answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(text: &str, host: &str) -> Result<Option<Secret>, CredentialsError> {
        let ground = tempfile::tempdir().unwrap();
        let path = ground.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        look_up(&path, host).await
    }

    fn password(username: &str, password: &str) -> Option<Secret> {
        Some(Secret::Password(RegistryAuth {
            username: username.into(),
            password: password.into(),
        }))
    }

    #[tokio::test]
    async fn entries_are_found_by_host() {
        // `me:pass:word`, as docker login writes it.
        let file = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "bWU6cGFzczp3b3Jk"},
            "quay.io/v2/": {"username": "a", "password": "b"}, "empty.io": {},
            "az.io": {"auth": "PHRva2VuPjo=", "identitytoken": "T"}}, "unknown": [1]}"#;
        let hub = password("me", "pass:word");
        assert_eq!(of(file, "docker.io").await.unwrap(), hub);
        assert_eq!(of(file, "registry-1.docker.io").await.unwrap(), hub);
        assert_eq!(of(file, "quay.io").await.unwrap(), password("a", "b"));
        assert_eq!(
            of(file, "az.io").await.unwrap(),
            Some(Secret::Identity("T".into()))
        );
        assert_eq!(of(file, "empty.io").await.unwrap(), None);
        assert_eq!(of(file, "quay.io:5000").await.unwrap(), None);
        assert_eq!(
            look_up(Path::new("/nowhere/x"), "quay.io").await.unwrap(),
            None
        );
        assert_eq!(look_up(Path::new(""), "quay.io").await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_without_its_content() {
        let broken = of("{\"auths\": {\n\"x\": SECRET", "x").await.unwrap_err();
        assert!(broken.to_string().ends_with("line 2"), "{broken}");
        let entry = of(r#"{"auths": {"x.io": {"auth": "SECRET!"}}}"#, "x.io").await;
        let entry = entry.unwrap_err();
        assert!(matches!(entry, CredentialsError::Entry { .. }), "{entry}");
        for error in [broken, entry] {
            assert!(!format!("{error:?} {error}").contains("SECRET"));
        }
        for helper in ["../x", "a b", "", "x;y"] {
            let text = format!(r#"{{"credsStore": "{helper}"}}"#);
            let refused = of(&text, "x.io").await.unwrap_err().to_string();
            assert!(refused.contains("none of a program"), "{refused}");
        }
        let missing = of(r#"{"credsStore": "soulbox-no-such"}"#, "x.io").await;
        assert!(missing.is_err());
        assert!(!format!("{:?}", password("me", "SECRET")).contains("SECRET"));
    }
}
