//! `POST /files`.

use crate::files::save::Saving;
use crate::files::target::Target;
use crate::path::base_name;
use crate::reply::{Failure, Reply, json};
use crate::request::next_piece;
use crate::rpc::text;
use crate::state::Agent;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};
use soulbox_wire::envd::http::WrittenFile;
use std::path::Path;

/// Writes the files that the request carries.
pub(crate) async fn serve(agent: &Agent, request: Request<Incoming>) -> Result<Reply, Failure> {
    let target = Target::read(agent, request.uri())?;
    let (head, body) = request.into_parts();
    let kind = text(&head.headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let essence = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let written = match essence.as_str() {
        "application/octet-stream" => vec![raw(agent, &target, body).await?],
        _ => {
            let message = format!(
                "unsupported content type '{kind}', send multipart/form-data or \
                 application/octet-stream"
            );
            return Err(Failure::bad_request(message));
        }
    };
    Ok(json(StatusCode::OK, &written))
}

/// The body is the file.
async fn raw(agent: &Agent, target: &Target, mut body: Incoming) -> Result<WrittenFile, Failure> {
    let Some(path) = &target.path else {
        return Err(Failure::bad_request(
            "query has no path, which a raw upload needs",
        ));
    };
    let path = target.resolve(agent, path)?;
    let mut saving = Saving::begin(&path, &target.account)?;
    while let Some(piece) = next_piece(&mut body).await? {
        saving.write(&piece)?;
    }
    saving.finish()?;
    Ok(written_file(&path))
}

fn written_file(path: &Path) -> WrittenFile {
    WrittenFile {
        path: path.display().to_string(),
        name: base_name(path),
        kind: "file".to_owned(),
        metadata: None,
    }
}
