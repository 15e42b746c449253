//! Files that are copied in.

use super::state::State;
use super::{At, StepBuilder, StepError};
use soulbox_image::layer_store::HeldLayer;
use soulbox_image::steps::{Copy, Step};
use std::collections::HashMap;

impl StepBuilder<'_> {
    /// The layer with what a COPY copies.
    pub(super) async fn copy(
        &self,
        (_at, _step): (At, &Step),
        _copy: &Copy,
        _state: &State,
        _done: &HashMap<usize, State>,
    ) -> Result<HeldLayer, StepError> {
        Err(StepError::NotGiven("files to copy".into()))
    }
}
