//! SoulBox's own programming interface, below `/v1`: what E2B's has no words for.
//!
//! | What | File |
//! |---|---|
//! | making a sandbox, with its limits | `create` |
//! | what a sandbox has used, its processes | `usage` |
//! | a port of a sandbox, byte for byte | `tcp` |

mod create;
mod tcp;
mod usage;

use crate::door::Gateway;
use axum::Router;

/// All routes.
pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .merge(create::routes())
        .merge(usage::routes())
        .merge(tcp::routes())
}
