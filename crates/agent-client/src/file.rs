//! Contents of files, in both directions.

use super::call::{begin, finish};
use super::connection::{Body, Connection};
use super::{AgentClient, AgentError};
use bytes::{Bytes, BytesMut};
use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use soulbox_wire::envd::http::{EXECUTABLE, WrittenFile};
use std::fmt::Write as _;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes of a file that are read and sent at once.
const CHUNK: usize = 128 * 1024;

/// Bytes a second that a file brings at least on average, from the time on that it may stand
/// still: an agent that sends a byte now and then would keep its host waiting for years.
const SLOWEST: u64 = 64 * 1024;

impl AgentClient {
    /// Writes a file: makes it and the directories above it if they are missing, or replaces its
    /// content. New ones belong to `user`, or to the default one.
    ///
    /// # Errors
    /// The agent cannot be reached or refuses; status 507 when the sandbox's disk is full.
    pub async fn write_file(
        &self,
        path: &str,
        user: Option<&str>,
        content: Bytes,
    ) -> Result<WrittenFile, AgentError> {
        let progress = Arc::new(Progress::default());
        let to = (path, user, false);
        self.upload(to, content.into(), &progress).await
    }

    /// As [`AgentClient::write_file`], and marks it as a program (mode 0755).
    ///
    /// # Errors
    /// As there.
    pub async fn write_program(
        &self,
        path: &str,
        user: Option<&str>,
        content: Bytes,
    ) -> Result<WrittenFile, AgentError> {
        let progress = Arc::new(Progress::default());
        let to = (path, user, true);
        self.upload(to, content.into(), &progress).await
    }

    /// As [`AgentClient::write_program`], with content from a reader until its end.
    ///
    /// # Errors
    /// As [`AgentClient::write_file_from`].
    pub async fn write_program_from(
        &self,
        path: &str,
        user: Option<&str>,
        content: impl AsyncRead + Send + 'static,
    ) -> Result<WrittenFile, AgentError> {
        self.write_from((path, user, true), content, None).await
    }

    /// As [`AgentClient::write_file`], with content from a reader until its end. `size` is only
    /// announced, where it is known.
    ///
    /// # Errors
    /// As [`AgentClient::write_file`], and what the reader says.
    pub async fn write_file_from(
        &self,
        path: &str,
        user: Option<&str>,
        content: impl AsyncRead + Send + 'static,
        size: Option<u64>,
    ) -> Result<WrittenFile, AgentError> {
        self.write_from((path, user, false), content, size).await
    }

    async fn write_from(
        &self,
        to: (&str, Option<&str>, bool),
        content: impl AsyncRead + Send + 'static,
        size: Option<u64>,
    ) -> Result<WrittenFile, AgentError> {
        let progress = Arc::new(Progress::default());
        let reader = Box::pin(content);
        let body = ReaderBody {
            reader,
            buffer: BytesMut::new(),
            left: size,
            progress: Arc::clone(&progress),
            over: size == Some(0),
        };
        self.upload(to, Body::stream(body), &progress).await
    }

    async fn upload(
        &self,
        (path, user, executable): (&str, Option<&str>, bool),
        body: Body,
        progress: &Arc<Progress>,
    ) -> Result<WrittenFile, AgentError> {
        let mut request = begin(Method::POST, &target(path, user))
            .header(CONTENT_TYPE, "application/octet-stream");
        if executable {
            request = request.header(EXECUTABLE, "1");
        }
        let request = finish(request, body)?;
        // The head of the answer comes after the body, however long that takes while it moves.
        let patient = super::AgentLimits {
            header: Duration::from_secs(u64::from(u32::MAX)),
            ..self.limits.clone()
        };
        let sent = self.pool.send(&patient, request);
        let sent = progress
            .watch(self.limits.stall.max(self.limits.header), sent)
            .await?;
        let (mut connection, response) = sent.map_err(|error| progress.own_error(error))?;
        let response = self.expect_success(&mut connection, response).await?;
        let answer = self
            .read_whole(connection, response, self.limits.answer_bytes)
            .await?;
        let files: Vec<WrittenFile> = serde_json::from_slice(&answer)
            .map_err(|error| AgentError::Protocol(error.to_string()))?;
        let one = <[WrittenFile; 1]>::try_from(files);
        one.map(|[file]| file)
            .map_err(|_| AgentError::Protocol("one file was sent, not one was told".to_owned()))
    }

    /// Opens a file for reading. At most `limit` bytes of it are given out; a longer one is an
    /// error when that many have been read.
    ///
    /// # Errors
    /// The agent cannot be reached or refuses; status 404 when there is no such file.
    pub async fn read_file(
        &self,
        path: &str,
        user: Option<&str>,
        limit: u64,
    ) -> Result<FileStream, AgentError> {
        let request = finish(begin(Method::GET, &target(path, user)), Bytes::new())?;
        let (mut connection, response) = self.pool.send(&self.limits, request).await?;
        let response = self.expect_success(&mut connection, response).await?;
        let length = response.headers().get(CONTENT_LENGTH);
        let size = length.and_then(|length| length.to_str().ok()?.parse().ok());
        if size.is_some_and(|size: u64| size > limit) {
            return Err(AgentError::TooLarge {
                what: "file",
                limit,
            });
        }
        Ok(FileStream {
            connection: Some(connection),
            body: response.into_body(),
            size,
            limit,
            left: limit,
            waited: Duration::ZERO,
            stall: self.limits.stall,
        })
    }
}

