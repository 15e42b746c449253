//! What a Dockerfile's bases say about themselves, which its variables are filled in from.

use soulbox_image::dockerfile::BaseFacts;
use soulbox_image::steps::{Base, RegistryAuth};
use soulbox_node::template::TemplateStore;
use soulbox_node::template::images::Images;

/// What a base says about itself.
pub(super) fn of(store: &TemplateStore, base: &Base) -> Result<BaseFacts, String> {
    let Base::Template(name) = base else {
        return Ok(BaseFacts::default());
    };
    let template = store.get(name).map_err(|error| error.to_string())?;
    let record = &template.record;
    let env = record.env.iter();
    Ok(BaseFacts {
        env: env
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        workdir: record
            .workdir
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned()),
        onbuild: Vec::new(),
    })
}

/// What an image says about itself. Only its manifest and config are asked for.
pub(super) async fn of_image(
    images: &Images,
    reference: &str,
    auth: Option<&RegistryAuth>,
) -> Result<BaseFacts, String> {
    let config = images.config(reference, auth).await;
    let process = config.map_err(|error| told(&error))?.config;
    let env = process.env.iter().filter_map(|text| text.split_once('='));
    Ok(BaseFacts {
        env: env
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        workdir: Some(process.working_dir).filter(|path| !path.is_empty()),
        onbuild: process.on_build,
    })
}

/// An error with all that led to it.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
