//! `Remove`.

use crate::filesystem::{errno, failure, resolve};
use crate::rpc::Call;
use crate::state::Agent;
use soulbox_wire::connect::{Code, RpcError};
use soulbox_wire::envd::filesystem::PathRequest;
use soulbox_wire::envd::process::Empty;
use std::io::ErrorKind;
use std::path::Path;

/// Removes an entry with all that is in it. What is not there is removed already.
pub(crate) async fn remove(
    agent: &Agent,
    call: &Call,
    request: PathRequest,
) -> Result<Empty, RpcError> {
    let (_, path) = resolve(agent, call, &request.path)?;
    if path == Path::new("/") {
        return Err(RpcError::new(
            Code::InvalidArgument,
            "the root directory cannot be removed",
        ));
    }
    let tree = path.clone();
    // On a thread of its own: a large tree takes seconds.
    let removed = tokio::task::spawn_blocking(move || remove_tree(&tree)).await;
    let removed = removed.map_err(|error| RpcError::new(Code::Internal, error.to_string()))?;
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(failure("remove", &path, errno(&error)))
        }
        _ => Ok(Empty {}),
    }
}

fn remove_tree(path: &Path) -> std::io::Result<()> {
    match path.symlink_metadata() {
        Ok(known) if known.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(()),
        Err(error) => Err(error),
    }
}
