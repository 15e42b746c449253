//! What template `host` carries over from the host's `/etc`, as data, and the copying of it.
//!
//! Only what is listed comes along, and of that only what every user of the host may read. A file
//! with a private key in it stays behind wherever it is.

use super::root::HostRoot;
use crate::tree::{Owner, Tree};
use rustix::fs::{FileType, Stat};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// An entry that is carried over, and why.
#[derive(Debug)]
pub struct Carried {
    /// Its path, relative to the root. `*` at the end of a component stands for any text.
    pub path: &'static str,
    /// Who needs it.
    pub why: &'static str,
}

macro_rules! carried {
    ($($path:literal: $why:literal,)*) => {
        &[$(Carried { path: $path, why: $why },)*]
    };
}

/// The entries that are carried over.
pub const CARRIED: &[Carried] = carried! {
    "etc/alternatives": "commands such as cc, java and editor are links into it",
    "etc/ld.so.conf": "ldconfig, after libraries were installed in the sandbox",
    "etc/ld.so.conf.d": "included by ld.so.conf",
    "etc/ld.so.cache": "libraries outside of the linker's built-in directories are found with it",
    "etc/ssl/certs": "TLS: the certificates that programs trust, Java's among them",
    "etc/ssl/openssl.cnf": "programs with OpenSSL read it at start",
    "etc/ca-certificates.conf": "update-ca-certificates",
    "etc/ca-certificates": "hooks of update-ca-certificates",
    "etc/java-*": "the Java runtime's own links lead here: security settings, logging",
    "etc/.java": "system preferences of the Java runtime",
    "etc/maven/m2.conf": "the start script of Maven; its settings may hold passwords and stay",
    "etc/maven/logging": "the logger of Maven",
    "etc/fonts": "programs that draw text",
    "etc/mime.types": "types of files, in Python's mimetypes too",
    "etc/mailcap": "types of files",
    "etc/magic": "the command file",
    "etc/magic.mime": "the command file",
    "etc/perl": "Perl's site settings",
    "etc/python*": "the site customisation of Debian's Python",
    "etc/php/*/cli": "settings of the PHP command",
    "etc/php/*/mods-available": "the PHP command's settings link to it",
    "etc/R": "R does not start without",
    "etc/julia": "Julia's start file",
    "etc/octave*": "Octave's start files",
    "etc/mono": "Mono's maps of libraries",
    "etc/dotnet": "where .NET is installed",
    "etc/ImageMagick-*": "ImageMagick's policy",
    "etc/matplotlibrc": "Debian's matplotlib does not start without",
    "etc/OpenCL": "the list of OpenCL drivers",
    "etc/glvnd": "the list of OpenGL drivers",
    "etc/vulkan": "the list of Vulkan drivers",
    "etc/dictionaries-common": "/usr/share/dict/words is a link into it",
    "etc/groff": "formatting of manual pages",
    "etc/manpath.config": "where manual pages are",
    "etc/vim": "vim's defaults",
    "etc/xml": "catalogues of XML tools",
    "etc/sgml": "catalogues of SGML tools",
    "etc/protocols": "getprotobyname",
    "etc/services": "getservbyname",
    "etc/rpc": "getrpcbyname",
    "etc/ethertypes": "names of Ethernet types",
    "etc/gai.conf": "the order of addresses",
    "etc/host.conf": "the resolver",
    "etc/os-release": "programs that ask which distribution this is",
    "etc/debian_version": "programs that ask which Debian this is",
    "etc/lsb-release": "programs that ask which Ubuntu this is",
    "etc/dpkg/origins": "dpkg-vendor, which build tools ask",
    "etc/terminfo": "terminals that are not in /usr",
    "etc/inputrc": "line editing",
    "etc/locale.alias": "names of locales",
    "etc/locale.conf": "the default locale on some distributions",
    "etc/login.defs": "useradd and su",
};

/// The most bytes that are carried over; Debian with Java and fonts has 3 MB.
const MAX_BYTES: u64 = 64 << 20;
/// The most entries that are carried over; Debian with Java and fonts has 1,500.
const MAX_ENTRIES: u32 = 50_000;
/// The longest file that is carried over.
const MAX_FILE: u64 = 16 << 20;
/// The deepest directory that is carried over.
const MAX_DEPTH: usize = 16;

