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
