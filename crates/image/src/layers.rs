//! The layers that a sandbox's root is made of, and looking things up in them from outside.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

/// Where programs are looked up, best first; also the default `PATH` in a sandbox.
pub const PROGRAM_DIRECTORIES: &[&str] = &[
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// Links followed on the way to one file before it is given up, as Linux does (`MAXSYMLINKS`).
const MAX_LINKS: u32 = 40;

/// The attributes of an opaque directory, of trees that root and that ordinary users make.
pub const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// The read-only layers of a template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layers {
    /// The directory on the host that becomes `/`.
    pub rootfs: PathBuf,
    /// Trees that show through `rootfs`, the uppermost first, in the form of overlayfs: what an
    /// upper one removes is a character device 0:0 in it, and a directory of which nothing below
    /// shows has the attribute `overlay.opaque`.
    pub below: Vec<PathBuf>,
    /// The directory on the host that becomes `/usr`, if that is not in `rootfs`.
    pub usr: Option<PathBuf>,
}

/// A file as a process in the sandbox would find it.
#[derive(Debug)]
pub struct Found {
    /// Its path in the sandbox, without links.
    pub guest: PathBuf,
    /// Its path on the host.
    pub host: PathBuf,
    /// What it is. Never a link.
    pub metadata: Metadata,
}

impl Layers {
    /// Looks up an absolute path of the sandbox. Links are followed within the layers, by their
    /// text and not by Linux, so that none leads out of them. `None` when nothing is there.
    pub fn find(&self, path: &Path) -> Option<Found> {
        let mut todo: VecDeque<OsString> = normal_parts(path).collect();
        let mut guest = PathBuf::from("/");
        let (mut host, mut metadata) = self.on_host(&guest)?;
        let mut links = 0;
        while let Some(part) = todo.pop_front() {
            if part == ".." {
                guest.pop();
                continue;
            }
            let next = guest.join(&part);
            (host, metadata) = self.on_host(&next)?;
            if metadata.is_symlink() {
                links += 1;
                if links > MAX_LINKS {
                    return None;
                }
                let target = std::fs::read_link(&host).ok()?;
                if target.is_absolute() {
                    guest = PathBuf::from("/");
                }
                for part in normal_parts(&target).collect::<Vec<_>>().into_iter().rev() {
                    todo.push_front(part);
                }
            } else {
                guest = next;
            }
        }
        // A path can end in `..` or in a link to a directory above.
        if metadata.is_symlink() || self.on_host(&guest)?.0 != host {
            (host, metadata) = self.on_host(&guest)?;
        }
        Some(Found {
            guest,
            host,
            metadata,
        })
    }

    /// The path in the sandbox of the program `name`; `None` when the layers do not have it.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        if name.is_empty() || name.contains('/') {
            return None;
        }
        PROGRAM_DIRECTORIES.iter().find_map(|directory| {
            let path = Path::new(directory).join(name);
            let found = self.find(&path)?;
            let runs = found.metadata.is_file() && found.metadata.mode() & 0o111 != 0;
            runs.then_some(path)
        })
    }

    /// The text of a regular file of at most `limit` bytes.
    ///
    /// # Errors
    /// When there is no such file, or it is longer, or no UTF-8.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<String> {
        let found = self.find(path).ok_or(io::ErrorKind::NotFound)?;
        if !found.metadata.is_file() || found.metadata.len() > limit {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let no_follow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let file = File::options()
            .read(true)
            .custom_flags(i32::try_from(no_follow.bits()).unwrap_or(0))
            .open(&found.host)?;
        let mut text = String::new();
        file.take(limit).read_to_string(&mut text)?;
        Ok(text)
    }

    /// Where a path of the sandbox without links is on the host, and what it is.
    fn on_host(&self, guest: &Path) -> Option<(PathBuf, Metadata)> {
        if let (Some(usr), Ok(below)) = (&self.usr, guest.strip_prefix("/usr")) {
            let host = join(usr, below);
            let metadata = std::fs::symlink_metadata(&host).ok()?;
            return Some((host, metadata));
        }
        let relative = guest.strip_prefix("/").unwrap_or(guest);
        for tree in std::iter::once(&self.rootfs).chain(&self.below) {
            match look(tree, relative, !self.below.is_empty()) {
                Look::There(found) => return Some(*found),
                Look::Through => {}
                Look::Covered => return None,
            }
        }
        None
    }
}

/// What one tree of several says of a path.
enum Look {
    /// It is there.
    There(Box<(PathBuf, Metadata)>),
    /// Nothing: the trees below decide.
    Through,
    /// Whatever the trees below have, it does not show.
    Covered,
}

/// Looks a path without links up in one tree; `covers`: of several, so that what it removes counts.
fn look(tree: &Path, path: &Path, covers: bool) -> Look {
    let mut host = tree.to_owned();
    let Ok(mut metadata) = std::fs::symlink_metadata(&host) else {
        return Look::Through;
    };
    let mut opaque = false;
    for part in path {
        // What was a directory below may be something else here.
        if !metadata.is_dir() {
            return Look::Covered;
        }
        opaque |= covers && is_opaque(&host);
        host.push(part);
        match std::fs::symlink_metadata(&host) {
            Ok(found) if covers && is_whiteout(&found) => return Look::Covered,
            Ok(found) => metadata = found,
            Err(_) if opaque => return Look::Covered,
            Err(_) => return Look::Through,
        }
    }
    Look::There(Box::new((host, metadata)))
}