/// Where the paths of [`CARRIED`] lead on this host, in order, those that exist.
///
/// # Errors
/// When a directory of the host cannot be read.
pub fn found(host: &HostRoot) -> io::Result<Vec<PathBuf>> {
    let mut search = Search {
        host,
        listed: HashMap::new(),
        found: Vec::new(),
    };
    for carried in CARRIED {
        search.expand(Path::new(""), carried.path)?;
    }
    search.found.sort();
    Ok(search.found)
}

/// Finds the paths that a pattern stands for.
struct Search<'a> {
    host: &'a HostRoot,
    /// The names in directories that were listed; several patterns share `/etc`.
    listed: HashMap<PathBuf, Vec<OsString>>,
    found: Vec<PathBuf>,
}

impl Search<'_> {
    /// Adds what `rest` stands for below the directory `at`.
    fn expand(&mut self, at: &Path, rest: &str) -> io::Result<()> {
        let Some((before, after)) = rest.split_once('*') else {
            let path = at.join(rest);
            if self.host.state(&path)?.is_some() {
                self.found.push(path);
            }
            return Ok(());
        };
        let (above, prefix) = before.rsplit_once('/').unwrap_or(("", before));
        let directory = at.join(above);
        for name in self.list(&directory)? {
            if name.as_bytes().starts_with(prefix.as_bytes()) {
                let path = directory.join(name);
                match after.strip_prefix('/') {
                    Some(after) => self.expand(&path, after)?,
                    None => self.found.push(path),
                }
            }
        }
        Ok(())
    }

    fn list(&mut self, directory: &Path) -> io::Result<Vec<OsString>> {
        if let Some(names) = self.listed.get(directory) {
            return Ok(names.clone());
        }
        let is_directory = |stat: Stat| FileType::from_raw_mode(stat.st_mode).is_dir();
        let names = match self.host.state(directory)?.is_some_and(is_directory) {
            true => self.host.list(directory)?,
            false => Vec::new(),
        };
        self.listed.insert(directory.to_owned(), names.clone());
        Ok(names)
    }
}

/// True when `path` is an entry of [`CARRIED`] or below one.
fn is_carried(path: &Path) -> bool {
    CARRIED.iter().any(|carried| {
        let mut parts = path.components();
        Path::new(carried.path).components().all(|pattern| {
            let (pattern, Some(part)) = (pattern.as_os_str().as_bytes(), parts.next()) else {
                return false;
            };
            let part = part.as_os_str().as_bytes();
            match pattern.strip_suffix(b"*") {
                Some(prefix) => part.starts_with(prefix),
                None => part == pattern,
            }
        })
    })
}

/// Copies everything that is carried over from `host` into `tree`.
///
/// # Errors
/// When there is more than could be meant, or a file can neither be read nor written.
pub fn copy(host: &HostRoot, tree: &Tree) -> io::Result<()> {
    let mut copy = Copy {
        host,
        tree,
        bytes: MAX_BYTES,
        entries: MAX_ENTRIES,
    };
    for path in found(host)? {
        if let Some(above) = path.parent() {
            tree.directories(above)?;
        }
        copy.entry(&path, 0).map_err(|error| {
            io::Error::new(error.kind(), format!("/{}: {error}", path.display()))
        })?;
    }
    Ok(())
}

struct Copy<'a> {
    host: &'a HostRoot,
    tree: &'a Tree,
    /// How many more bytes may be copied.
    bytes: u64,
    /// How many more entries may be copied.
    entries: u32,
}

