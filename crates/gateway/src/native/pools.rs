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
        rate,
    } = kind;
    let asked = level.taken + level.misses;
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
        "missed": level.misses,
        "hitRate": hit_rate(level.taken, asked),
        "arrivalsPerSecond": rate,
    })
}

/// The part of those who asked that got one, 0 to 1; none where nobody has asked.
fn hit_rate(taken: u64, asked: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = taken as f64 / asked as f64;
    (asked > 0).then_some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_no_rate() {
        assert_eq!(hit_rate(0, 0), None);
        assert_eq!(hit_rate(3, 4), Some(0.75));
    }
}
