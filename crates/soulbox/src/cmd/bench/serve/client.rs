//! What a client does: it makes and ends sandboxes, and talks to what is in them as E2B's SDKs do.

use super::failed;
use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use soulbox_runtime::agent_client::{
    AgentClient, AgentLimits, Door, ProcessEvent, ProcessStream, StartRequest,
};
use soulbox_settings::Source as _;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// How long a sandbox lives that is not ended, in seconds.
const TIMEOUT: u32 = 1200;
/// How long a command may take, as the SDKs have it.
const COMMAND: Duration = Duration::from_secs(60);
/// How long the server may take until it can make sandboxes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a server is, and the key for it.
#[derive(Debug, Clone)]
pub(super) struct Address {
    authority: String,
    key: String,
}

impl Address {
    pub(super) fn new(url: &str, key: &str) -> Self {
        let authority = url.strip_prefix("http://").unwrap_or(url);
        Self {
            authority: authority.trim_end_matches('/').to_owned(),
            key: key.to_owned(),
        }
    }

    /// A server that somebody else started.
    pub(super) fn of_url(url: &str) -> Result<Self, Failure> {
        let key = Environment.variable("SOULBOX_API_KEY");
        let key = key.and_then(|key| key.into_string().ok());
        let key = key.ok_or_else(|| {
            Failure::new(Exit::USAGE, "--url needs the server's key")
                .help("export SOULBOX_API_KEY=... with a key of that server")
        })?;
        Ok(Self::new(url, &key))
    }
}

/// A sandbox that was made.
#[derive(Debug, Deserialize)]
pub(super) struct Made {
    #[serde(rename = "sandboxID")]
    pub(super) id: String,
    #[serde(rename = "envdAccessToken")]
    token: Option<String>,
    /// Whether one was ready.
    #[serde(skip)]
    pub(super) was_ready: bool,
}

/// A connection to the server's programming interface.
pub(super) struct Api {
    address: Address,
    sender: Option<http1::SendRequest<Full<Bytes>>>,
}

impl Api {
    pub(super) fn new(address: &Address) -> Self {
        Self {
            address: address.clone(),
            sender: None,
        }
    }

    async fn connect(&self) -> std::io::Result<http1::SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(&self.address.authority).await?;
        stream.set_nodelay(true)?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// Asks and reads the whole answer.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Bytes>, Failure> {
        let broken = |error: &dyn std::error::Error| {
            failed(format!("the server did not answer {path}")).because(error)
        };
        let mut sender = match self.sender.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => self.connect().await.map_err(|error| broken(&error))?,
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.address.authority)
            .header("x-api-key", &self.address.key)
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|error| broken(&error))?;
        sender.ready().await.map_err(|error| broken(&error))?;
        let answer = sender.send_request(request).await;
        let (head, body) = answer.map_err(|error| broken(&error))?.into_parts();
        let body = body.collect().await.map_err(|error| broken(&error))?;
        self.sender = Some(sender);
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    /// Makes a sandbox.
    pub(super) async fn create(&mut self, template: &str) -> Result<Made, Failure> {
        let asked = serde_json::json!({
            "templateID": template, "timeout": TIMEOUT, "secure": true, "allow_internet_access": true,
        });
        let asked = Bytes::from(asked.to_string());
        let answer = self.ask(Method::POST, "/v2/sandboxes", asked).await?;
        if answer.status() != StatusCode::CREATED {
            return Err(unexpected("a create", &answer));
        }
        // One that was ready has one phase only: it was handed out.
        let phases = answer.headers().get("server-timing");
        let phases = phases.and_then(|value| value.to_str().ok());
        let was_ready = phases.is_some_and(|phases| !phases.contains(','));
        let made = serde_json::from_slice::<Made>(answer.body());
        let made = made.map_err(|error| failed("the answer to a create").because(&error))?;
        Ok(Made { was_ready, ..made })
    }

    /// Runs a command that is recorded to its end, which must be a success.
    pub(super) async fn record(&mut self, made: &Made, asked: Bytes) -> Result<(), Failure> {
        let limit = COMMAND.as_millis();
        let path = format!("/v1/sandboxes/{}/commands?wait_ms={limit}", made.id);
        let answer = self.ask(Method::POST, &path, asked).await?;
        let record = serde_json::from_slice::<serde_json::Value>(answer.body());
        match record {
            Ok(record) if record["state"] == "exited" && record["exit_code"] == 0 => Ok(()),
            _ => Err(unexpected("a command", &answer)),
        }
    }

    /// Ends a sandbox.
    pub(super) async fn kill(&mut self, made: &Made) -> Result<(), Failure> {
        let path = format!("/sandboxes/{}", made.id);
        let answer = self.ask(Method::DELETE, &path, Bytes::new()).await?;
        match answer.status() {
            StatusCode::NO_CONTENT => Ok(()),
            _ => Err(unexpected("a kill", &answer)),
        }
    }

    /// The way to what is in a sandbox, over connections of its own.
    pub(super) fn agent(&self, made: &Made) -> Result<AgentClient, Failure> {
        let limits = AgentLimits::default();
        Ok(AgentClient::through(self.door(made)?, limits))
    }

    fn door(&self, made: &Made) -> Result<Door, Failure> {
        let mut headers = HeaderMap::new();
        let token = made.token.as_deref().unwrap_or_default();
        for (name, value) in [
            ("e2b-sandbox-id", made.id.as_str()),
            ("e2b-sandbox-port", "49983"),
            ("x-access-token", token),
        ] {
            let value = HeaderValue::from_str(value);
            let value = value.map_err(|error| failed(name).because(&error))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(Door {
            authority: self.address.authority.clone(),
            headers,
            connect: None,
        })
    }
}

