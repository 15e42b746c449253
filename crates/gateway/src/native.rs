//! SoulBox's own programming interface, below `/v1`: what E2B's has no words for.
//!
//! | What | File |
//! |---|---|
//! | sandboxes that live and that ended, with what they use | `sandboxes` |
//! | what happens, once and followed | `events` |
//! | a terminal over a WebSocket | `terminal` |

mod events;
mod sandboxes;
mod terminal;

use crate::door::Gateway;
use axum::Router;

/// All routes.
pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .merge(sandboxes::routes())
        .merge(events::routes())
        .merge(terminal::routes())
}
