//! `GET /files`.

use crate::files::target::Target;
use crate::limits;
use crate::reply::{Body, Failure, Reply};
use crate::state::Agent;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Sends a file.
pub(crate) fn serve<B>(agent: &Agent, request: &Request<B>) -> Result<Reply, Failure> {
    let target = Target::read(agent, request.uri())?;
    let path = target.resolve(agent, target.path.as_deref().unwrap_or_default())?;
    let file = open(&path)?;
    let size = file
        .metadata()
        .map_err(|error| unreadable(&path, &error.to_string()))?
        .len();
    // Files of /proc and /sys say that they are empty, so those are read to their end instead.
    let known = (size > 0).then_some(size);
    let body = FileBody {
        file,
        left: known,
        over: false,
    };
    let mut reply = Response::new(Body::stream(body));
    let kind = HeaderValue::from_static("application/octet-stream");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    if request.method() == Method::HEAD {
        *reply.body_mut() = Body::empty();
    }
    Ok(reply)
}

/// Opens a regular file for reading.
pub(crate) fn open(path: &Path) -> Result<File, Failure> {
    // Non-blocking: opening a named pipe that nobody writes must not wait.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT | Errno::NOTDIR => {
            let message = format!("path '{}' does not exist", path.display());
            Failure::new(StatusCode::NOT_FOUND, message)
        }
        errno => unreadable(path, &errno.to_string()),
    })?;
    let file = File::from(file);
    let kind = file
        .metadata()
        .map_err(|error| unreadable(path, &error.to_string()))?
        .file_type();
    if !kind.is_file() {
        let what = if kind.is_dir() {
            "a directory"
        } else {
            "not a regular file"
        };
        return Err(Failure::bad_request(format!(
            "path '{}' is {what}",
            path.display()
        )));
    }
    Ok(file)
}

fn unreadable(path: &Path, why: &str) -> Failure {
    let message = format!("cannot read '{}': {why}", path.display());
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, message)
}

/// A file's content, or the rest of it.
struct FileBody {
    file: File,
    /// Bytes to send; `None` when only the file's end tells.
    left: Option<u64>,
    over: bool,
}

impl FileBody {
    fn read(&mut self) -> io::Result<Option<Bytes>> {
        let most = self.left.map_or(limits::FILE_CHUNK as u64, |left| {
            left.min(limits::FILE_CHUNK as u64)
        });
        let mut chunk = Vec::with_capacity(usize::try_from(most).unwrap_or(limits::FILE_CHUNK));
        let read = (&self.file).take(most).read_to_end(&mut chunk)? as u64;
        if let Some(left) = &mut self.left {
            if read == 0 {
                return Err(io::Error::other("file became shorter while it was sent"));
            }
            *left -= read;
            self.over = *left == 0;
        }
        self.over |= read == 0;
        Ok((read > 0).then(|| chunk.into()))
    }
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        Poll::Ready(this.read().map(|chunk| chunk.map(Frame::data)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
