//! `GET /files`.

use crate::calendar::http_date;
use crate::files::encoding::{Encoding, choose};
use crate::files::range::{Wanted, wanted};
use crate::files::target::Target;
use crate::files::{content_type, disposition};
use crate::limits;
use crate::path::base_name;
use crate::reply::{Body, Failure, Reply, status};
use crate::rpc::text;
use crate::state::Agent;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED, VARY,
};
use hyper::{Method, Request, Response, StatusCode};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

/// File systems whose files do not know their size (`statfs(2)`): proc, sysfs, both kinds of
/// cgroups, debugfs, tracefs, securityfs, selinuxfs, bpf.
const SIZELESS: [i64; 9] = [
    0x9fa0,
    0x6265_6572,
    0x0027_e0eb,
    0x6367_7270,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xf97c_ff8c,
    0xcafe_4a11,
];

/// Sends a file, or a part of it.
pub(crate) fn serve<B>(agent: &Agent, request: &Request<B>) -> Result<Reply, Failure> {
    let target = Target::read(agent, request.uri())?;
    let path = target.resolve(agent, target.path.as_deref().unwrap_or_default())?;
    let (file, known) = open(&path)?;
    let encoding = choose(text(request.headers(), ACCEPT_ENCODING.as_str()));
    let encoding = encoding.ok_or_else(|| {
        let message = "no acceptable encoding, this server has gzip and identity";
        Failure::new(StatusCode::NOT_ACCEPTABLE, message)
    })?;
    let mut first = [0; content_type::LOOK];
    let looked = file.read_at(&mut first, 0).unwrap_or(0);
    let mut headers = HeaderMap::new();
    let kind = content_type::of(&path, first.get(..looked).unwrap_or_default());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    set(
        &mut headers,
        CONTENT_DISPOSITION,
        &disposition::inline(&base_name(&path)),
    );
    let mut reply = if encoding == Encoding::Gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        whole(Body::stream(GzipBody::new(FileBody::to_end(file))))
    } else if is_sizeless(&file, &known) && looked > 0 {
        whole(Body::stream(FileBody::to_end(file)))
    } else {
        plain(request.headers(), &mut headers, file, &known)?
    };
    headers.extend(std::mem::take(reply.headers_mut()));
    *reply.headers_mut() = headers;
    if request.method() == Method::HEAD {
        if let Some(length) = reply.body().size_hint().exact() {
            reply.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        *reply.body_mut() = Body::empty();
    }
    Ok(reply)
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn whole(body: Body) -> Reply {
    Response::new(body)
}

/// An answer with a length, ranges and conditions.
fn plain(
    asked: &HeaderMap,
    headers: &mut HeaderMap,
    file: File,
    known: &Metadata,
) -> Result<Reply, Failure> {
    let size = known.len();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    set(headers, LAST_MODIFIED, &http_date(known.mtime()));
    match wanted(asked, size, known.mtime()) {
        Wanted::Whole => Ok(whole(Body::stream(FileBody::part(file, 0, size)))),
        Wanted::Part { start, length } => {
            let range = format!("bytes {start}-{}/{size}", start + length - 1);
            set(headers, CONTENT_RANGE, &range);
            let mut reply = whole(Body::stream(FileBody::part(file, start, length)));
            *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
            Ok(reply)
        }
        Wanted::Unsatisfiable => {
            set(headers, CONTENT_RANGE, &format!("bytes */{size}"));
            headers.remove(CONTENT_TYPE);
            let message = format!("range begins behind the file's {size} bytes");
            Ok(Failure::new(StatusCode::RANGE_NOT_SATISFIABLE, message).reply())
        }
        Wanted::NotModified => {
            headers.remove(CONTENT_TYPE);
            headers.remove(CONTENT_DISPOSITION);
            Ok(status(StatusCode::NOT_MODIFIED))
        }
        Wanted::Failed => {
            let message = "file has changed since the time of If-Unmodified-Since";
            Err(Failure::new(StatusCode::PRECONDITION_FAILED, message))
        }
    }
}

/// Opens a regular file for reading.
fn open(path: &Path) -> Result<(File, Metadata), Failure> {
    // Non-blocking: opening a named pipe that nobody writes must not wait.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let unreadable = |why: String| {
        let message = format!("cannot read '{}': {why}", path.display());
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    };
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT | Errno::NOTDIR => {
            let message = format!("path '{}' does not exist", path.display());
            Failure::new(StatusCode::NOT_FOUND, message)
        }
        Errno::NXIO => Failure::bad_request(not_regular(path, "a socket or pipe")),
        errno => unreadable(errno.to_string()),
    })?;
    let file = File::from(file);
    let known = file
        .metadata()
        .map_err(|error| unreadable(error.to_string()))?;
    if !known.is_file() {
        let what = if known.is_dir() {
            "a directory"
        } else {
            "not a regular file"
        };
        return Err(Failure::bad_request(not_regular(path, what)));
    }
    Ok((file, known))
}

