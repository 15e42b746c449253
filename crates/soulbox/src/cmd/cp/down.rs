//! Out of a sandbox.

use super::ground::{Ground, is_one_name};
use super::{Copy, local, refused, stdout};
use crate::exit::Exit;
use crate::failure::Failure;
use rustix::io::Errno;
use soulbox_runtime::agent_client::FileStream;
use soulbox_wire::envd::filesystem::{EntryInfo, FileType};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// How deep directories may lie in each other.
const DEPTH: usize = 64;

/// A directory that is still to be copied.
struct Todo {
    remote: String,
    ground: Ground,
    shown: PathBuf,
    depth: usize,
}

/// Copies a file to stdout.
pub(super) async fn to_stdout(copy: &Copy<'_>, remote: &str) -> Result<(), Failure> {
    let mut file = open(copy, remote).await?;
    let mut out = tokio::io::stdout();
    pour(copy, remote, &mut file, &mut out, &|error| stdout(&error)).await
}

/// Copies a file or a directory to a path of this machine.
pub(super) async fn to_path(copy: &Copy<'_>, remote: &str, to: &Path) -> Result<(), Failure> {
    let entry = copy.client.stat(remote, copy.user).await;
    let entry = entry.map_err(|error| refused("find", remote, &error))?;
    let (directory, name) = place(&entry, to)?;
    let wrong = |error: Errno| local("write", &directory, &error.into());
    let ground = Ground::named(&directory).map_err(wrong)?;
    match entry.kind {
        FileType::Directory => {
            let todo = Todo {
                remote: entry.path.clone(),
                ground: ground
                    .below(&name)
                    .map_err(|error| local("write", &directory.join(&name), &error.into()))?,
                shown: directory.join(&name),
                depth: 0,
            };
            all(copy, todo).await
        }
        _ => {
            copy.meter.expect(u64::try_from(entry.size).unwrap_or(0));
            fetch(copy, &entry, &ground, &name, &directory).await
        }
    }
}

/// The directory that something is put into, and its name there: below `to` if that is a directory, else as
/// `to` itself.
fn place(entry: &EntryInfo, to: &Path) -> Result<(PathBuf, String), Failure> {
    if to.is_dir() {
        let name = entry.path.rsplit('/').next().unwrap_or_default();
        if !is_one_name(name) {
            let what = format!("{} has no name of its own", entry.path);
            return Err(
                Failure::new(Exit::USAGE, what).help("name the file or directory that it becomes")
            );
        }
        return Ok((to.to_owned(), name.to_owned()));
    }
    let unnamed = || {
        Failure::new(
            Exit::USAGE,
            format!("{} is no name of a file", to.display()),
        )
    };
    let text = to.to_str().ok_or_else(unnamed)?;
    let is_file = entry.kind != FileType::Directory;
    if is_file && text.ends_with('/') {
        let error = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(local("write below", to, &error));
    }
    let name = to
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(unnamed)?;
    let parent = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok((parent.to_owned(), name.to_owned()))
}

/// Copies a directory with all that is in it.
async fn all(copy: &Copy<'_>, first: Todo) -> Result<(), Failure> {
    let mut todo = vec![first];
    while let Some(directory) = todo.pop() {
        let listed = copy.client.list_dir(&directory.remote, 1, copy.user).await;
        let listed = listed.map_err(|error| refused("list", &directory.remote, &error))?;
        for entry in listed {
            copy.count()?;
            if !is_one_name(&entry.name) {
                copy.meter
                    .left_out(&entry.name, "that is no name of a file");
                continue;
            }
            if entry.symlink_target.is_some() {
                copy.meter.left_out(&entry.path, "it is a link");
                continue;
            }
            // By its name below the directory that was asked for: its own path may say anything.
            let remote = format!("{}/{}", directory.remote.trim_end_matches('/'), entry.name);
            let shown = directory.shown.join(&entry.name);
            let entry = EntryInfo {
                path: remote.clone(),
                ..entry
            };
            match entry.kind {
                FileType::Directory if directory.depth >= DEPTH => {
                    copy.meter.left_out(&remote, "it lies too deep");
                }
                FileType::Directory => todo.push(Todo {
                    ground: directory
                        .ground
                        .below(&entry.name)
                        .map_err(|error| local("write", &shown, &error.into()))?,
                    remote,
                    shown,
                    depth: directory.depth + 1,
                }),
                FileType::File => {
                    fetch(
                        copy,
                        &entry,
                        &directory.ground,
                        &entry.name,
                        &directory.shown,
                    )
                    .await?;
                }
                _ => copy
                    .meter
                    .left_out(&remote, "it is neither a file nor a directory"),
            }
        }
    }
    Ok(())
}

/// Copies one file, under another name first: a file of this machine is replaced whole or not at all.
async fn fetch(
    copy: &Copy<'_>,
    entry: &EntryInfo,
    ground: &Ground,
    name: &str,
    directory: &Path,
) -> Result<(), Failure> {
    let shown = directory.join(name);
    let wrong = |error: std::io::Error| local("write", &shown, &error);
    let mut from = open(copy, &entry.path).await?;
    let is_program = entry.mode & 0o111 != 0;
    let (draft, file) = ground
        .draft(is_program)
        .map_err(|error| wrong(error.into()))?;
    let mut file = tokio::fs::File::from_std(file);
    pour(copy, &entry.path, &mut from, &mut file, &wrong).await?;
    draft.keep(name).map_err(|error| wrong(error.into()))
}

async fn open(copy: &Copy<'_>, remote: &str) -> Result<FileStream, Failure> {
    let file = copy.client.read_file(remote, copy.user, copy.file).await;
    file.map_err(|error| refused("read", remote, &error))
}

async fn pour(
    copy: &Copy<'_>,
    remote: &str,
    from: &mut FileStream,
    to: &mut (impl AsyncWrite + Unpin),
    wrong: &impl Fn(std::io::Error) -> Failure,
) -> Result<(), Failure> {
    while let Some(piece) = from
        .next()
        .await
        .map_err(|error| refused("read", remote, &error))?
    {
        to.write_all(&piece).await.map_err(wrong)?;
        copy.meter.add(piece.len());
    }
    to.flush().await.map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: FileType) -> EntryInfo {
        EntryInfo {
            path: path.to_owned(),
            kind,
            ..EntryInfo::default()
        }
    }

    #[test]
    fn a_copy_goes_where_cp_would_put_it() {
        let root = tempfile::tempdir().unwrap();
        let there = root.path();
        let new = there.join("new");
        let file = entry("/home/user/a.txt", FileType::File);
        let put = |entry: &EntryInfo, to: &Path| place(entry, to).ok();
        assert_eq!(
            put(&file, there),
            Some((there.to_owned(), "a.txt".to_owned()))
        );
        assert_eq!(put(&file, &new), Some((there.to_owned(), "new".to_owned())));
        assert_eq!(
            put(&file, Path::new("x")),
            Some((".".into(), "x".to_owned()))
        );
        assert_eq!(put(&file, &there.join("none/")), None);
        let directory = entry("/home/user/d", FileType::Directory);
        assert_eq!(
            put(&directory, &there.join("new/")),
            Some((there.to_owned(), "new".to_owned()))
        );
        for climbing in ["/", "/a/..", "/a/."] {
            assert_eq!(
                put(&entry(climbing, FileType::Directory), there),
                None,
                "{climbing}"
            );
        }
    }
}
