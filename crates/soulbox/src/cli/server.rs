//! The flags that say which server is meant.

use crate::cli::Global;
use crate::failure::Failure;
use crate::remote::{self, Server};
use clap::Args;
use soulbox_model::TeamId;
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
    /// The file with the certificate that vouches for a server with https [default: setting client.ca]
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    ca: Option<String>,
    /// Act for this team; it needs a key of the operator's, that is of the team default
    #[arg(long, value_name = "NAME", help_heading = "Server")]
    team: Option<TeamId>,
}

impl ServerFlags {
    /// The flags that were given, as settings.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let texts = [
            ("client.url", "--server", &self.server),
            ("client.ca", "--ca", &self.ca),
        ];
        let given = texts.into_iter().filter_map(|(key, flag, value)| {
            let value = value.clone()?;
            Some(Flag { key, flag, value })
        });
        given.collect()
    }

    /// The settings with these flags, and the server.
    ///
    /// # Errors
    /// A setting is wrong, there is no key, or no certificate where one is named.
    pub(crate) fn open(&self, global: &Global) -> Result<(Settings, Server), Failure> {
        let settings = global.settings(self.flags())?;
        let server = self.server(&settings)?;
        Ok((settings, server))
    }

    /// The server that the settings name.
    ///
    /// # Errors
    /// There is no key, or no certificate where one is named.
    pub(crate) fn server(&self, settings: &Settings) -> Result<Server, Failure> {
        let server = remote::server::of(settings, self.api_key_file.as_deref())?;
        Ok(server.for_team(self.team.clone()))
    }
}

/// A length of time as a flag.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    soulbox_settings::duration::parse(text).map_err(|error| error.to_string())
}
