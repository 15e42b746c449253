//! `ListDir`.

use crate::account::Names;
use crate::filesystem::entry::describe;
use crate::filesystem::{errno, failure, resolve};
use crate::limits;
use crate::rpc::Call;
use crate::state::Agent;
use soulbox_wire::connect::{Code, RpcError};
use soulbox_wire::envd::filesystem::{EntryInfo, ListDirRequest, ListDirResponse};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Lists a directory, depth first, siblings in the order of their bytes; links are not followed
/// below it.
pub(crate) async fn list_dir(
    agent: &Agent,
    call: &Call,
    request: ListDirRequest,
) -> Result<ListDirResponse, RpcError> {
    let (_, path) = resolve(agent, call, &request.path)?;
    let known = path
        .metadata()
        .map_err(|error| failure("list", &path, errno(&error)))?;
    if !known.is_dir() {
        let message = format!("path is not a directory: {}", path.display());
        return Err(RpcError::new(Code::InvalidArgument, message));
    }
    let walk = Walk {
        names: agent.accounts.names(),
        entries: Vec::new(),
    };
    let depth = request.depth.max(1);
    // One level is quick; a tree may take seconds, so that goes to a thread of its own.
    let entries = if depth == 1 {
        walk.run(path, depth)
    } else {
        let walked = tokio::task::spawn_blocking(move || walk.run(path, depth)).await;
        walked.map_err(|error| RpcError::new(Code::Internal, error.to_string()))?
    };
    Ok(ListDirResponse { entries: entries? })
}

struct Walk {
    names: Names,
    entries: Vec<EntryInfo>,
}

impl Walk {
    fn run(mut self, root: PathBuf, depth: u32) -> Result<Vec<EntryInfo>, RpcError> {
        // Directories that are not finished: each with its remaining names, last one first.
        let mut open = vec![(read_names(&root)?, root)];
        while let Some((names, directory)) = open.last_mut() {
            let Some(name) = names.pop() else {
                open.pop();
                continue;
            };
            let path = directory.join(name);
            if self.add(&path)? && open.len() < usize::try_from(depth).unwrap_or(usize::MAX) {
                match read_names(&path) {
                    Ok(names) => open.push((names, path)),
                    // It went away while the list was made.
                    Err(error) if error.code == Code::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(self.entries)
    }

    /// Adds an entry; whether it is a directory, and no link to one.
    fn add(&mut self, path: &Path) -> Result<bool, RpcError> {
        let entry = match describe(path, &mut self.names) {
            Ok(entry) => entry,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failure("list", path, errno(&error))),
        };
        if self.entries.len() >= limits::LISTED {
            return Err(too_many());
        }
        let is_directory = entry.permissions.starts_with('d');
        self.entries.push(entry);
        Ok(is_directory)
    }
}

/// The names in a directory, in reverse order of their bytes.
fn read_names(directory: &Path) -> Result<Vec<OsString>, RpcError> {
    let failed = |error: std::io::Error| failure("list", directory, errno(&error));
    let mut names = Vec::new();
    for entry in directory.read_dir().map_err(failed)? {
        if names.len() >= limits::LISTED {
            return Err(too_many());
        }
        names.push(entry.map_err(failed)?.file_name());
    }
    names.sort_unstable_by(|one, other| other.cmp(one));
    Ok(names)
}

fn too_many() -> RpcError {
    let message = format!("more than {} entries, list fewer levels", limits::LISTED);
    RpcError::new(Code::ResourceExhausted, message)
}
