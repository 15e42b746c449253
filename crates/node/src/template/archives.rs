//! Images in files: templates that are made of one, and templates as one.

use super::images::{ground_of, make};
use super::script::Stop;
use super::steps::{Happened, StepError, StepEvent, StepFailure};
use super::{TemplateError, TemplateStore};
use crate::node::Node;
use soulbox_image::oci::archive::export::{Export, ExportError, Packing};
use soulbox_image::oci::archive::import::{Import, ImportError, Imported};
use soulbox_image::oci::platform::Platform;
use soulbox_image::record::{TemplateRecord, UsrFrom};
use soulbox_model::TemplateName;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc::Sender;

/// Why a template was not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportFailure {
    /// It cannot be held.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A part of it is the host's.
    #[error(
        "template {0} has /usr from this machine and is no whole image: export one that was built"
    )]
    OfHost(TemplateName),
    /// It could not be written.
    #[error("cannot export template {name}")]
    Export {
        /// The template.
        name: TemplateName,
        /// Why not.
        source: ExportError,
    },
}

/// An image in a file or a directory.
#[derive(Debug, Clone)]
pub struct Archive {
    /// Where it is.
    pub path: PathBuf,
    /// What it is called there, if there are several.
    pub called: Option<String>,
    /// The machine that it is for.
    pub platform: Platform,
}

impl Archive {
    /// Makes the template `name` of it, with the account `user` if that can be made in it.
    ///
    /// # Errors
    /// [`StepFailure`]; an older template of that name is as it was then.
    pub async fn template(
        &self,
        name: &TemplateName,
        (store, node): (&TemplateStore, &Node),
        events: &Sender<StepEvent>,
        mut stop: Stop<'_>,
    ) -> Result<TemplateRecord, StepFailure> {
        let failed = |source| StepFailure {
            stage: 0,
            step: 0,
            steps: 1,
            line: None,
            source,
        };
        let reference = self.path.display().to_string();
        let asked = Arc::new(AtomicBool::new(false));
        let mut importing = tokio::task::spawn_blocking({
            let (archive, asked) = (self.clone(), Arc::clone(&asked));
            let (templates, events) = (store.directory().to_owned(), events.clone());
            move || archive.import(&templates, asked, &events)
        });
        let ended = tokio::select! {
            ended = &mut importing => ended,
            () = stop.as_mut() => {
                asked.store(true, Ordering::Relaxed);
                // What it began is removed by its thread.
                let _ = importing.await;
                return Err(failed(StepError::Stopped));
            }
        };
        let imported = ended.map_err(|_| failed(TemplateError::Ending.into()))?;
        let imported = imported.map_err(|error| {
            failed(StepError::Image {
                reference: reference.clone(),
                source: Box::new(error),
            })
        })?;
        let Imported { config, layers, .. } = imported;
        let ground = ground_of(store.directory(), layers, &config, name.clone());
        let ground = ground.map_err(failed)?;
        make(ground, &reference, name, (store, node), events, stop).await
    }

    fn import(
        &self,
        templates: &Path,
        stop: Arc<AtomicBool>,
        events: &Sender<StepEvent>,
    ) -> Result<Imported, ImportError> {
        let import = Import {
            from: &self.path,
            called: self.called.as_deref(),
            platform: &self.platform,
            templates,
            stop,
        };
        import.run(&|done, all| {
            let percent = done * 100 / all.max(1);
            // A slow reader misses some of how far it is.
            let _ = events.try_send(StepEvent {
                stage: 0,
                step: 0,
                steps: 1,
                what: Happened::Progress {
                    percent: u8::try_from(percent).unwrap_or(100),
                    text: format!("{done} of {all} layers unpacked"),
                },
            });
        })
    }
}

impl TemplateStore {
    /// Writes a template as an image: an OCI archive that other tools take. Once `stop` is set, it
    /// ends early; `tell` hears how many layers of how many are packed.
    ///
    /// # Errors
    /// [`ExportFailure`]; what was written until then is no archive.
    pub fn export(
        &self,
        name: &TemplateName,
        packing: Packing,
        out: &mut dyn Write,
        stop: &AtomicBool,
        tell: &dyn Fn(usize, usize),
    ) -> Result<(), ExportFailure> {
        let template = self.get(name)?;
        if template.record.usr == UsrFrom::Host {
            return Err(ExportFailure::OfHost(name.clone()));
        }
        let below = template.layers.below.iter().rev();
        let mut trees: Vec<PathBuf> = below.cloned().collect();
        trees.push(template.layers.rootfs.clone());
        let export = Export {
            record: &template.record,
            trees: &trees,
            packing,
            aside: self.directory(),
            stop,
        };
        let written = export.run(out, tell);
        written.map(|_| ()).map_err(|source| ExportFailure::Export {
            name: name.clone(),
            source,
        })
    }
}
