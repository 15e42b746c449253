//! How the host reaches the registries of pip and npm, handed to a recipe that installs from them.
//!
//! What a recipe gets in its directory of inputs:
//!
//! | Path | What |
//! |---|---|
//! | `pip.conf` | of pip's settings for all users of the host: where packages are, and proxies |
//! | `npmrc` | the same of npm's |
//! | `ca-certificates.crt` | the certificates that the host trusts |
//!
//! Only settings by these names are taken, and none with a password or an address of the host's own
//! loopback. Files that not every user of the host may read stay behind, and so do the settings of
//! single users: those are where people keep their passwords.

use crate::host::HostRoot;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

/// The longest file that is read. Debian's certificates are 220 KB.
const MAX_BYTES: u64 = 1 << 20;

/// pip's settings for all users, the later ones weightier.
const PIP_FILES: [&str; 2] = ["etc/xdg/pip/pip.conf", "etc/pip.conf"];
/// What of them is handed over.
const PIP_NAMES: [&str; 6] = [
    "index-url",
    "extra-index-url",
    "trusted-host",
    "proxy",
    "timeout",
    "retries",
];

/// npm's settings for all users: of npm below `/usr/local`, of a distribution's, of npm below `/usr`.
const NPM_FILES: [&str; 3] = ["usr/local/etc/npmrc", "etc/npmrc", "usr/etc/npmrc"];
/// What of them is handed over.
const NPM_NAMES: [&str; 6] = [
    "registry",
    "proxy",
    "https-proxy",
    "noproxy",
    "fetch-timeout",
    "fetch-retries",
];

/// Where distributions keep all certificates in one file.
const CERTIFICATES: [&str; 3] = [
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
];

/// Writes what a recipe needs to use the host's registries into the directory `inputs`. All three
/// files are there then, empty if the host says nothing.
///
/// # Errors
/// When a file of the host cannot be read, or one for the recipe not be written.
pub fn hand_over(host: &HostRoot, inputs: &Path) -> io::Result<()> {
    let mut pip = Settings::new();
    for path in PIP_FILES {
        pip.extend(pip_settings(&text(host, path)?));
    }
    let mut npm = Settings::new();
    for path in NPM_FILES {
        npm.extend(npm_settings(&text(host, path)?));
    }
    fs::write(
        inputs.join("pip.conf"),
        format!("[global]\n{}", lines(&pip)),
    )?;
    fs::write(inputs.join("npmrc"), lines(&npm))?;
    let mut certificates = String::new();
    for path in CERTIFICATES {
        certificates = text(host, path)?;
        if !certificates.is_empty() {
            break;
        }
    }
    fs::write(inputs.join("ca-certificates.crt"), certificates)
}

/// Names and values.
type Settings = BTreeMap<String, String>;

/// The text of a regular file that every user of the host may read; empty when it is none.
fn text(host: &HostRoot, path: &str) -> io::Result<String> {
    let path = Path::new(path);
    // A link leads to the file, or nowhere.
    let Ok(real) = host.real(path) else {
        return Ok(String::new());
    };
    if !host.readable_by_all(&real)? {
        return Ok(String::new());
    }
    let content = match host.read(&real, MAX_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => None,
        content => content?,
    };
    Ok(content
        .and_then(|content| String::from_utf8(content).ok())
        .unwrap_or_default())
}

/// What of pip's settings is handed over. A value's further lines are indented; `[install]` holds
/// for what a recipe does too.
fn pip_settings(text: &str) -> Settings {
    let mut settings = Settings::new();
    let mut section = String::new();
    let mut last: Option<String> = None;
    for line in text.lines() {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = content.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
            last = None;
        } else if line.starts_with([' ', '\t']) {
            let value = last.as_ref().and_then(|name| settings.get_mut(name));
            if let Some(value) = value.filter(|_| is_harmless(content)) {
                value.push(' ');
                value.push_str(content);
            }
        } else if let Some((name, value)) = content.split_once(['=', ':'])
            && matches!(section.as_str(), "global" | "install")
        {
            last = take(
                &PIP_NAMES,
                &name.trim().replace('_', "-"),
                value,
                &mut settings,
            );
        } else {
            last = None;
        }
    }
    settings.retain(|_, value| !value.trim().is_empty());
    settings
}

