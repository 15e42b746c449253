//! A directory of this machine that a sandbox's files are put into. Names come from the sandbox and may be
//! anything: each is one name below the directory that is open, and no link is ever followed.

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::path::Path;

/// An open directory.
pub(super) struct Ground(OwnedFd);

/// A file that is being written, under a name that nobody can guess. Without [`Draft::keep`] it goes.
pub(super) struct Draft<'g> {
    ground: &'g Ground,
    name: String,
    kept: bool,
}

impl Ground {
    /// A directory that the caller named, links included: that is the caller's affair.
    pub(super) fn named(path: &Path) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, path, flags, Mode::empty()).map(Self)
    }

    /// A directory below this one, made if it is missing. A link in its place is refused.
    pub(super) fn below(&self, name: &str) -> Result<Self, Errno> {
        match mkdirat(&self.0, name, Mode::from(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.0, name, flags, Mode::empty()).map(Self)
    }

    /// A new file, with or without the mark of a program.
    pub(super) fn draft(&self, program: bool) -> Result<(Draft<'_>, File), Errno> {
        let mut random = [0; 16];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let name = format!(".soulbox-{:032x}", u128::from_ne_bytes(random));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = if program { 0o777 } else { 0o666 };
        let file = openat(&self.0, &name, flags, Mode::from(mode))?;
        let draft = Draft {
            ground: self,
            name,
            kept: false,
        };
        Ok((draft, file.into()))
    }
}

impl Draft<'_> {
    /// Gives it its name. What was there is replaced, a link too.
    pub(super) fn keep(mut self, name: &str) -> Result<(), Errno> {
        renameat(&self.ground.0, &self.name, &self.ground.0, name)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.kept {
            let _ = unlinkat(&self.ground.0, &self.name, AtFlags::empty());
        }
    }
}

/// Whether a name of the sandbox is one name: no path, nothing that climbs.
pub(super) fn is_one_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_is_followed_and_no_name_climbs() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        std::fs::create_dir(path("target")).unwrap();
        std::fs::create_dir(path("elsewhere")).unwrap();
        std::fs::write(path("precious"), "kept").unwrap();
        symlink(path("elsewhere"), path("target/dir")).unwrap();
        symlink(path("precious"), path("target/file")).unwrap();
        let ground = Ground::named(&path("target")).unwrap();
        assert!(ground.below("dir").is_err());
        let (draft, _) = ground.draft(false).unwrap();
        draft.keep("file").unwrap();
        assert_eq!(std::fs::read_to_string(path("precious")).unwrap(), "kept");
        assert!(path("target/file").symlink_metadata().unwrap().is_file());
        assert_eq!(std::fs::read_dir(path("elsewhere")).unwrap().count(), 0);
        for bad in ["", ".", "..", "a/b", "/etc", "x\0y"] {
            assert!(!is_one_name(bad), "{bad:?}");
        }
        assert!(is_one_name("..."));
    }

    #[test]
    fn what_is_not_finished_goes() {
        let root = tempfile::tempdir().unwrap();
        let ground = Ground::named(root.path()).unwrap();
        drop(ground.draft(true).unwrap());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
