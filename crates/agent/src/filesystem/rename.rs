//! `Move`.

use crate::files::save::make_directories;
use crate::filesystem::entry::describe;
use crate::filesystem::{errno, failure, resolve};
use crate::rpc::Call;
use crate::state::Agent;
use soulbox_wire::connect::RpcError;
use soulbox_wire::envd::filesystem::{EntryResponse, MoveRequest};

/// Gives an entry another path, on the same file system; makes the directories above that.
pub(crate) fn rename(
    agent: &Agent,
    call: &Call,
    request: &MoveRequest,
) -> Result<EntryResponse, RpcError> {
    let (account, source) = resolve(agent, call, &request.source)?;
    let (_, destination) = resolve(agent, call, &request.destination)?;
    source
        .symlink_metadata()
        .map_err(|error| failure("find", &source, errno(&error)))?;
    if let Some(parent) = destination.parent() {
        make_directories(parent, &account)
            .map_err(|(made, errno)| failure("make directory", &made, errno))?;
    }
    std::fs::rename(&source, &destination)
        .map_err(|error| failure("move to", &destination, errno(&error)))?;
    agent.watchers.settle(agent);
    let entry = describe(&destination, &mut agent.accounts.names());
    let entry = entry.map_err(|error| failure("find", &destination, errno(&error)))?;
    Ok(EntryResponse { entry })
}
