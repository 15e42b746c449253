//! E2B's control plane: what its SDKs and its command line ask for, in both generations of paths.
//!
//! The public description is E2B's [OpenAPI document](https://github.com/e2b-dev/E2B/blob/main/spec/openapi.yml);
//! `docs/e2b-compatibility.md` lists every route with its state.

pub(crate) mod keys;
mod later;
pub(crate) mod sandboxes;
mod teams;
pub(crate) mod templates;

pub(crate) use sandboxes::{id_of, unexpected};

use crate::door::Gateway;
use axum::Router;

/// The version of envd whose behaviour the agent has; SDKs switch their features on by it.
pub(crate) const ENVD_VERSION: &str = "0.6.13";

/// All routes.
pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .merge(sandboxes::routes())
        .merge(teams::routes())
        .merge(keys::routes())
        .merge(templates::routes())
        .merge(later::routes())
}
