//! Files in and out of a sandbox.

use crate::execute::Execution;
use crate::execute::guest::{Carried, Guest, GuestError, Input};
use crate::execute::program::{Content, HOME};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, openat, openat2, renameat, unlinkat};
use rustix::io::Errno;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A file that could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Not of the form `A:B`.
    #[error("{given:?} must be written {form}")]
    Form {
        /// What was written, cut to 200 characters.
        given: String,
        /// How it is written.
        form: &'static str,
    },
    /// A file of the host does not exist.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// A file of the host cannot be read or written.
    #[error("cannot {doing} {}", path.display())]
    Local {
        /// `read` or `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is larger than what is accepted.
    #[error("{} is larger than {limit} bytes (setting execute.file)", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is accepted, in bytes.
        limit: u64,
    },
    /// The sandbox refused.
    #[error("cannot copy {remote} {direction} the sandbox")]
    Remote {
        /// The file in the sandbox.
        remote: String,
        /// `into` or `out of`.
        direction: &'static str,
        /// What it said.
        source: GuestError,
    },
}

/// A file that is copied in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The file of the host.
    pub local: PathBuf,
    /// Where it goes in the sandbox; relative to the user's home.
    pub remote: String,
}

/// A file that is copied out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// The file in the sandbox; relative to the user's home.
    pub remote: String,
    /// Where it goes on the host.
    pub local: PathBuf,
}

impl Upload {
    /// Reads `LOCAL:REMOTE`.
    ///
    /// # Errors
    /// [`TransferError::Form`] when it is written otherwise.
    pub fn parse(text: &str) -> Result<Self, TransferError> {
        let (local, remote) = pair(text, "LOCAL:REMOTE")?;
        Ok(Self {
            local: local.into(),
            remote: remote.to_owned(),
        })
    }

    /// Checks that the file is there and can be read, before a sandbox is made for it.
    ///
    /// # Errors
    /// [`TransferError`] when it is not, or is larger than `limit` bytes.
    pub fn check(&self, limit: u64) -> Result<(), TransferError> {
        let about = fs::metadata(&self.local).map_err(|error| self.told(error))?;
        if about.is_dir() {
            let refusal = io::Error::other("it is a directory: use --mount, or run the directory");
            return Err(self.told(refusal));
        }
        if about.len() > limit {
            let path = self.local.clone();
            return Err(TransferError::TooLarge { path, limit });
        }
        fs::File::open(&self.local)
            .map(drop)
            .map_err(|error| self.told(error))
    }

    fn told(&self, error: io::Error) -> TransferError {
        let absent = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
        if absent.contains(&error.kind()) {
            return TransferError::Missing(self.local.clone());
        }
        local("read", &self.local, error)
    }
}

impl Download {
    /// Reads `REMOTE:LOCAL`.
    ///
    /// # Errors
    /// [`TransferError::Form`] when it is written otherwise.
    pub fn parse(text: &str) -> Result<Self, TransferError> {
        let (remote, local) = pair(text, "REMOTE:LOCAL")?;
        Ok(Self {
            remote: remote.to_owned(),
            local: local.into(),
        })
    }
}

fn pair<'t>(text: &'t str, form: &'static str) -> Result<(&'t str, &'t str), TransferError> {
    let halves = text.split_once(':');
    let whole = |half: &str| !half.is_empty() && !half.contains('\0');
    halves
        .filter(|(left, right)| whole(left) && whole(right))
        .ok_or_else(|| TransferError::Form {
            given: text.chars().take(200).collect(),
            form,
        })
}

