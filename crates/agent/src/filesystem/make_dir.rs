//! `MakeDir`.

use crate::files::save::make_directories;
use crate::filesystem::entry::describe;
use crate::filesystem::{errno, failure, resolve};
use crate::rpc::Call;
use crate::state::Agent;
use soulbox_wire::connect::{Code, RpcError};
use soulbox_wire::envd::filesystem::{EntryResponse, PathRequest};

/// Makes a directory and those above it; new ones belong to the caller's user.
pub(crate) fn make_dir(
    agent: &Agent,
    call: &Call,
    request: &PathRequest,
) -> Result<EntryResponse, RpcError> {
    let (account, path) = resolve(agent, call, &request.path)?;
    if let Ok(known) = path.metadata() {
        let (code, what) = if known.is_dir() {
            (Code::AlreadyExists, "directory already exists")
        } else {
            (Code::InvalidArgument, "path exists and is not a directory")
        };
        return Err(RpcError::new(code, format!("{what}: {}", path.display())));
    }
    make_directories(&path, &account)
        .map_err(|(made, errno)| failure("make directory", &made, errno))?;
    agent.watchers.settle(agent);
    let entry = describe(&path, &mut agent.accounts.names());
    let entry = entry.map_err(|error| failure("find", &path, errno(&error)))?;
    Ok(EntryResponse { entry })
}
