//! A connection over which one request goes after the other: to a server, or to a socket of this machine.

use crate::exit::Exit;
use crate::failure::Failure;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// How long an answer may take: nothing that is measured takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whom to talk to, and what each request brings.
#[derive(Debug, Clone)]
pub(super) struct Whom {
    place: Place,
    headers: HeaderMap,
}

#[derive(Debug, Clone)]
enum Place {
    Server(String),
    Socket(PathBuf),
}

impl Whom {
    /// A server, by its host and port.
    pub(super) fn server(
        authority: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Failure> {
        let with_host = [("host", "localhost")].iter().chain(headers);
        Ok(Self {
            place: Place::Server(authority.to_owned()),
            headers: map(with_host)?,
        })
    }

    /// A socket.
    pub(super) fn socket(path: PathBuf, headers: &[(&'static str, &str)]) -> Result<Self, Failure> {
        Ok(Self {
            place: Place::Socket(path),
            headers: map(headers.iter())?,
        })
    }

    /// Connects.
    pub(super) async fn open(&self) -> Result<Talk, Failure> {
        let opened = match &self.place {
            Place::Server(authority) => match TcpStream::connect(authority).await {
                Ok(stream) => match stream.set_nodelay(true) {
                    Ok(()) => begin(stream).await,
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            },
            Place::Socket(path) => match UnixStream::connect(path).await {
                Ok(stream) => begin(stream).await,
                Err(error) => Err(error),
            },
        };
        Ok(Talk {
            sender: opened.map_err(|error| broken("connect").because(&error))?,
            headers: self.headers.clone(),
        })
    }
}

fn map<'h>(
    headers: impl Iterator<Item = &'h (&'static str, &'h str)>,
) -> Result<HeaderMap, Failure> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value);
        let value = value.map_err(|error| broken("send a header").because(&error))?;
        map.insert(HeaderName::from_static(name), value);
    }
    Ok(map)
}

async fn begin(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> io::Result<SendRequest<Full<Bytes>>> {
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}

/// A connection.
pub(super) struct Talk {
    sender: SendRequest<Full<Bytes>>,
    headers: HeaderMap,
}

impl Talk {
    /// Asks and reads the whole answer.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.headers_mut() = self.headers.clone();
        let uri = path.parse();
        *request.uri_mut() = uri.map_err(|error| broken("ask").because(&error))?;
        let answered = async {
            self.sender.ready().await?;
            let answer = self.sender.send_request(request).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?;
            Ok::<_, hyper::Error>((status, body.to_bytes()))
        };
        let answered = tokio::time::timeout(PATIENCE, answered).await;
        let answered = answered.map_err(|error| broken(path).because(&error))?;
        answered.map_err(|error| broken(path).because(&error))
    }

    /// Asks for what must be answered with this status.
    pub(super) async fn expect(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
        wanted: StatusCode,
    ) -> Result<Bytes, Failure> {
        let (status, body) = self.ask(method, path, body).await?;
        match status == wanted {
            true => Ok(body),
            false => Err(unexpected(path, status, &body)),
        }
    }
}

fn broken(what: &str) -> Failure {
    Failure::new(Exit::INTERNAL, format!("no answer: {what}"))
}

/// The failure of an answer that is not what it should be.
pub(super) fn unexpected(path: &str, status: StatusCode, body: &[u8]) -> Failure {
    const LONGEST: usize = 1000;
    let text = String::from_utf8_lossy(body.get(..LONGEST).unwrap_or(body));
    Failure::new(Exit::INTERNAL, format!("{path} was answered with {status}")).help(text)
}

/// Why code was not run, or did not say hello, in a few words.
pub(super) fn refusal(status: StatusCode, body: &[u8]) -> String {
    const LONGEST: usize = 160;
    let said = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let said = ["message", "stderr"].map(|field| said[field].as_str().unwrap_or_default());
    let said = said.into_iter().find(|text| !text.is_empty());
    let said = said.unwrap_or("it did not say hello").trim();
    let short: String = said.chars().take(LONGEST).collect();
    match status.is_success() {
        true => format!("failed: {short}"),
        false => format!("{}: {short}", status.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_that_is_not_there_says_why() {
        let body = br#"{"code":422,"message":"template base has no go: apt-get install golang"}"#;
        let why = refusal(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(why, "422: template base has no go: apt-get install golang");
        let body = br#"{"stdout":"","stderr":"boom\n","exit_code":1}"#;
        assert_eq!(refusal(StatusCode::OK, body), "failed: boom");
        assert_eq!(
            refusal(StatusCode::OK, b"x"),
            "failed: it did not say hello"
        );
    }
}
