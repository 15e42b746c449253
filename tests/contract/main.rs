//! The server, driven by E2B's released clients, unmodified, and by plain requests.
//!
//! | What | File |
//! |---|---|
//! | a client of one version, installed once | [`client`] |
//! | a server of one's own | [`server`] |
//! | a script, run with a client against a server | [`script`] |
//! | what the scripts check | `python/`, `javascript/` |
//! | E2B's command line | [`cli`] |
//! | what docs/e2b-compatibility.toml says | [`table`] |
//! | plain requests | [`http`] |
//! | what `examples/` has | [`examples`] |
//! | pages in browsers | [`browser`] |
//! | requests that are wrong | [`bad_input`] |
//!
//! Clients are fetched once into `target/clients`, at the versions of `clients/`, and found there from then on.
//! While one is worked on, a script can be run by itself: it needs the three variables that `soulbox env` prints.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot be set up has failed, and starts programs"
)]

mod bad_input;
mod browser;
mod cli;
mod client;
mod examples;
mod http;
mod script;
mod server;
mod table;
mod template;

use client::Client;

scripts! { run:
    python_2_63: Client::Python("2.63.0") => [lifecycle, commands, files, watch, pty, git, secure, pause, network, metrics, not_built, asynchronous]
    python_2_45: Client::Python("2.45.1") => [lifecycle, commands, files, watch, pty, git, secure, pause, network, metrics, not_built, asynchronous]
    javascript_2_51: Client::JavaScript("2.51.0") => [lifecycle, commands, files, watch, pty, git, secure, pause, network, metrics]
    javascript_2_45: Client::JavaScript("2.45.0") => [lifecycle, commands, files, watch, pty, git, secure, pause, network, metrics]
}

// Templates that clients build.
scripts! { run_base:
    python_2_63_templates: Client::Python("2.63.0") => [templates]
    python_2_45_templates: Client::Python("2.45.1") => [templates]
    javascript_2_51_templates: Client::JavaScript("2.51.0") => [templates]
    javascript_2_45_templates: Client::JavaScript("2.45.0") => [templates]
}

// The first generation knows no URLs; the others do without when they are given none.
scripts! { run_by_names:
    python_1_11: Client::Python("1.11.1") => [first]
    javascript_1_13: Client::JavaScript("1.13.2") => [first]
    javascript_2_51_by_names: Client::JavaScript("2.51.0") => [host, commands, files, watch, pty, secure]
}

// HTTP/2, which clients speak over TLS alone.
scripts! { run_encrypted:
    python_2_63_encrypted: Client::Python("2.63.0") => [host, files, asynchronous]
}

// The code interpreter.
scripts! { run_cells:
    interpreter_python_2_11: Client::PythonInterpreter("2.11.5") => [cells_results, cells_charts, cells_contexts, cells_ends, cells_asynchronous]
    interpreter_javascript_2_8: Client::JavaScriptInterpreter("2.8.0") => [cells]
}

scripts! { run_cells_by_names:
    interpreter_javascript_1_5: Client::JavaScriptInterpreter("1.5.1") => [cells_first]
}

// Its template takes some minutes to build.
#[test]
#[ignore = "long: ./test --all runs it"]
fn interpreter_full() {
    script::run_full(Client::PythonInterpreter("2.11.5"), "cells_full");
}
