//! A server of the test's own, and an engine.

use soulbox_client::{NewSandbox, SoulBox};
use soulbox_settings::Settings;
use soulbox_tests::server::Server;
use std::sync::Arc;
use tempfile::TempDir;

/// The table of slots that all engines of the machine share.
const MACHINE: &str = "/run/soulbox/machine";

/// A client of a server, and the server.
pub(crate) fn server() -> (SoulBox, Server) {
    let server = Server::start();
    let soulbox = SoulBox::connect(server.url(), server.key()).unwrap();
    (soulbox, server)
}

/// The same over an engine, and its directories.
pub(crate) async fn engine() -> (SoulBox, TempDir) {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (data, run) = (path("data"), path("run"));
    let settings = Settings::with(&[
        ("data_dir", &data),
        ("run_dir", &run),
        ("machine_dir", MACHINE),
        ("pool.slots", "0"),
        ("storage.backend", "memory"),
        ("execute.template", "host"),
    ]);
    let soulbox = SoulBox::embedded(Arc::new(settings.unwrap())).await;
    (soulbox.unwrap(), home)
}

/// A sandbox of the host's own programs.
pub(crate) fn wish() -> NewSandbox {
    NewSandbox {
        metadata: [("of".to_owned(), "a test".to_owned())].into(),
        env_vars: [("WORD".to_owned(), "seven".to_owned())].into(),
        ..NewSandbox::of("host")
    }
}
