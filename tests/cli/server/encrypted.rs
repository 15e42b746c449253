//! A server that speaks TLS.

use super::forward::SERVER;
use rustix::process::{Pid, Signal, kill_process};
use soulbox_tests::server::Server;
use soulbox_tests::{Ended, Soulbox, end, wait_for};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};

const TLS: [(&str, &str); 1] = [("SOULBOX_SERVER_TLS_LISTEN", "127.0.0.1:0")];

/// A client of the server's own data directory, over TLS.
fn command(server: &Server, arguments: &[&str]) -> Command {
    let mut command = server.client().command(arguments);
    command.env("SOULBOX_CLIENT_URL", server.tls_url());
    command
}

fn ask(server: &Server, arguments: &[&str]) -> Ended {
    end(command(server, arguments).spawn().expect("starts"))
}

#[test]
fn the_verbs_work_over_tls() {
    let server = Server::start_with(&TLS);
    let id = ask(&server, &["create"]).expect_code(0).text();
    let id = id.trim();
    assert!(ask(&server, &["ps"]).expect_code(0).text().contains(id));
    let mut cat = command(&server, &["exec", id, "--", "sh", "-c", "cat; exit 3"]);
    let mut cat = cat.stdin(Stdio::piped()).spawn().expect("starts");
    let sent = "line\n".repeat(100_000);
    let mut stdin = cat.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            stdin.write_all(sent.as_bytes()).expect("sent");
            drop(stdin);
        });
        assert!(
            end(cat).expect_code(3).text() == sent,
            "all of it came back"
        );
    });
    let content = b"0123456789".repeat(300_000);
    let file = server.client().file("up", &content);
    let file = file.to_str().expect("UTF-8");
    let inside = format!("{id}:/home/user/there");
    ask(&server, &["cp", file, &inside]).expect_code(0);
    ask(&server, &["cp", &inside, "down"]).expect_code(0);
    let down = std::fs::read(server.client().home().join("down")).expect("a file");
    assert!(down == content, "it came back as it went");
    let ran = ask(&server, &["run", "-l", "bash", "-c", "echo there"]);
    assert_eq!(ran.expect_code(0).text(), "there\n");
    let told = ask(&server, &["events", id]).expect_code(0).text();
    assert!(told.contains("created"), "{told}");
    ask(&server, &["kill", id]).expect_code(0);
}

#[test]
fn forwarded_connections_end_in_each_direction_by_itself_over_tls() {
    let server = Server::start_with(&TLS);
    let id = server.create(&[]);
    let mut inside = command(&server, &["exec", &id, "--", "python3", "-c", SERVER]);
    let mut inside = inside.spawn().expect("starts");
    wait_for(&mut inside, "ready");
    let mut forward = command(&server, &["port-forward", &id, "0:7000"]);
    let mut forward = forward.spawn().expect("starts");
    let mut told = String::new();
    let mut stdout = BufReader::new(forward.stdout.take().expect("a pipe"));
    stdout.read_line(&mut told).expect("a line");
    let address = told.split_whitespace().next().expect("an address");
    let mut stream = TcpStream::connect(address).expect("a connection");
    let sent = "x".repeat(300_000);
    stream.write_all(sent.as_bytes()).expect("sent");
    stream.shutdown(Shutdown::Write).expect("its end");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(
        answer == format!("hello {}", sent.to_uppercase()),
        "{}",
        answer.len()
    );
    kill_process(Pid::from_child(&forward), Signal::INT).expect("a signal");
    assert_eq!(forward.wait().expect("it ends").code(), Some(0));
    server.run(["kill", &id]).expect_code(0);
    let _ = inside.wait();
}

#[test]
fn a_server_for_which_nobody_vouches_gets_no_key() {
    let server = Server::start_with(&TLS);
    let url = server.tls_url();
    let key = server.client().home().join("data/credentials.json");
    let key: serde_json::Value =
        serde_json::from_slice(&std::fs::read(key).expect("credentials")).expect("JSON");
    let key = key["api_key"].as_str().expect("a key");
    let ca = server.client().home().join("data/tls/ca.pem");
    let ca = ca.to_str().expect("UTF-8");
    // Another machine: it has nothing of the server.
    let elsewhere = Soulbox::new();
    let ask = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = elsewhere.command(["ps"].iter().chain(arguments));
        let command = command.env("SOULBOX_API_KEY", key);
        end(command
            .envs(variables.iter().copied())
            .spawn()
            .expect("starts"))
    };
    let with_ca = |url: &str| ask(&["--server", url, "--ca", ca], &[]);
    ask(&["--server", &url], &[])
        .expect_code(250)
        .expect_stderr(&["no trusted connection", "certificate", "--ca FILE"]);
    with_ca(&url).expect_code(0);
    ask(&["--server", &url], &[("SOULBOX_CLIENT_CA", ca)]).expect_code(0);
    ask(&["--server", &url], &[("SSL_CERT_FILE", ca)]).expect_code(0);
    // The certificate is for the domain, not for whatever leads there.
    let port = url.rsplit(':').next().expect("a port");
    with_ca(&format!("https://127.0.0.1:{port}"))
        .expect_code(250)
        .expect_stderr(&["no trusted connection"]);
    with_ca(&format!("https://other.localhost:{port}"))
        .expect_code(250)
        .expect_stderr(&["no trusted connection"]);
    // One speaks TLS where the other does not.
    with_ca(&server.url().replace("http://", "https://")).expect_code(250);
    with_ca(&format!("http://127.0.0.1:{port}")).expect_code(250);
    ask(&["--server", &url, "--ca", "/nosuch"], &[]).expect_code(241);
    ask(&["--server", &url, "--ca", "/proc/version"], &[])
        .expect_code(240)
        .expect_stderr(&["certificates", "PEM"]);
}
