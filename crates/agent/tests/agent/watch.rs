//! Watching directories, on the wire.

use crate::http::{Connection, frame};
use crate::support::Agent;
use serde_json::{Value, json};

fn call(agent: &Agent, method: &str, message: &Value) -> (u16, Value) {
    agent.unary(&format!("filesystem.Filesystem/{method}"), message)
}

/// A watcher that is asked for news.
struct Watcher<'a> {
    agent: &'a Agent,
    id: Value,
}

impl<'a> Watcher<'a> {
    fn create(agent: &'a Agent, request: &Value) -> Self {
        let (status, id) = call(agent, "CreateWatcher", request);
        assert_eq!(status, 200, "{id}");
        assert!(id["watcherId"].as_str().unwrap().starts_with('w'));
        Self { agent, id }
    }

    fn events(&self) -> Vec<Value> {
        let (status, answer) = call(self.agent, "GetWatcherEvents", &self.id);
        assert_eq!(status, 200, "{answer}");
        answer["events"].as_array().unwrap().clone()
    }

    /// Names and kinds, without the common beginning of the kinds.
    fn news(&self) -> Vec<(String, String)> {
        let short = |event: &Value| {
            let kind = event["type"].as_str().unwrap();
            let kind = kind.strip_prefix("EVENT_TYPE_").unwrap();
            (event["name"].as_str().unwrap().to_owned(), kind.to_owned())
        };
        self.events().iter().map(short).collect()
    }
}

fn news(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned()))
        .collect()
}

fn upload(agent: &Agent, path: &str, content: &[u8]) {
    let headers = [("content-type", "application/octet-stream")];
    let target = format!("/files?path={path}");
    assert_eq!(
        agent.request("POST", &target, &headers, content).status,
        200
    );
}

#[test]
fn an_uploaded_file_is_exactly_three_events() {
    let agent = Agent::start().init();
    let watcher = Watcher::create(&agent, &json!({"path": agent.directory()}));
    let three = |name| news(&[(name, "CREATE"), (name, "CHMOD"), (name, "WRITE")]);
    upload(&agent, &agent.path("f"), b"content");
    assert_eq!(watcher.news(), three("f"));
    upload(&agent, &agent.path("large"), &vec![7; 100_000]);
    assert_eq!(watcher.news(), three("large"));
    upload(&agent, &agent.path("f"), b"other");
    assert_eq!(
        watcher.news(),
        news(&[("f", "WRITE"), ("f", "CHMOD"), ("f", "WRITE")])
    );
    upload(&agent, &agent.path("empty"), b"");
    assert_eq!(
        watcher.news(),
        news(&[("empty", "CREATE"), ("empty", "CHMOD")])
    );
    assert_eq!(watcher.news(), []);
}

#[test]
fn moves_and_removals_are_told_by_name() {
    let agent = Agent::start().init();
    std::fs::create_dir(agent.path("elsewhere")).unwrap();
    std::fs::write(agent.path("a"), "").unwrap();
    let watcher = Watcher::create(&agent, &json!({"path": agent.directory()}));
    std::fs::rename(agent.path("a"), agent.path("b")).unwrap();
    assert_eq!(watcher.news(), news(&[("a", "RENAME"), ("b", "CREATE")]));
    std::fs::rename(agent.path("b"), agent.path("elsewhere/b")).unwrap();
    assert_eq!(watcher.news(), news(&[("b", "RENAME")]));
    std::fs::rename(agent.path("elsewhere/b"), agent.path("c")).unwrap();
    assert_eq!(watcher.news(), news(&[("c", "CREATE")]));
    std::fs::read(agent.path("c")).unwrap();
    assert_eq!(watcher.news(), [], "reading is no news");
    std::fs::remove_file(agent.path("c")).unwrap();
    assert_eq!(watcher.news(), news(&[("c", "REMOVE")]));
    std::fs::write(agent.path("elsewhere/x"), "below").unwrap();
    assert_eq!(watcher.news(), [], "what is below is not watched");
}

