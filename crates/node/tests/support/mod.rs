//! An engine with directories of its own, and what it must leave behind: nothing.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use soulbox_model::{Isolation, NetworkMode, SandboxSpec, TemplateName};
use soulbox_node::{Node, Sandbox};
use soulbox_runtime::agent_client::{ProcessEvent, StartRequest};
use soulbox_runtime::native::rights;
use soulbox_settings::Settings;
use soulbox_wire::spawner::Ids;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Directories of a test.
pub(crate) struct Place {
    root: PathBuf,
    _removed: Option<tempfile::TempDir>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        Self {
            root: root.path().to_owned(),
            _removed: Some(root),
        }
    }

    /// Directories of a test in another process, which removes them.
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            _removed: None,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Settings with directories of the test's own, and the machine's one table of slots where it
    /// may be used: tests run beside each other, as engines do.
    pub(crate) fn settings(&self, more: &[(&'static str, &str)]) -> Arc<Settings> {
        let (data, run) = (self.path("data"), self.path("run"));
        let own = run.join("machine");
        let machine = match rights::of_process(0) {
            Ok(Ids::Machine { .. }) => "/run/soulbox/machine",
            _ => own.to_str().unwrap(),
        };
        let mut all = vec![
            ("data_dir", data.to_str().unwrap()),
            ("run_dir", run.to_str().unwrap()),
            ("machine_dir", machine),
            ("pool.slots", "0"),
            ("storage.backend", "memory"),
        ];
        all.extend_from_slice(more);
        Arc::new(Settings::with(&all).unwrap())
    }

    pub(crate) async fn node(&self, more: &[(&'static str, &str)]) -> Arc<Node> {
        Node::start(self.settings(more)).await.unwrap()
    }
}

/// A sandbox of the host's tree with the default limits.
pub(crate) fn spec(node: &Node) -> SandboxSpec {
    SandboxSpec {
        template: TemplateName::host(),
        isolation: Isolation::Namespace,
        limits: node.settings().sandbox.limits(),
        network: NetworkMode::None,
        mounts: Vec::new(),
    }
}

/// What a command printed, and how it ended.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

/// Runs a shell script in a sandbox.
pub(crate) async fn shell(sandbox: &Sandbox, user: &str, script: &str) -> Output {
    let request = StartRequest {
        cmd: "/bin/sh".to_owned(),
        args: vec!["-c".to_owned(), script.to_owned()],
        cwd: Some("/".to_owned()),
        user: Some(user.to_owned()),
        ..StartRequest::default()
    };
    let mut process = sandbox.agent().start(&request).await.unwrap();
    let mut output = Output::default();
    while let Some(event) = process.next().await.unwrap() {
        match event {
            ProcessEvent::Stdout(bytes) => output.stdout += &String::from_utf8_lossy(&bytes),
            ProcessEvent::Stderr(bytes) => output.stderr += &String::from_utf8_lossy(&bytes),
            ProcessEvent::End(end) => output.code = Some(end.exit_code),
            _ => {}
        }
    }
    output
}

/// The cgroup directories of a slot that are there.
pub(crate) fn cgroups(slot: u32) -> Vec<PathBuf> {
    let layout = soulbox_runtime::native::cgroup::Layout::of_host().unwrap();
    let paths = layout
        .hierarchies
        .iter()
        .map(|h| h.mount.join(format!("soulbox/s{slot}")));
    paths.filter(|path| path.exists()).collect()
}

/// Entries of a directory, none when it is not there.
pub(crate) fn entries(path: &Path) -> usize {
    std::fs::read_dir(path).map_or(0, Iterator::count)
}
