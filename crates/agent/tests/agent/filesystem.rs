//! `filesystem.Filesystem` on the wire.

use crate::support::Agent;
use serde_json::{Value, json};
use std::os::unix::fs::{PermissionsExt as _, symlink};

fn call(agent: &Agent, method: &str, message: &Value) -> (u16, Value) {
    agent.unary(&format!("filesystem.Filesystem/{method}"), message)
}

/// The code of a refusal.
fn refused(agent: &Agent, method: &str, message: &Value) -> String {
    let (status, error) = call(agent, method, message);
    assert_ne!(status, 200, "{error}");
    assert!(!error["message"].as_str().unwrap().is_empty());
    error["code"].as_str().unwrap().to_owned()
}

#[test]
fn entries_are_described() {
    let agent = Agent::start().init();
    let path = agent.path("file");
    std::fs::write(&path, "hello").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let (status, answer) = call(&agent, "Stat", &json!({"path": path}));
    assert_eq!(status, 200);
    let entry = &answer["entry"];
    assert_eq!(entry["name"], "file");
    assert_eq!(entry["type"], "FILE_TYPE_FILE");
    assert_eq!(entry["path"], path);
    assert_eq!(entry["size"], "5", "64-bit numbers are strings");
    assert_eq!(entry["mode"], 0o640);
    assert_eq!(entry["permissions"], "-rw-r-----");
    assert_eq!(entry["owner"], crate::support::me());
    let time = entry["modifiedTime"].as_str().unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    assert_eq!(entry.get("symlinkTarget"), None);

    let (_, answer) = call(&agent, "Stat", &json!({"path": "/"}));
    assert_eq!(
        (&answer["entry"]["name"], &answer["entry"]["path"]),
        (&json!("/"), &json!("/"))
    );
    let (_, answer) = call(&agent, "Stat", &json!({"path": "/dev/null"}));
    assert_eq!(answer["entry"]["type"], "FILE_TYPE_UNSPECIFIED");
}

#[test]
fn a_link_shows_its_target() {
    let agent = Agent::start().init();
    let (file, link, chain) = (agent.path("file"), agent.path("link"), agent.path("chain"));
    std::fs::write(&file, "hello").unwrap();
    symlink("file", &link).unwrap();
    symlink("link", &chain).unwrap();
    for path in [&link, &chain] {
        let (_, answer) = call(&agent, "Stat", &json!({"path": path}));
        let entry = &answer["entry"];
        assert_eq!(entry["type"], "FILE_TYPE_FILE");
        assert_eq!(entry["mode"], 0o644);
        assert_eq!(entry["size"], "4", "its own size");
        assert_eq!(entry["permissions"], "Lrwxrwxrwx");
        let resolved = std::fs::canonicalize(&file).unwrap();
        assert_eq!(entry["symlinkTarget"], resolved.to_str().unwrap());
    }
    let broken = agent.path("broken");
    symlink("nowhere", &broken).unwrap();
    let (_, answer) = call(&agent, "Stat", &json!({"path": broken}));
    assert_eq!(answer["entry"]["type"], "FILE_TYPE_UNSPECIFIED");
    assert_eq!(answer["entry"]["symlinkTarget"], broken);
}

#[test]
fn what_is_not_there_is_not_found() {
    let agent = Agent::start().init();
    std::fs::write(agent.path("file"), "").unwrap();
    for missing in ["none", "none/below", "file/below"] {
        let path = agent.path(missing);
        assert_eq!(refused(&agent, "Stat", &json!({"path": path})), "not_found");
        assert_eq!(
            refused(&agent, "ListDir", &json!({"path": path})),
            "not_found"
        );
        let target = agent.path("x");
        let message = json!({"source": path, "destination": target});
        assert_eq!(refused(&agent, "Move", &message), "not_found");
        assert_eq!(
            call(&agent, "Remove", &json!({"path": path})),
            (200, json!({}))
        );
    }
    assert_eq!(
        refused(&agent, "Stat", &json!({"path": "~other"})),
        "invalid_argument"
    );
    assert_eq!(
        refused(&agent, "Stat", &json!({"path": "a\0b"})),
        "invalid_argument"
    );
    let long = "x/".repeat(4000);
    assert_eq!(
        refused(&agent, "Stat", &json!({"path": long})),
        "invalid_argument"
    );
    let long = "x".repeat(300);
    assert_eq!(
        refused(&agent, "Stat", &json!({"path": long})),
        "invalid_argument"
    );
}

#[test]
fn directories_are_made_once() {
    let agent = Agent::start().init();
    let path = agent.path("a/b/c");
    let (status, answer) = call(&agent, "MakeDir", &json!({"path": path}));
    assert_eq!(status, 200);
    let entry = &answer["entry"];
    assert_eq!(
        (&entry["name"], &entry["path"]),
        (&json!("c"), &json!(path))
    );
    assert_eq!(
        (&entry["type"], &entry["mode"]),
        (&json!("FILE_TYPE_DIRECTORY"), &json!(0o755))
    );
    assert_eq!(
        refused(&agent, "MakeDir", &json!({"path": path})),
        "already_exists"
    );
    let file = agent.path("a/file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(
        refused(&agent, "MakeDir", &json!({"path": file})),
        "invalid_argument"
    );
}

