//! Code that keeps its state: the contexts of a sandbox's kernels.

use crate::cell::Cell;
use crate::client::ClientError;
use crate::sandbox::{Sandbox, too_long};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use soulbox_agent_client::{AgentError, KERNELS, PassBody};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::time::Duration;

/// The most of a refusal that is read, in bytes.
const WORDS: usize = 4096;
/// The longest id of a context.
const LONGEST: usize = 128;
/// How long the kernels may take to answer anything but code: as the agent's other routes, and the start of a
/// process.
const PATIENCE: Duration = Duration::from_secs(90);

/// Why a kernel gave no good answer. What it says is text of the sandbox.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// It refused.
    #[error("the kernels of the sandbox answered {status}: {message}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// Its words.
        message: String,
    },
    /// Its answer is none that a kernel of ours gives.
    #[error("the kernel's answer makes no sense")]
    Answer(#[source] serde_json::Error),
    /// An id that no context has.
    #[error("{0:?} cannot be the id of a context")]
    Id(String),
    /// It took too long.
    #[error("the kernels of the sandbox did not answer within {0:?}")]
    Timeout(Duration),
    /// The request cannot be written.
    #[error("cannot write the request")]
    Request(#[from] http::Error),
}

impl KernelError {
    /// Whether there is no such context, or the sandbox has no kernels.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Id(_))
            || matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }
}

/// A process of a kernel, which keeps a user's state.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Context {
    /// Its id.
    pub id: String,
    /// Its language.
    pub language: String,
    /// Its directory.
    #[serde(default)]
    pub cwd: String,
}

/// Code for a context: that of an id, else the default one of a language, else the default one of Python.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Code {
    /// The code.
    pub code: String,
    /// The context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_id: Option<String>,
    /// The language; not beside a context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Variables for this run.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env_vars: BTreeMap<String, String>,
}

impl Code {
    /// Code for a context.
    #[must_use]
    pub fn to(context: &Context, code: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            context_id: Some(context.id.clone()),
            ..Self::default()
        }
    }
}

impl Sandbox {
    /// The contexts that there are.
    ///
    /// # Errors
    /// The template has no kernels, or [`ClientError`].
    pub async fn contexts(&self) -> Result<Vec<Context>, ClientError> {
        self.ask(Method::GET, "/contexts", None).await
    }

    /// Makes a context. Without a language, Python's; without a directory, the user's home.
    ///
    /// # Errors
    /// There is no kernel for the language, the directory cannot be entered, or [`ClientError`].
    pub async fn new_context(
        &self,
        language: Option<&str>,
        cwd: Option<&str>,
    ) -> Result<Context, ClientError> {
        let mut wish = BTreeMap::new();
        wish.extend(language.map(|language| ("language", language)));
        wish.extend(cwd.map(|cwd| ("cwd", cwd)));
        self.ask(Method::POST, "/contexts", Some(json(&wish)?))
            .await
    }

    /// Gives a context another process: its state is gone.
    ///
    /// # Errors
    /// There is no such context, or [`ClientError`].
    pub async fn restart_context(&self, id: &str) -> Result<(), ClientError> {
        let path = format!("/contexts/{}/restart", checked(id)?);
        self.ask::<Option<()>>(Method::POST, &path, None).await?;
        Ok(())
    }

    /// Ends a context.
    ///
    /// # Errors
    /// There is no such context, or [`ClientError`].
    pub async fn remove_context(&self, id: &str) -> Result<(), ClientError> {
        let path = format!("/contexts/{}", checked(id)?);
        self.ask::<Option<()>>(Method::DELETE, &path, None).await?;
        Ok(())
    }

    /// Runs code in a context. Dropping what this gives interrupts the code.
    ///
    /// ```no_run
    /// # async fn example(sandbox: soulbox_client::Sandbox) -> Result<(), soulbox_client::ClientError> {
    /// use soulbox_client::Code;
    ///
    /// let context = sandbox.new_context(Some("python"), None).await?;
    /// sandbox.run_code(&Code::to(&context, "x = 41")).await?.wait().await?;
    /// let told = sandbox.run_code(&Code::to(&context, "x + 1")).await?.wait().await?;
    /// assert_eq!(told.text(), Some("42"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// There is no such context or language, or [`ClientError`]. That the code failed is told by the cell.
    pub async fn run_code(&self, code: &Code) -> Result<Cell, ClientError> {
        let response = self
            .send(Method::POST, "/execute", Some(json(code)?))
            .await?;
        Ok(Cell::new(response.into_body(), self.longest()))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<T, ClientError> {
        let most = usize::try_from(self.longest()).unwrap_or(usize::MAX);
        let asked = async {
            let response = self.send(method, path, body).await?;
            match whole(response.into_body(), most).await? {
                (_, true) => Err(too_long("answer", self.longest())),
                (bytes, false) => {
                    let read = serde_json::from_slice(&bytes);
                    Ok(read.map_err(KernelError::Answer)?)
                }
            }
        };
        let asked = tokio::time::timeout(PATIENCE, asked).await;
        asked.map_err(|_| KernelError::Timeout(PATIENCE))?
    }

    /// Sends a request to the kernels and waits for the head of a good answer.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Response<PassBody>, ClientError> {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(HOST, KERNELS);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = Full::new(body.unwrap_or_default());
        let body = body.map_err(|never: Infallible| -> io::Error { match never {} });
        let request = request.body(body).map_err(KernelError::Request)?;
        let response = self.way().kernels.pass(request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let (words, _) = whole(response.into_body(), WORDS).await?;
        let message = String::from_utf8_lossy(&words).trim().to_owned();
        Err(KernelError::Refused { status, message }.into())
    }
}

fn json(message: &impl Serialize) -> Result<Bytes, KernelError> {
    let json = serde_json::to_vec(message).map_err(KernelError::Answer)?;
    Ok(json.into())
}

/// An id that can stand in a path: one comes from the sandbox, which may say anything.
fn checked(id: &str) -> Result<&str, KernelError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match !id.is_empty() && id.len() <= LONGEST && id.bytes().all(fits) {
        true => Ok(id),
        false => Err(KernelError::Id(id.chars().take(LONGEST).collect())),
    }
}

/// A body, or its first bytes and that there are more.
async fn whole(mut body: PassBody, most: usize) -> Result<(Vec<u8>, bool), ClientError> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(AgentError::from)?;
        if let Ok(piece) = frame.into_data() {
            whole.extend_from_slice(&piece);
        }
        if whole.len() > most {
            whole.truncate(most);
            return Ok((whole, true));
        }
    }
    Ok((whole, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_no_way_to_another_route() {
        assert!(checked("0f-1_A").is_ok());
        for bad in ["", "..", "a/b", "a?b", "a b", "ä", &"a".repeat(200)] {
            assert!(
                checked(bad).is_err_and(|error| error.is_not_found()),
                "{bad}"
            );
        }
    }
}
