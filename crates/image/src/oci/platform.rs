//! Which machine an image is for.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A text that names no platform.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no platform; such as linux/amd64 and linux/arm64/v8 are")]
pub struct PlatformError(String);

/// A system and a processor, as Go names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// The system, such as `linux`.
    pub os: String,
    /// The processor, such as `amd64`.
    pub architecture: String,
    /// Which of its kind, such as `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// That of this machine.
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "x86" => ("386", None),
            "aarch64" => ("arm64", Some("v8")),
            "arm" => ("arm", Some("v7")),
            "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", None),
            other => (other, None),
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// How well an image of platform `offered` runs here, the larger the better; `None`: it does not.
    pub fn rank(&self, offered: &Self) -> Option<u32> {
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        let (wanted, offered) = (self.level(), offered.level());
        // An older processor's programs run on a newer one.
        (offered <= wanted).then_some(offered)
    }

    /// The number of the variant: `v8` is 8. Nothing said is what the architecture began with.
    fn level(&self) -> u32 {
        let variant = self.variant.as_deref().unwrap_or_default();
        let number = variant.strip_prefix('v').and_then(|v| v.parse().ok());
        match (self.architecture.as_str(), number) {
            (_, Some(number)) => number,
            ("arm64", None) => 8,
            ("arm", None) => 7,
            ("amd64", None) => 1,
            (_, None) => 0,
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let word = |word: &&str| {
            (1..=32).contains(&word.len())
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts.as_slice() {
            [architecture] => ("linux", *architecture, None),
            [os, architecture] => (*os, *architecture, None),
            [os, architecture, variant] => (*os, *architecture, Some(*variant)),
            _ => return Err(PlatformError(text.to_owned())),
        };
        if !parts.iter().all(word) {
            return Err(PlatformError(text.to_owned()));
        }
        // What `uname -m` says is understood too.
        let architecture = match architecture {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Ok(Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(wanted: &str, offered: &str) -> Option<u32> {
        let parse = |text: &str| text.parse::<Platform>().unwrap();
        parse(wanted).rank(&parse(offered))
    }

    #[test]
    fn older_variants_run_and_newer_ones_do_not() {
        assert_eq!(rank("linux/amd64", "linux/amd64"), Some(1));
        assert_eq!(rank("linux/amd64", "linux/arm64"), None);
        assert_eq!(rank("linux/amd64", "windows/amd64"), None);
        assert_eq!(rank("linux/amd64", "linux/amd64/v3"), None);
        assert_eq!(rank("linux/arm64", "linux/arm64/v8"), Some(8));
        assert_eq!(rank("linux/arm64/v8", "linux/arm64"), Some(8));
        assert!(rank("linux/arm/v7", "linux/arm/v7") > rank("linux/arm/v7", "linux/arm/v6"));
        assert_eq!(rank("linux/arm/v6", "linux/arm/v7"), None);
    }

    #[test]
    fn texts_are_platforms_or_are_not() {
        assert_eq!(
            "x86_64".parse::<Platform>().unwrap().to_string(),
            "linux/amd64"
        );
        for wrong in ["", "/", "linux/", "a/b/c/d", "linux/../x", "a b"] {
            assert!(wrong.parse::<Platform>().is_err(), "{wrong:?}");
        }
        assert_eq!(Platform::host().os, "linux");
    }
}
