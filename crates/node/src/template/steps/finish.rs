//! Making a template of what the last step left.

use super::run::Inside;
use super::state::State;
use super::{At, Happened, StepBuilder, StepError, blocking};
use crate::core::start;
use soulbox_image::layer_store::NewLayer;
use soulbox_image::layers::Layers;
use soulbox_image::measure::TreeSize;
use soulbox_image::record::{ROOTFS, Start, TemplateRecord};
use soulbox_image::staging::{Staging, Survive};
use soulbox_image::steps::{Step, StepKind};
use soulbox_model::{ByteSize, TemplateName};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// Directories that every sandbox needs to begin, with their modes: made where the layers lack
/// them.
pub(crate) const TOP: &[(&str, u32)] = &[
    ("dev", 0o755),
    ("etc", 0o755),
    ("proc", 0o555),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
];

/// How long a start command may take to be ready when the template is made.
const READY_LIMIT: Duration = Duration::from_secs(600);
/// How long one that nothing tells to be ready has to run.
const LEAST_RUN: Duration = Duration::from_secs(1);

impl StepBuilder<'_> {
    /// Gives the template its place.
    pub(super) async fn finish(
        &self,
        at: At,
        state: State,
        name: &TemplateName,
    ) -> Result<TemplateRecord, StepError> {
        self.tell(at, Happened::Began(format!("making template {name}")));
        let begun = Instant::now();
        if let Some(start) = state.start() {
            // Remembered as a step that writes nothing is: what came up once is not tried again.
            let step = Step {
                text: "the start command comes up".to_owned(),
                line: None,
                kind: StepKind::Ready(start.ready.clone()),
                force: false,
            };
            let key = state.key_of(&step.kind, start.command.join("\0").as_bytes());
            self.layer((at, &step), state.forced, key, |new| {
                Box::pin(self.try_start(at, &state, &start, new))
            })
            .await?;
        }
        let (directory, name) = (self.store.directory().to_owned(), name.clone());
        let record = blocking(move || {
            let staging = Staging::new(&directory).map_err(failed)?;
            let rootfs = staging.path().join(ROOTFS);
            let mut layers = state.trees(&rootfs);
            if layers.rootfs != rootfs {
                layers
                    .below
                    .insert(0, std::mem::replace(&mut layers.rootfs, rootfs.clone()));
            }
            complete(&rootfs, &layers)
                .map_err(|source| super::run::files("make the template's tree", source))?;
            let record = record(name, &state, &layers)?;
            record.write(staging.path()).map_err(|error| {
                super::run::files("write the template's record", std::io::Error::other(error))
            })?;
            staging
                .publish(record.name.as_str(), Survive::PowerCut)
                .map_err(failed)?;
            // Its layers are held until its record names them.
            drop(state);
            Ok(record)
        })
        .await?;
        let took = begun.elapsed();
        let size = Some(record.size.bytes());
        self.tell(at, Happened::Done { took, size });
        Ok(record)
    }
}

impl StepBuilder<'_> {
    /// Runs the start command once, so that a template whose command does not come up is none.
    async fn try_start(
        &self,
        at: At,
        state: &State,
        start: &Start,
        new: NewLayer,
    ) -> Result<NewLayer, StepError> {
        let upper = new.aside("upper");
        super::run::make_directory(&upper, 0o700)?;
        let inside = Inside {
            words: Vec::new(),
            shown: "",
            user: &state.user,
            workdir: None,
            env: state.env.clone(),
            mounts: Vec::new(),
            network: true,
        };
        let sandbox = self.sandbox(state, &inside, &new, &upper).await?;
        let mut line = |text| self.tell(at, Happened::Line(text));
        let limits = (READY_LIMIT, LEAST_RUN);
        let started = start::start(sandbox.agent(), start, limits, &mut line).await;
        sandbox.destroy().await;
        started?;
        Ok(new)
    }
}

fn failed(error: soulbox_image::staging::StagingError) -> StepError {
    soulbox_image::layer_store::LayerError::from(error).into()
}

fn complete(rootfs: &Path, layers: &Layers) -> std::io::Result<()> {
    let make = |path: &Path, mode| {
        fs::DirBuilder::new().mode(mode).create(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    };
    make(rootfs, 0o755)?;
    for (name, mode) in TOP {
        match layers.find(&Path::new("/").join(name)) {
            Some(found) if found.guest == Path::new("/").join(name) && found.metadata.is_dir() => {}
            Some(_) => {
                let text = format!("/{name} is no directory");
                return Err(std::io::Error::other(text));
            }
            None => make(&rootfs.join(name), *mode)?,
        }
    }
    Ok(())
}

fn record(name: TemplateName, state: &State, layers: &Layers) -> Result<TemplateRecord, StepError> {
    let sum = |of: fn(&soulbox_image::layer_store::LayerFacts) -> u64| -> u64 {
        state.layers.iter().map(|layer| of(&layer.facts)).sum()
    };
    let size = TreeSize {
        bytes: ByteSize(sum(|facts| facts.size.bytes())),
        files: sum(|facts| facts.files),
    };
    let mut record = TemplateRecord::new(name, layers, size);
    record.layers = state.layers.iter().map(|layer| layer.id.clone()).collect();
    record.parent.clone_from(&state.parent);
    record.user.clone_from(&state.user);
    record.workdir = state.workdir.as_ref().map(Into::into);
    let path = record.env.remove("PATH");
    record.env.clone_from(&state.env);
    if let Some(path) = path {
        record.env.entry("PATH".into()).or_insert(path);
    }
    record.start = state.start();
    record.zygote.clone_from(&state.zygote);
    Ok(record)
}
