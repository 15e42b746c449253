//! SoulBox's own programming interface, below `/v1`: what E2B's has no words for.
//!
//! | What | File |
//! |---|---|
//! | making a sandbox, with its limits | `create` |

mod create;

use crate::door::Gateway;
use axum::Router;

/// All routes.
pub(crate) fn routes() -> Router<Gateway> {
    Router::new().merge(create::routes())
}
