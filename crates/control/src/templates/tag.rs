//! Tags, visibility and removal of templates.

use super::begin::check_tags;
use super::record::{BuildStatus, MOST_TAGS, Tagged, TemplateEntry};
use crate::control::Control;
use crate::error::ControlError;
use crate::template::{Found, reference};
use soulbox_model::{BuildId, Moment, TeamId};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Control {
    /// Lets tags lead to the build that `target` (`name:tag`, or `name:<build id>`) means. This is how one goes back
    /// to an earlier build.
    ///
    /// # Errors
    /// [`ControlError::NoTemplate`], [`ControlError::NoBuild`], [`ControlError::Invalid`]; as the records.
    pub async fn tag_template(
        &self,
        team: &TeamId,
        target: &str,
        tags: &[String],
    ) -> Result<(BuildId, Vec<String>), ControlError> {
        let tags = check_tags(tags)?;
        if tags.is_empty() {
            return Err(ControlError::invalid("tags", "there is none"));
        }
        let entry = self.own_template(team, target)?;
        let tag = reference(target).map_err(|_| ControlError::no_template(target))?;
        let change = |entry: &mut TemplateEntry| {
            let by_id = |tag: &str| entry.build(&tag.parse().ok()?);
            let build = entry.tagged(tag.tag()).or_else(|| by_id(tag.tag()));
            let build = build.ok_or_else(|| ControlError::no_template(target))?;
            if build.status != BuildStatus::Ready {
                return Err(ControlError::BuildState {
                    build: build.id.clone(),
                    status: build.status,
                });
            }
            let build = build.id.clone();
            entry.tag(&build, &tags, Moment::now());
            if entry.tags.len() > MOST_TAGS {
                let reason = format!("a template has at most {MOST_TAGS}");
                return Err(ControlError::invalid("tags", reason));
            }
            Ok(build)
        };
        let build = self.made.book.change(&entry.id, change).await?;
        Ok((build, tags))
    }

    /// Takes tags away.
    ///
    /// # Errors
    /// [`ControlError::NoTemplate`] when the template or one of the tags is not there; as the records.
    pub async fn untag_template(
        &self,
        team: &TeamId,
        name: &str,
        tags: &[String],
    ) -> Result<(), ControlError> {
        let tags = check_tags(tags)?;
        let entry = self.own_template(team, name)?;
        let change = |entry: &mut TemplateEntry| {
            for tag in &tags {
                if entry.tags.remove(tag).is_none() {
                    return Err(ControlError::no_template(&format!("{}:{tag}", entry.name)));
                }
            }
            entry.updated_at = Moment::now();
            Ok(())
        };
        self.made.book.change(&entry.id, change).await
    }

    /// Where the tags of a template lead.
    ///
    /// # Errors
    /// As [`Control::find_template`].
    pub fn tags_of(
        &self,
        team: &TeamId,
        text: &str,
    ) -> Result<BTreeMap<String, Tagged>, ControlError> {
        match self.find_template(team, text)? {
            Found::Made(entry) => Ok(entry.tags.clone()),
            Found::OfServer(_) => Ok(BTreeMap::new()),
        }
    }

    /// Lets other teams use a template, or not.
    ///
    /// # Errors
    /// [`ControlError::NoTemplate`]; as the records.
    pub async fn publish_template(
        &self,
        team: &TeamId,
        text: &str,
        public: bool,
    ) -> Result<Arc<TemplateEntry>, ControlError> {
        let entry = self.own_template(team, text)?;
        let change = |entry: &mut TemplateEntry| {
            entry.public = public;
            Ok(entry.clone())
        };
        Ok(Arc::new(self.made.book.change(&entry.id, change).await?))
    }

    /// Removes a template with all builds. Nobody finds it from then on; the trees that sandboxes use, paused ones
    /// too, go with the last of these.
    ///
    /// # Errors
    /// [`ControlError::NoTemplate`]; as the records.
    pub async fn delete_template(
        self: &Arc<Self>,
        team: &TeamId,
        text: &str,
    ) -> Result<(), ControlError> {
        let entry = self.own_template(team, text)?;
        for build in entry.builds.iter().filter(|build| build.status.is_open()) {
            self.stop_build(&build.id);
        }
        self.made.book.remove(&entry).await?;
        let control = Arc::clone(self);
        tokio::spawn(async move { super::sweep(&control).await });
        Ok(())
    }
}
