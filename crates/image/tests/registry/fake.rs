//! A registry on loopback that does what a test says, wrong things above all.

use soulbox_image::oci::digest::Digest;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What is done once instead of giving what was asked for.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// This status with these headers and no body.
    Status(u16, Vec<(String, String)>),
    /// The connection ends after so many bytes of the body.
    Break(usize),
    /// Nothing more comes after so many bytes of the body.
    Stall(usize),
    /// The body is another one, its length told rightly.
    Other(Vec<u8>),
    /// The length that is told is another one.
    Claim(usize),
    /// A body without an end.
    Endless,
    /// No answer at all.
    Silent,
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
}

/// What bytes come over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

#[derive(Default)]
struct State {
    content: HashMap<String, (String, Vec<u8>)>,
    faults: HashMap<String, Vec<Fault>>,
    came: Vec<Came>,
    /// What the header `Authorization` must be, if it is asked for.
    authorization: Option<(String, String)>,
    no_ranges: bool,
}

/// A registry. It ends with its runtime.
#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// One that speaks TLS only, if it is given what for.
    pub(crate) async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
        };
        let serving = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (serving, tls) = (serving.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serving.serve(stream).await,
                        Some(tls) => serving.serve(tls.accept(stream).await?).await,
                    }
                });
            }
        });
        fake
    }

    /// Serves content at a path.
    pub(crate) fn put(&self, path: &str, media_type: &str, content: &[u8]) {
        let content = (media_type.to_owned(), content.to_vec());
        self.lock().content.insert(path.to_owned(), content);
    }

    /// Serves a blob of repository `x`.
    pub(crate) fn blob(&self, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        let path = format!("/v2/x/blobs/{digest}");
        self.put(&path, "application/octet-stream", content);
        digest
    }

    /// The next requests of a path have these faults, one after the other.
    pub(crate) fn fail(&self, path: &str, faults: &[Fault]) {
        self.lock().faults.insert(path.to_owned(), faults.to_vec());
    }

    /// Wants a header `Authorization`, and asks for it by this `WWW-Authenticate`.
    pub(crate) fn want(&self, authorization: &str, challenge: &str) {
        let wanted = (authorization.to_owned(), challenge.to_owned());
        self.lock().authorization = Some(wanted);
    }

    pub(crate) fn without_ranges(&self) {
        self.lock().no_ranges = true;
    }

    /// The requests that came for paths with `part` in them.
    pub(crate) fn came(&self, part: &str) -> Vec<Came> {
        let state = self.lock();
        let of = |came: &&Came| came.path.contains(part);
        state.came.iter().filter(of).cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn serve(&self, stream: impl Stream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        // What begins TLS is no text: the connection ends then.
        stream.read_line(&mut line).await?;
        let Some(path) = line.split(' ').nth(1).map(str::to_owned) else {
            return Ok(());
        };
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let came = Came {
            path: path.clone(),
            headers: headers.clone(),
        };
        self.lock().came.push(came);
        self.answer(stream.into_inner(), &path, &headers).await
    }

    async fn answer(
        &self,
        mut stream: impl Stream,
        path: &str,
        headers: &BTreeMap<String, String>,
    ) -> io::Result<()> {
        // A proxy is told whole addresses.
        let bare = path.strip_prefix("http://registry.test").unwrap_or(path);
        let bare = bare.split('?').next().unwrap().to_owned();
        let (fault, content, denied, no_ranges) = {
            let mut state = self.lock();
            let faults = state
                .faults
                .get_mut(&bare)
                .filter(|faults| !faults.is_empty());
            let fault = faults.map(|faults| faults.remove(0));
            let wanted = state
                .authorization
                .clone()
                .filter(|_| bare.starts_with("/v2/"));
            let given = headers.get("authorization");
            let denied = wanted.filter(|(wanted, _)| given != Some(wanted));
            (
                fault,
                state.content.get(&bare).cloned(),
                denied,
                state.no_ranges,
            )
        };
        if let Some((_, challenge)) = denied {
            let head = format!("HTTP/1.1 401 No\r\nWWW-Authenticate: {challenge}\r\n");
            return send(&mut stream, &head, b"{}").await;
        }
        if let Some(Fault::Silent) = fault {
            std::future::pending::<()>().await;
        }
        if let Some(Fault::Status(status, headers)) = &fault {
            let mut head = format!("HTTP/1.1 {status} X\r\n");
            for (name, value) in headers {
                head += &format!("{name}: {value}\r\n");
            }
            return send(&mut stream, &head, b"").await;
        }
        let Some((media_type, mut content)) = content else {
            return send(&mut stream, "HTTP/1.1 404 No\r\n", b"{}").await;
        };
        if let Some(Fault::Other(other)) = &fault {
            content.clone_from(other);
        }
        let mut head = format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\n");
        let range = headers.get("range").filter(|_| !no_ranges);
        if let Some(first) = range.and_then(|range| range.strip_prefix("bytes=")) {
            let first: usize = first.trim_end_matches('-').parse().unwrap();
            let (last, all) = (content.len() - 1, content.len());
            head = format!("HTTP/1.1 206 Part\r\nContent-Range: bytes {first}-{last}/{all}\r\n");
            content.drain(..first);
        }
        let (claim, sent) = match fault {
            Some(Fault::Break(at) | Fault::Stall(at)) => (content.len(), &content[..at]),
            Some(Fault::Claim(claim)) => (claim, &content[..]),
            Some(Fault::Endless) => (usize::MAX >> 1, &content[..]),
            _ => (content.len(), &content[..]),
        };
        head += &format!("Content-Length: {claim}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(sent).await?;
        stream.flush().await?;
        match fault {
            Some(Fault::Stall(_)) => std::future::pending().await,
            Some(Fault::Endless) => loop {
                stream.write_all(&[b' '; 64 << 10]).await?;
            },
            _ => stream.shutdown().await,
        }
    }
}

async fn send(stream: &mut impl Stream, head: &str, body: &[u8]) -> io::Result<()> {
    let end = format!(
        "Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(end.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.shutdown().await
}
