//! The template `base`, which a server builds at its first start.

use crate::signal::Stop;
use crate::terminal::{self, Progress};
use soulbox_control::Control;
use soulbox_image::progress::BuildEvent;
use soulbox_image::recipe::Recipe;
use soulbox_model::{Isolation, NetworkMode, SandboxSpec, TemplateName};
use soulbox_node::template::{TemplateError, TemplateStore};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::mpsc;

/// How many events may wait to be shown.
const WAITING: usize = 1024;

/// Begins to build `base` if it is missing and `host` may not stand in for it. What it gives waits until
/// that is over, or was stopped.
pub(super) fn provide(control: &Arc<Control>, stop: &Stop) -> impl Future<Output = ()> + use<> {
    let settings = control.settings();
    let store = TemplateStore::new(&settings.paths.data_dir);
    let name: Option<TemplateName> = "base".parse().ok();
    let name = name.filter(|name| !settings.server.allow_host_template && !store.contains(name));
    if name.is_none() {
        keep_ready(control);
    }
    let building = name.filter(|_| may_build(control)).map(|name| {
        let (control, stop) = (Arc::clone(control), stop.clone());
        tokio::spawn(async move { build(&control, &store, name, &stop).await })
    });
    async move {
        if let Some(building) = building {
            let _ = building.await;
        }
    }
}

/// Whether `base` can be built here: its packages come from the internet.
fn may_build(control: &Control) -> bool {
    let can = control.node().may_connect();
    if !can {
        terminal::warn(
            "note: template base is not there and cannot be built: only root's engine can give sandboxes internet; \
             creates that name it are refused. --allow-host-template lets host stand in for it",
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
    let usual = control.template("base").map(|base| (base, network));
    let run = control.template_of_run(None);
    let run = run.map(|template| (template, NetworkMode::None));
    let kinds: HashSet<_> = [usual, run].into_iter().flatten().collect();
    for (template, network) in kinds {
        control.node().keep_ready(SandboxSpec {
            template,
            isolation: Isolation::Namespace,
            limits: control.settings().sandbox.limits(),
            network,
            mounts: Vec::new(),
        });
    }
}

async fn build(control: &Arc<Control>, store: &TemplateStore, name: TemplateName, stop: &Stop) {
    let _building = control.building(name.clone());
    let recipe = match Recipe::built_in(&name) {
        Ok(recipe) => recipe,
        Err(error) => return terminal::warn(&format!("error: {error}")),
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu_millis = u32::try_from(cores * 1000).unwrap_or(u32::MAX);
    let progress = Progress::percent("building template base; creates that need it wait");
    if !terminal::stderr_is_terminal() {
        terminal::warn("note: building template base; creates that need it are told to come again");
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
            keep_ready(control);
            let size = record.size.bytes() >> 20;
            terminal::warn(&format!(
                "built template base: {size} MiB, {} files",
                record.files
            ));
        }
        Err(TemplateError::Stopped(_)) => {
            terminal::warn("note: template base was not built; the next start builds it");
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(
                error,
                "template base was not built; `soulbox template build base` tries again"
            );
        }
    }
}
