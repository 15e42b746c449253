//! Writing a tree that is being made: owners and modes are always given, never inherited.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

/// Whom the files of a tree belong to on disk. Inside a sandbox the same numbers are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owners {
    /// User and group of root.
    pub root: (u32, u32),
    /// User and group of the default user.
    pub user: (u32, u32),
}

impl Default for Owners {
    fn default() -> Self {
        Self {
            root: (0, 0),
            user: (1000, 1000),
        }
    }
}

/// Whom an entry belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// Root.
    Root,
    /// The default user.
    User,
}

/// A tree that is being made. Paths are relative to its root; nothing in it is hostile yet.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    owners: Owners,
}

impl Tree {
    /// Makes the root of a tree, mode 0755.
    ///
    /// # Errors
    /// When the directory exists or cannot be made.
    pub fn create(root: &Path, owners: Owners) -> io::Result<Self> {
        let tree = Self {
            root: root.to_owned(),
            owners,
        };
        tree.directory("", 0o755, Owner::Root)?;
        Ok(tree)
    }

    /// Makes a directory. The one above it exists.
    ///
    /// # Errors
    /// When it exists or cannot be made.
    pub fn directory(&self, path: impl AsRef<Path>, mode: u32, owner: Owner) -> io::Result<()> {
        let path = self.root.join(path);
        fs::create_dir(&path)?;
        self.own(&path, owner)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
    }

    /// Makes a file. Its directory exists, it does not.
    ///
    /// # Errors
    /// When it exists or cannot be written.
    pub fn file(
        &self,
        path: impl AsRef<Path>,
        mode: u32,
        owner: Owner,
        content: impl AsRef<[u8]>,
    ) -> io::Result<()> {
        let path = self.root.join(path);
        let mut file = fs::File::create_new(&path)?;
        io::Write::write_all(&mut file, content.as_ref())?;
        // A change of owner clears the setuid bits, so the mode comes last.
        self.own(&path, owner)?;
        file.set_permissions(fs::Permissions::from_mode(mode))
    }

    /// Makes a link to `target`.
    ///
    /// # Errors
    /// When it exists or cannot be made.
    pub fn link(&self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> io::Result<()> {
        let path = self.root.join(path);
        symlink(target, &path)?;
        self.own(&path, Owner::Root)
    }

    /// Gives an entry of root's to another group, which does not change its mode.
    ///
    /// # Errors
    /// When it is missing or may not be given away.
    pub fn give_to_group(&self, path: impl AsRef<Path>, group: u32) -> io::Result<()> {
        // Where root is played by somebody else, so are its groups.
        if self.owners != Owners::default() {
            return Ok(());
        }
        lchown(self.root.join(path), None, Some(group))
    }

    /// True when something is at `path`, be it a link that leads nowhere.
    pub fn has(&self, path: impl AsRef<Path>) -> bool {
        fs::symlink_metadata(self.root.join(path)).is_ok()
    }

    /// Makes the missing directories down to `path`, mode 0755.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn directories(&self, path: &Path) -> io::Result<()> {
        let mut made = PathBuf::new();
        for part in path {
            made.push(part);
            if !self.has(&made) {
                self.directory(&made, 0o755, Owner::Root)?;
            }
        }
        Ok(())
    }

    fn own(&self, path: &Path, owner: Owner) -> io::Result<()> {
        let (user, group) = match owner {
            Owner::Root => self.owners.root,
            Owner::User => self.owners.user,
        };
        lchown(path, Some(user), Some(group))
    }
}
