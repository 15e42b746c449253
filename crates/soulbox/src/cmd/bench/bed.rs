//! Engines to measure with, and what is done in their sandboxes.

use crate::cli::Global;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use soulbox_model::{Isolation, NetworkMode, SandboxSpec, TemplateName};
use soulbox_node::{Node, Sandbox};
use soulbox_runtime::agent_client::{ProcessEvent, StartRequest};
use soulbox_settings::Flag;
use std::sync::Arc;

/// What is ready ahead of time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ready {
    pub(super) slots: u32,
    pub(super) prepared: u32,
    pub(super) parked: u32,
}

/// Starts an engine that keeps `ready` ahead of time.
pub(super) async fn start(global: &Global, ready: Ready) -> Result<Arc<Node>, Failure> {
    let flag = |key, value: u32| Flag {
        key,
        flag: "of the bench",
        value: value.to_string(),
    };
    let mut settings = global.settings(vec![
        flag("pool.slots", ready.slots),
        flag("pool.prepared", ready.prepared),
        flag("pool.parked", ready.parked),
    ])?;
    engine::keep_in_memory(&mut settings);
    engine::start(settings).await
}

/// The sandbox that is measured.
pub(super) fn spec(
    node: &Node,
    template: &str,
    network: NetworkMode,
) -> Result<SandboxSpec, Failure> {
    let template: TemplateName = template
        .parse()
        .map_err(|error| Failure::of(Exit::USAGE, &error))?;
    Ok(SandboxSpec {
        template,
        isolation: Isolation::Namespace,
        limits: node.settings().sandbox.limits(),
        network,
        mounts: Vec::new(),
    })
}

/// Runs a program in a live sandbox to its end; it must succeed.
pub(super) async fn run(sandbox: &Sandbox, words: &[&str]) -> Result<(), Failure> {
    let (program, arguments) = words.split_first().unwrap_or((&"/bin/true", &[]));
    let request = StartRequest {
        cmd: (*program).to_owned(),
        args: arguments.iter().map(|word| (*word).to_owned()).collect(),
        ..StartRequest::default()
    };
    let failed = |why: &dyn std::error::Error| {
        Failure::new(
            Exit::INTERNAL,
            format!("cannot run {program} in the sandbox"),
        )
        .because(why)
    };
    let mut stream = sandbox
        .agent()
        .start(&request)
        .await
        .map_err(|error| failed(&error))?;
    loop {
        match stream.next().await.map_err(|error| failed(&error))? {
            Some(ProcessEvent::End(end)) if end.exit_code == 0 => return Ok(()),
            Some(ProcessEvent::End(end)) => {
                let what = format!("{program} ended with {}", end.status);
                return Err(Failure::new(Exit::INTERNAL, what));
            }
            Some(_) => {}
            None => return Err(Failure::new(Exit::INTERNAL, "the command was lost")),
        }
    }
}