fn unexpected(what: &str, answer: &Response<Bytes>) -> Failure {
    let text = String::from_utf8_lossy(answer.body());
    failed(format!("{what} was answered with {}", answer.status())).help(text)
}

/// Waits until the server can make sandboxes of a template.
pub(super) async fn wait_until_ready(address: &Address, template: &str) -> Result<(), Failure> {
    let mut api = Api::new(address);
    let begin = Instant::now();
    loop {
        match api.create(template).await {
            Ok(made) => return api.kill(&made).await,
            Err(failure) if begin.elapsed() > PATIENCE => return Err(failure),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// A command as the SDKs send it: a line for a shell.
pub(super) fn line(line: &str) -> StartRequest {
    let words = ["-l", "-c", line];
    StartRequest {
        cmd: "/bin/bash".to_owned(),
        args: words.map(str::to_owned).into(),
        timeout: Some(COMMAND),
        ..StartRequest::default()
    }
}

/// A program without a shell.
pub(super) fn program(path: &str, arguments: &[&str]) -> StartRequest {
    StartRequest {
        cmd: path.to_owned(),
        args: arguments.iter().map(|word| (*word).to_owned()).collect(),
        ..StartRequest::default()
    }
}

/// Starts a command.
pub(super) async fn start(
    agent: &AgentClient,
    request: &StartRequest,
) -> Result<ProcessStream, Failure> {
    let started = agent.start(request).await;
    started.map_err(|error| failed(format!("cannot run {}", request.cmd)).because(&error))
}

/// Follows a command to its end, which must be a success; tells when its first output came.
pub(super) async fn finish(mut stream: ProcessStream) -> Result<Option<Instant>, Failure> {
    let mut first = None;
    loop {
        let event = stream.next().await;
        match event.map_err(|error| failed("a command was lost").because(&error))? {
            Some(ProcessEvent::End(end)) if end.exit_code == 0 => return Ok(first),
            Some(ProcessEvent::End(end)) => {
                return Err(failed(format!("a command ended with {}", end.status)));
            }
            Some(_) => first = first.or_else(|| Some(Instant::now())),
            None => return Err(failed("a command's end was not told")),
        }
    }
}

/// Runs a command to its end; tells when its first output came.
pub(super) async fn run(
    agent: &AgentClient,
    request: &StartRequest,
) -> Result<Option<Instant>, Failure> {
    finish(start(agent, request).await?).await
}
