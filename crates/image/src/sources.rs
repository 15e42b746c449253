//! The host's package sources, handed to a recipe that builds from them.
//!
//! What a recipe gets in its directory of inputs:
//!
//! | Path | What |
//! |---|---|
//! | `release` | `DISTRIBUTION`, `SUITE` and `SOURCES` (the file below), to be read by a shell |
//! | `apt/sources.list.d/<distribution>.sources` | the distribution's own sources |
//! | `apt/trusted.gpg`, `apt/trusted.gpg.d`, `apt/keyrings` | keys that they are verified with |
//! | `apt/apt.conf`, `apt/apt.conf.d` | apt's settings, proxies among them |
//!
//! Files that not every user of the host may read stay behind, passwords for archives
//! (`auth.conf`) among them.

pub mod choose;
pub mod parse;

use crate::host::HostRoot;
use crate::record::Distribution;
use choose::Chosen;
use parse::{SignedBy, Source};
use rustix::fs::FileType;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The longest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Why the host's package sources cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// The host is neither Debian nor Ubuntu.
    #[error(
        "this recipe needs a host with Debian or Ubuntu and its package sources; this one is {0:?}"
    )]
    Distribution(String),
    /// No source of the distribution is there.
    #[error(
        "no source in /etc/apt is {id}'s own for its release {codename:?} and can be reached over \
         the network; add one, such as a mirror's"
    )]
    None {
        /// The distribution.
        id: String,
        /// Its release.
        codename: String,
    },
    /// A file could neither be read nor copied.
    #[error("cannot read the package sources of the host in /etc/apt")]
    Files(#[from] io::Error),
}

/// Writes what a recipe needs to use the host's package sources into the directory `inputs`.
///
/// # Errors
/// [`SourcesError`].
pub fn hand_over(host: &HostRoot, inputs: &Path) -> Result<(), SourcesError> {
    let release = host.read(Path::new("etc/os-release"), MAX_BYTES)?;
    let release = String::from_utf8(release.unwrap_or_default()).unwrap_or_default();
    let distribution = Distribution::parse(&release);
    if !choose::is_known(&distribution) {
        return Err(SourcesError::Distribution(distribution.id));
    }
    let sources = read_all(host)?;
    let Some(chosen) = choose::choose(&sources, &distribution) else {
        return Err(SourcesError::None {
            id: distribution.id,
            codename: distribution.codename,
        });
    };
    write(&chosen, &distribution.id, inputs)?;
    copy_keys_and_settings(host, &chosen, inputs)?;
    Ok(())
}

/// Reads the host's lists in the order of apt.
fn read_all(host: &HostRoot) -> io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    let directory = Path::new("etc/apt/sources.list.d");
    let names = host.list(directory)?;
    let files = names.iter().map(|name| directory.join(name));
    for path in [PathBuf::from("etc/apt/sources.list")]
        .into_iter()
        .chain(files)
    {
        let parse = match path.extension().and_then(|ending| ending.to_str()) {
            Some("list") => parse::lines,
            Some("sources") => parse::stanzas,
            _ => continue,
        };
        if let Some(text) = text(host, &path)? {
            sources.extend(parse(&text));
        }
    }
    for source in &mut sources {
        source.uris = resolve_mirror_files(host, std::mem::take(&mut source.uris))?;
    }
    Ok(sources)
}

/// The text of a file; `None` when it is missing, too long or no text.
fn text(host: &HostRoot, path: &Path) -> io::Result<Option<String>> {
    if host.stat(path)?.is_none() {
        return Ok(None);
    }
    let content = host.read(path, MAX_BYTES)?;
    Ok(content.and_then(|content| String::from_utf8(content).ok()))
}

/// Debian's cloud images name their mirrors in a file: the sandbox gets what stands in it.
fn resolve_mirror_files(host: &HostRoot, uris: Vec<String>) -> io::Result<Vec<String>> {
    let mut resolved = Vec::new();
    for uri in uris {
        let Some(file) = uri.strip_prefix("mirror+file:") else {
            resolved.push(uri);
            continue;
        };
        let path = Path::new(file.trim_start_matches('/'));
        let text = text(host, path)?.unwrap_or_default();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        resolved.extend(lines.filter_map(|line| Some(line.split_whitespace().next()?.to_owned())));
    }
    Ok(resolved)
}

fn write(chosen: &Chosen, id: &str, inputs: &Path) -> io::Result<()> {
    let directory = inputs.join("apt/sources.list.d");
    fs::create_dir_all(&directory)?;
    let stanzas: Vec<_> = chosen.sources.iter().map(Source::stanza).collect();
    fs::write(directory.join(format!("{id}.sources")), stanzas.join("\n"))?;
    // All three are of letters, digits, dots and dashes, so no shell takes them for anything else.
    let release = format!(
        "DISTRIBUTION={id}\nSUITE={}\nSOURCES=apt/sources.list.d/{id}.sources\n",
        chosen.suite
    );
    fs::write(inputs.join("release"), release)
}