#[test]
fn a_tree_is_followed_as_it_grows_and_moves() {
    let agent = Agent::start().init();
    std::fs::create_dir_all(agent.path("old/deep")).unwrap();
    let watcher = Watcher::create(
        &agent,
        &json!({"path": agent.directory(), "recursive": true}),
    );
    std::fs::write(agent.path("old/deep/f"), "").unwrap();
    assert_eq!(watcher.news(), news(&[("old/deep/f", "CREATE")]));

    // Made by requests, everything is told in its order.
    let (status, _) = call(&agent, "MakeDir", &json!({"path": agent.path("new")}));
    assert_eq!(status, 200);
    upload(&agent, &agent.path("new/f"), b"x");
    let told = watcher.news();
    let file = news(&[("new/f", "CREATE"), ("new/f", "CHMOD"), ("new/f", "WRITE")]);
    assert_eq!(told[0], ("new".to_owned(), "CREATE".to_owned()));
    assert_eq!(told[told.len() - 3..], file, "{told:?}");

    // Made by commands, nothing is missed and nothing is created twice.
    std::fs::create_dir_all(agent.path("p/q/r")).unwrap();
    std::fs::write(agent.path("p/q/r/s"), "x").unwrap();
    let told = watcher.news();
    for name in ["p", "p/q", "p/q/r", "p/q/r/s"] {
        let created = (name.to_owned(), "CREATE".to_owned());
        let count = told.iter().filter(|news| **news == created).count();
        assert_eq!(count, 1, "{name}: {told:?}");
    }
    assert!(
        told.contains(&("p/q/r/s".to_owned(), "WRITE".to_owned())),
        "{told:?}"
    );

    std::fs::rename(agent.path("p"), agent.path("moved")).unwrap();
    assert_eq!(
        watcher.news(),
        news(&[("p", "RENAME"), ("moved", "CREATE")])
    );
    std::fs::write(agent.path("moved/q/new"), "").unwrap();
    assert_eq!(watcher.news(), news(&[("moved/q/new", "CREATE")]));
    std::fs::remove_dir_all(agent.path("moved/q/r")).unwrap();
    let told = watcher.news();
    assert!(
        told.contains(&("moved/q/r/s".to_owned(), "REMOVE".to_owned())),
        "{told:?}"
    );
    assert!(
        told.contains(&("moved/q/r".to_owned(), "REMOVE".to_owned())),
        "{told:?}"
    );
}

#[test]
fn entries_come_with_events_that_have_one() {
    let agent = Agent::start().init();
    let request = json!({"path": agent.directory(), "includeEntry": true});
    let watcher = Watcher::create(&agent, &request);
    upload(&agent, &agent.path("f"), b"xy");
    let events = watcher.events();
    for event in &events {
        assert_eq!(event["entry"]["path"], agent.path("f"), "{event}");
    }
    assert_eq!(events.last().unwrap()["entry"]["size"], "2");
    std::fs::remove_file(agent.path("f")).unwrap();
    assert_eq!(watcher.events()[0].get("entry"), None);
}

#[test]
fn watchers_live_until_they_are_removed() {
    let agent = Agent::start().init();
    let watcher = Watcher::create(&agent, &json!({"path": agent.directory()}));
    assert_eq!(call(&agent, "RemoveWatcher", &watcher.id), (200, json!({})));
    for method in ["RemoveWatcher", "GetWatcherEvents"] {
        let (status, error) = call(&agent, method, &watcher.id);
        assert_eq!((status, &error["code"]), (404, &json!("not_found")));
    }
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let agent = Agent::start().init();
    std::fs::write(agent.path("file"), "").unwrap();
    let table = [
        ("none", 404, "not_found"),
        ("file", 400, "invalid_argument"),
    ];
    for (name, status, code) in table {
        let message = json!({"path": agent.path(name)});
        let (got, error) = call(&agent, "CreateWatcher", &message);
        assert_eq!((got, error["code"].as_str().unwrap()), (status, code));
        let stream = agent.stream("filesystem.Filesystem/WatchDir", &message, &[]);
        assert_eq!(stream[0]["error"]["code"], code);
    }
}

#[test]
fn watchers_are_bounded() {
    let agent = Agent::start().init();
    let message = json!({"path": agent.directory()});
    let mut last = json!({});
    for _ in 0..=64 {
        let (status, answer) = call(&agent, "CreateWatcher", &message);
        if status != 200 {
            last = answer;
            break;
        }
    }
    assert_eq!(last["code"], "resource_exhausted");
}

#[test]
fn a_stream_tells_what_happens() {
    let agent = Agent::start().init();
    let mut connection = Connection::open(&agent);
    let headers = [
        ("content-type", "application/connect+json"),
        ("keepalive-ping-interval", "1"),
    ];
    let request = json!({"path": agent.directory(), "recursive": true});
    connection.send(
        "POST",
        "/filesystem.Filesystem/WatchDir",
        &headers,
        &frame(&request),
    );
    assert_eq!(connection.head().status, 200);
    let mut pending = Vec::new();
    let mut next = || connection.frame(&mut pending).unwrap().unwrap().1;
    assert_eq!(next(), json!({"start": {}}));
    upload(&agent, &agent.path("d/f"), b"x");
    let mut told = Vec::new();
    loop {
        let event = next()["filesystem"].clone();
        told.push(event.clone());
        if event["name"] == "d/f" && event["type"] == "EVENT_TYPE_WRITE" {
            break;
        }
    }
    assert_eq!(told[0], json!({"name": "d", "type": "EVENT_TYPE_CREATE"}));
    while let Some(news) = next().get("filesystem") {
        told.push(news.clone());
    }
    assert!(
        told.len() < 10,
        "a keepalive follows when all is told: {told:?}"
    );
}
