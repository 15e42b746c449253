//! `POST /files`.

use crate::files::body::UploadBody;
use crate::files::metadata::{self, Metadata};
use crate::files::multipart::{Event, Multipart, MultipartError, PartHead};
use crate::files::save::Saving;
use crate::files::target::Target;
use crate::path::base_name;
use crate::reply::{Failure, Reply, json};
use crate::request::drain;
use crate::rpc::text;
use crate::state::Agent;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};
use soulbox_wire::envd::http::{EXECUTABLE, WrittenFile};
use std::path::{Path, PathBuf};

/// The part of a form that is a file; others are ignored.
const FIELD: &str = "file";

/// Writes the files that the request carries.
pub(crate) async fn serve(agent: &Agent, request: Request<Incoming>) -> Result<Reply, Failure> {
    let (head, mut body) = request.into_parts();
    let written = write(agent, &head, &mut body).await;
    if written.is_err() {
        drain(body);
    }
    Ok(json(StatusCode::OK, &written?))
}

async fn write(
    agent: &Agent,
    head: &Parts,
    body: &mut Incoming,
) -> Result<Vec<WrittenFile>, Failure> {
    let target = Target::read(agent, &head.uri)?;
    let metadata = metadata::from_headers(&head.headers)?;
    let mut upload = Upload {
        agent,
        target,
        metadata,
        executable: head.headers.contains_key(EXECUTABLE),
        written: Vec::new(),
    };
    let kind = text(&head.headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let essence = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match essence.as_str() {
        "application/octet-stream" => upload.raw(decoded(&head.headers, body)?).await?,
        "multipart/form-data" => {
            let form = Multipart::new(&head.headers)?;
            upload.form(form, decoded(&head.headers, body)?).await?;
        }
        _ => {
            let message = format!(
                "unsupported content type '{kind}', send multipart/form-data or \
                 application/octet-stream"
            );
            return Err(Failure::bad_request(message));
        }
    }
    agent.watchers.settle(agent);
    Ok(upload.written)
}

/// The body without its compression.
fn decoded<'a>(headers: &HeaderMap, body: &'a mut Incoming) -> Result<UploadBody<'a>, Failure> {
    let encoding = text(headers, CONTENT_ENCODING.as_str()).unwrap_or("identity");
    match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(UploadBody::plain(body)),
        "gzip" | "x-gzip" => Ok(UploadBody::gzip(body)),
        _ => {
            let message = format!("unsupported content encoding '{encoding}', send gzip or none");
            Err(Failure::bad_request(message))
        }
    }
}

impl From<MultipartError> for Failure {
    fn from(error: MultipartError) -> Self {
        Self::bad_request(error.to_string())
    }
}

/// An upload on its way.
struct Upload<'a> {
    agent: &'a Agent,
    target: Target,
    metadata: Metadata,
    /// Whether the files are programs.
    executable: bool,
    written: Vec<WrittenFile>,
}

impl Upload<'_> {
    /// The body is the file.
    async fn raw(&mut self, mut body: UploadBody<'_>) -> Result<(), Failure> {
        let Some(path) = &self.target.path else {
            return Err(Failure::bad_request(
                "query has no path, which a raw upload needs",
            ));
        };
        let path = self.target.resolve(self.agent, path)?;
        let mut saving = self.begin(&path)?;
        while let Some(piece) = body.next().await? {
            saving.write(&piece)?;
        }
        self.finish(saving, &path)
    }

    /// The body is a form whose files are written.
    async fn form(&mut self, mut form: Multipart, mut body: UploadBody<'_>) -> Result<(), Failure> {
        let mut current = None;
        while let Some(piece) = body.next().await? {
            form.push(&piece);
            loop {
                match form.next()? {
                    Event::Part(head) => current = self.begin_part(&head)?,
                    Event::Data(data) => {
                        if let Some((saving, _)) = &mut current {
                            saving.write(&data)?;
                        }
                    }
                    Event::PartEnd => {
                        if let Some((saving, path)) = current.take() {
                            self.finish(saving, &path)?;
                        }
                    }
                    Event::Starved | Event::End => break,
                }
            }
        }
        Ok(form.finish()?)
    }

    /// Begins the file of a part; `None` for parts that are none.
    fn begin_part(&self, head: &PartHead) -> Result<Option<(Saving, PathBuf)>, Failure> {
        if head.name.as_deref() != Some(FIELD) {
            return Ok(None);
        }
        let path = self.target.path.as_ref().or(head.filename.as_ref());
        let path = path.ok_or_else(|| {
            Failure::bad_request("part has no filename, and the query has no path")
        })?;
        let path = self.target.resolve(self.agent, path)?;
        let name = path.to_string_lossy();
        if self.written.iter().any(|written| written.path == name) {
            let message = format!("more than one file for path '{name}' in one upload");
            return Err(Failure::bad_request(message));
        }
        Ok(Some((self.begin(&path)?, path)))
    }

    fn begin(&self, path: &Path) -> Result<Saving, Failure> {
        let saving = Saving::begin(path, &self.target.account)?;
        self.agent.watchers.settle(self.agent);
        Ok(saving)
    }

    fn finish(&mut self, saving: Saving, path: &Path) -> Result<(), Failure> {
        if self.executable {
            saving.mark_executable()?;
        }
        saving.finish()?;
        metadata::replace(path, &self.metadata);
        self.written.push(WrittenFile {
            path: path.to_string_lossy().into_owned(),
            name: base_name(path),
            kind: "file".to_owned(),
            metadata: (!self.metadata.is_empty()).then(|| self.metadata.clone()),
        });
        Ok(())
    }
}