fn local(doing: &'static str, path: &Path, source: io::Error) -> TransferError {
    TransferError::Local {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Copies everything in that the run needs.
pub(super) async fn copy_in(
    guest: &impl Guest,
    execution: &Execution,
) -> Result<(), TransferError> {
    let user = execution.user.as_deref();
    for file in &execution.program.files {
        match &file.content {
            Content::Bytes(bytes) => {
                let content = Input::Bytes(bytes.clone());
                write(guest, &file.remote, user, content, file.executable).await?;
            }
            Content::Host(path) => {
                let to = (&*file.remote, file.executable);
                send(guest, path, to, user, execution.file_limit).await?;
            }
        }
    }
    for upload in &execution.uploads {
        let remote = absolute(&upload.remote);
        let to = (&*remote, false);
        send(guest, &upload.local, to, user, execution.file_limit).await?;
    }
    Ok(())
}

/// The most bytes of files that go with a command; in its request they take a third more.
const CARRIED: usize = 64 * 1024;

/// The program's files, if nothing else goes in and they can go with a command.
pub(super) fn carried(guest: &impl Guest, execution: &Execution) -> Option<Vec<Carried>> {
    if !guest.carries_files() || !execution.uploads.is_empty() {
        return None;
    }
    let files = execution.program.files.iter();
    let files = files.map(|file| match &file.content {
        Content::Bytes(bytes) => Some(Carried {
            path: file.remote.clone(),
            content: bytes.clone(),
            executable: file.executable,
        }),
        Content::Host(_) => None,
    });
    let files: Vec<_> = files.collect::<Option<_>>()?;
    fit(&files).then_some(files)
}

/// Whether so much can go with a command.
pub(super) fn fit(files: &[Carried]) -> bool {
    files.iter().map(|file| file.content.len()).sum::<usize>() <= CARRIED
}

/// Writes files that did not go with a command.
pub(super) async fn write_all(
    guest: &impl Guest,
    user: Option<&str>,
    files: Vec<Carried>,
) -> Result<(), TransferError> {
    for file in files {
        let content = Input::Bytes(file.content);
        write(guest, &file.path, user, content, file.executable).await?;
    }
    Ok(())
}

/// A path in the sandbox, relative to the home.
fn absolute(remote: &str) -> String {
    match remote.starts_with(['/', '~']) {
        true => remote.to_owned(),
        false => format!("{HOME}/{remote}"),
    }
}

async fn send(
    guest: &impl Guest,
    path: &Path,
    (remote, executable): (&str, bool),
    user: Option<&str>,
    limit: u64,
) -> Result<(), TransferError> {
    let told = |error| local("read", path, error);
    let file = tokio::fs::File::open(path).await.map_err(told)?;
    let length = file.metadata().await.map_err(told)?.len();
    if length > limit {
        let path = path.to_owned();
        return Err(TransferError::TooLarge { path, limit });
    }
    // A file that grows while it is read is cut where it is too long.
    write(
        guest,
        remote,
        user,
        Input::Reader(Box::new(file.take(limit))),
        executable,
    )
    .await
}

async fn write(
    guest: &impl Guest,
    remote: &str,
    user: Option<&str>,
    content: Input,
    executable: bool,
) -> Result<(), TransferError> {
    let written = guest.write_file(remote, user, content, executable).await;
    written.map_err(|source| TransferError::Remote {
        remote: remote.to_owned(),
        direction: "into",
        source,
    })
}

/// The directory on the host that a file is copied into, opened before the code runs.
///
/// The sandbox may share it by a mount, and with it the power to put links where directories and
/// files were: a path that is looked up again afterwards would lead wherever the code wants.
pub(super) struct Place(Option<OwnedFd>);

/// Opens the directories of all files that are to be copied out.
pub(super) fn open_places(downloads: &[Download]) -> Vec<Place> {
    let open = |download: &Download| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(parent(&download.local), flags, Mode::empty()).ok()
    };
    downloads.iter().map(|one| Place(open(one))).collect()
}

/// The directory that a file is in.
fn parent(path: &Path) -> &Path {
    let parent = path.parent().unwrap_or(Path::new("/"));
    match parent.as_os_str().is_empty() {
        true => Path::new("."),
        false => parent,
    }
}

impl Place {
    /// The directory; one that came since only when no link leads to it.
    fn directory(self, download: &Download) -> Result<OwnedFd, Errno> {
        match self.0 {
            Some(directory) => Ok(directory),
            None => openat2(
                CWD,
                parent(&download.local),
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
                ResolveFlags::NO_SYMLINKS,
            ),
        }
    }
}

/// Copies everything out that was asked for, and tells what could not be.
pub(super) async fn copy_out(
    guest: &impl Guest,
    execution: &Execution,
    places: Vec<Place>,
) -> Vec<TransferError> {
    let mut failed = Vec::new();
    for (download, place) in execution.downloads.iter().zip(places) {
        if let Err(error) = fetch(guest, download, place, execution).await {
            failed.push(error);
        }
    }
    failed
}

/// Copies one file out, under another name first: a file of the host is replaced whole or not at
/// all. A link in its place is replaced, never followed.
async fn fetch(
    guest: &impl Guest,
    download: &Download,
    place: Place,
    execution: &Execution,
) -> Result<(), TransferError> {
    let told = |errno: Errno| local("write", &download.local, errno.into());
    let name = download
        .local
        .file_name()
        .ok_or_else(|| told(Errno::ISDIR))?;
    let directory = place.directory(download).map_err(told)?;
    let (partial, file) = create_new(&directory).map_err(told)?;
    let mut file = tokio::fs::File::from_std(file);
    let remote = absolute(&download.remote);
    let user = execution.user.as_deref();
    let copied = guest
        .read_file(&remote, user, &mut file, execution.file_limit)
        .await;
    let done = match copied {
        Ok(()) => match file.flush().await {
            Ok(()) => renameat(&directory, &partial, &directory, name).map_err(told),
            Err(error) => Err(local("write", &download.local, error)),
        },
        Err(source) => Err(TransferError::Remote {
            remote,
            direction: "out of",
            source,
        }),
    };
    if done.is_err() {
        let _ = unlinkat(&directory, &partial, AtFlags::empty());
    }
    done
}

/// Makes a file that was not there, under a name that nobody can guess: what is there already,
/// a link of the sandbox's above all, is never opened.
fn create_new(directory: &OwnedFd) -> Result<(String, fs::File), Errno> {
    let mut random = [0; 16];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let name = format!(".soulbox-{:032x}", u128::from_ne_bytes(random));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(directory, &name, flags, Mode::from(0o666))?;
    Ok((name, file.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_in_their_order() {
        let upload = Upload::parse("a.csv:data/a.csv").unwrap();
        assert_eq!(
            (upload.local.as_path(), upload.remote.as_str()),
            (Path::new("a.csv"), "data/a.csv")
        );
        let download = Download::parse("out.png:/tmp/o.png").unwrap();
        assert_eq!(download.local, Path::new("/tmp/o.png"));
        for bad in ["", "a", ":b", "a:", "a\0:b"] {
            assert!(Upload::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_place_that_the_sandbox_has_swapped_leads_nowhere_else() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir_all(path("shared/out")).unwrap();
        fs::create_dir(path("elsewhere")).unwrap();
        let download = Download {
            remote: "x".to_owned(),
            local: path("shared/out/x"),
        };
        let later = Download {
            remote: "x".to_owned(),
            local: path("shared/new/x"),
        };
        let places = open_places(&[download.clone(), later.clone(), later.clone()]);
        fs::rename(path("shared/out"), path("shared/away")).unwrap();
        std::os::unix::fs::symlink(path("elsewhere"), path("shared/out")).unwrap();
        std::os::unix::fs::symlink(path("elsewhere"), path("shared/new")).unwrap();
        let [before, linked, made] = <[Place; 3]>::try_from(places).ok().unwrap();
        let (name, _) = create_new(&before.directory(&download).unwrap()).unwrap();
        assert!(path("shared/away").join(name).exists());
        assert_eq!(linked.directory(&later).err(), Some(Errno::LOOP));
        fs::remove_file(path("shared/new")).unwrap();
        fs::create_dir(path("shared/new")).unwrap();
        assert!(made.directory(&later).is_ok());
        assert_eq!(fs::read_dir(path("elsewhere")).unwrap().count(), 0);
        assert_eq!(parent(Path::new("x")), Path::new("."));
    }

    #[test]
    fn what_cannot_be_copied_is_told_before_a_sandbox_is_made() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("big"), "12345").unwrap();
        let check = |name: &str| {
            let local = root.path().join(name);
            Upload {
                local,
                remote: "x".to_owned(),
            }
            .check(4)
        };
        assert!(matches!(check("none"), Err(TransferError::Missing(_))));
        assert!(matches!(check("big"), Err(TransferError::TooLarge { .. })));
        assert!(matches!(check(""), Err(TransferError::Local { .. })));
    }
}
