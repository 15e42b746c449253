//! What a sandbox of a server is asked to be: of limits only what somebody said, so that the server's own
//! settings hold for the rest.

use soulbox_client::NewSandbox;
use soulbox_model::AskedLimits;
use soulbox_settings::{Origin, Settings};

/// The limits and the network that somebody set.
pub(crate) fn of(settings: &Settings) -> NewSandbox {
    let set = |key: &str| {
        let mut entries = settings.entries.iter();
        entries.any(|entry| entry.key == key && entry.origin != Origin::Default)
    };
    let wanted = &settings.sandbox;
    // Here 0 says: no more than the memory, which is what an absent field says there.
    let memory_max = wanted.memory_max.bytes();
    let limits = AskedLimits {
        cpu_millis: set("sandbox.cpu").then_some(wanted.cpu.millis),
        cpu_weight: set("sandbox.cpu_weight").then_some(wanted.cpu_weight),
        memory_bytes: set("sandbox.memory").then(|| wanted.memory.bytes()),
        memory_max_bytes: (set("sandbox.memory_max") && memory_max != 0).then_some(memory_max),
        pids: set("sandbox.pids").then_some(wanted.pids),
        open_files: set("sandbox.open_files").then_some(wanted.open_files),
        io_read_bytes: set("sandbox.io_read").then(|| wanted.io_read.bytes()),
        io_write_bytes: set("sandbox.io_write").then(|| wanted.io_write.bytes()),
        disk_bytes: set("sandbox.disk").then(|| wanted.disk.bytes()),
    };
    NewSandbox {
        limits,
        network: set("sandbox.network").then_some(wanted.network),
        ..NewSandbox::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_model::NetworkMode;

    #[test]
    fn only_what_was_said_is_asked_for() {
        let nothing = of(&Settings::with(&[]).unwrap());
        assert_eq!(nothing.limits, AskedLimits::default());
        assert_eq!(nothing.network, None);
        let settings = Settings::with(&[
            ("sandbox.memory", "64M"),
            ("sandbox.memory_max", "0"),
            ("sandbox.cpu", "0.5"),
            ("sandbox.network", "internet"),
        ]);
        let some = of(&settings.unwrap());
        let expected = AskedLimits {
            cpu_millis: Some(500),
            memory_bytes: Some(64 << 20),
            ..AskedLimits::default()
        };
        assert_eq!(some.limits, expected);
        assert_eq!(some.network, Some(NetworkMode::Internet));
    }
}
