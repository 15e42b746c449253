//! `key`.

use soulbox_tests::server::Server;

#[test]
fn a_key_is_told_once_and_works_until_it_is_removed() {
    let server = Server::start();
    let key = server.run(["key", "create", "ci"]).expect_code(0).text();
    let file = server.client().file("key", &key);
    let with_it = |arguments: &[&str]| {
        let file = ["--api-key-file", file.to_str().expect("UTF-8")];
        server.run(arguments.iter().chain(&file))
    };
    with_it(&["ps"]).expect_code(0);
    let listed = with_it(&["key", "ls"]).expect_code(0).text();
    assert!(
        listed.contains("ci") && listed.contains("first"),
        "{listed}"
    );
    assert!(!listed.contains(key.trim()), "{listed}");
    let json = server.run(["key", "ls", "--json"]).expect_code(0).json();
    assert_eq!(json["keys"].as_array().map(Vec::len), Some(2));

    server
        .run(["key", "rm", "cj"])
        .expect_code(241)
        .expect_stderr(&["did you mean \"ci\"?"]);
    server.run(["key", "rm", "ci"]).expect_code(0);
    with_it(&["ps"]).expect_code(250);
    server.run(["ps"]).expect_code(0);
}

#[test]
fn a_team_sees_its_own_sandboxes_and_the_operator_acts_for_it() {
    let server = Server::start();
    let key = server.run(["key", "create", "first", "--team", "acme"]);
    let key = server.client().file("acme", key.expect_code(0).text());
    let acme = |arguments: &[&str]| {
        let file = ["--api-key-file", key.to_str().expect("UTF-8")];
        server.run(arguments.iter().chain(&file))
    };
    let ours = server.create(&[]);
    let theirs = acme(&["create"]).expect_code(0).text();
    let theirs = theirs.trim();

    let ids = |json: serde_json::Value| json.to_string();
    let seen = ids(acme(&["ps", "--json"]).expect_code(0).json());
    assert!(seen.contains(theirs) && !seen.contains(&ours), "{seen}");
    let seen = ids(server.run(["ps", "--json"]).expect_code(0).json());
    assert!(seen.contains(&ours) && !seen.contains(theirs), "{seen}");
    for arguments in [
        &["kill", &ours][..],
        &["exec", &ours, "true"],
        &["pause", &ours],
        &["inspect", &ours],
        &["events", &ours],
        &["logs", &ours],
    ] {
        let (verb, rest) = arguments.split_first().expect("a verb");
        let file = ["--api-key-file", key.to_str().expect("UTF-8")];
        let ended = server.run([*verb].iter().chain(&file).chain(rest));
        assert_eq!(ended.code, 241, "{arguments:?}: {ended:?}");
    }
    acme(&["ps", "--team", "default"])
        .expect_code(250)
        .expect_stderr(&["acts for that team alone"]);
    let listed = acme(&["key", "ls", "--json"]).expect_code(0).json();
    assert_eq!(listed["keys"].as_array().map(Vec::len), Some(1), "{listed}");

    let seen = server.run(["ps", "--json", "--team", "acme"]);
    assert!(ids(seen.expect_code(0).json()).contains(theirs));
    server
        .run(["key", "rm", "first", "--team", "acme"])
        .expect_code(0);
    acme(&["ps"]).expect_code(250);
    server
        .run(["kill", theirs, "--team", "acme"])
        .expect_code(0);
    server
        .run(["ps", "--team", "Acme"])
        .expect_code(240)
        .expect_stderr(&["team id"]);
}
