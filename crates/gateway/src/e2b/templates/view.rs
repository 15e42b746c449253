//! Templates and builds in E2B's words.

use crate::door::Gateway;
use crate::e2b::ENVD_VERSION;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use soulbox_control::template::TemplateView;
use soulbox_control::templates::record::{BuildRecord, TemplateEntry};
use soulbox_model::{ByteSize, Limits, TeamId};
use std::fmt::Write as _;

/// What lists and single answers have in common.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Common {
    #[serde(rename = "templateID")]
    template_id: String,
    public: bool,
    aliases: Vec<String>,
    names: Vec<String>,
    created_at: String,
    updated_at: String,
    last_spawned_at: Option<String>,
    /// Of the server's own templates those that live; older ones are not counted.
    spawn_count: u64,
}

/// A build.
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

/// A template in a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
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
pub(super) struct Detail {
    #[serde(flatten)]
    common: Common,
    builds: Vec<DetailBuild>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DetailBuild {
    #[serde(flatten)]
    build: Build,
    status: &'static str,
    /// Ours: its number among those of the template.
    number: u32,
    /// Ours: the tags that lead to it.
    tags: Vec<String>,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
}

/// A template of the server, in a list.
pub(super) fn listed_of_server(gateway: &Gateway, view: TemplateView) -> Listed {
    Listed {
        build: build_of_server(gateway, &view),
        common: common_of_server(view),
        build_status: "ready",
        build_count: 1,
        created_by: None,
    }
}

/// A template of the server.
pub(super) fn detail_of_server(gateway: &Gateway, view: TemplateView) -> Detail {
    let made = view.created.clone();
    let build = DetailBuild {
        build: build_of_server(gateway, &view),
        status: "ready",
        number: 1,
        tags: vec!["default".to_owned()],
        created_at: made.clone(),
        updated_at: made.clone(),
        finished_at: Some(made),
    };
    Detail {
        common: common_of_server(view),
        builds: vec![build],
    }
}

/// A template that a team made, in a list. One without builds is not told.
pub(super) fn listed(gateway: &Gateway, entry: &TemplateEntry) -> Option<Listed> {
    let shown = entry.shown()?;
    Some(Listed {
        common: common(entry),
        build: build(gateway, shown),
        build_status: shown.status.as_str(),
        build_count: entry.count,
        created_by: None,
    })
}

/// A template that a team made: its builds, the newest first.
pub(super) fn detail(gateway: &Gateway, entry: &TemplateEntry) -> Detail {
    let one = |one: &BuildRecord| DetailBuild {
        build: build(gateway, one),
        status: one.status.as_str(),
        number: one.number,
        tags: entry
            .tags_of(&one.id)
            .into_iter()
            .map(str::to_owned)
            .collect(),
        created_at: one.created_at.to_string(),
        updated_at: one.finished_at.unwrap_or(one.created_at).to_string(),
        finished_at: one.finished_at.map(|at| at.to_string()),
    };
    Detail {
        common: common(entry),
        builds: entry.builds.iter().rev().map(one).collect(),
    }
}

/// The names by which a template can be asked for.
pub(super) fn names(entry: &TemplateEntry) -> Vec<String> {
    vec![full_name(&entry.team, &entry.name)]
}

/// The name by which every team knows a template.
pub(super) fn full_name(team: &TeamId, name: &str) -> String {
    format!("{team}/{name}")
}

fn common(entry: &TemplateEntry) -> Common {
    Common {
        template_id: entry.id.to_string(),
        public: entry.public,
        aliases: vec![entry.name.clone()],
        names: names(entry),
        created_at: entry.created_at.to_string(),
        updated_at: entry.updated_at.to_string(),
        last_spawned_at: entry.last_spawned.map(|at| at.to_string()),
        spawn_count: entry.spawned,
    }
}

fn common_of_server(view: TemplateView) -> Common {
    let names: Vec<_> = view.names.into_iter().map(String::from).collect();
    Common {
        template_id: view.name.to_string(),
        // Every key of the server may use it.
        public: true,
        aliases: names.clone(),
        names,
        created_at: view.created.clone(),
        updated_at: view.created,
        last_spawned_at: None,
        spawn_count: view.live as u64,
    }
}

fn build(gateway: &Gateway, record: &BuildRecord) -> Build {
    let limits = gateway.control.settings().sandbox.limits();
    let id = record.id.to_string();
    sized(id, (record.cpu_millis, record.memory), &limits)
}

fn build_of_server(gateway: &Gateway, view: &TemplateView) -> Build {
    let limits = gateway.control.settings().sandbox.limits();
    let size = (limits.cpu_millis, limits.memory);
    sized(build_id(view), size, &limits)
}

fn sized(build_id: String, (cpu_millis, memory): (u32, ByteSize), limits: &Limits) -> Build {
    Build {
        build_id,
        cpu_count: cpu_millis.div_ceil(1000),
        memory_mb: memory.bytes() >> 20,
        disk_size_mb: limits.disk.bytes() >> 20,
        envd_version: ENVD_VERSION,
    }
}

/// A UUID that is the same for as long as a template of the server is: of the name, the time and the recipe
/// ([RFC 9562](https://www.rfc-editor.org/rfc/rfc9562#section-5.8), version 8).
pub(super) fn build_id(view: &TemplateView) -> String {
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
    use soulbox_model::TemplateName;

    fn view(created: &str) -> TemplateView {
        TemplateView {
            name: TemplateName::host(),
            names: vec![TemplateName::host()],
            created: created.to_owned(),
            recipe: None,
            size: ByteSize(0),
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
