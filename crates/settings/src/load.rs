//! Loading all settings at once.

use crate::file;
use crate::proxies::Proxies;
use crate::reader::{Entry, Origin, Reader};
use crate::section::{
    Agent, Client, Commands, Execute, Log, Network, Node, Paths, Pool, Registry, Sandbox, Server,
    Spawner, Storage, Store, Template, Zygote,
};
use crate::source::{Fixed, Host, Source};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// A setting that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// The text is no value of this setting, or out of its range.
    #[error("setting {key} (from {origin}): {reason}; accepted: {accepted}")]
    Value {
        /// The key of the setting.
        key: String,
        /// Where the text came from.
        origin: Origin,
        /// Why it was refused.
        reason: String,
        /// What is accepted.
        accepted: String,
    },
    /// The file holds a key that no setting has.
    #[error("{}:{line}: there is no setting {key:?}{}", path.display(), meant(nearest.as_deref()))]
    Unknown {
        /// The unknown key.
        key: String,
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The setting that was probably meant.
        nearest: Option<String>,
    },
    /// The file is not TOML.
    #[error("{}:{line}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file that was named does not exist.
    #[error("the configuration file {} does not exist", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A variable that is not UTF-8.
    #[error("the variable {variable} is not valid UTF-8")]
    NotText {
        /// The variable.
        variable: String,
    },
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name:?}?"))
}

/// A setting given by a flag on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The setting's key, such as `sandbox.cpu`.
    pub key: &'static str,
    /// The flag as it is written, such as `--cpu`.
    pub flag: &'static str,
    /// Its value.
    pub value: String,
}

/// Every setting of the product, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Directories: the settings at the top of `soulbox.toml`.
    pub paths: Paths,
    /// What a sandbox gets that asks for nothing.
    pub sandbox: Sandbox,
    /// How a piece of code is run.
    pub execute: Execute,
    /// The network of sandboxes.
    pub network: Network,
    /// What is prepared ahead of time.
    pub pool: Pool,
    /// Registries that images come from.
    pub registry: Registry,
    /// The proxies that the environment names.
    pub proxies: Proxies,
    /// Interpreters that are loaded ahead of time.
    pub zygote: Zygote,
    /// The process that makes sandboxes.
    pub spawner: Spawner,
    /// What sandboxes write, on disk.
    pub storage: Storage,
    /// What the host accepts from the agent inside a sandbox.
    pub agent: Agent,
    /// What all sandboxes of the machine together leave to it.
    pub node: Node,
    /// What the server must not forget.
    pub store: Store,
    /// `soulbox serve`.
    pub server: Server,
    /// Recorded commands, and requests with an `Idempotency-Key`.
    pub commands: Commands,
    /// Templates that clients build.
    pub template: Template,
    /// The command line as a client of a server.
    pub client: Client,
    /// What is told to the operator.
    pub log: Log,
    /// Each setting with its origin, in the order of the documents.
    pub entries: Vec<Entry>,
    /// The configuration file that was read.
    pub file: Option<PathBuf>,
    /// Variables that begin with `SOULBOX_` and belong to no setting. They are told, not refused:
    /// cluster software sets such names by itself (`SOULBOX_SERVICE_HOST`).
    pub unknown_variables: Vec<String>,
}

/// Variables of ours that are no settings.
const OTHER_VARIABLES: [&str; 2] = [Settings::FILE_VARIABLE, "SOULBOX_API_KEY"];

impl Settings {
    /// The variable that names the configuration file.
    pub const FILE_VARIABLE: &'static str = "SOULBOX_CONFIG";

