//! A running server, seen from the command line: the same programming interface that its other clients use.
//!
//! | What | File |
//! |---|---|
//! | where it is | [`url`] |
//! | the way there: TCP, TLS; who may vouch for it | [`line`], [`roots`] |
//! | the key that it is shown | [`key`] |
//! | one request, one answer | [`exchange`] |
//! | why a request got no good answer, and what that means for a person | [`error`] |
//! | a server and what can be asked of it | [`server`] |
//! | sandboxes in its words | [`sandbox`] |
//! | ids, whole or begun | [`find`] |
//! | what a sandbox is asked to be | [`wish`] |
//! | the way to the agent of a sandbox | [`agent`] |
//! | commands that are started once and remembered | [`command`] |
//! | a sandbox as running code sees it | [`guest`] |
//! | a stream of events | [`follow`] |

pub(crate) mod agent;
pub(crate) mod command;
pub(crate) mod error;
pub(crate) mod exchange;
pub(crate) mod find;
pub(crate) mod follow;
pub(crate) mod guest;
pub(crate) mod key;
pub(crate) mod line;
pub(crate) mod roots;
pub(crate) mod sandbox;
pub(crate) mod server;
pub(crate) mod url;
pub(crate) mod wish;

pub(crate) use server::Server;

use crate::exit::Exit;
use crate::failure::Failure;

/// Waits for `work`, which talks to a server.
///
/// # Errors
/// As the work; and when the program cannot start its runtime.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime =
        built.map_err(|error| Failure::new(Exit::INTERNAL, "cannot start").because(&error))?;
    let done = runtime.block_on(work);
    // A read of stdin that nobody ends must not keep the program.
    runtime.shutdown_background();
    done
}
