//! The templates of the node, and sandboxes by their template.

use crate::http::{Answer, ask};
use crate::server::Server;
use serde_json::{Value, json};

fn api(server: &Server, method: &str, path: &str, body: &str) -> Answer {
    let key = [("X-API-KEY", server.key())];
    ask(server, method, path, &key, body.as_bytes())
}

fn get(server: &Server, path: &str) -> Value {
    let answer = api(server, "GET", path, "");
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json
}

#[test]
fn what_stands_in_for_base_is_told_and_found_by_both_names() {
    let server = Server::start();
    let made = api(&server, "POST", "/v2/sandboxes", r#"{"templateID":"base"}"#);
    let id = &made.json["sandboxID"];

    let all = get(&server, "/templates?teamID=default");
    assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
    assert_eq!(all[0]["templateID"], "host");
    assert_eq!(all[0]["names"], json!(["host", "base"]));
    assert_eq!(all[0]["buildStatus"], "ready");
    assert_eq!(all[0]["spawnCount"], 1, "{all}");
    assert!(
        all[0]["createdAt"].as_str().unwrap().ends_with('Z'),
        "{all}"
    );
    for name in ["host", "base", "base:latest", "base%3Adefault"] {
        let one = get(&server, &format!("/templates/{name}"));
        assert_eq!(one["builds"][0]["buildID"], all[0]["buildID"], "{one}");
        let meant = get(&server, &format!("/templates/aliases/{name}"));
        assert_eq!(meant, json!({ "templateID": "host", "public": true }));
    }
    for wrong in ["nosuch", "no%2Fsuch", "base%3Aother", "..", "%00"] {
        for path in ["/templates", "/templates/aliases"] {
            let answer = api(&server, "GET", &format!("{path}/{wrong}"), "");
            assert_eq!(answer.status, 404, "{path}/{wrong}: {answer:?}");
        }
    }

    for name in ["base", "host"] {
        for path in ["/v2/sandboxes", "/sandboxes"] {
            let listed = get(&server, &format!("{path}?template={name}"));
            assert_eq!(listed.as_array().unwrap().len(), 1, "{name}: {listed}");
            assert_eq!(listed[0]["sandboxID"], *id);
        }
    }
    assert_eq!(get(&server, "/v2/sandboxes?template=nosuch"), json!([]));
    // One that comes with the program and was not built.
    let body = r#"{"templateID":"code-interpreter-v1"}"#;
    let refused = api(&server, "POST", "/v2/sandboxes", body);
    let text = refused.json["message"].as_str().unwrap_or_default();
    assert!(
        refused.status == 404 && text.contains("soulbox template build code-interpreter-v1"),
        "{refused:?}"
    );
    let nobody = ask(&server, "GET", "/templates", &[], b"");
    assert_eq!(nobody.status, 401, "{nobody:?}");
}