    /// Loads all settings. `named` is the file that the user named; without it the first of
    /// [`Host::configuration_files`] that exists is read.
    ///
    /// # Errors
    /// [`SettingError`] names the setting, where its text came from and what is accepted.
    pub fn load(
        source: &dyn Source,
        named: Option<&Path>,
        flags: &[Flag],
    ) -> Result<Self, SettingError> {
        let host = Host::of(source);
        let found = find(source, &host, named)?;
        let (path, lines) = match &found {
            Some((path, text)) => (path.as_path(), file::parse(path, text)?),
            None => (Path::new(""), BTreeMap::new()),
        };
        let reader = &mut Reader {
            source,
            host,
            flags,
            path,
            lines,
            entries: Vec::new(),
        };
        let mut settings = Self {
            paths: Paths::read(reader)?,
            sandbox: Sandbox::read(reader)?,
            execute: Execute::read(reader)?,
            network: Network::read(reader)?,
            pool: Pool::read(reader)?,
            registry: Registry::read(reader)?,
            proxies: Proxies::of(reader.source),
            zygote: Zygote::read(reader)?,
            spawner: Spawner::read(reader)?,
            storage: Storage::read(reader)?,
            agent: Agent::read(reader)?,
            node: Node::read(reader)?,
            store: Store::read(reader)?,
            server: Server::read(reader)?,
            commands: Commands::read(reader)?,
            template: Template::read(reader)?,
            client: Client::read(reader)?,
            log: Log::read(reader)?,
            entries: Vec::new(),
            file: found.as_ref().map(|(path, _)| path.clone()),
            unknown_variables: unknown_variables(source, &reader.entries),
        };
        refuse_unknown_keys(reader)?;
        settings.entries = std::mem::take(&mut reader.entries);
        Ok(settings)
    }

    /// The defaults of root with `overrides` (key and text) on top: for tests and documents.
    ///
    /// # Errors
    /// [`SettingError`] as for [`Settings::load`].
    pub fn with(overrides: &[(&'static str, &str)]) -> Result<Self, SettingError> {
        let flag = |(key, value): &(&'static str, &str)| Flag {
            key,
            flag: key,
            value: (*value).to_owned(),
        };
        let flags: Vec<_> = overrides.iter().map(flag).collect();
        Self::load(&Fixed::default(), None, &flags)
    }
}

/// The configuration file and its text.
fn find(
    source: &dyn Source,
    host: &Host,
    named: Option<&Path>,
) -> Result<Option<(PathBuf, String)>, SettingError> {
    let read = |path: &Path| {
        source.file(path).map_err(|error| SettingError::Unreadable {
            path: path.to_owned(),
            source: error,
        })
    };
    let variable = source
        .variable(Settings::FILE_VARIABLE)
        .filter(|text| !text.is_empty());
    if let Some(path) = named.map(Path::to_owned).or(variable.map(PathBuf::from)) {
        let text = read(&path)?.ok_or_else(|| SettingError::Missing { path: path.clone() })?;
        return Ok(Some((path, text)));
    }
    for path in host.configuration_files() {
        if let Some(text) = read(&path)? {
            return Ok(Some((path, text)));
        }
    }
    Ok(None)
}

fn refuse_unknown_keys(reader: &Reader<'_>) -> Result<(), SettingError> {
    let known = |key: &str| reader.entries.iter().any(|entry| entry.key == key);
    let mut unknown: Vec<_> = reader.lines.iter().filter(|(key, _)| !known(key)).collect();
    unknown.sort_by_key(|(_, line)| line.line);
    let Some((key, line)) = unknown.first() else {
        return Ok(());
    };
    let keys = reader.entries.iter().map(|entry| entry.key.as_str());
    Err(SettingError::Unknown {
        key: (*key).clone(),
        path: reader.path.to_owned(),
        line: line.line,
        nearest: soulbox_model::nearest(key, keys).map(str::to_owned),
    })
}

fn unknown_variables(source: &dyn Source, entries: &[Entry]) -> Vec<String> {
    let known = |name: &String| {
        OTHER_VARIABLES.contains(&name.as_str())
            || entries.iter().any(|entry| entry.variable == *name)
    };
    let mut names = source.variables();
    names.retain(|name| !known(name));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_model::ByteSize;
    use std::time::Duration;

    fn fixed(variables: &[(&str, &str)], toml: &str) -> Fixed {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        Fixed {
            variables: variables.collect(),
            files: [(PathBuf::from("/etc/soulbox/soulbox.toml"), toml.to_owned())].into(),
            user_id: 0,
        }
    }

    fn load(variables: &[(&str, &str)], toml: &str) -> Result<Settings, SettingError> {
        Settings::load(&fixed(variables, toml), None, &[])
    }

    #[test]
    fn defaults_are_what_the_documents_say() {
        let settings = Settings::with(&[]).unwrap();
        assert_eq!(settings.sandbox.cpu.millis, 2000);
        assert_eq!(settings.sandbox.memory, ByteSize::mib(1024));
        assert_eq!(settings.sandbox.pids, 1024);
        assert_eq!(settings.sandbox.disk, ByteSize::gib(10));
        assert_eq!(settings.sandbox.output, ByteSize::mib(8));
        assert_eq!(settings.sandbox.timeout, Duration::from_secs(300));
        assert_eq!(settings.paths.data_dir, Path::new("/var/lib/soulbox"));
        assert_eq!(
            settings.paths.machine_dir,
            Path::new("/run/soulbox/machine")
        );
    }

    #[test]
    fn flags_win_over_variables_over_the_file_over_defaults() {
        let toml = "[sandbox]\ncpu = 3\nmemory = '2G'\npids = 100\n";
        let variables = [
            ("SOULBOX_SANDBOX_CPU", "4"),
            ("SOULBOX_SANDBOX_MEMORY", "4G"),
        ];
        let flag = Flag {
            key: "sandbox.cpu",
            flag: "--cpu",
            value: "5".to_owned(),
        };
        let settings = Settings::load(&fixed(&variables, toml), None, &[flag]).unwrap();
        assert_eq!(settings.sandbox.cpu.millis, 5000);
        assert_eq!(settings.sandbox.memory, ByteSize::gib(4));
        assert_eq!(settings.sandbox.pids, 100);
        let origin = |key: &str| {
            let entry = settings.entries.iter().find(|entry| entry.key == key);
            entry.unwrap().origin.to_string()
        };
        assert_eq!(origin("sandbox.cpu"), "flag --cpu");
        assert_eq!(origin("sandbox.memory"), "variable SOULBOX_SANDBOX_MEMORY");
        assert_eq!(origin("sandbox.pids"), "/etc/soulbox/soulbox.toml:4");
        assert_eq!(origin("sandbox.disk"), "default");
    }

    #[test]
    fn wrong_values_name_the_setting_its_origin_and_the_range() {
        let error = load(&[], "[sandbox]\n\nmemory = '1K'\n")
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "setting sandbox.memory (from /etc/soulbox/soulbox.toml:3): \"1 KiB\" is out of range; \
             accepted: 16 MiB to 16 TiB"
        );
        let error = load(&[("SOULBOX_SANDBOX_PIDS", "many")], "")
            .unwrap_err()
            .to_string();
        assert!(error.contains("variable SOULBOX_SANDBOX_PIDS"), "{error}");
        assert!(error.contains("4 to 4194304"), "{error}");
    }

    #[test]
    fn unknown_keys_are_refused_and_the_right_one_is_offered() {
        let error = load(&[], "[sandbox]\nmemori = '1G'\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(":2: there is no setting \"sandbox.memori\""),
            "{error}"
        );
        assert!(
            error.contains("did you mean \"sandbox.memory\"?"),
            "{error}"
        );
    }