#[test]
fn trees_are_listed_depth_first_in_order() {
    let agent = Agent::start().init();
    for directory in ["top/b/c", "top/a", "top/ö"] {
        std::fs::create_dir_all(agent.path(directory)).unwrap();
    }
    for file in ["top/b/z", "top/b/c/deep", "top/B", "top/.hidden"] {
        std::fs::write(agent.path(file), "").unwrap();
    }
    symlink(agent.path("top/b"), agent.path("top/link")).unwrap();
    symlink("/nowhere", agent.path("top/broken")).unwrap();
    let top = agent.path("top");
    let names = |message: Value| {
        let (status, answer) = call(&agent, "ListDir", &message);
        assert_eq!(status, 200, "{answer}");
        let entries = answer["entries"].as_array().unwrap().clone();
        let path = |entry: &Value| entry["path"].as_str().unwrap().to_owned();
        let prefix = message["path"].as_str().unwrap().to_owned() + "/";
        entries
            .iter()
            .map(|e| path(e).strip_prefix(&prefix).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let one = [".hidden", "B", "a", "b", "broken", "link", "ö"];
    assert_eq!(names(json!({"path": top})), one);
    assert_eq!(names(json!({"path": top, "depth": 1})), one);
    let two = [
        ".hidden", "B", "a", "b", "b/c", "b/z", "broken", "link", "ö",
    ];
    assert_eq!(names(json!({"path": top, "depth": 2})), two);
    let all = [
        ".hidden", "B", "a", "b", "b/c", "b/c/deep", "b/z", "broken", "link", "ö",
    ];
    assert_eq!(names(json!({"path": top, "depth": 4_294_967_295_u32})), all);
    // A link to a directory is listed under the name that was asked for.
    let link = agent.path("top/link");
    assert_eq!(names(json!({"path": link})), ["c", "z"]);
    let file = agent.path("top/B");
    assert_eq!(
        refused(&agent, "ListDir", &json!({"path": file})),
        "invalid_argument"
    );
    symlink("loop", agent.path("loop")).unwrap();
    let circle = agent.path("loop");
    assert_eq!(
        refused(&agent, "ListDir", &json!({"path": circle})),
        "failed_precondition"
    );
}

#[test]
fn a_directory_with_too_many_entries_is_refused() {
    let agent = Agent::start().init();
    let directory = agent.path("many");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(agent.path("many/0"), "").unwrap();
    for number in 1..=50_000 {
        std::fs::hard_link(agent.path("many/0"), agent.path(&format!("many/{number}"))).unwrap();
    }
    for depth in [1, 2] {
        let message = json!({"path": directory, "depth": depth});
        assert_eq!(refused(&agent, "ListDir", &message), "resource_exhausted");
    }
}

#[test]
fn names_move_with_their_parents_made() {
    let agent = Agent::start().init();
    let (source, target) = (agent.path("one"), agent.path("new/dir/two"));
    std::fs::write(&source, "x").unwrap();
    let message = json!({"source": source, "destination": target});
    let (status, answer) = call(&agent, "Move", &message);
    assert_eq!((status, &answer["entry"]["path"]), (200, &json!(target)));
    assert_eq!(std::fs::read(&target).unwrap(), b"x");
    assert!(!std::path::Path::new(&source).exists());
    let into = json!({"source": target, "destination": agent.path("new")});
    assert_ne!(
        call(&agent, "Move", &into).0,
        200,
        "a directory is in the way"
    );
    assert_eq!(std::fs::read(&target).unwrap(), b"x");
}

#[test]
fn trees_are_removed_and_links_are_not_followed() {
    let agent = Agent::start().init();
    std::fs::create_dir_all(agent.path("tree/a/b")).unwrap();
    std::fs::create_dir(agent.path("kept")).unwrap();
    std::fs::write(agent.path("kept/file"), "").unwrap();
    symlink(agent.path("kept"), agent.path("tree/a/link")).unwrap();
    symlink(agent.path("kept"), agent.path("link")).unwrap();
    for name in ["tree", "link"] {
        assert_eq!(
            call(&agent, "Remove", &json!({"path": agent.path(name)})),
            (200, json!({}))
        );
        assert!(std::fs::symlink_metadata(agent.path(name)).is_err());
    }
    assert!(std::path::Path::new(&agent.path("kept/file")).exists());
    assert_eq!(
        refused(&agent, "Remove", &json!({"path": "/"})),
        "invalid_argument"
    );
    assert_eq!(
        refused(&agent, "Remove", &json!({"path": "/a/.."})),
        "invalid_argument"
    );
}

#[test]
fn new_directories_belong_to_the_caller() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let agent = Agent::start().init();
    // `nobody:` in base64.
    let headers = [("authorization", "Basic bm9ib2R5Og==")];
    let message = json!({"path": agent.path("x/y")});
    let (_, answer) = agent.unary_as("filesystem.Filesystem/MakeDir", &message, &headers);
    assert_eq!(answer["entry"]["owner"], "nobody");
    let (_, answer) = call(&agent, "Stat", &json!({"path": agent.path("x")}));
    assert_eq!(answer["entry"]["owner"], "nobody");
    let headers = [("authorization", "Basic cm9vdDEyMzo=")];
    let (status, error) = agent.unary_as("filesystem.Filesystem/Stat", &message, &headers);
    assert_eq!((status, &error["code"]), (401, &json!("unauthenticated")));
    assert_eq!(error["message"], "invalid username: 'root123'");
}
