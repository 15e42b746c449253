//! Which server is meant.

use super::{Server, key, trust};
use crate::cmd::serve::Credentials;
use crate::failure::Failure;
use soulbox_client::url::{Url, UrlError};
use soulbox_settings::Settings;
use std::path::Path;

/// The server that the settings name, and a key for it. Asks nothing yet.
///
/// # Errors
/// The URL is none, there is no key, or no certificate where one is named.
pub(crate) fn of(settings: &Settings, key_file: Option<&Path>) -> Result<Server, Failure> {
    let read = Credentials::read(&settings.paths.data_dir);
    // The file matters only to those who have nothing else.
    let named = !settings.client.url.is_empty();
    let credentials = match read {
        Err(failure) if !named => return Err(failure),
        read => read.ok().flatten(),
    };
    let url = url(settings, credentials.as_ref())?;
    let key = key::find(key_file, &url, credentials.as_ref())?;
    let trust = trust::of(settings);
    Ok(Server::new(url, key, &trust, settings.client.clone())?)
}

/// The server that the settings name; without one, the server whose data directory this is, by the file
/// that it wrote, or where it would listen.
fn url(settings: &Settings, credentials: Option<&Credentials>) -> Result<Url, UrlError> {
    match (settings.client.url.as_str(), credentials) {
        ("", Some(credentials)) => Url::parse(&credentials.url),
        ("", None) => Url::parse(&format!("http://{}", settings.server.listen)),
        (url, _) => Url::parse(url),
    }
}
