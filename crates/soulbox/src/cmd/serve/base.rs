//! The templates that a server builds at its first start: `base`, and that of the code interpreter if it
//! is asked for.

use crate::signal::Stop;
use crate::terminal::{self, Progress};
use soulbox_control::Control;
use soulbox_image::progress::BuildEvent;
use soulbox_image::recipe::Recipe;
use soulbox_model::{Isolation, NetworkMode, SandboxSpec, TeamId, TemplateName};
use soulbox_node::Script;
use soulbox_node::template::{TemplateError, TemplateStore};
use std::sync::Arc;
use tokio::sync::mpsc;

/// The template that clients get who name none.
const BASE: &str = "base";

/// How many events may wait to be shown.
const WAITING: usize = 1024;

/// The template of E2B's code interpreter, which is made from `base`.
const INTERPRETER: &str = "code-interpreter-v1";

/// Begins to build the templates that are missing and wanted. What it gives waits until that is over, or
/// was stopped.
pub(super) fn provide(control: &Arc<Control>, stop: &Stop) -> impl Future<Output = ()> + use<> {
    let store = TemplateStore::new(&control.settings().paths.data_dir);
    let missing = missing(control, &store);
    if !missing.iter().any(|name| name.as_str() == BASE) {
        keep_ready(control);
    }
    let wanted = !missing.is_empty() && may_build(control);
    let building = wanted.then(|| {
        let (control, stop) = (Arc::clone(control), stop.clone());
        // Creates that need one are told to come again from now on.
        let all = missing
            .into_iter()
            .map(|name| (control.building(name.clone()), name));
        let all: Vec<_> = all.collect();
        tokio::spawn(async move {
            for (being_built, name) in all {
                let done = build(&control, &store, name, &stop).await;
                drop(being_built);
                if !done {
                    break;
                }
            }
        })
    });
    async move {
        if let Some(building) = building {
            let _ = building.await;
        }
    }
}

/// The templates to build, each after the one that it is made from.
fn missing(control: &Control, store: &TemplateStore) -> Vec<TemplateName> {
    let settings = &control.settings().server;
    let is_missing = |name: &TemplateName| !store.contains(name);
    let interpreter: Option<TemplateName> = INTERPRETER.parse().ok();
    let interpreter = interpreter.filter(|name| settings.code_interpreter && is_missing(name));
    let base: Option<TemplateName> = BASE.parse().ok();
    let base_is_wanted = !settings.allow_host_template || interpreter.is_some();
    let base = base.filter(|name| base_is_wanted && is_missing(name));
    base.into_iter().chain(interpreter).collect()
}

/// Whether templates can be built here: their packages come from the internet.
fn may_build(control: &Control) -> bool {
    let can = control.node().may_connect();
    if !can {
        terminal::warn(
            "note: templates are missing and cannot be built: only root's engine can give sandboxes internet; \
             creates that name them are refused. --allow-host-template lets host stand in for base",
        );
    }
    can
}

/// Keeps sandboxes ready as most clients ask for them, and as runs do.
fn keep_ready(control: &Control) {
    let network = match control.node().may_connect() {
        true => NetworkMode::Internet,
        false => NetworkMode::None,
    };
    // A zygote is one team's, so what its copies wait in is.
    let team = TeamId::default_team();
    let usual = control
        .template(&team, BASE)
        .map(|base| (base, network, None, None));
    let interpreter = control.template(&team, INTERPRETER);
    let interpreter = interpreter.map(|template| (template, network, Some(team.clone()), None));
    let run = control.template_of_run(&team, None);
    let run = run.map(|template| (template, NetworkMode::None, Some(team), Some(Script::Plain)));
    let kinds = [usual.ok(), interpreter.ok(), run.ok()];
    for (template, network, team, script) in kinds.into_iter().flatten() {
        let spec = SandboxSpec {
            template,
            isolation: Isolation::Namespace,
            limits: control.settings().sandbox.limits(),
            network,
            mounts: Vec::new(),
        };
        control.node().keep_ready(spec, team.as_ref(), script);
    }
}

/// Builds a template. True when it is there.
async fn build(
    control: &Arc<Control>,
    store: &TemplateStore,
    name: TemplateName,
    stop: &Stop,
) -> bool {
    let recipe = match Recipe::built_in(&name) {
        Ok(recipe) => recipe,
        Err(error) => {
            terminal::warn(&format!("error: {error}"));
            return false;
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu_millis = u32::try_from(cores * 1000).unwrap_or(u32::MAX);
    let progress = Progress::percent(&format!(
        "building template {name}; creates that need it wait"
    ));
    if !terminal::stderr_is_terminal() {
        terminal::warn(&format!(
            "note: building template {name}; creates that need it are told to come again"
        ));
    }
    let (sender, mut events) = mpsc::channel(WAITING);
    let mut asked = Box::pin(stop.wait());
    let node = Arc::clone(control.node());
    let building = async {
        let built = store
            .build(recipe, &*node, cpu_millis, &sender, asked.as_mut())
            .await;
        drop(sender);
        built
    };
    let show = async {
        while let Some(event) = events.recv().await {
            if let BuildEvent::Phase { percent, text } = event {
                progress.to(percent.into());
                progress.say(&text);
            }
        }
    };
    let (built, ()) = tokio::join!(building, show);
    drop(progress);
    match built {
        Ok(record) => {
            if name.as_str() == BASE {
                keep_ready(control);
            }
            let size = record.size.bytes() >> 20;
            terminal::warn(&format!(
                "built template {name}: {size} MiB, {} files",
                record.files
            ));
            return true;
        }
        Err(TemplateError::Stopped(_)) => {
            terminal::warn(&format!(
                "note: template {name} was not built; the next start builds it"
            ));
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(
                error,
                "template {name} was not built; `soulbox template build {name}` tries again"
            );
        }
    }
    false
}