/// Whether an entry of a layer says that the name is gone: a character device 0:0
/// ([overlayfs](https://docs.kernel.org/filesystems/overlayfs.html#whiteouts-and-opaque-directories)).
pub fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

/// Whether nothing of what is below a directory of a layer shows.
pub fn is_opaque(directory: &Path) -> bool {
    OPAQUE.iter().any(|name| {
        let mut value = [0; 2];
        matches!(rustix::fs::lgetxattr(directory, *name, &mut value), Ok(1) if value[0] == b'y')
    })
}

/// Joins without the slash at the end that an empty path would leave.
fn join(directory: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() {
        return directory.to_owned();
    }
    directory.join(below)
}

fn normal_parts(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A root with its own `/etc` over the `/usr` of a host, and a secret beside both.
    fn layers() -> (tempfile::TempDir, Layers) {
        let ground = tempfile::tempdir().unwrap();
        let (root, usr) = (ground.path().join("root"), ground.path().join("usr"));
        fs::create_dir_all(root.join("etc/alternatives")).unwrap();
        fs::create_dir_all(root.join("usr")).unwrap();
        fs::create_dir_all(usr.join("bin")).unwrap();
        fs::write(usr.join("bin/gcc"), "").unwrap();
        fs::set_permissions(usr.join("bin/gcc"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("/etc/alternatives/cc", usr.join("bin/cc")).unwrap();
        symlink("/usr/bin/gcc", root.join("etc/alternatives/cc")).unwrap();
        symlink("usr/bin", root.join("bin")).unwrap();
        fs::write(ground.path().join("secret"), "secret").unwrap();
        let layers = Layers {
            rootfs: root,
            usr: Some(usr),
            ..Layers::default()
        };
        (ground, layers)
    }

    #[test]
    fn programs_are_found_through_links_across_the_layers() {
        let (_ground, layers) = layers();
        assert_eq!(layers.program("cc"), Some("/usr/bin/cc".into()));
        let found = layers.find(Path::new("/bin/../bin/cc")).unwrap();
        assert_eq!(found.guest, Path::new("/usr/bin/gcc"));
        assert_eq!(
            layers.find(Path::new("/bin/..")).unwrap().guest,
            Path::new("/usr")
        );
        for missing in ["tcc", "", "../bin/gcc", "/usr/bin/gcc"] {
            assert_eq!(layers.program(missing), None, "{missing}");
        }
    }

    #[test]
    fn no_link_leads_out() {
        let (ground, layers) = layers();
        let etc = layers.rootfs.join("etc");
        symlink("../../../../../secret", etc.join("up")).unwrap();
        symlink(ground.path().join("secret"), etc.join("absolute")).unwrap();
        symlink("loop", etc.join("loop")).unwrap();
        for name in ["up", "absolute", "loop"] {
            assert!(
                layers.read(&Path::new("/etc").join(name), 100).is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn reading_is_bounded() {
        let (_ground, layers) = layers();
        fs::write(layers.rootfs.join("etc/long"), "12345").unwrap();
        assert_eq!(layers.read(Path::new("/etc/long"), 5).unwrap(), "12345");
        assert!(layers.read(Path::new("/etc/long"), 4).is_err());
    }

    #[test]
    fn an_upper_tree_hides_removes_and_replaces_what_is_below() {
        let ground = tempfile::tempdir().unwrap();
        let trees: Vec<_> = ["top", "middle", "bottom"]
            .iter()
            .map(|name| ground.path().join(name))
            .collect();
        for tree in &trees {
            fs::create_dir_all(tree.join("etc/deep")).unwrap();
            fs::create_dir_all(tree.join("opt/closed")).unwrap();
        }
        for name in [
            "etc/same",
            "etc/gone",
            "etc/deep/kept",
            "opt/closed/hidden",
            "was",
        ] {
            fs::write(trees[2].join(name), "bottom").unwrap();
        }
        fs::write(trees[1].join("etc/same"), "middle").unwrap();
        let gone = trees[1].join("etc/gone");
        let (kind, mode) = (
            rustix::fs::FileType::CharacterDevice,
            rustix::fs::Mode::empty(),
        );
        rustix::fs::mknodat(rustix::fs::CWD, &gone, kind, mode, 0).unwrap();
        // Whoever may not set the one sets the other.
        let closed = trees[0].join("opt/closed");
        let set = |name| {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::lsetxattr(&closed, name, b"y", flags)
        };
        set(OPAQUE[0]).or_else(|_| set(OPAQUE[1])).unwrap();
        fs::create_dir(trees[0].join("was")).unwrap();
        symlink("../etc", trees[0].join("opt/link")).unwrap();
        let [rootfs, below @ ..] = &trees[..] else {
            unreachable!()
        };
        let layers = Layers {
            rootfs: rootfs.clone(),
            below: below.to_vec(),
            usr: None,
        };
        let read = |path: &str| layers.read(Path::new(path), 10).ok();
        assert_eq!(read("/etc/same").as_deref(), Some("middle"));
        assert_eq!(read("/opt/link/deep/kept").as_deref(), Some("bottom"));
        for path in ["/etc/gone", "/opt/closed/hidden", "/was/x", "/etc/same/x"] {
            assert!(layers.find(Path::new(path)).is_none(), "{path}");
        }
        assert!(layers.find(Path::new("/was")).unwrap().metadata.is_dir());
    }
}
