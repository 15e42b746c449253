//! What waits ready.

use crate::auth::Team;
use crate::door::Gateway;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use soulbox_node::{KindLevel, Loaded};

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/pools", get(list))
}

/// The pools that a team's creates are served from: its own, and those that are anybody's.
async fn list(State(gateway): State<Gateway>, Team(team): Team) -> Json<Value> {
    let pools = gateway.control.pools(&team);
    Json(json!({ "pools": pools.iter().map(view).collect::<Vec<_>>() }))
}

fn view(kind: &KindLevel) -> Value {
    let KindLevel {
        spec,
        team,
        loaded,
        level,
        asked,
        rate,
        foreseen,
        error,
    } = kind;
    json!({
        "template": spec.template.as_str(),
        "network": spec.network.as_str(),
        "cpuMillis": spec.limits.cpu_millis,
        "memoryBytes": spec.limits.memory.bytes(),
        "own": team.is_some(),
        "loaded": loaded.map(Loaded::as_str),
        "target": level.wanted,
        "ready": level.ready,
        "taken": level.taken,
        "missed": asked.saturating_sub(level.taken),
        "hitRate": kind.hit_rate(),
        "arrivalsPerSecond": rate,
        "foreseen": foreseen,
        "forecastError": error,
    })
}
