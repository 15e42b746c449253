//! SoulBox's own programming interface, below `/v1`: what E2B's has no words for.
//!
//! | What | File |
//! |---|---|
//! | sandboxes that live and that ended, with what they use | `sandboxes` |
//! | commands that happen once | `commands` |
//! | what happens, once and followed | `events` |
//! | a terminal over a WebSocket | `terminal` |

mod commands;
mod events;
mod query;
mod sandboxes;
mod terminal;

use crate::door::Gateway;
use axum::Router;

/// All routes.
pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .merge(sandboxes::routes())
        .merge(commands::routes())
        .merge(events::routes())
        .merge(terminal::routes())
}
