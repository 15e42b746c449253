//! The name of an image: `[host[:port]/]repository[:tag][@digest]`.

use super::digest::{Digest, DigestError};
use std::fmt;
use std::str::FromStr;

/// The registry of names that do not say one.
pub const DOCKER_HUB: &str = "docker.io";
/// The tag of names that say neither tag nor digest.
pub const LATEST: &str = "latest";

/// The longest name with all its parts.
const MAX_NAME: usize = 1024;
/// The longest repository, as Docker has it.
const MAX_REPOSITORY: usize = 255;
/// The longest tag, as the specification of registries has it.
const MAX_TAG: usize = 128;

/// Why a text names no image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReferenceError {
    /// It is empty or too long.
    #[error("the name of an image has 1 to {MAX_NAME} characters")]
    Length,
    /// The registry is no host.
    #[error("{0:?} is no host of a registry, such as registry.example.com:5000")]
    Registry(String),
    /// The repository is none.
    #[error(
        "{0:?} is no repository of images: it consists of small letters and digits, with single \
         dots, dashes, underscores and slashes between them, at most {MAX_REPOSITORY} in all"
    )]
    Repository(String),
    /// The tag is none.
    #[error(
        "{0:?} is no tag of an image: it consists of at most {MAX_TAG} letters, digits, \
         underscores, dots and dashes, and begins with none of the last two"
    )]
    Tag(String),
    /// The digest is none.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// The name of an image, whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry as it was named: a host and perhaps a port.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in the registry, such as `library/debian`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `None` when only a digest was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest, if it was given. It counts then, and the tag is for people.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What the manifest is asked for by.
    pub fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => LATEST.to_owned(),
        }
    }

    /// The last part of the repository, such as `debian`.
    pub fn short_name(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or_default()
    }

    /// The same image with exactly this manifest.
    pub fn at(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() || text.len() > MAX_NAME {
            return Err(ReferenceError::Length);
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse()?)),
            None => (text, None),
        };
        let (registry, rest) = split_registry(name);
        // Behind the registry with its port, a colon is a tag's.
        let (repository, tag) = match rest.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        if !is_host(registry) {
            return Err(ReferenceError::Registry(registry.to_owned()));
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag(tag.to_owned()));
        }
        // `debian` of Docker Hub is `library/debian`.
        let repository = match registry {
            DOCKER_HUB if !repository.contains('/') => format!("library/{repository}"),
            _ => repository.to_owned(),
        };
        if !is_repository(&repository) {
            return Err(ReferenceError::Repository(rest.to_owned()));
        }
        let tag = tag.map(str::to_owned);
        Ok(Self {
            registry: registry.to_ascii_lowercase(),
            repository,
            tag: tag.or_else(|| digest.is_none().then(|| LATEST.to_owned())),
            digest,
        })
    }
}

/// The registry and the rest. The first part is a registry if it could be no part of a repository
/// or is `localhost`: it has a dot, a port or a large letter.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some(("index.docker.io" | "registry-1.docker.io", rest)) => (DOCKER_HUB, rest),
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.contains(|c: char| c.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DOCKER_HUB, name),
    }
}

/// Whether it is a host name or an address, and perhaps a port.
pub fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((v6, rest)) => {
            if v6.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            match rest.strip_prefix(':') {
                Some(port) => ("v6", Some(port)),
                None if rest.is_empty() => ("v6", None),
                None => return false,
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let port_is_one = |port: &str| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0)
    };
    host.len() <= 253 && host.split('.').all(part) && port.is_none_or(port_is_one)
}

fn is_repository(text: &str) -> bool {
    text.len() <= MAX_REPOSITORY && text.split('/').all(is_component)
}

/// Small letters and digits with one dot, one or two underscores, or dashes between them.
fn is_component(text: &str) -> bool {
    let word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    if !bytes.first().is_some_and(word) || !bytes.last().is_some_and(word) {
        return false;
    }
    bytes.split(word).all(|between| match between {
        [] | b"." | b"_" | b"__" => true,
        dashes => dashes.iter().all(|b| *b == b'-'),
    })
}

fn is_tag(text: &str) -> bool {
    (1..=MAX_TAG).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_completed_as_docker_does() {
        let digest = Digest::of(b"x").to_string();
        for (name, whole) in [
            ("debian", "docker.io/library/debian:latest".to_owned()),
            ("docker.io/debian:12", "docker.io/library/debian:12".into()),
            ("index.docker.io/a/b", "docker.io/a/b:latest".into()),
            ("e2bdev/base", "docker.io/e2bdev/base:latest".into()),
            ("localhost/x:1", "localhost/x:1".into()),
            ("localhost:5000/x", "localhost:5000/x:latest".into()),
            ("127.0.0.1:5000/a/b/c:t", "127.0.0.1:5000/a/b/c:t".into()),
            ("[::1]:5000/x", "[::1]:5000/x:latest".into()),
            ("GHCR.io/a__b/c-d.e", "ghcr.io/a__b/c-d.e:latest".into()),
            (
                &format!("quay.io/x@{digest}"),
                format!("quay.io/x@{digest}"),
            ),
            (
                &format!("quay.io/x:1@{digest}"),
                format!("quay.io/x:1@{digest}"),
            ),
        ] {
            let reference: Reference = name.parse().unwrap();
            assert_eq!(reference.to_string(), whole, "{name}");
            assert_eq!(whole.parse(), Ok(reference));
        }
        let reference: Reference = "a.b/c/d:e".parse().unwrap();
        assert_eq!(
            (reference.short_name(), reference.wanted()),
            ("d", "e".into())
        );
        let exact = reference.at(Digest::of(b"x"));
        assert_eq!(exact.wanted(), digest);
    }

    #[test]
    fn what_names_no_image_is_refused() {
        for name in [
            "",
            ":tag",
            "/x",
            "x/",
            "x//y",
            "a/../b",
            "a/.b",
            "a/b:",
            "a/b:-x",
            "a/b:x/y",
            "a/b:x y",
            "Debian",
            "a/B",
            "a___b",
            "a._b",
            "a.b:0/x",
            "a.b:70000/x",
            "a.b:+1/x",
            "a..b/x",
            "user@a.b/x",
            "http://a.b/x",
            "a.b/x@sha256:12",
            "[::1/x",
            "[::1]x/y",
            "a.b/x?y",
            "a.b/x%2f",
            &"x".repeat(256),
            &format!("x:{}", "y".repeat(129)),
            &"x/".repeat(600),
        ] {
            assert!(name.parse::<Reference>().is_err(), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_reads_back_the_same(name in "[a-zA-Z0-9._:/@\\[\\]-]{0,40}") {
            if let Ok(reference) = name.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse(), Ok(reference.clone()));
                prop_assert!(!reference.repository().contains(".."));
            }
        }
    }
}
