//! A running server, seen from the command line: the same programming interface that its other clients use.
//! The client is crate `soulbox-client`; here is what the command line adds.
//!
//! | What | File |
//! |---|---|
//! | which server is meant | [`server`] |
//! | who may vouch for it | [`trust`] |
//! | the key that it is shown | [`key`] |
//! | what a request without a good answer means for a person | [`error`] |
//! | ids, whole or begun | [`find`] |
//! | what a sandbox is asked to be | [`wish`] |
//! | commands that are started once and remembered | [`command`] |
//! | a sandbox as running code sees it | [`guest`] |

pub(crate) mod command;
pub(crate) mod error;
pub(crate) mod find;
pub(crate) mod guest;
pub(crate) mod key;
pub(crate) mod server;
pub(crate) mod trust;
pub(crate) mod wish;

pub(crate) use soulbox_client::Server;

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
