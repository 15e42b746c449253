//! What is told of code while it runs.

use crate::client::ClientError;
use crate::error::RemoteError;
use crate::execute::Execute;
use crate::follow::Follow;
use crate::run::{Run, whole};
use crate::server::Server;
use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderValue, Method, StatusCode};
use serde::Deserialize;

/// What is told of a run while it goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    /// Its sandbox is there.
    Started {
        /// The sandbox.
        sandbox: String,
        /// What that was made from.
        template: String,
        /// The language of the code.
        language: String,
    },
    /// It printed on standard output.
    Stdout(Bytes),
    /// It printed on standard error.
    Stderr(Bytes),
    /// It is over; the output came before.
    Exit(Box<Run>),
}

/// A run that goes on. Dropping it ends the run. It waits while this is not read.
#[derive(Debug)]
pub struct Running(pub(crate) Source);

/// Where events come from.
pub(crate) enum Source {
    /// A server.
    Server(Box<Follow>),
    /// An engine in this process.
    #[cfg(feature = "embedded")]
    Engine(tokio::sync::mpsc::Receiver<Result<RunEvent, ClientError>>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Server(_) => "Server",
            #[cfg(feature = "embedded")]
            Self::Engine(_) => "Engine",
        })
    }
}

impl Running {
    /// Has a server run code.
    pub(crate) async fn on(server: &Server, code: &Execute) -> Result<Self, RemoteError> {
        let mut question = server.question(Method::POST, "/v1/execute", code)?;
        let events = HeaderValue::from_static("text/event-stream");
        question.headers.push((ACCEPT, events));
        let follow = Follow::ask(server, question, server.longest()).await?;
        Ok(Self(Source::Server(Box::new(follow))))
    }

    /// What is told next; none behind [`RunEvent::Exit`].
    ///
    /// # Errors
    /// [`ClientError`]; nobody knows what became of the code then, unless the server tells.
    pub async fn next(&mut self) -> Result<Option<RunEvent>, ClientError> {
        match &mut self.0 {
            Source::Server(follow) => loop {
                let Some(message) = follow.next().await? else {
                    return Ok(None);
                };
                if let Some(event) = read(&message.kind, message.data.as_bytes(), follow.server())?
                {
                    return Ok(Some(event));
                }
            },
            #[cfg(feature = "embedded")]
            Source::Engine(events) => events.recv().await.transpose(),
        }
    }

    /// Waits for the end; gives the run with the output that was not taken before.
    ///
    /// # Errors
    /// As [`Running::next`].
    pub async fn wait(mut self) -> Result<Run, ClientError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(event) = self.next().await? {
            match event {
                RunEvent::Started { .. } => {}
                RunEvent::Stdout(bytes) => stdout.extend_from_slice(&bytes),
                RunEvent::Stderr(bytes) => stderr.extend_from_slice(&bytes),
                RunEvent::Exit(run) => {
                    return Ok(Run {
                        stdout: stdout.into(),
                        stderr: stderr.into(),
                        ..*run
                    });
                }
            }
        }
        Err(ClientError::BrokenOff)
    }
}

/// Reads an event of a server; none of a kind that is not known.
fn read(kind: &str, data: &[u8], server: &Server) -> Result<Option<RunEvent>, ClientError> {
    #[derive(Deserialize)]
    struct Started {
        sandbox: String,
        template: String,
        language: String,
    }
    #[derive(Deserialize)]
    struct Failed {
        code: u16,
        message: String,
    }
    Ok(Some(match kind {
        "started" => {
            let Started {
                sandbox,
                template,
                language,
            } = server.read(data)?;
            RunEvent::Started {
                sandbox,
                template,
                language,
            }
        }
        "stdout" => RunEvent::Stdout(server.read::<Piece>(data)?.0),
        "stderr" => RunEvent::Stderr(server.read::<Piece>(data)?.0),
        "exit" => RunEvent::Exit(server.read(data)?),
        "error" => {
            let Failed { code, message } = server.read(data)?;
            let status = StatusCode::from_u16(code).unwrap_or_default();
            return Err(RemoteError::Refused { status, message }.into());
        }
        _ => return Ok(None),
    }))
}

/// A piece of output: text, or base64.
#[derive(Deserialize)]
#[serde(try_from = "ToldPiece")]
struct Piece(Bytes);

#[derive(Deserialize)]
struct ToldPiece {
    text: Option<String>,
    base64: Option<String>,
}

impl TryFrom<ToldPiece> for Piece {
    type Error = base64::DecodeError;

    fn try_from(told: ToldPiece) -> Result<Self, Self::Error> {
        whole(told.text, told.base64).map(Self)
    }
}