/// What of npm's settings is handed over.
fn npm_settings(text: &str) -> Settings {
    let mut settings = Settings::new();
    for line in text.lines() {
        if let Some((name, value)) = line.split_once('=') {
            take(&NPM_NAMES, name.trim(), value, &mut settings);
        }
    }
    settings.retain(|_, value| !value.is_empty());
    settings
}

/// Takes a setting that has one of the names and a harmless value, and gives its name. One with another
/// value is not there.
fn take(names: &[&str], name: &str, value: &str, settings: &mut Settings) -> Option<String> {
    if !names.contains(&name) {
        return None;
    }
    let value = value.trim().trim_matches('"');
    let value = if is_harmless(value) { value } else { "" };
    settings.insert(name.to_owned(), value.to_owned());
    Some(name.to_owned())
}

/// Whether a value has neither a password nor a variable of the host's environment in it, and names
/// nothing on the host itself, which a sandbox cannot reach.
fn is_harmless(value: &str) -> bool {
    let own = ["//localhost", "//127.", "//[::1]", "file:"];
    !value.contains(['@', '$', '%', '\0']) && !own.iter().any(|own| value.contains(own))
}

fn lines(settings: &Settings) -> String {
    let mut text = String::new();
    for (name, value) in settings {
        let _ = writeln!(text, "{name} = {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Owners;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn addresses_are_handed_over_and_passwords_are_not() {
        let ground = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = ground.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        fs::set_permissions(ground.path(), fs::Permissions::from_mode(0o755)).unwrap();
        write(
            "etc/pip.conf",
            "[global]\n; ours\nindex_url = https://mirror.example/simple\ncert = /etc/x\n\
             extra-index-url =\n    https://me:SECRET@private.example/simple\n    https://b.example/\n\
             find-links = /opt/wheels\nproxy: http://127.0.0.1:3128\n[download]\nretries = 9\n",
        );
        write("etc/xdg/pip/pip.conf", "[install]\ntimeout=50\n");
        write(
            "etc/npmrc",
            "registry = \"https://npm.example/\"\n//npm.example/:_authToken=SECRET\n\
             https-proxy=http://me:SECRET@proxy.example\nnoproxy=${NO}\n",
        );
        write("certs/all", "CERTIFICATES");
        fs::create_dir_all(ground.path().join("etc/ssl/certs")).unwrap();
        let bundle = ground.path().join("etc/ssl/certs/ca-certificates.crt");
        symlink("/certs/all", bundle).unwrap();
        let inputs = ground.path().join("inputs");
        fs::create_dir(&inputs).unwrap();
        let host = HostRoot::at(ground.path(), Owners::default()).unwrap();
        hand_over(&host, &inputs).unwrap();
        let read = |name: &str| fs::read_to_string(inputs.join(name)).unwrap();
        assert_eq!(
            read("pip.conf"),
            "[global]\nextra-index-url =  https://b.example/\n\
             index-url = https://mirror.example/simple\ntimeout = 50\n"
        );
        assert_eq!(read("npmrc"), "registry = https://npm.example/\n");
        assert_eq!(read("ca-certificates.crt"), "CERTIFICATES");

        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(ground.path().join("etc/pip.conf"), private).unwrap();
        hand_over(&host, &inputs).unwrap();
        assert_eq!(read("pip.conf"), "[global]\ntimeout = 50\n");
    }

    #[test]
    fn a_host_that_says_nothing_hands_over_nothing() {
        let ground = tempfile::tempdir().unwrap();
        let host = HostRoot::at(ground.path(), Owners::default()).unwrap();
        hand_over(&host, ground.path()).unwrap();
        for (name, text) in [
            ("pip.conf", "[global]\n"),
            ("npmrc", ""),
            ("ca-certificates.crt", ""),
        ] {
            assert_eq!(fs::read_to_string(ground.path().join(name)).unwrap(), text);
        }
    }
}
