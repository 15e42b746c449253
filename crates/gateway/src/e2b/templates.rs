//! The templates that this node has. They are built and removed on its command line.

use super::{ENVD_VERSION, later};
use crate::auth::Team;
use crate::door::Gateway;
use crate::error::ApiError;
use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use soulbox_control::template::TemplateView;
use soulbox_model::TemplateName;
use std::fmt::Write as _;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/templates", get(list).fallback(later::templates))
        .route("/templates/{id}", get(inspect).fallback(later::templates))
        .route("/templates/aliases/{alias}", get(alias))
}

/// What lists and single answers have in common.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Common {
    #[serde(rename = "templateID")]
    template_id: TemplateName,
    /// Every key of the server may use it.
    public: bool,
    aliases: Vec<TemplateName>,
    names: Vec<TemplateName>,
    created_at: String,
    updated_at: String,
    /// Nobody notes it.
    last_spawned_at: Option<()>,
    /// Those that live; older ones are not counted.
    spawn_count: usize,
}

/// A build: every template has the one that it was installed by.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Build {
    #[serde(rename = "buildID")]
    build_id: String,
    cpu_count: u32,
    #[serde(rename = "memoryMB")]
    memory_mb: u64,
    #[serde(rename = "diskSizeMB")]
    disk_size_mb: u64,
    envd_version: &'static str,
}

/// A template in the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(flatten)]
    common: Common,
    #[serde(flatten)]
    build: Build,
    build_status: &'static str,
    build_count: u32,
    created_by: Option<()>,
}

/// One template.
#[derive(Serialize)]
struct Detail {
    #[serde(flatten)]
    common: Common,
    builds: [DetailBuild; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DetailBuild {
    #[serde(flatten)]
    build: Build,
    status: &'static str,
    created_at: String,
    updated_at: String,
    finished_at: String,
}

/// What an alias leads to.
#[derive(Serialize)]
struct Meant {
    #[serde(rename = "templateID")]
    template_id: TemplateName,
    public: bool,
}

async fn list(
    State(gateway): State<Gateway>,
    Team(team): Team,
) -> Result<Json<Vec<Listed>>, ApiError> {
    let all = gateway.control.templates_of(&team).await?;
    let listed = |view: TemplateView| Listed {
        build: build(&gateway, &view),
        common: common(view),
        build_status: "ready",
        build_count: 1,
        created_by: None,
    };
    Ok(Json(all.into_iter().map(listed).collect()))
}

async fn inspect(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
) -> Result<Json<Detail>, ApiError> {
    let name = gateway.control.template(&id)?;
    let all = gateway.control.templates_of(&team).await?;
    let found = all.into_iter().find(|view| view.name == name);
    let view = found.ok_or_else(|| missing(&id))?;
    let made = view.created.clone();
    let build = DetailBuild {
        build: build(&gateway, &view),
        status: "ready",
        created_at: made.clone(),
        updated_at: made.clone(),
        finished_at: made,
    };
    Ok(Json(Detail {
        common: common(view),
        builds: [build],
    }))
}

/// Which template a name leads to.
async fn alias(
    State(gateway): State<Gateway>,
    _: Team,
    Path(alias): Path<String>,
) -> Result<Json<Meant>, ApiError> {
    Ok(Json(Meant {
        template_id: gateway.control.template(&alias)?,
        public: true,
    }))
}

fn missing(id: &str) -> ApiError {
    let shown: String = id.chars().take(100).collect();
    soulbox_control::ControlError::NoTemplate(shown).into()
}

fn common(view: TemplateView) -> Common {
    Common {
        template_id: view.name,
        public: true,
        names: view.names.clone(),
        aliases: view.names,
        created_at: view.created.clone(),
        updated_at: view.created,
        last_spawned_at: None,
        spawn_count: view.live,
    }
}

fn build(gateway: &Gateway, view: &TemplateView) -> Build {
    let limits = gateway.control.settings().sandbox.limits();
    Build {
        build_id: build_id(view),
        cpu_count: limits.cpu_millis.div_ceil(1000),
        memory_mb: limits.memory.bytes() >> 20,
        disk_size_mb: limits.disk.bytes() >> 20,
        envd_version: ENVD_VERSION,
    }
}

/// A UUID that is the same for as long as the template is: of the name, the time and the recipe
/// ([RFC 9562](https://www.rfc-editor.org/rfc/rfc9562#section-5.8), version 8).
fn build_id(view: &TemplateView) -> String {
    let mut hash = Sha256::new();
    for part in [
        view.name.as_str(),
        &view.created,
        view.recipe.as_deref().unwrap_or_default(),
    ] {
        hash.update(part);
        hash.update([0]);
    }
    let mut text = String::with_capacity(36);
    for (at, byte) in hash.finalize().into_iter().take(16).enumerate() {
        let byte = match at {
            6 => 0x80 | byte & 0x0f,
            8 => 0x80 | byte & 0x3f,
            _ => byte,
        };
        let dash = if [4, 6, 8, 10].contains(&at) { "-" } else { "" };
        // Writing to a string does not fail.
        let _ = write!(text, "{dash}{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(created: &str) -> TemplateView {
        TemplateView {
            name: TemplateName::host(),
            names: vec![TemplateName::host()],
            created: created.to_owned(),
            recipe: None,
            live: 0,
        }
    }

    #[test]
    fn a_build_has_a_uuid_of_its_own_that_stays() {
        let id = build_id(&view("2026-01-31T12:00:00Z"));
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
        assert_eq!(id.as_bytes()[14], b'8');
        assert!(b"89ab".contains(&id.as_bytes()[19]));
        assert_eq!(id, build_id(&view("2026-01-31T12:00:00Z")));
        assert_ne!(id, build_id(&view("2026-01-31T12:00:01Z")));
    }
}
