//! What is no longer used: trees that nothing leads to, logs of builds that are forgotten, old archives.

use crate::control::Control;
use soulbox_model::{BuildId, Moment};
use soulbox_node::template::TemplateError;
use std::collections::HashSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// How long a build may be begun and not started.
const UNSTARTED: Duration = Duration::from_secs(3600);

/// Removes what is no longer used.
pub(crate) async fn sweep(control: &Arc<Control>) {
    control.made.book.keep_counts().await;
    give_up_unstarted(control).await;
    remove_trees(control).await;
    let sweeping = Arc::clone(control);
    let swept = tokio::task::spawn_blocking(move || remove_files(&sweeping)).await;
    if let Ok(Err(error)) = swept {
        let error = &error as &dyn Error;
        tracing::warn!(error, "old logs of builds were not removed");
    }
    control.sweep_uploads().await;
}

/// Ends builds whose client went away before it said what is to be built.
async fn give_up_unstarted(control: &Control) {
    let now = Moment::now();
    for entry in control.made.book.all() {
        for build in &entry.builds {
            let waits = build.status == super::record::BuildStatus::Waiting;
            if waits && now.since(build.created_at) > UNSTARTED {
                let (id, build) = (entry.id.as_str(), build.id.as_str());
                // It may have been started in this very moment.
                let _ = control.cancel_build(&entry.team, id, build).await;
            }
        }
    }
}

async fn remove_trees(control: &Arc<Control>) {
    for name in control.made.book.doomed() {
        control.node.let_go_of(&name);
        let (store, wanted) = (control.templates.clone(), name.clone());
        let removed = tokio::task::spawn_blocking(move || store.remove(&wanted)).await;
        match removed {
            Ok(Ok(()) | Err(TemplateError::Missing { .. })) => {
                if let Err(error) = control.made.book.is_gone(&name).await {
                    tracing::warn!(template = %name, %error, "a removed template stays in the records");
                }
            }
            // Sandboxes use it; it is looked at again later.
            Ok(Err(TemplateError::InUse(_))) | Err(_) => {}
            Ok(Err(error)) => {
                let error = &error as &dyn Error;
                tracing::warn!(template = %name, error, "a template is not removed");
            }
        }
    }
}

fn remove_files(control: &Control) -> std::io::Result<()> {
    let made = &control.made;
    let entries = made.book.all();
    let known = entries.iter().flat_map(|entry| &entry.builds);
    let known: HashSet<&BuildId> = known.map(|build| &build.id).collect();
    for build in made.logs.builds()? {
        // One of these runs although its template was deleted meanwhile.
        if !known.contains(&build) && !made.running().contains_key(&build) {
            made.logs.remove(&build)?;
        }
    }
    Ok(())
}
