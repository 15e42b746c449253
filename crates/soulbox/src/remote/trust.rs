//! Who may vouch for a server that speaks TLS.

use crate::environment::Environment;
use soulbox_client::Trust;
use soulbox_gateway::tls::authority;
use soulbox_settings::{Settings, Source as _};
use std::path::PathBuf;

/// The variable that names another file than the system's; OpenSSL's.
const VARIABLE: &str = "SSL_CERT_FILE";

/// The authorities of the file that the settings name, of a server with the same data directory, and of the
/// system.
pub(crate) fn of(settings: &Settings) -> Trust {
    let named = &settings.client.ca;
    let system = Environment.variable(VARIABLE);
    Trust {
        named: (!named.as_os_str().is_empty()).then(|| named.clone()),
        own: Some(authority::path(&settings.paths.data_dir)),
        system: system.filter(|path| !path.is_empty()).map(PathBuf::from),
    }
}
