//! Programs of the host that verbs other than `run` need, and files that settings name.

use super::{Check, Machine};
use soulbox_settings::Settings;

pub(super) fn checks(machine: &Machine, settings: &Settings) -> Vec<Check> {
    let mut checks = vec![mmdebstrap(machine)];
    checks.extend(
        settings
            .network
            .extra_ca_certificates
            .iter()
            .filter_map(|path| {
                let path = path.display().to_string();
                (!machine.has(&path)).then(|| {
                    Check::wanting(
                        "CA certificates",
                        "the setting network.extra_ca_certificates names this file",
                        format!("{path} does not exist"),
                        "correct the setting",
                    )
                })
            }),
    );
    checks.extend(settings.unknown_variables.iter().map(|name| {
        Check::wanting(
            "variables",
            "a variable that belongs to no setting changes nothing; it may be a slip of the pen",
            name.clone(),
            "see docs/settings.md for the names",
        )
    }));
    checks
}

fn mmdebstrap(machine: &Machine) -> Check {
    const NAME: &str = "mmdebstrap";
    const WHY: &str = "`soulbox template build base` makes a Debian root with it";
    match machine.program("mmdebstrap") {
        Some(path) => Check::found(NAME, WHY, path.display().to_string()),
        None => Check::wanting(NAME, WHY, "not found", "apt-get install mmdebstrap"),
    }
}
