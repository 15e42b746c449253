//! `Stat`.

use crate::filesystem::entry::describe;
use crate::filesystem::{errno, failure, resolve};
use crate::rpc::Call;
use crate::state::Agent;
use soulbox_wire::connect::RpcError;
use soulbox_wire::envd::filesystem::{EntryResponse, PathRequest};

/// Tells what is at a path.
pub(crate) fn stat(
    agent: &Agent,
    call: &Call,
    request: &PathRequest,
) -> Result<EntryResponse, RpcError> {
    let (_, path) = resolve(agent, call, &request.path)?;
    let entry = describe(&path, &mut agent.accounts.names());
    let entry = entry.map_err(|error| failure("find", &path, errno(&error)))?;
    Ok(EntryResponse { entry })
}
