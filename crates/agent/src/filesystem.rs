//! The service `filesystem.Filesystem`. All of it acts as the agent's own user, root.

pub(crate) mod entry;
pub(crate) mod list_dir;
pub(crate) mod make_dir;
pub(crate) mod remove;
pub(crate) mod rename;
pub(crate) mod stat;

use crate::account::Account;
use crate::limits;
use crate::path;
use crate::reply::Reply;
use crate::rpc::{self, Call};
use crate::state::Agent;
use crate::watch;
use hyper::Request;
use hyper::body::Incoming;
use rustix::io::Errno;
use soulbox_wire::connect::{Code, RpcError};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Serves the method called `method`.
pub(crate) async fn serve(agent: &Rc<Agent>, method: &str, request: Request<Incoming>) -> Reply {
    let limit = limits::MESSAGE;
    match method {
        "Stat" => rpc::unary(request, limit, async |call, q| stat::stat(agent, &call, &q)).await,
        "MakeDir" => {
            rpc::unary(request, limit, async |call, q| {
                make_dir::make_dir(agent, &call, &q)
            })
            .await
        }
        "Move" => {
            rpc::unary(request, limit, async |call, q| {
                rename::rename(agent, &call, &q)
            })
            .await
        }
        "ListDir" => {
            let act = async |call, q| list_dir::list_dir(agent, &call, q).await;
            rpc::unary(request, limit, act).await
        }
        "Remove" => {
            rpc::unary(request, limit, async |call, q| {
                remove::remove(agent, &call, q).await
            })
            .await
        }
        "WatchDir" => {
            let act = async |call, q| watch::stream::watch_dir(agent, &call, &q);
            rpc::server_stream(request, act).await
        }
        "CreateWatcher" => {
            rpc::unary(request, limit, async |call, q| {
                watch::kept::create(agent, &call, &q)
            })
            .await
        }
        "GetWatcherEvents" => {
            rpc::unary(request, limit, async |_, q| {
                watch::kept::take_events(agent, &q)
            })
            .await
        }
        "RemoveWatcher" => {
            rpc::unary(request, limit, async |_, q| watch::kept::remove(agent, &q)).await
        }
        _ => rpc::unknown_method(&request),
    }
}

/// The caller's user and the absolute path that `written` means to it.
pub(crate) fn resolve(
    agent: &Agent,
    call: &Call,
    written: &str,
) -> Result<(Rc<Account>, PathBuf), RpcError> {
    let account = agent.account(call.user.as_deref())?;
    let settings = agent.settings.borrow();
    let path = path::resolve(written, &account, settings.default_workdir.as_deref())
        .map_err(|error| RpcError::new(Code::InvalidArgument, error.to_string()))?;
    Ok((account, path))
}

/// What a failed step on a path means to the client.
pub(crate) fn failure(step: &str, path: &Path, errno: Errno) -> RpcError {
    let code = match errno {
        Errno::NOENT | Errno::NOTDIR => Code::NotFound,
        Errno::EXIST => Code::AlreadyExists,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => Code::PermissionDenied,
        Errno::NOSPC | Errno::DQUOT | Errno::MFILE | Errno::NFILE => Code::ResourceExhausted,
        Errno::LOOP | Errno::NOTEMPTY | Errno::XDEV | Errno::BUSY => Code::FailedPrecondition,
        Errno::INVAL | Errno::NAMETOOLONG | Errno::ISDIR => Code::InvalidArgument,
        _ => Code::Internal,
    };
    RpcError::new(code, format!("cannot {step} '{}': {errno}", path.display()))
}

/// The error number of a failure of the standard library.
pub(crate) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
