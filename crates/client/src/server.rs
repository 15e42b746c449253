//! A server and what can be asked of it.

use crate::error::RemoteError;
use crate::exchange;
use crate::line::{Line, SetUpError};
use crate::roots::Trust;
use crate::url::Url;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use soulbox_model::{ApiKey, TeamId};
use soulbox_settings::section::Client;
use std::time::Duration;

/// The header that brings the key.
const KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The header that says for which team the operator acts.
const TEAM: HeaderName = HeaderName::from_static("soulbox-team");

/// A server, and the key that it is shown.
#[derive(Debug, Clone)]
pub struct Server {
    url: Url,
    line: Line,
    key: ApiKey,
    team: Option<TeamId>,
    limits: Client,
}

/// What is asked.
#[derive(Debug)]
pub struct Question<'q> {
    /// How.
    pub method: Method,
    /// The path, with a query perhaps.
    pub path: &'q str,
    /// What is sent; JSON, unless it is empty.
    pub body: Bytes,
    /// Headers beside those that every request has.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Server {
    /// The server at `url`, which is shown `key`. Asks nothing yet.
    ///
    /// # Errors
    /// [`SetUpError`], where it speaks TLS.
    pub fn new(url: Url, key: ApiKey, trust: &Trust, limits: Client) -> Result<Self, SetUpError> {
        let line = Line::to(&url, trust)?;
        Ok(Self {
            url,
            line,
            key,
            team: None,
            limits,
        })
    }

    /// The way there.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// The same server, for a team that the key is not of.
    #[must_use]
    pub fn for_team(self, team: Option<TeamId>) -> Self {
        Self { team, ..self }
    }

    /// How long it is worth asking again after a connection broke.
    #[must_use]
    pub fn reconnect(&self) -> Duration {
        self.limits.reconnect
    }

    /// The longest answer that is read whole, in bytes.
    pub(crate) fn longest(&self) -> usize {
        usize::try_from(self.limits.answer.bytes()).unwrap_or(usize::MAX)
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Asks and waits for the head of a good answer.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn open(&self, question: Question<'_>) -> Result<Response<Incoming>, RemoteError> {
        let wrong = |error: http::Error| RemoteError::Answer {
            url: self.url.clone(),
            source: Box::new(error),
        };
        let mut request = Request::builder()
            .method(question.method)
            .uri(question.path)
            .header(HOST, self.url.authority())
            .header(KEY, self.key.reveal());
        if question.headers.iter().all(|(name, _)| name != ACCEPT) {
            request = request.header(ACCEPT, "*/*");
        }
        if let Some(team) = &self.team {
            request = request.header(TEAM, team.as_str());
        }
        if !question.body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in question.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(question.body)).map_err(wrong)?;
        let sent = exchange::send(&self.line, &self.limits, request).await;
        let response = sent.map_err(|error| RemoteError::of(&self.url, error))?;
        let status = response.status();
        if status.is_success() || status.is_informational() {
            return Ok(response);
        }
        let body = self.whole(response).await?;
        Err(RemoteError::refused(status, &body))
    }

    /// Asks for something.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RemoteError> {
        self.get_with(path).await.map(|(answer, _)| answer)
    }

    /// Asks for something, and for the header `name` of the answer.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn get_page<T: DeserializeOwned>(
        &self,
        path: &str,
        name: &str,
    ) -> Result<(T, Option<String>), RemoteError> {
        let (answer, headers) = self.get_with(path).await?;
        let header = headers.get(name).and_then(|value| value.to_str().ok());
        Ok((answer, header.map(str::to_owned)))
    }

    async fn get_with<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<(T, http::HeaderMap), RemoteError> {
        let response = self.open(Question::bare(Method::GET, path)).await?;
        let headers = response.headers().clone();
        let body = self.whole(response).await?;
        Ok((self.read(&body)?, headers))
    }

    /// Sends something and reads what comes back.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, RemoteError> {
        let response = self.open(self.question(Method::POST, path, body)?).await?;
        let body = self.whole(response).await?;
        self.read(&body)
    }

    /// Has something done.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn have_done(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<(), RemoteError> {
        let question = match body {
            Some(body) => self.question(method, path, body)?,
            None => Question::bare(method, path),
        };
        let response = self.open(question).await?;
        self.whole(response).await.map(drop)
    }

    /// A question with a JSON body.
    ///
    /// # Errors
    /// The body cannot be written.
    pub fn question<'q>(
        &self,
        method: Method,
        path: &'q str,
        body: &impl Serialize,
    ) -> Result<Question<'q>, RemoteError> {
        let body = serde_json::to_vec(body).map_err(|error| self.unreadable(error))?;
        Ok(Question {
            body: body.into(),
            ..Question::bare(method, path)
        })
    }

    /// The whole body of an answer.
    ///
    /// # Errors
    /// It broke off, took too long, or is too long.
    pub async fn whole(&self, response: Response<Incoming>) -> Result<Bytes, RemoteError> {
        let read = exchange::whole(response.into_body(), &self.limits).await;
        read.map_err(|error| RemoteError::of(&self.url, error))
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// It is none, or another one.
    pub fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, RemoteError> {
        serde_json::from_slice(body).map_err(|error| self.unreadable(error))
    }

    /// An answer that is not what it should be.
    pub fn unreadable(&self, error: impl std::error::Error + Send + Sync + 'static) -> RemoteError {
        RemoteError::Answer {
            url: self.url.clone(),
            source: Box::new(error),
        }
    }
}

impl<'q> Question<'q> {
    /// One without a body.
    pub fn bare(method: Method, path: &'q str) -> Self {
        Self {
            method,
            path,
            body: Bytes::new(),
            headers: Vec::new(),
        }
    }
}
