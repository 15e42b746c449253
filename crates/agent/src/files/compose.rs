//! `POST /files/compose`: several files become one.

use crate::account::Account;
use crate::files::save::{failure, give, make_directories};
use crate::files::target::{account, resolve};
use crate::filesystem::errno;
use crate::limits;
use crate::path::base_name;
use crate::reply::{Failure, Reply, json};
use crate::request::read_whole;
use crate::state::Agent;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use soulbox_wire::envd::http::{ComposeRequest, WrittenFile};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Joins files in the order given, and removes them when the result is in place.
pub(crate) async fn serve(agent: &Agent, request: Request<Incoming>) -> Result<Reply, Failure> {
    let body = read_whole(request.into_body(), limits::MESSAGE).await?;
    let wanted: ComposeRequest = serde_json::from_slice(&body)
        .map_err(|error| Failure::bad_request(format!("invalid body: {error}")))?;
    if wanted.source_paths.is_empty() || wanted.source_paths.len() > limits::COMPOSED {
        let message = format!("source_paths must name 1 to {} files", limits::COMPOSED);
        return Err(Failure::bad_request(message));
    }
    if wanted.destination.is_empty() {
        return Err(Failure::bad_request("destination is missing"));
    }
    let account = account(agent, wanted.username.as_deref())?;
    let destination = resolve(agent, &account, &wanted.destination)?;
    let mut sources = Vec::new();
    for source in &wanted.source_paths {
        sources.push(check_source(
            resolve(agent, &account, source)?,
            &destination,
        )?);
    }
    let written = WrittenFile {
        path: destination.to_string_lossy().into_owned(),
        name: base_name(&destination),
        kind: "file".to_owned(),
        metadata: None,
    };
    let account = Rc::unwrap_or_clone(account);
    // On a thread of its own: copying takes as long as the files are large.
    let composed = tokio::task::spawn_blocking(move || compose(&sources, &destination, &account));
    composed
        .await
        .map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))??;
    agent.watchers.settle(agent);
    Ok(json(StatusCode::OK, &written))
}

fn check_source(source: PathBuf, destination: &Path) -> Result<PathBuf, Failure> {
    let name = source.display();
    if source == destination {
        return Err(Failure::bad_request(format!(
            "source '{name}' is the destination"
        )));
    }
    match source.metadata() {
        Ok(known) if known.is_file() => Ok(source),
        Ok(_) => Err(Failure::bad_request(format!(
            "source '{name}' is not a regular file"
        ))),
        Err(_) => Err(Failure::new(
            StatusCode::NOT_FOUND,
            format!("path '{name}' does not exist"),
        )),
    }
}

/// Writes beside the destination first: what was there is whole until the new file is.
fn compose(sources: &[PathBuf], destination: &Path, account: &Account) -> Result<(), Failure> {
    let name = destination.display().to_string();
    let parent = destination.parent();
    let parent = parent.ok_or_else(|| Failure::bad_request("destination is the root directory"))?;
    make_directories(parent, account)
        .map_err(|(made, errno)| failure("make directory", &made.to_string_lossy(), errno))?;
    let mut temporary = destination.as_os_str().to_owned();
    temporary.push(format!(
        ".{}.compose",
        rustix::process::getpid().as_raw_nonzero()
    ));
    let temporary = PathBuf::from(temporary);
    let written = join(sources, &temporary, account)
        .and_then(|()| std::fs::rename(&temporary, destination).map_err(|error| errno(&error)));
    if let Err(errno) = written {
        let _ = std::fs::remove_file(&temporary);
        return Err(failure("compose", &name, errno));
    }
    for source in sources {
        let _ = std::fs::remove_file(source);
    }
    Ok(())
}

fn join(sources: &[PathBuf], target: &Path, account: &Account) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let target = rustix::fs::open(target, flags, Mode::from_raw_mode(0o666))?;
    give(&target, account)?;
    let mut target = File::from(target);
    for source in sources {
        // Non-blocking: it may have become a named pipe since it was looked at.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mut source = File::from(rustix::fs::open(source, flags, Mode::empty())?);
        std::io::copy(&mut source, &mut target).map_err(|error| errno(&error))?;
    }
    Ok(())
}
