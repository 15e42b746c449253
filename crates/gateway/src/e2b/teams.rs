//! Teams and keys, as E2B's command line asks for them.

use crate::auth::Team;
use crate::door::Gateway;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/teams", get(list))
}

/// The one team that the key is of. Keys are kept as hashes, so that none can be told again.
async fn list(Team(team): Team) -> Json<Value> {
    Json(json!([{ "teamID": team, "name": team, "apiKey": "", "isDefault": true }]))
}
