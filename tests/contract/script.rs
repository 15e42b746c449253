//! A script that is run with a client against a server.

use crate::client::{Client, example};
use crate::server::{DOMAIN, Server};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Runs a script to its end, against a server with one URL for everything.
pub(crate) fn run(client: Client, name: &str) {
    run_on(&Server::start(), client, name);
}

/// Runs a script to its end, against such a server that has a real `base`.
pub(crate) fn run_base(client: Client, name: &str) {
    run_on(&Server::start_base(), client, name);
}

/// Runs a script to its end, against such a server that has the template of the code interpreter.
pub(crate) fn run_cells(client: Client, name: &str) {
    run_on(&Server::start_interpreter(false), client, name);
}

/// Runs a script to its end, against such a server that has all languages.
pub(crate) fn run_full(client: Client, name: &str) {
    run_on(&Server::start_full(), client, name);
}

/// Runs an example to its end, with these arguments, against such a server, and gives what it printed.
pub(crate) fn run_example(client: Client, name: &str, arguments: &[&Path]) -> String {
    let server = Server::start_interpreter(false);
    let mut command = client.interpreter();
    command
        .arg(example(name))
        .args(arguments)
        .env("E2B_API_URL", server.url())
        .env("E2B_SANDBOX_URL", server.url())
        .env_remove("E2B_DOMAIN");
    output(command, name, &server)
}

fn run_on(server: &Server, client: Client, name: &str) {
    let mut command = client.interpreter();
    command
        .env("E2B_API_URL", server.url())
        .env("E2B_SANDBOX_URL", server.url())
        .env_remove("E2B_DOMAIN");
    finish(command, client, name, server);
}

/// Runs a script to its end, against a server of which the client knows the domain alone: it reaches
/// `https://api.<domain>` and `https://<port>-<id>.<domain>`, as it does E2B's cloud.
pub(crate) fn run_by_names(client: Client, name: &str) {
    run_on_names(&Server::start_encrypted(), client, name);
}

/// Runs a script to its end, against such a server that has the template of the code interpreter.
pub(crate) fn run_cells_by_names(client: Client, name: &str) {
    run_on_names(&Server::start_interpreter(true), client, name);
}

fn run_on_names(server: &Server, client: Client, name: &str) {
    let authority = server.home().join("data/tls/ca.pem");
    let mut command = client.interpreter();
    command
        .env_remove("E2B_API_URL")
        .env_remove("E2B_SANDBOX_URL");
    trust(&mut command, server, &authority);
    finish(command, client, name, server);
}

/// Runs a script to its end, against a server with one URL for everything, which speaks TLS with a certificate
/// that it was given.
pub(crate) fn run_encrypted(client: Client, name: &str) {
    let files = TempDir::new().expect("a directory");
    let path = |name: &str| files.path().join(name);
    let names = ["localhost", DOMAIN, &format!("*.{DOMAIN}")].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    fs::write(path("cert"), made.cert.pem()).expect("a file");
    fs::write(path("key"), made.signing_key.serialize_pem()).expect("a file");
    let server = Server::start_certified(&path("cert"), &path("key"));
    let (_, port) = server.domain().rsplit_once(':').expect("a port");
    let url = format!("https://localhost:{port}");
    let mut command = client.interpreter();
    command
        .env("E2B_API_URL", &url)
        .env("E2B_SANDBOX_URL", &url);
    trust(&mut command, &server, &path("cert"));
    finish(command, client, name, &server);
}

fn trust(command: &mut Command, server: &Server, authority: &Path) {
    command
        .env("E2B_DOMAIN", server.domain())
        .env("SSL_CERT_FILE", authority)
        .env("NODE_EXTRA_CA_CERTS", authority);
}

fn finish(mut command: Command, client: Client, name: &str, server: &Server) {
    command.arg(client.script(name));
    output(command, &format!("{name} with {client:?}"), server);
}

/// What a program prints that must succeed.
fn output(mut command: Command, name: &str, server: &Server) -> String {
    let output = command
        .env("E2B_API_KEY", server.key())
        .env_remove("E2B_DEBUG")
        .output()
        .expect("the interpreter starts");
    assert!(
        output.status.success(),
        "{name}: {}\n{}{}\nthe server:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        server.log(),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes a test of each script for each client.
#[macro_export]
macro_rules! scripts {
    ($run:ident: $($version:ident: $client:expr => [$($script:ident),* $(,)?])*) => {$(
        mod $version {
            use super::{Client, script};
            $(
                #[test]
                fn $script() {
                    script::$run($client, stringify!($script));
                }
            )*
        }
    )*};
}
