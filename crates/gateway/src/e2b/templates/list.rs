//! Which templates there are, what a name leads to, who may use one, removal.

use super::view::{self, Detail, Listed};
use crate::auth::Team;
use crate::body;
use crate::door::Gateway;
use crate::error::ApiError;
use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use soulbox_control::ControlError;
use soulbox_control::template::Found;

/// What an alias leads to.
#[derive(Serialize)]
pub(super) struct Meant {
    #[serde(rename = "templateID")]
    template_id: String,
    public: bool,
}

/// The team's own and those of the server.
pub(super) async fn all(
    State(gateway): State<Gateway>,
    Team(team): Team,
) -> Result<Json<Vec<Listed>>, ApiError> {
    let own = gateway.control.templates_of_team(&team);
    let of_server = gateway.control.templates_of_server(&team).await?;
    let own = own.iter().filter_map(|entry| view::listed(&gateway, entry));
    let of_server = of_server
        .into_iter()
        .map(|one| view::listed_of_server(&gateway, one));
    Ok(Json(own.chain(of_server).collect()))
}

pub(super) async fn of_server(
    State(gateway): State<Gateway>,
    Team(team): Team,
) -> Result<Json<Vec<Listed>>, ApiError> {
    let all = gateway.control.templates_of_server(&team).await?;
    let listed = all
        .into_iter()
        .map(|one| view::listed_of_server(&gateway, one));
    Ok(Json(listed.collect()))
}

pub(super) async fn one(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
) -> Result<Json<Detail>, ApiError> {
    match gateway.control.find_template(&team, &id)? {
        Found::Made(entry) => {
            let entry = gateway.control.counted(&entry);
            Ok(Json(view::detail(&gateway, &entry)))
        }
        Found::OfServer(name) => {
            let all = gateway.control.templates_of_server(&team).await?;
            let found = all.into_iter().find(|view| view.name == name);
            let found = found.ok_or_else(|| ControlError::no_template(&id))?;
            Ok(Json(view::detail_of_server(&gateway, found)))
        }
    }
}

/// Which template a name leads to.
pub(super) async fn alias(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(alias): Path<String>,
) -> Result<Json<Meant>, ApiError> {
    Ok(Json(
        match gateway.control.find_template(&team, &alias)? {
            Found::Made(entry) => {
                // One that has no such tag does not exist, one that is being built does.
                gateway.control.has_tag(&entry, &alias)?;
                Meant {
                    template_id: entry.id.to_string(),
                    public: entry.public,
                }
            }
            Found::OfServer(name) => Meant {
                template_id: name.to_string(),
                public: true,
            },
        },
    ))
}

/// Who may use a template.
#[derive(Debug, Deserialize)]
pub(super) struct Published {
    public: bool,
}

pub(super) async fn publish(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
    body::Json(asked): body::Json<Published>,
) -> Result<Json<Value>, ApiError> {
    let public = asked.public;
    let entry = gateway.control.publish_template(&team, &id, public).await?;
    Ok(Json(json!({ "names": view::names(&entry) })))
}

pub(super) async fn remove(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    gateway.control.delete_template(&team, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
