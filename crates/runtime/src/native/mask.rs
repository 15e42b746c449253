//! What of `/proc` is hidden or read-only in a sandbox (`policy/masks.toml`).

use super::home;
use super::policy::{MASKED, MaskKind, MaskRule};
use super::step::{Step, StepError};
use rustix::fd::AsFd;
use rustix::io::Errno;
use soulbox_syscall::mount::{Attributes, set_attributes};

/// Hides and protects the paths of the policy below `root`; `dev` holds a `null` to hide files
/// with, `empty` is the directory to hide directories with.
///
/// # Errors
/// The step that Linux refused; a path that this Linux lacks is only an error where the policy
/// requires it.
pub(super) fn apply(root: &str, dev: &str, empty: &str) -> Result<(), StepError> {
    MASKED
        .iter()
        .try_for_each(|rule| match cover(rule, root, dev, empty) {
            Err(error) if error.errno == Errno::NOENT && !rule.required => Ok(()),
            other => other,
        })
}

fn cover(rule: &MaskRule, root: &str, dev: &str, empty: &str) -> Result<(), StepError> {
    let path = format!("{root}{}", rule.path);
    let cover = match rule.kind {
        MaskKind::HideFile => home::open_tree_copy(&format!("{dev}/null"))?,
        MaskKind::HideDirectory => home::open_tree_copy(empty)?,
        MaskKind::ReadOnly => {
            let same = home::open_tree_copy(&path)?;
            set_attributes(same.as_fd(), Attributes::READ_ONLY, None, false)
                .step(|| format!("make {path} read-only"))?;
            same
        }
    };
    home::attach(cover, &path)
}