    #[test]
    fn a_section_given_a_value_is_refused() {
        assert!(matches!(
            load(&[], "sandbox = 3"),
            Err(SettingError::Unknown { .. })
        ));
    }

    #[test]
    fn unknown_variables_are_told_and_not_refused() {
        let settings = load(&[("SOULBOX_SERVICE_HOST", "10.0.0.1")], "").unwrap();
        assert_eq!(settings.unknown_variables, ["SOULBOX_SERVICE_HOST"]);
        let known = load(&[("SOULBOX_SANDBOX_CPU", "1")], "").unwrap();
        assert!(known.unknown_variables.is_empty());
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let settings = load(&[("SOULBOX_SANDBOX_CPU", "")], "[sandbox]\ncpu = 1\n").unwrap();
        assert_eq!(settings.sandbox.cpu.millis, 1000);
    }

    #[test]
    fn a_named_file_must_exist() {
        let error = Settings::load(&Fixed::default(), Some(Path::new("/nowhere")), &[]);
        assert!(matches!(error, Err(SettingError::Missing { .. })));
    }

    #[test]
    fn every_shown_value_reads_back() {
        let settings = Settings::with(&[]).unwrap();
        let again = settings
            .entries
            .iter()
            .filter(|entry| !entry.value.is_empty());
        let variables: Vec<_> = again
            .map(|e| (e.variable.as_str(), e.value.as_str()))
            .collect();
        let reloaded = load(&variables, "").unwrap();
        assert_eq!(reloaded.sandbox, settings.sandbox);
        assert_eq!(reloaded.network, settings.network);
        assert_eq!(reloaded.agent, settings.agent);
    }
}
