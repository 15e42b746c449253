//! What template `host` has of its own: directories, and the files of `/etc` that say who and
//! where one is. The files that `base` has too are kept with its recipe.

use super::accounts::Accounts;
use super::carried::is_merged_name;
use super::root::HostRoot;
use crate::tree::{Owner, Tree};
use rustix::fs::FileType;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use Owner::{Root, User};

/// Directories, each after the one that it is in.
const DIRECTORIES: &[(&str, u32, Owner)] = &[
    ("dev", 0o755, Root),
    ("etc", 0o755, Root),
    ("etc/default", 0o755, Root),
    ("etc/pam.d", 0o755, Root),
    ("etc/profile.d", 0o755, Root),
    ("etc/skel", 0o755, Root),
    ("home", 0o755, Root),
    ("home/user", 0o755, User),
    ("media", 0o755, Root),
    ("mnt", 0o755, Root),
    ("opt", 0o755, Root),
    ("proc", 0o755, Root),
    ("root", 0o700, Root),
    ("run", 0o755, Root),
    ("run/lock", 0o1777, Root),
    ("srv", 0o755, Root),
    ("sys", 0o755, Root),
    ("tmp", 0o1777, Root),
    // Here the host's own directory comes, read-only, as a layer below.
    ("usr", 0o755, Root),
    ("var", 0o755, Root),
    ("var/cache", 0o755, Root),
    ("var/lib", 0o755, Root),
    ("var/local", 0o755, Root),
    ("var/log", 0o755, Root),
    ("var/mail", 0o755, Root),
    ("var/opt", 0o755, Root),
    ("var/spool", 0o755, Root),
    ("var/tmp", 0o1777, Root),
];

const LINKS: &[(&str, &str)] = &[
    ("etc/localtime", "/usr/share/zoneinfo/Etc/UTC"),
    ("etc/mtab", "../proc/self/mounts"),
    ("var/lock", "/run/lock"),
    ("var/run", "/run"),
];

macro_rules! of_base {
    ($path:literal) => {
        include_str!(concat!("../../../../templates/base/root/", $path))
    };
}

const FILES: &[(&str, u32, Owner, &str)] = &[
    ("etc/bash.bashrc", 0o644, Root, of_base!("etc/bash.bashrc")),
    ("etc/default/locale", 0o644, Root, "LANG=C.UTF-8\n"),
    ("etc/environment", 0o644, Root, ""),
    ("etc/fstab", 0o644, Root, ""),
    ("etc/hostname", 0o644, Root, of_base!("etc/hostname")),
    ("etc/hosts", 0o644, Root, of_base!("etc/hosts")),
    ("etc/machine-id", 0o444, Root, ""),
    ("etc/nsswitch.conf", 0o644, Root, NSSWITCH),
    ("etc/pam.d/other", 0o644, Root, PAM_OTHER),
    ("etc/pam.d/su", 0o644, Root, PAM_SU),
    ("etc/pam.d/su-l", 0o644, Root, PAM_SU),
    ("etc/pip.conf", 0o644, Root, of_base!("etc/pip.conf")),
    ("etc/profile", 0o644, Root, of_base!("etc/profile")),
    ("etc/resolv.conf", 0o644, Root, of_base!("etc/resolv.conf")),
    (
        "etc/shells",
        0o644,
        Root,
        "/bin/sh\n/bin/bash\n/usr/bin/sh\n/usr/bin/bash\n",
    ),
    (
        "etc/skel/.bashrc",
        0o644,
        Root,
        of_base!("etc/skel/.bashrc"),
    ),
    (
        "etc/skel/.profile",
        0o644,
        Root,
        of_base!("etc/skel/.profile"),
    ),
    ("etc/timezone", 0o644, Root, "Etc/UTC\n"),
    (
        "home/user/.bashrc",
        0o644,
        User,
        of_base!("etc/skel/.bashrc"),
    ),
    (
        "home/user/.profile",
        0o644,
        User,
        of_base!("etc/skel/.profile"),
    ),
    ("root/.bashrc", 0o644, Root, of_base!("etc/skel/.bashrc")),
    ("root/.profile", 0o644, Root, of_base!("etc/skel/.profile")),
];

