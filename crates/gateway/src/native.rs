//! SoulBox's own interface, below `/v1`.

mod commands;
mod query;

use crate::door::Gateway;
use axum::Router;

/// All routes.
pub(crate) fn routes() -> Router<Gateway> {
    Router::new().merge(commands::routes())
}
