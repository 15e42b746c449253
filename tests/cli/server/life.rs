//! `create`, `ps`, `inspect`, `pause`, `resume`, `kill`.

use soulbox_tests::server::Server;

#[test]
fn a_sandbox_is_made_listed_paused_resumed_and_ended() {
    let server = Server::start();
    let flags = [
        "host",
        "--timeout",
        "10m",
        "--memory",
        "200M",
        "--cpu",
        "0.5",
        "--metadata",
        "owner=ci",
        "--metadata",
        "evil=\x1b[2J",
    ];
    let id = server.create(&flags);
    let other = server.create(&[]);

    let listed = server.run(["ps"]).expect_code(0).text();
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let line = listed
        .lines()
        .find(|line| line.contains(&id))
        .expect("a line");
    for word in ["host", "running", "200 MiB", "9 min", "owner=ci"] {
        assert!(line.contains(word), "{word}: {line}");
    }
    assert!(!listed.contains('\x1b'), "{listed:?}");
    let quiet = server.run(["ps", "-q"]).expect_code(0).text();
    assert_eq!(quiet, format!("{other}\n{id}\n"), "the newest first");
    let json = server.run(["ps", "--json"]).expect_code(0).json();
    assert_eq!(json["sandboxes"][1]["metadata"]["owner"], "ci");

    // The beginning of an id is enough.
    let begun = &id[..12];
    let shown = server.run(["inspect", begun]).expect_code(0);
    assert!(!shown.text().contains("AccessToken"), "{}", shown.text());
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(shown["sandboxID"], id.as_str());
    assert_eq!(shown["memoryMB"], 200);
    assert_eq!(shown["allowInternetAccess"], false);
    server
        .run(["kill", "i"])
        .expect_code(240)
        .expect_stderr(&["2 ids", &id, &other]);

    assert_eq!(
        server.run(["pause", begun]).expect_code(0).text().trim(),
        id
    );
    let listed = server.run(["ps"]).expect_code(0).text();
    assert!(listed.contains("paused"), "{listed}");
    server
        .run(["pause", &id])
        .expect_code(1)
        .expect_stderr(&["is paused"]);
    server
        .run(["resume", begun, "--timeout", "20m"])
        .expect_code(0);
    let listed = server.run(["ps"]).expect_code(0).text();
    assert!(
        listed.contains("19 min") && !listed.contains("paused"),
        "{listed}"
    );

    // One wrong id, and none is ended.
    server.run(["kill", &id, "inosuch"]).expect_code(241);
    assert_eq!(server.run(["kill", begun]).expect_code(0).text().trim(), id);
    assert_eq!(server.run(["ps", "-q"]).expect_code(0).text().trim(), other);
    server.run(["kill", "--all"]).expect_code(0);
    assert_eq!(server.run(["ps", "-q"]).expect_code(0).text(), "");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    let server = Server::start();
    for (arguments, code, told) in [
        (&["create", "no-such-template"][..], 241, "no-such-template"),
        (&["create", "--memory", "1K"], 240, "memory"),
        (&["create", "--timeout", "0"], 240, "timeout"),
        (&["create", "--timeout", "9000h"], 240, "server.max_timeout"),
        (&["create", "--metadata", "x"], 240, "KEY=VALUE"),
        (&["create", "--network", "intrenet"], 240, "internet"),
        (&["kill"], 240, "--all"),
        (&["kill", "--all", "iabc"], 240, "cannot be used with"),
        (&["shell", "iabc", "--memory", "1G"], 240, "--memory"),
    ] {
        server
            .run(arguments)
            .expect_code(code)
            .expect_stderr(&[told]);
    }
    assert_eq!(server.run(["ps", "-q"]).expect_code(0).text(), "");
}
