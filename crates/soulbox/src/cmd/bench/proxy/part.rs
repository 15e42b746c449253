//! The parts of the bench: a small server, a plain reverse proxy, and who asks.

use crate::terminal;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

/// Bytes of the small server's answer.
const ANSWER: usize = 256;

/// A failure of a part. It is told and ends the bench.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Answers.
    Server,
    /// Passes on.
    Proxy,
    /// Asks.
    Load,
}

impl Part {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Proxy => "proxy",
            Self::Load => "load",
        }
    }
}

/// Whom to ask, how often.
pub(super) struct Load {
    pub(super) to: String,
    pub(super) headers: String,
    pub(super) connections: u32,
    pub(super) seconds: u64,
}

/// Is a part. Those that listen print where, and go on until they are killed.
pub(super) fn be(part: Part, load: Load) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(async {
            match part {
                Part::Server => serve(None).await,
                Part::Proxy => serve(Some(load.to)).await,
                Part::Load => ask(load).await,
            }
        })
        .map_err(io::Error::other)
}

/// Answers, or passes on to `to`.
async fn serve(to: Option<String>) -> Result<(), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    terminal::print(&listener.local_addr()?.to_string()).map_err(|_| "nobody reads")?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build::<_, Incoming>(connector);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (client, to) = (client.clone(), to.clone());
        tokio::spawn(async move {
            let builder = server::Builder::new();
            let stream = TokioIo::new(stream);
            let _ = match to {
                None => builder.serve_connection(stream, service_fn(answer)).await,
                Some(to) => {
                    let pass = service_fn(|request| pass(client.clone(), to.clone(), request));
                    builder.serve_connection(stream, pass).await
                }
            };
        });
    }
}

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    Ok(Response::new(Full::new(Bytes::from_static(
        &[b'x'; ANSWER],
    ))))
}

async fn pass(
    client: Client<HttpConnector, Incoming>,
    to: String,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, Failed> {
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str());
    *request.uri_mut() = format!("http://{to}{target}").parse::<Uri>()?;
    Ok(client.request(request).await?)
}

/// Asks over all connections until the time is over, and prints how many answers came each second.
async fn ask(load: Load) -> Result<(), Failed> {
    let given: BTreeMap<String, String> = serde_json::from_str(&load.headers)?;
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        headers.insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
    }
    let begin = Instant::now();
    let end = begin + Duration::from_secs(load.seconds);
    let asking = (0..load.connections).map(|_| {
        let (to, headers) = (load.to.clone(), headers.clone());
        tokio::spawn(async move { over_one(&to, &headers, end).await })
    });
    let mut answers = 0_u32;
    for one in asking.collect::<Vec<_>>() {
        answers += one.await??;
    }
    let rate = f64::from(answers) / begin.elapsed().as_secs_f64();
    terminal::print(&rate.to_string()).map_err(|_| "nobody reads")?;
    Ok(())
}

async fn over_one(to: &str, headers: &HeaderMap, end: Instant) -> Result<u32, Failed> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut answers = 0;
    while Instant::now() < end {
        let mut request = Request::get("/")
            .header("host", "localhost")
            .body(Empty::<Bytes>::new())?;
        request.headers_mut().extend(headers.clone());
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status != 200 || body.len() != ANSWER {
            return Err(format!("status {status}: {}", String::from_utf8_lossy(&body)).into());
        }
        answers += 1;
    }
    Ok(answers)
}

/// Makes a sandbox: its id and its token.
pub(super) async fn create(address: &str, key: &str) -> Result<(String, String), Failed> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let body = r#"{"templateID":"base","timeout":3600}"#;
    let request = Request::post("/v2/sandboxes")
        .header("host", address)
        .header("x-api-key", key)
        .body(Full::new(Bytes::from_static(body.as_bytes())))?;
    let response = sender.send_request(request).await?;
    let body = response.into_body().collect().await?.to_bytes();
    let told: serde_json::Value = serde_json::from_slice(&body)?;
    let field = |name: &str| {
        told.get(name)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    match (field("sandboxID"), field("envdAccessToken")) {
        (Some(id), Some(token)) => Ok((id, token)),
        _ => Err(String::from_utf8_lossy(&body).into()),
    }
}