/// A request's target for a file.
fn target(path: &str, user: Option<&str>) -> String {
    let mut target = format!("/files?path={}", encode(path));
    if let Some(user) = user {
        target.push_str("&username=");
        target.push_str(&encode(user));
    }
    target
}

/// Escapes what is special in a query.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => {
                // Writing to a string cannot fail.
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

/// The content of a file, in pieces.
pub struct FileStream {
    connection: Option<Connection>,
    body: Incoming,
    size: Option<u64>,
    limit: u64,
    left: u64,
    stall: Duration,
    /// How long the agent was waited for so far.
    waited: Duration,
}

impl std::fmt::Debug for FileStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileStream")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl FileStream {
    /// The size that the agent announced, in bytes; `None` for files that do not know theirs.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The next piece; `None` at the file's end.
    ///
    /// # Errors
    /// The connection broke or brought nothing for too long, or the file is longer than the
    /// limit.
    pub async fn next(&mut self) -> Result<Option<Bytes>, AgentError> {
        loop {
            let Some(connection) = &mut self.connection else {
                return Ok(None);
            };
            let came = (self.limit - self.left) / SLOWEST;
            let most = self.stall.saturating_add(Duration::from_secs(came));
            let rest = most.saturating_sub(self.waited).min(self.stall);
            let begun = Instant::now();
            let frame = self.body.frame();
            let frame = connection
                .drive_within("send more of a file", rest, frame)
                .await?;
            // Only what the agent takes counts, not what the reader does meanwhile.
            self.waited = self.waited.saturating_add(begun.elapsed());
            let Some(frame) = frame.transpose()? else {
                if let Some(connection) = self.connection.take() {
                    connection.give_back().await;
                }
                return Ok(None);
            };
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            let too_large = AgentError::TooLarge {
                what: "file",
                limit: self.limit,
            };
            self.left = self.left.checked_sub(piece.len() as u64).ok_or(too_large)?;
            return Ok(Some(piece));
        }
    }

    /// All that is left of it.
    ///
    /// # Errors
    /// As [`FileStream::next`].
    pub async fn read_to_end(mut self) -> Result<Vec<u8>, AgentError> {
        let mut whole = Vec::new();
        while let Some(piece) = self.next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }
}

/// How far an upload is, for noticing that it stands still.
#[derive(Default)]
struct Progress {
    pieces: AtomicU64,
    /// What the reader of its content said.
    error: Mutex<Option<io::Error>>,
}

impl Progress {
    /// Waits for `future` for as long as pieces move at least once per `stall`.
    async fn watch<F: Future>(&self, stall: Duration, future: F) -> Result<F::Output, AgentError> {
        let mut future = pin!(future);
        loop {
            let before = self.pieces.load(Ordering::Relaxed);
            if let Ok(output) = tokio::time::timeout(stall, future.as_mut()).await {
                return Ok(output);
            }
            if self.pieces.load(Ordering::Relaxed) == before {
                return Err(AgentError::Timeout {
                    what: "take more of a file",
                    limit: stall,
                });
            }
        }
    }

    /// The reader's own error, if it is what broke the connection.
    fn own_error(&self, error: AgentError) -> AgentError {
        let own = self
            .error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        own.map_or(error, AgentError::Source)
    }
}

/// A request's body from a reader.
struct ReaderBody {
    reader: Pin<Box<dyn AsyncRead + Send>>,
    buffer: BytesMut,
    left: Option<u64>,
    progress: Arc<Progress>,
    over: bool,
}

impl ReaderBody {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.buffer.resize(CHUNK, 0);
        let mut buffer = ReadBuf::new(&mut self.buffer);
        ready!(self.reader.as_mut().poll_read(context, &mut buffer))?;
        let read = buffer.filled().len();
        let piece = self.buffer.split_to(read).freeze();
        if let Some(left) = &mut self.left {
            let changed = || io::Error::other("it is not as long as announced");
            *left = left.checked_sub(read as u64).ok_or_else(changed)?;
            if read == 0 && *left > 0 {
                return Poll::Ready(Err(changed()));
            }
            self.over = *left == 0;
        }
        self.over |= read == 0;
        self.progress.pieces.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Ok((read > 0).then_some(piece)))
    }
}

impl HttpBody for ReaderBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        let piece = ready!(this.poll_piece(context));
        Poll::Ready(match piece {
            Ok(piece) => piece.map(|piece| Ok(Frame::data(piece))),
            Err(error) => {
                let copy = io::Error::new(error.kind(), error.to_string());
                let mut kept = this
                    .progress
                    .error
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                *kept = Some(error);
                Some(Err(copy))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[test]
    fn paths_are_escaped_in_queries() {
        assert_eq!(encode("/a b/ä&x=%+?#"), "/a%20b/%C3%A4%26x%3D%25%2B%3F%23");
        assert_eq!(target("x", Some("a&b")), "/files?path=x&username=a%26b");
    }

    #[tokio::test]
    async fn a_file_that_only_drips_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent.sock");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let limits = super::super::AgentLimits {
            stall: Duration::from_millis(200),
            ..super::super::AgentLimits::default()
        };
        let client = AgentClient::with_limits(socket, limits);
        let drip = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
            stream.write_all(head).await.unwrap();
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let read = async {
            let file = client.read_file("/x", None, 1_000_000).await.unwrap();
            file.read_to_end().await
        };
        // Ten seconds would bring a thousandth of it.
        let both = async { tokio::join!(read, drip).0 };
        let read = tokio::time::timeout(Duration::from_secs(10), both).await;
        let error = read.expect("it is given up").unwrap_err();
        assert!(matches!(error, AgentError::Timeout { .. }), "{error:?}");
    }
}
