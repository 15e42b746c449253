//! Templates: those that the server has, and those that clients build through E2B's flow.
//!
//! ```text
//! POST /v3/templates ─▶ GET …/files/{hash} ─▶ PUT (the archive) ─▶ POST /v2/…/builds/{id} ─▶ GET …/status …
//! ```
//!
//! | What | File |
//! |---|---|
//! | lists and single ones, names, removal | [`list`] |
//! | in E2B's words | [`view`] |
//! | a build: begun, started, ended | [`build`] |
//! | where it stands, what it tells | [`status`] |
//! | its steps, as what the engine carries out | [`steps`] |
//! | archives of files for it | [`upload`] |
//! | tags | [`tag`] |

mod build;
mod list;
mod status;
mod steps;
mod tag;
mod upload;
mod view;

use crate::door::Gateway;
use axum::Router;
use axum::routing::{delete, get, patch, post};

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/templates", get(list::all))
        .route("/v2/templates", get(list::all).post(build::begin))
        .route("/default-templates", get(list::of_server))
        .route(
            "/templates/{id}",
            get(list::one).delete(list::remove).patch(list::publish),
        )
        .route("/v2/templates/{id}", patch(list::publish))
        .route("/v3/templates", post(build::begin))
        .route("/v2/templates/{id}/builds/{build}", post(build::start))
        .route("/v1/templates/{id}/builds/{build}", delete(build::cancel))
        .route("/templates/{id}/builds/{build}/status", get(status::status))
        .route("/templates/{id}/builds/{build}/logs", get(status::logs))
        .route(
            "/templates/{id}/files/{hash}",
            get(upload::link).put(upload::put),
        )
        .route("/templates/aliases/{alias}", get(list::alias))
        .route("/templates/tags", post(tag::put).delete(tag::remove))
        .route("/templates/{id}/tags", get(tag::list))
}

#[cfg(fuzzing)]
pub(crate) use build::{NewTemplate, fuzz};
