//! `docs/e2b-compatibility.md`: what of E2B's interface is there, made from `docs/e2b-compatibility.toml`.

use serde::Deserialize;
use std::fmt::Write;
use std::fs;

/// The document.
pub(crate) const PATH: &str = "docs/e2b-compatibility.md";

const TABLE: &str = "docs/e2b-compatibility.toml";

const HEAD: &str = include_str!("compatibility/head.md");

#[derive(Deserialize)]
struct Table {
    route: Vec<Route>,
    feature: Vec<Feature>,
}

#[derive(Deserialize)]
struct Route {
    method: String,
    path: String,
    clients: String,
    state: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    agent: bool,
}

#[derive(Deserialize)]
struct Feature {
    name: String,
    state: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    tests: Vec<String>,
}

/// The text of the document.
pub(crate) fn document() -> Result<String, String> {
    let text = fs::read_to_string(TABLE).map_err(|error| format!("{TABLE}: {error}"))?;
    let table: Table = toml::from_str(&text).map_err(|error| format!("{TABLE}: {error}"))?;
    let mut page = HEAD.to_owned();
    features(&mut page, &table.feature);
    let (agent, control): (Vec<_>, Vec<_>) = table.route.iter().partition(|route| route.agent);
    routes(&mut page, "Routes of the server", &control);
    routes(&mut page, "Routes of a sandbox's agent, port 49983", &agent);
    Ok(page)
}

fn features(page: &mut String, features: &[Feature]) {
    page.push_str("\n## What the clients can do\n\n| What | State | Shown by |\n|---|---|---|\n");
    for feature in features {
        let mut scripts: Vec<_> = feature
            .tests
            .iter()
            .filter_map(|test| test.split(':').next())
            .collect();
        scripts.dedup();
        let state = with_note(&feature.state, &feature.note);
        let scripts = scripts.join(", ");
        let _ = writeln!(page, "| {} | {state} | {scripts} |", feature.name);
    }
}

fn routes(page: &mut String, title: &str, routes: &[&Route]) {
    let _ = write!(
        page,
        "\n## {title}\n\n| Route | Asked by | State |\n|---|---|---|\n"
    );
    for route in routes {
        let state = with_note(&route.state, &route.note);
        let path = route.path.split('?').next().unwrap_or_default();
        let _ = writeln!(
            page,
            "| `{} {path}` | {} | {state} |",
            route.method, route.clients
        );
    }
}

fn with_note(state: &str, note: &str) -> String {
    match note {
        "" => state.to_owned(),
        note => format!("{state}: {note}"),
    }
}
