//! What E2B has and is not built here: each says so in the right shape.

use crate::auth::Team;
use crate::door::Gateway;
use crate::error::ApiError;
use axum::Router;
use axum::routing::{any, post};

/// Routes of features that are not built, each with its answer.
pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/sandboxes/{id}/fork", post(forks))
        .route("/sandboxes/{id}/snapshots", post(snapshots))
        .route("/snapshots", any(snapshots))
        .route("/volumes", any(volumes))
        .route("/volumes/{*rest}", any(volumes))
        .route("/volumecontent/{*rest}", any(volumes))
        .route("/secrets", any(secrets))
        .route("/secrets/{*rest}", any(secrets))
}

async fn forks(_: Team) -> ApiError {
    ApiError::not_built("forks of sandboxes are not built; create a second sandbox")
}

async fn snapshots(_: Team) -> ApiError {
    ApiError::not_built("snapshots are not built; pause keeps a sandbox in memory")
}

async fn volumes(_: Team) -> ApiError {
    ApiError::not_built("volumes are not built; files live in a sandbox")
}

async fn secrets(_: Team) -> ApiError {
    ApiError::not_built("secrets are not built; hand them to a command as its variables")
}