fn not_regular(path: &Path, what: &str) -> String {
    format!("path '{}' is {what}", path.display())
}

fn is_sizeless(file: &File, known: &Metadata) -> bool {
    let system = rustix::fs::fstatfs(file);
    known.len() == 0 || system.is_ok_and(|system| SIZELESS.contains(&system.f_type))
}

/// A file's content, or a part of it.
struct FileBody {
    file: File,
    /// Where the next bytes are read; `None` for files that are read to their end, whatever
    /// they say of their size.
    position: Option<u64>,
    /// Bytes to send, where that is known.
    left: u64,
    over: bool,
}

impl FileBody {
    fn part(file: File, start: u64, length: u64) -> Self {
        Self {
            file,
            position: Some(start),
            left: length,
            over: length == 0,
        }
    }

    fn to_end(file: File) -> Self {
        Self {
            file,
            position: None,
            left: 0,
            over: false,
        }
    }

    fn read(&mut self) -> io::Result<Option<Bytes>> {
        let Some(position) = &mut self.position else {
            let mut chunk = vec![0; limits::FILE_CHUNK];
            let read = self.file.read(&mut chunk)?;
            self.over = read == 0;
            chunk.truncate(read);
            return Ok((read > 0).then(|| chunk.into()));
        };
        let most = usize::try_from(self.left)
            .map_or(limits::FILE_CHUNK, |left| left.min(limits::FILE_CHUNK));
        let mut chunk = Vec::with_capacity(most);
        let spare = rustix::buffer::spare_capacity(&mut chunk);
        let read = rustix::io::pread(&self.file, spare, *position)?;
        if read == 0 {
            return Err(io::Error::other("file became shorter while it was sent"));
        }
        *position += read as u64;
        self.left -= read as u64;
        self.over = self.left == 0;
        Ok(Some(chunk.into()))
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
        if self.position.is_some() {
            SizeHint::with_exact(self.left)
        } else {
            SizeHint::default()
        }
    }
}

/// A file's content, compressed.
struct GzipBody {
    content: FileBody,
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl GzipBody {
    fn new(content: FileBody) -> Self {
        let encoder = GzEncoder::new(Vec::new(), Compression::fast());
        Self {
            content,
            encoder: Some(encoder),
        }
    }

    /// The next compressed bytes; `None` when all are out.
    fn read(&mut self) -> io::Result<Option<Bytes>> {
        while let Some(encoder) = &mut self.encoder {
            if let Some(chunk) = self.content.read()? {
                encoder.write_all(&chunk)?;
                if !encoder.get_ref().is_empty() {
                    return Ok(Some(std::mem::take(encoder.get_mut()).into()));
                }
            } else if let Some(encoder) = self.encoder.take() {
                return Ok(Some(encoder.finish()?.into()));
            }
        }
        Ok(None)
    }
}

impl HttpBody for GzipBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(
            self.get_mut()
                .read()
                .map(|chunk| chunk.map(Frame::data))
                .transpose(),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none()
    }
}
