//! The flags that say which server is meant.

use crate::cli::Global;
use crate::failure::Failure;
use crate::remote::Server;
use clap::Args;
use soulbox_settings::{Flag, Settings};
use std::path::PathBuf;
use std::time::Duration;

/// Which server is meant.
#[derive(Debug, Args)]
pub(crate) struct ServerFlags {
    /// The server [default: setting client.url, else the server whose data directory this is]
    #[arg(long, value_name = "URL", help_heading = "Server")]
    server: Option<String>,
    /// The file with the key [default: SOULBOX_API_KEY, E2B_API_KEY, or the server's own file]
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    api_key_file: Option<PathBuf>,
}

impl ServerFlags {
    /// The flags that were given, as settings.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let url = self.server.clone().map(|value| Flag {
            key: "client.url",
            flag: "--server",
            value,
        });
        url.into_iter().collect()
    }

    /// The settings with these flags, and the server.
    ///
    /// # Errors
    /// A setting is wrong, or there is no key.
    pub(crate) fn open(&self, global: &Global) -> Result<(Settings, Server), Failure> {
        let settings = global.settings(self.flags())?;
        let server = self.server(&settings)?;
        Ok((settings, server))
    }

    /// The server that the settings name.
    ///
    /// # Errors
    /// There is no key.
    pub(crate) fn server(&self, settings: &Settings) -> Result<Server, Failure> {
        Server::of(settings, self.api_key_file.as_deref())
    }
}

/// A length of time as a flag.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    soulbox_settings::duration::parse(text).map_err(|error| error.to_string())
}