/// Only where the host has sudo.
const SUDO: &[(&str, u32, Owner, &str)] = &[
    ("etc/pam.d/sudo", 0o644, Root, PAM_SUDO),
    ("etc/pam.d/sudo-i", 0o644, Root, PAM_SUDO),
    ("etc/sudoers", 0o440, Root, SUDOERS),
    (
        "etc/sudoers.d/user",
        0o440,
        Root,
        of_base!("etc/sudoers.d/user"),
    ),
];

const NSSWITCH: &str = "passwd: files\ngroup: files\nshadow: files\ngshadow: files\n\
    hosts: files dns\nnetworks: files\nprotocols: files\nservices: files\nethers: files\n\
    rpc: files\n";

const PAM_OTHER: &str = "auth required pam_deny.so\naccount required pam_permit.so\n\
    password required pam_deny.so\nsession required pam_permit.so\n";

const PAM_SU: &str = "auth sufficient pam_rootok.so\nauth required pam_unix.so\n\
    account required pam_permit.so\nsession required pam_permit.so\n";

const PAM_SUDO: &str = "auth required pam_unix.so\naccount required pam_permit.so\n\
    session required pam_permit.so\n";

const SUDOERS: &str = "Defaults env_reset\n\
    Defaults secure_path=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"\n\
    root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n";

/// The program whose absence means that there is no sudo.
pub(super) const SUDO_PROGRAM: &str = "usr/bin/sudo";

/// A host whose programs are not all in `/usr`.
#[derive(Debug, thiserror::Error)]
#[error(
    "the host's /{0} is a directory of its own and not a link into /usr: install the package \
     usrmerge, or use another template than host"
)]
pub struct NotMerged(pub String);

/// The top links of the host into its `usr`, such as `bin` to `usr/bin`.
///
/// # Errors
/// [`NotMerged`], inside of an I/O error of kind `Unsupported`, when one is a directory.
pub(super) fn merged_links(host: &HostRoot) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let mut links = Vec::new();
    for name in host.list(Path::new(""))? {
        if !is_merged_name(&name) {
            continue;
        }
        let path = PathBuf::from(&name);
        let kind = host
            .stat(&path)?
            .map(|stat| FileType::from_raw_mode(stat.st_mode));
        match host.real(&path) {
            Ok(real) if kind == Some(FileType::Symlink) && real.starts_with("usr") => {
                links.push((path, real));
            }
            _ if kind == Some(FileType::Directory) => {
                let name = name.to_string_lossy().into_owned();
                return Err(io::Error::new(io::ErrorKind::Unsupported, NotMerged(name)));
            }
            _ => {}
        }
    }
    Ok(links)
}

/// Makes everything that the template has of its own. What is carried over is there already and
/// stays where both have it.
///
/// # Errors
/// When the host is not merged or a file cannot be written.
pub(super) fn make(host: &HostRoot, tree: &Tree) -> io::Result<()> {
    for (path, mode, owner) in DIRECTORIES {
        if !tree.has(path) {
            tree.directory(path, *mode, *owner)?;
        }
    }
    for (path, target) in merged_links(host)? {
        tree.link(path, target)?;
    }
    for (path, target) in LINKS {
        tree.link(path, target)?;
    }
    for (path, mode, owner, content) in FILES {
        tree.file(path, *mode, *owner, content)?;
    }
    if host.stat(Path::new(SUDO_PROGRAM))?.is_some() {
        tree.directory("etc/sudoers.d", 0o755, Root)?;
        for (path, mode, owner, content) in SUDO {
            tree.file(path, *mode, *owner, content)?;
        }
    }
    let accounts = Accounts::of(host);
    tree.file("etc/passwd", 0o644, Root, &accounts.passwd)?;
    tree.file("etc/group", 0o644, Root, &accounts.group)?;
    for (path, content) in [
        ("etc/shadow", &accounts.shadow),
        ("etc/gshadow", &accounts.gshadow),
    ] {
        tree.file(path, 0o640, Root, content)?;
        tree.give_to_group(path, accounts.shadow_group)?;
    }
    Ok(())
}

/// Feeds everything above to `hasher`: the result changes when the template's own files do.
pub(super) fn hash_edition(hasher: &mut impl Hasher) {
    (DIRECTORIES, LINKS, FILES, SUDO).hash(hasher);
}
