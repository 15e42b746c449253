//! A script that is run with a client against a server.

use crate::client::Client;
use crate::server::Server;

/// Runs a script to its end.
pub(crate) fn run(client: Client, name: &str) {
    let mut command = client.interpreter();
    let server = Server::start();
    let output = command
        .arg(client.script(name))
        .env("E2B_API_URL", server.url())
        .env("E2B_SANDBOX_URL", server.url())
        .env("E2B_API_KEY", server.key())
        .env_remove("E2B_DOMAIN")
        .env_remove("E2B_DEBUG")
        .output()
        .expect("the interpreter starts");
    assert!(
        output.status.success(),
        "{name} with {client:?}: {}\n{}{}\nthe server:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        server.log(),
    );
}

/// Makes a test of each script for each client.
#[macro_export]
macro_rules! scripts {
    ($($version:ident: $client:expr => [$($script:ident),* $(,)?])*) => {$(
        mod $version {
            use super::{Client, script};
            $(
                #[test]
                fn $script() {
                    script::run($client, stringify!($script));
                }
            )*
        }
    )*};
}
