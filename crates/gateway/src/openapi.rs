//! `/openapi.json`: what can be asked of this server, for people and for programs that make clients of it.
//!
//! The table of routes is kept by hand ([`routes`]); a test compares it with the routers' own code.

mod routes;

use crate::door::Gateway;
use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use routes::{Key, Route};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// The shapes of bodies.
const SCHEMAS: &str = include_str!("openapi/schemas.json");

const ABOUT: &str = "Below / and /v2 it is E2B's control plane, below /v1 SoulBox's own interface. Requests to a \
    sandbox name it by their host, <port>-<id>.<domain>, or by the headers E2b-Sandbox-Id and E2b-Sandbox-Port; \
    they go to that port in the sandbox, and are not listed here. Every failure is an Error.";

/// The document.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/openapi.json", get(tell))
}

async fn tell() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

fn document() -> Value {
    let mut paths = Map::new();
    for route in routes::all() {
        let path = route.path.replace("{*", "{");
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[route.method] = operation(&route);
    }
    // A part of the program; a test reads it.
    let schemas: Value = serde_json::from_str(SCHEMAS).unwrap_or_default();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "SoulBox", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
                "bearer": { "type": "http", "scheme": "bearer" },
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut parameters = Vec::new();
    for part in route.path.split('{').skip(1) {
        let name = part.split('}').next().unwrap_or_default();
        let name = name.trim_start_matches('*');
        parameters.push(json!({
            "name": name, "in": "path", "required": true, "schema": { "type": "string" },
        }));
    }
    for (name, kind, about) in &route.query {
        parameters.push(json!({
            "name": name, "in": "query", "description": about, "schema": { "type": kind },
        }));
    }
    let mut answers = Map::new();
    for (status, shape) in &route.answers {
        let mut answer = json!({ "description": reason(*status) });
        if let Some(content) = content(shape) {
            answer["content"] = content;
        }
        answers.insert(status.to_string(), answer);
    }
    answers.insert(
        "default".to_owned(),
        json!({ "description": "it was refused or failed", "content": content("Error") }),
    );
    let mut told = json!({
        "summary": route.about, "tags": [route.tag()], "parameters": parameters, "responses": answers,
    });
    if route.key == Key::Needed {
        told["security"] = json!([{ "key": [] }, { "bearer": [] }]);
    }
    if let Some(shape) = route.body {
        told["requestBody"] = json!({ "required": true, "content": content(shape) });
    }
    told
}

/// The content of a body: a shape's name, several of it in brackets, or another type.
fn content(shape: &str) -> Option<Value> {
    let named = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let list = shape
        .strip_prefix('[')
        .and_then(|shape| shape.strip_suffix(']'));
    match (shape, list) {
        ("", _) => None,
        (kind, _) if kind.contains('/') => Some(json!({ kind: {} })),
        (_, Some(name)) => Some(json!({
            "application/json": { "schema": { "type": "array", "items": named(name) } },
        })),
        (name, None) => Some(json!({ "application/json": { "schema": named(name) } })),
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        101 => "the connection is a WebSocket from here on",
        200 => "it is told",
        201 => "it was made",
        204 => "it is done",
        501 => "it is not built",
        _ => "it was answered",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    const METHODS: [&str; 6] = ["get", "post", "put", "patch", "delete", "any"];

    /// The calls of `route` in a file: each path with its methods.
    fn in_source(text: &str) -> Vec<(String, Vec<&'static str>)> {
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let calls = text.split(".route(").skip(1);
        let read = |call: &str| {
            let (_, rest) = call.split_once('"')?;
            let (path, rest) = rest.split_once('"')?;
            let mut depth = 1;
            let end = rest.find(|c: char| {
                depth += match c {
                    '(' => 1,
                    ')' => -1,
                    _ => 0,
                };
                depth == 0
            })?;
            let words = rest.get(..end)?.split('(').map(|word| {
                word.rsplit(|c: char| !c.is_alphanumeric() && c != '_')
                    .next()
                    .unwrap_or_default()
            });
            let methods =
                words.filter_map(|word| METHODS.into_iter().find(|method| *method == word));
            Some((path.to_owned(), methods.collect()))
        };
        calls.filter_map(read).collect()
    }

    fn sources(directory: &Path, found: &mut Vec<(String, Vec<&'static str>)>) {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.extend(in_source(&fs::read_to_string(&path).unwrap()));
            }
        }
    }

    #[test]
    fn every_route_is_documented_and_every_documented_one_is_there() {
        let mut found = Vec::new();
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut found,
        );
        assert!(found.len() > 30, "the routers are not read: {found:?}");
        let any: BTreeSet<_> = found
            .iter()
            .filter(|(_, methods)| methods.contains(&"any"))
            .map(|(path, _)| path.as_str())
            .collect();
        let there: BTreeSet<_> = found
            .iter()
            .flat_map(|(path, methods)| methods.iter().map(move |method| (path.as_str(), *method)))
            .filter(|(_, method)| *method != "any")
            .collect();
        let all = routes::all();
        let documented: BTreeSet<_> = all.iter().map(|route| (route.path, route.method)).collect();
        let (to_any, other): (BTreeSet<_>, BTreeSet<_>) = documented
            .iter()
            .copied()
            .partition(|(path, _)| any.contains(path));
        assert_eq!(other, there, "left: openapi/routes.rs, right: the routers");
        let to_any: BTreeSet<_> = to_any.into_iter().map(|(path, _)| path).collect();
        assert_eq!(to_any, any, "left: openapi/routes.rs, right: the routers");
    }

    #[test]
    fn every_shape_that_is_named_is_there() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        assert!(schemas.len() > 10);
        let text = document.to_string();
        let named: BTreeSet<_> = text
            .split("#/components/schemas/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let there: BTreeSet<_> = schemas.keys().map(String::as_str).collect();
        assert_eq!(
            named, there,
            "left: those that are named, right: openapi/schemas.json"
        );
    }
}