/// Copies what verifies the chosen sources, and apt's settings.
fn copy_keys_and_settings(host: &HostRoot, chosen: &Chosen, inputs: &Path) -> io::Result<()> {
    let mut wanted: Vec<PathBuf> = vec!["trusted.gpg".into(), "apt.conf".into()];
    for directory in ["trusted.gpg.d", "apt.conf.d"] {
        let names = host.list(&Path::new("etc/apt").join(directory))?;
        wanted.extend(names.iter().map(|name| Path::new(directory).join(name)));
    }
    for source in &chosen.sources {
        if let SignedBy::Keyrings(files) = &source.signed_by {
            let below = files
                .iter()
                .filter_map(|file| file.strip_prefix("/etc/apt").ok());
            wanted.extend(below.map(Path::to_owned));
        }
    }
    for path in wanted {
        copy(
            host,
            &Path::new("etc/apt").join(&path),
            &inputs.join("apt").join(&path),
        )?;
    }
    Ok(())
}

/// Copies a regular file that every user of the host may read; leaves out what is none.
fn copy(host: &HostRoot, from: &Path, to: &Path) -> io::Result<()> {
    let regular = |stat: &rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode).is_file();
    let Ok(real) = host.real(from) else {
        return Ok(());
    };
    if !host.stat(&real)?.as_ref().is_some_and(regular) || !host.readable_by_all(&real)? {
        return Ok(());
    }
    if let Some(content) = host.read(&real, MAX_BYTES)? {
        if let Some(above) = to.parent() {
            fs::create_dir_all(above)?;
        }
        fs::write(to, content)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Owners;
    use std::os::unix::fs::PermissionsExt;

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, HostRoot) {
        let ground = tempfile::tempdir().unwrap();
        fs::set_permissions(ground.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (path, text) in files {
            let path = ground.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let host = HostRoot::at(ground.path(), Owners::default()).unwrap();
        (ground, host)
    }

    const DEBIAN: (&str, &str) = ("etc/os-release", "ID=debian\nVERSION_CODENAME=bookworm\n");

    #[test]
    fn a_recipe_gets_sources_keys_and_settings_and_no_password() {
        let (ground, host) = host(&[
            DEBIAN,
            (
                "etc/apt/sources.list",
                "deb [signed-by=/etc/apt/keyrings/debian-archive.gpg] http://m/debian bookworm main\n",
            ),
            ("etc/apt/keyrings/debian-archive.gpg", "key"),
            ("etc/apt/keyrings/other.gpg", "key"),
            ("etc/apt/trusted.gpg.d/debian.asc", "key"),
            (
                "etc/apt/apt.conf.d/proxy",
                "Acquire::http::Proxy \"http://p:3128\";\n",
            ),
            ("etc/apt/apt.conf.d/secret", "SECRET"),
            ("etc/apt/auth.conf.d/x.conf", "password SECRET"),
        ]);
        let secret = ground.path().join("etc/apt/apt.conf.d/secret");
        fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).unwrap();
        let inputs = ground.path().join("inputs");
        hand_over(&host, &inputs).unwrap();
        let text = |path: &str| fs::read_to_string(inputs.join(path)).unwrap();
        assert_eq!(
            text("release"),
            "DISTRIBUTION=debian\nSUITE=bookworm\nSOURCES=apt/sources.list.d/debian.sources\n"
        );
        assert!(text("apt/sources.list.d/debian.sources").contains("URIs: http://m/debian\n"));
        assert_eq!(text("apt/keyrings/debian-archive.gpg"), "key");
        assert!(text("apt/apt.conf.d/proxy").contains("3128"));
        assert!(inputs.join("apt/trusted.gpg.d/debian.asc").exists());
        for left in [
            "apt/keyrings/other.gpg",
            "apt/apt.conf.d/secret",
            "apt/auth.conf.d",
        ] {
            assert!(!inputs.join(left).exists(), "{left}");
        }
    }

    #[test]
    fn mirrors_named_in_a_file_are_resolved() {
        let (ground, host) = host(&[
            DEBIAN,
            (
                "etc/apt/sources.list.d/debian.sources",
                "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\n\
                 Suites: bookworm\nComponents: main\n",
            ),
            (
                "etc/apt/mirrors/debian.list",
                "# ours\nhttps://ftp.de.debian.org/debian priority:1\n",
            ),
        ]);
        let inputs = ground.path().join("inputs");
        hand_over(&host, &inputs).unwrap();
        let sources = fs::read_to_string(inputs.join("apt/sources.list.d/debian.sources")).unwrap();
        assert!(
            sources.contains("URIs: https://ftp.de.debian.org/debian\n"),
            "{sources}"
        );
    }

    #[test]
    fn without_a_source_or_on_another_distribution_it_says_so() {
        let (ground, host_without) = host(&[DEBIAN]);
        let refused = hand_over(&host_without, &ground.path().join("inputs")).unwrap_err();
        assert!(matches!(&refused, SourcesError::None { .. }), "{refused}");
        let (ground, fedora) = host(&[("etc/os-release", "ID=fedora\n")]);
        let refused = hand_over(&fedora, &ground.path().join("inputs")).unwrap_err();
        assert!(refused.to_string().contains("fedora"), "{refused}");
    }
}
