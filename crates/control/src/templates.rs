//! Templates that clients of this server build: their names, tags and builds.
//!
//! ```text
//! begin ─▶ waiting ─▶ start ─▶ building ─▶ ready, and its tags lead to it
//!                                └────────▶ error, with the reason
//! ```
//!
//! A template belongs to a team. Each of its builds is a tree of its own on disk, named after both, which never
//! changes: sandboxes, pools and zygotes are of a build. A tag leads to a build; which one, may change.
//!
//! | What | File |
//! |---|---|
//! | what is kept of a template | [`record`] |
//! | all of them, in memory and in the store | [`book`] |
//! | a build that is asked for | [`begin`] |
//! | carrying it out | [`build`] |
//! | what it tells | [`log`] |
//! | files that it copies in | [`upload`] |
//! | tags, visibility, removal | [`tag`] |
//! | what is no longer used | `sweep` |

pub mod begin;
pub mod book;
pub mod build;
pub mod log;
pub mod record;
mod sweep;
pub mod tag;
pub mod upload;

pub(crate) use sweep::sweep;

use book::Book;
use build::Running;
use log::BuildLogs;
use soulbox_model::{BuildId, TeamId, TemplateId};
use soulbox_settings::Settings;
use soulbox_store::StoreError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;
use upload::Uploads;

use crate::control::Control;
use crate::error::ControlError;
use crate::records::Records;
use record::{BuildRecord, TemplateEntry};

/// The templates that clients build.
pub(crate) struct Templates {
    pub(crate) book: Book,
    pub(crate) logs: BuildLogs,
    pub(crate) uploads: Uploads,
    /// Places of builds that run at once.
    places: Arc<Semaphore>,
    running: Mutex<HashMap<BuildId, Running>>,
}

impl Templates {
    /// Reads what is kept. Builds that were not done have failed.
    pub(crate) async fn load(records: &Records, settings: &Settings) -> Result<Self, StoreError> {
        let data = &settings.paths.data_dir;
        Ok(Self {
            book: Book::load(records, settings.template.keep_builds as usize).await?,
            logs: BuildLogs::new(data, settings.template.log.bytes()),
            uploads: Uploads::new(data),
            places: Arc::new(Semaphore::new(settings.template.builds as usize)),
            running: Mutex::default(),
        })
    }

    fn running(&self) -> MutexGuard<'_, HashMap<BuildId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// Where files for builds are.
    pub fn uploads(&self) -> &Uploads {
        &self.made.uploads
    }

    /// Whose a template is.
    pub fn team_of_template(&self, id: &TemplateId) -> Option<TeamId> {
        self.made.book.get(id).map(|entry| entry.team.clone())
    }

    /// Removes archives that are too old or too much.
    pub async fn sweep_uploads(&self) {
        let (uploads, settings) = (self.made.uploads.clone(), &self.settings.template);
        let (keep, most) = (settings.keep_uploads, settings.uploads);
        let swept = tokio::task::spawn_blocking(move || uploads.sweep(keep, most)).await;
        if let Ok(Err(error)) = swept {
            tracing::warn!(%error, "old archives of builds were not removed");
        }
    }

    /// A team's own template by its id or name, and nobody else's.
    ///
    /// # Errors
    /// [`ControlError::NoTemplate`].
    pub fn own_template(
        &self,
        team: &TeamId,
        text: &str,
    ) -> Result<Arc<TemplateEntry>, ControlError> {
        let found = self.find_template(team, text)?;
        let own = found.entry().filter(|entry| entry.team == *team);
        own.ok_or_else(|| ControlError::no_template(text))
    }

    /// A build of a team's template.
    ///
    /// # Errors
    /// [`ControlError::NoTemplate`], [`ControlError::NoBuild`].
    pub fn build_of(
        &self,
        team: &TeamId,
        template: &str,
        build: &str,
    ) -> Result<(Arc<TemplateEntry>, BuildRecord), ControlError> {
        let missing = || ControlError::NoBuild(build.chars().take(80).collect());
        let id: TemplateId = template
            .parse()
            .map_err(|_| ControlError::no_template(template))?;
        let entry = self.made.book.get(&id).filter(|entry| entry.team == *team);
        let entry = entry.ok_or_else(|| ControlError::no_template(template))?;
        let build: BuildId = build.parse().map_err(|_| missing())?;
        let build = entry.build(&build).cloned().ok_or_else(missing)?;
        Ok((entry, build))
    }
}
