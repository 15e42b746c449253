//! No server, no key, the wrong key.

use soulbox_tests::Soulbox;
use soulbox_tests::server::Server;
use std::net::TcpListener;

#[test]
fn where_no_server_answers_it_is_said_how_to_start_one() {
    let soulbox = Soulbox::new();
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", free.local_addr().expect("its address"));
    drop(free);
    for verb in [
        &["ps"][..],
        &["kill", "iabc"],
        &["exec", "iabc", "--", "true"],
    ] {
        let mut command = soulbox.command(verb);
        let command = command
            .env("SOULBOX_CLIENT_URL", &url)
            .env("SOULBOX_API_KEY", "e2b_00");
        soulbox_tests::end(command.spawn().expect("starts"))
            .expect_code(250)
            .expect_stderr(&["no server at http://127.0.0.1", "soulbox serve"]);
    }
    soulbox
        .run(["ps"])
        .expect_code(250)
        .expect_stderr(&["no key", "SOULBOX_API_KEY"]);
    for url in ["ftp://box:1", "https://box/path", "box"] {
        soulbox.run(["ps", "--server", url]).expect_code(240);
    }
}

#[test]
fn the_wrong_key_and_the_wrong_id_are_told_apart() {
    let server = Server::start();
    let ask = |variable: &str, arguments: &[&str]| {
        let mut command = server.client().command(arguments);
        command.env(variable, "e2b_0000000000000000000000000000000000000000");
        soulbox_tests::end(command.spawn().expect("starts"))
    };
    for variable in ["SOULBOX_API_KEY", "E2B_API_KEY"] {
        ask(variable, &["ps"])
            .expect_code(250)
            .expect_stderr(&["not known here", "help:"]);
    }
    let id = server.create(&[]);
    let mut near = id.clone();
    near.pop();
    near.push(if id.ends_with('x') { 'y' } else { 'x' });
    for verb in ["inspect", "kill", "pause"] {
        server
            .run([verb, &near])
            .expect_code(241)
            .expect_stderr(&[&near, &format!("did you mean {id}?")]);
    }
    server.run(["inspect", "../keys"]).expect_code(241);
    // The key of this server is shown to no other.
    let other = ["ps", "--server", "http://127.0.0.2:3000"];
    server
        .run(other)
        .expect_code(250)
        .expect_stderr(&["no key"]);
}