impl Copy<'_> {
    fn entry(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        let Some(stat) = self.host.stat(path)? else {
            return Ok(());
        };
        self.entries = self.entries.checked_sub(1).ok_or_else(too_much)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => self.link(path),
            FileType::RegularFile => self.file(path, path),
            FileType::Directory if stat.st_mode & 0o005 == 0o005 => {
                if depth == MAX_DEPTH {
                    return Err(too_much());
                }
                self.tree.directory(path, 0o755, Owner::Root)?;
                for name in self.host.list(path)? {
                    self.entry(&path.join(name), depth + 1)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Copies the file `from` to `to` unless it is not for everybody.
    fn file(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let Some(stat) = self.host.stat(from)? else {
            return Ok(());
        };
        if !self.host.readable_by_all(from)? {
            return Ok(());
        }
        let Some(content) = self.host.read(from, MAX_FILE)? else {
            return Ok(());
        };
        if has_private_key(&content) {
            return Ok(());
        }
        self.bytes = (self.bytes.checked_sub(content.len() as u64)).ok_or_else(too_much)?;
        let mode = if stat.st_mode & 0o111 == 0 {
            0o644
        } else {
            0o755
        };
        self.tree.file(to, mode, Owner::Root, content)
    }

    /// Carries a link over if it leads to something that the sandbox has too. If it leads to a
    /// small file elsewhere, that file takes its place. Otherwise it is left out.
    fn link(&mut self, path: &Path) -> io::Result<()> {
        let target = self.host.link(path)?;
        let leads_to = follow(path.parent().unwrap_or(Path::new("")), &target);
        if leads_to.starts_with("usr") || in_usr(&leads_to) || is_carried(&leads_to) {
            return self.tree.link(path, target);
        }
        let Ok(real) = self.host.real(path) else {
            return Ok(());
        };
        match self.host.stat(&real)? {
            // A program alone would not run: its libraries stay behind.
            Some(stat)
                if FileType::from_raw_mode(stat.st_mode).is_file() && stat.st_mode & 0o111 == 0 =>
            {
                self.file(&real, path)
            }
            _ => Ok(()),
        }
    }
}

/// Where `target`, written in the directory `from`, leads, by the names alone.
fn follow(from: &Path, target: &Path) -> PathBuf {
    let mut path = from.to_owned();
    for part in target.components() {
        match part {
            Component::RootDir | Component::Prefix(_) => path = PathBuf::new(),
            Component::CurDir => {}
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
        }
    }
    path
}

/// True for the top directories that are links into `usr`.
fn in_usr(path: &Path) -> bool {
    path.components()
        .next()
        .is_some_and(|top| is_merged_name(top.as_os_str()))
}

/// True for the names that a merged `/usr` has a link for: `bin`, `sbin`, `lib`, `lib64`, ….
pub(super) fn is_merged_name(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name == b"bin" || name == b"sbin" || name.starts_with(b"lib")
}

fn has_private_key(content: &[u8]) -> bool {
    const MARK: &[u8] = b"PRIVATE KEY-----";
    content.windows(MARK.len()).any(|window| window == MARK)
}

fn too_much() -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        "the directory is larger than what a tool chain's settings can be",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_by_their_names() {
        for (from, target, to) in [
            ("etc/alternatives", "/usr/bin/gcc", "usr/bin/gcc"),
            ("etc", "../usr/lib/os-release", "usr/lib/os-release"),
            ("etc", "../../../usr/x", "usr/x"),
            ("etc/ssl/certs", "a.pem", "etc/ssl/certs/a.pem"),
            ("etc", "/root/./x", "root/x"),
        ] {
            assert_eq!(follow(Path::new(from), Path::new(target)), Path::new(to));
        }
    }

    #[test]
    fn carried_paths_are_known_by_whole_components() {
        for yes in [
            "etc/alternatives/cc",
            "etc/java-17-openjdk/x",
            "etc/php/8.2/cli/php.ini",
        ] {
            assert!(is_carried(Path::new(yes)), "{yes}");
        }
        for no in [
            "etc",
            "etc/shadow",
            "etc/alternatives2",
            "etc/php/8.2/fpm/x",
            "etc/ssl/private",
        ] {
            assert!(!is_carried(Path::new(no)), "{no}");
        }
    }

    #[test]
    fn every_entry_has_a_reason_and_stays_in_etc() {
        for carried in CARRIED {
            assert!(
                !carried.why.is_empty() && carried.path.starts_with("etc/"),
                "{carried:?}"
            );
            let secrets = [
                "shadow",
                "ssh",
                "private",
                "machine-id",
                "gitconfig",
                "environment",
            ];
            assert!(
                !secrets.iter().any(|secret| carried.path.contains(secret)),
                "{carried:?}"
            );
        }
    }
}
