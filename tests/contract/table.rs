//! `docs/e2b-compatibility.toml` tells the truth: every route answers as its state says, every feature that works
//! has its test, and the server has no route that is missing there.

use crate::http::{Answer, ask};
use crate::server::Server;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct Table {
    route: Vec<Route>,
    feature: Vec<Feature>,
}

#[derive(Deserialize)]
struct Route {
    method: String,
    path: String,
    state: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    request: String,
    status: Option<u16>,
    /// Whether a sandbox's agent answers.
    #[serde(default)]
    agent: bool,
    /// Whether the agent's messages come as a stream.
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    paused: bool,
}

#[derive(Deserialize)]
struct Feature {
    name: String,
    state: String,
    #[serde(default)]
    tests: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn table() -> Table {
    let text = fs::read_to_string(root().join("docs/e2b-compatibility.toml")).expect("the table");
    toml::from_str(&text).expect("a table")
}

/// A sandbox for one route.
struct Sandbox {
    id: String,
    token: String,
}

fn api(server: &Server, method: &str, path: &str, body: &str) -> Answer {
    let key = [("X-API-KEY", server.key())];
    ask(server, method, path, &key, body.as_bytes())
}

fn sandbox(server: &Server) -> Sandbox {
    let made = api(server, "POST", "/v2/sandboxes", r#"{"templateID":"base"}"#);
    let text = |field: &str| made.json[field].as_str().expect("a field").to_owned();
    Sandbox {
        id: text("sandboxID"),
        token: text("envdAccessToken"),
    }
}

fn ask_agent(server: &Server, sandbox: &Sandbox, route: &Route) -> Answer {
    let (kind, body) = match (route.path.starts_with("/files?"), route.stream) {
        (true, _) => (
            "application/octet-stream",
            route.request.clone().into_bytes(),
        ),
        (_, false) => ("application/json", route.request.clone().into_bytes()),
        (_, true) => ("application/connect+json", enveloped(&route.request)),
    };
    let headers = [
        ("E2b-Sandbox-Id", sandbox.id.as_str()),
        ("E2b-Sandbox-Port", "49983"),
        ("X-Access-Token", &sandbox.token),
        ("Content-Type", kind),
    ];
    ask(server, &route.method, &route.path, &headers, &body)
}

/// One message of a stream: flags, length, text.
fn enveloped(message: &str) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a short message");
    [&[0], &length.to_be_bytes()[..], message.as_bytes()].concat()
}

#[test]
fn every_route_answers_as_its_state_says() {
    let server = Server::start();
    for route in table().route {
        let expected = match route.state.as_str() {
            "works" | "partly" => route.status.expect("a status"),
            "not built" => 501,
            other => panic!("{} {}: what is {other:?}?", route.method, route.path),
        };
        assert!(
            route.state != "partly" || !route.note.is_empty(),
            "{} {}: what is missing?",
            route.method,
            route.path
        );
        let answer = match (route.agent, route.path.contains("{id}")) {
            (false, false) => api(&server, &route.method, &route.path, &route.request),
            (agent, _) => {
                let sandbox = sandbox(&server);
                if route.paused {
                    let pause = format!("/sandboxes/{}/pause", sandbox.id);
                    assert_eq!(api(&server, "POST", &pause, "").status, 204);
                }
                match agent {
                    true => ask_agent(&server, &sandbox, &route),
                    false => {
                        let path = route.path.replace("{id}", &sandbox.id);
                        api(&server, &route.method, &path, &route.request)
                    }
                }
            }
        };
        assert_eq!(
            answer.status, expected,
            "{} {}: {answer:?}",
            route.method, route.path
        );
        if answer.status == 501 {
            assert_eq!(answer.json["code"], 501, "{answer:?}");
            assert!(answer.message().contains("not built"), "{answer:?}");
            assert!(answer.head.contains("should-retry: false"), "{answer:?}");
        }
    }
}

#[test]
fn every_feature_that_works_has_its_test() {
    for feature in table().feature {
        let works = feature.state == "works";
        assert_eq!(works, !feature.tests.is_empty(), "{}", feature.name);
        for test in feature.tests {
            let (script, word) = test.split_once(": ").expect("a script and a word");
            let ending = if script.starts_with("python/") {
                "py"
            } else {
                "mjs"
            };
            let path = root()
                .join("tests/contract")
                .join(script)
                .with_extension(ending);
            let text = fs::read_to_string(path).expect("a script");
            assert!(
                text.contains(word),
                "{}: no {word:?} in {script}",
                feature.name
            );
        }
    }
}

#[test]
fn every_route_of_the_server_is_in_the_table() {
    let routes = table().route;
    let listed: BTreeSet<_> = routes.iter().map(|route| segments(&route.path)).collect();
    let mut seen = 0;
    for file in sources(&root().join("crates/gateway/src/e2b")) {
        let text = fs::read_to_string(&file).expect("a source");
        for route in text
            .split(".route(")
            .skip(1)
            .filter_map(|rest| rest.split('"').nth(1))
        {
            seen += 1;
            let there = listed.iter().any(|listed| covers(&segments(route), listed));
            assert!(there, "{route} of {} is not in the table", file.display());
        }
    }
    assert!(seen > 10, "the sources have another form");
}

fn segments(path: &str) -> Vec<String> {
    let path = path.split('?').next().unwrap_or_default();
    path.split('/').skip(1).map(str::to_owned).collect()
}

/// Whether a route of the server takes a listed path.
fn covers(route: &[String], listed: &[String]) -> bool {
    match (route.split_first(), listed.split_first()) {
        (None, None) => true,
        (Some((first, _)), Some(_)) if first.starts_with("{*") => true,
        (Some((first, route)), Some((other, listed))) => {
            (first.starts_with('{') || first == other) && covers(route, listed)
        }
        _ => false,
    }
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("sources").flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .collect()
}
