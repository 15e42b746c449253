//! Into a sandbox.

use super::{Copy, Meter, local, refused};
use crate::exit::Exit;
use crate::failure::Failure;
use soulbox_runtime::agent_client::{AgentError, ProcessEvent, StartRequest};
use soulbox_wire::connect::Code;
use soulbox_wire::envd::filesystem::FileType;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

/// How many paths one `chmod` is given: a megabyte of the two that Linux takes as arguments, at 4 KiB each.
const PATHS: usize = 256;

/// Copies stdin to a file.
pub(super) async fn from_stdin(copy: &Copy<'_>, remote: &str) -> Result<(), Failure> {
    let (remote, is_directory) = whole(copy, remote).await?;
    if is_directory {
        let what = format!("{remote} of the sandbox is a directory");
        return Err(Failure::new(Exit::USAGE, what).help("name the file that stdin becomes"));
    }
    // One byte more than may be: what is too long is told, not cut.
    let stdin = Bounded::new(tokio::io::stdin(), copy.file);
    send(copy, stdin, None, &remote).await
}

/// Copies a file or a directory of this machine.
pub(super) async fn from_path(copy: &Copy<'_>, from: &Path, remote: &str) -> Result<(), Failure> {
    let about = tokio::fs::metadata(from).await;
    let about = about.map_err(|error| local("read", from, &error))?;
    let (mut target, is_directory) = whole(copy, remote).await?;
    if is_directory || (remote.ends_with('/') && about.is_file()) {
        let name = std::path::absolute(from).ok();
        let name = name
            .as_deref()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str());
        let name = name
            .ok_or_else(|| Failure::new(Exit::USAGE, format!("{} has no name", from.display())))?;
        target = format!("{}/{name}", target.trim_end_matches('/'));
    }
    let mut programs = Vec::new();
    if about.is_dir() {
        directory(copy, from, &target, &mut programs).await?;
    } else {
        copy.meter.expect(about.len());
        file(copy, from, &target, &mut programs).await?;
    }
    mark(copy, &programs).await;
    Ok(())
}

/// A path in the sandbox as the agent has it, and whether a directory is there.
async fn whole(copy: &Copy<'_>, remote: &str) -> Result<(String, bool), Failure> {
    match copy.client.stat(remote, copy.user).await {
        Ok(entry) if entry.kind == FileType::Directory => Ok((entry.path, true)),
        Ok(_) => Ok((remote.to_owned(), false)),
        Err(error) if error.is_not_found() => Ok((remote.trim_end_matches('/').to_owned(), false)),
        Err(error) => Err(refused("find", remote, &error)),
    }
}

/// Copies a directory with all that is in it.
async fn directory(
    copy: &Copy<'_>,
    from: &Path,
    remote: &str,
    programs: &mut Vec<String>,
) -> Result<(), Failure> {
    let mut todo = vec![(from.to_owned(), remote.to_owned())];
    while let Some((from, remote)) = todo.pop() {
        match copy.client.make_dir(&remote, copy.user).await {
            Ok(_) => {}
            Err(AgentError::Rpc(error)) if error.code == Code::AlreadyExists => {}
            Err(error) => return Err(refused("make", &remote, &error)),
        }
        for entry in read(&from)? {
            copy.count()?;
            let name = entry.file_name();
            let (path, kind) = (entry.path(), entry.file_type());
            let kind = kind.map_err(|error| local("read", &path, &error))?;
            let shown = path.display().to_string();
            let Some(name) = name.to_str() else {
                copy.meter.left_out(&shown, "its name is not UTF-8");
                continue;
            };
            let remote = format!("{remote}/{name}");
            match () {
                () if kind.is_dir() => todo.push((path, remote)),
                () if kind.is_file() => file(copy, &path, &remote, programs).await?,
                () if kind.is_symlink() => copy.meter.left_out(&shown, "it is a link"),
                () => copy
                    .meter
                    .left_out(&shown, "it is neither a file nor a directory"),
            }
        }
    }
    Ok(())
}

fn read(directory: &Path) -> Result<Vec<std::fs::DirEntry>, Failure> {
    let entries = std::fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(|error| local("read", directory, &error))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    Ok(entries)
}

async fn file(
    copy: &Copy<'_>,
    path: &Path,
    remote: &str,
    programs: &mut Vec<String>,
) -> Result<(), Failure> {
    let wrong = |error: io::Error| local("read", path, &error);
    let file = tokio::fs::File::open(path).await.map_err(wrong)?;
    let about = file.metadata().await.map_err(wrong)?;
    if about.len() > copy.file {
        let what = format!("{} is larger than {} bytes", path.display(), copy.file);
        return Err(Failure::new(Exit::USAGE, what).help("setting execute.file"));
    }
    // A device or a pipe has no length of its own.
    let size = about.is_file().then_some(about.len());
    match size {
        Some(size) => send(copy, file.take(size), Some(size), remote).await?,
        None => send(copy, Bounded::new(file, copy.file), None, remote).await?,
    }
    if about.permissions().mode() & 0o111 != 0 && about.is_file() {
        programs.push(remote.to_owned());
    }
    Ok(())
}

async fn send(
    copy: &Copy<'_>,
    content: impl AsyncRead + Send + Unpin + 'static,
    size: Option<u64>,
    remote: &str,
) -> Result<(), Failure> {
    let counted = Counted {
        content,
        meter: Arc::clone(&copy.meter),
    };
    let sent = copy
        .client
        .write_file_from(remote, copy.user, counted, size)
        .await;
    sent.map(drop)
        .map_err(|error| refused("write", remote, &error))
}

/// Gives programs their mark back, which a copy has not. One that cannot be marked fails when it is started.
async fn mark(copy: &Copy<'_>, programs: &[String]) {
    for some in programs.chunks(PATHS) {
        let words = ["+x", "--"].map(str::to_owned).into_iter();
        let request = StartRequest {
            cmd: "chmod".to_owned(),
            args: words.chain(some.iter().cloned()).collect(),
            user: copy.user.map(str::to_owned),
            ..StartRequest::default()
        };
        let Ok(mut stream) = copy.client.start(&request).await else {
            return;
        };
        while let Ok(Some(event)) = stream.next().await {
            if matches!(event, ProcessEvent::End(_)) {
                break;
            }
        }
    }
}

/// A reader that tells how far it is.
struct Counted<R> {
    content: R,
    meter: Arc<Meter>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.content).poll_read(context, buffer);
        self.meter.add(buffer.filled().len() - before);
        polled
    }
}

/// A reader that fails where it is too long, instead of ending.
struct Bounded<R> {
    content: R,
    left: u64,
    limit: u64,
}

impl<R> Bounded<R> {
    fn new(content: R, limit: u64) -> Self {
        Self {
            content,
            left: limit,
            limit,
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Bounded<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.content).poll_read(context, buffer);
        let read = (buffer.filled().len() - before) as u64;
        match self.left.checked_sub(read) {
            Some(left) => self.left = left,
            None => {
                // Who is told of a failure is given no bytes with it.
                buffer.set_filled(before);
                let what = format!(
                    "it is larger than {} bytes (setting execute.file)",
                    self.limit
                );
                return Poll::Ready(Err(io::Error::other(what)));
            }
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_too_long_fails_and_does_not_end() {
        let mut all = Vec::new();
        let long = Bounded::new(&b"12345"[..], 4).read_to_end(&mut all).await;
        assert!(long.is_err());
        all.clear();
        let fits = Bounded::new(&b"1234"[..], 4).read_to_end(&mut all).await;
        assert_eq!((fits.unwrap(), all.as_slice()), (4, &b"1234"[..]));
    }
}
