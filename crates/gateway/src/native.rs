//! SoulBox's own programming interface, below `/v1`: what E2B's has no words for.
//!
//! | What | File |
//! |---|---|
//! | sandboxes that live and that ended, with what they use | `sandboxes` |
//! | making a sandbox, with its limits | `create` |
//! | what a sandbox has used, its processes | `usage` |
//! | commands that happen once | `commands` |
//! | a port of a sandbox, byte for byte | `tcp` |
//! | what happens, once and followed | `events` |
//! | code in a sandbox of its own | `execute` |
//! | what waits ready | `pools` |
//! | bodies of streams of events | `stream` |
//! | a terminal over a WebSocket | `terminal` |

mod commands;
mod create;
mod events;
mod execute;
mod pools;
mod query;
mod sandboxes;
mod stream;
mod tcp;
mod terminal;
mod usage;

use crate::door::Gateway;
use axum::Router;

/// All routes.
pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .merge(sandboxes::routes())
        .merge(commands::routes())
        .merge(events::routes())
        .merge(terminal::routes())
        .merge(create::routes())
        .merge(usage::routes())
        .merge(tcp::routes())
        .merge(execute::routes())
        .merge(pools::routes())
}

/// For fuzzing: what the readers of all bodies say.
#[cfg(fuzzing)]
pub(crate) fn fuzz(body: &[u8]) -> Vec<Result<(), crate::error::ApiError>> {
    if let Ok(text) = str::from_utf8(body) {
        terminal::fuzz(text);
    }
    let mut said = vec![create::fuzz(body)];
    said.extend(commands::fuzz(body));
    said.extend(execute::fuzz(body));
    said
}
