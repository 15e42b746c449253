//! Where the text of settings comes from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// Supplies variables and files. The program hands in the real one, tests hand in [`Fixed`].
pub trait Source {
    /// The variable `name`, when it is set.
    fn variable(&self, name: &str) -> Option<OsString>;

    /// The names of all variables that begin with `SOULBOX_`.
    fn variables(&self) -> Vec<String>;

    /// The text of the file at `path`; none when there is no such file.
    ///
    /// # Errors
    /// Whatever reading the file said, other than that it does not exist.
    fn file(&self, path: &Path) -> io::Result<Option<String>>;

    /// The effective user id.
    fn user_id(&self) -> u32;
}

/// A source with fixed contents: for tests, and for documents that show the defaults.
#[derive(Debug, Clone, Default)]
pub struct Fixed {
    /// Variables by name.
    pub variables: BTreeMap<String, OsString>,
    /// Files by path.
    pub files: BTreeMap<PathBuf, String>,
    /// The effective user id: 0 is root.
    pub user_id: u32,
}

impl Source for Fixed {
    fn variable(&self, name: &str) -> Option<OsString> {
        self.variables.get(name).cloned()
    }

    fn variables(&self) -> Vec<String> {
        let ours = |name: &&String| name.starts_with("SOULBOX_");
        self.variables.keys().filter(ours).cloned().collect()
    }

    fn file(&self, path: &Path) -> io::Result<Option<String>> {
        Ok(self.files.get(path).cloned())
    }

    fn user_id(&self) -> u32 {
        self.user_id
    }
}

/// What defaults depend on: who runs the program and where that user keeps things.
#[derive(Debug, Clone)]
pub struct Host {
    /// The effective user id.
    pub user_id: u32,
    home: Option<PathBuf>,
    config: Option<PathBuf>,
    data: Option<PathBuf>,
    runtime: Option<PathBuf>,
    docker: Option<PathBuf>,
}

impl Host {
    /// Reads `HOME` and the XDG directories. As the XDG base directory specification asks, a
    /// relative path counts as not set.
    pub fn of(source: &dyn Source) -> Self {
        let directory = |name| {
            let path = PathBuf::from(source.variable(name)?);
            path.is_absolute().then_some(path)
        };
        Self {
            user_id: source.user_id(),
            home: directory("HOME"),
            config: directory("XDG_CONFIG_HOME"),
            data: directory("XDG_DATA_HOME"),
            runtime: directory("XDG_RUNTIME_DIR"),
            docker: directory("DOCKER_CONFIG"),
        }
    }

    /// Whether the program runs as root.
    pub const fn is_root(&self) -> bool {
        self.user_id == 0
    }

    /// Where files that last are kept.
    pub fn data_dir(&self) -> PathBuf {
        if self.is_root() {
            return "/var/lib/soulbox".into();
        }
        match (&self.data, &self.home) {
            (Some(data), _) => data.join("soulbox"),
            (None, Some(home)) => home.join(".local/share/soulbox"),
            (None, None) => format!("/var/tmp/soulbox-{}", self.user_id).into(),
        }
    }

    /// Where sockets, locks and journals are kept until the machine stops.
    pub fn run_dir(&self) -> PathBuf {
        if self.is_root() {
            return "/run/soulbox".into();
        }
        match &self.runtime {
            Some(runtime) => runtime.join("soulbox"),
            None => format!("/tmp/soulbox-{}", self.user_id).into(),
        }
    }

    /// Where `soulbox.toml` is looked for, first to last.
    ///
    /// The working directory is left out on purpose: a checkout that somebody else wrote must not
    /// be able to change limits or the network's block list of the sandboxes started in it.
    pub fn configuration_files(&self) -> Vec<PathBuf> {
        let own = match (&self.config, &self.home) {
            (Some(config), _) => Some(config.join("soulbox/soulbox.toml")),
            (None, Some(home)) => Some(home.join(".config/soulbox/soulbox.toml")),
            (None, None) => None,
        };
        own.into_iter()
            .chain([PathBuf::from("/etc/soulbox/soulbox.toml")])
            .collect()
    }

    /// Where `docker login` keeps what it was told; empty when nobody has a home here.
    pub(crate) fn docker_config(&self) -> PathBuf {
        let home = self.home.as_ref().map(|home| home.join(".docker"));
        let directory = self.docker.clone().or(home);
        directory.map_or_else(PathBuf::new, |directory| directory.join("config.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(user_id: u32, variables: &[(&str, &str)]) -> Host {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        Host::of(&Fixed {
            variables: variables.collect(),
            user_id,
            ..Fixed::default()
        })
    }

    #[test]
    fn root_uses_the_system_directories() {
        let root = host(0, &[("HOME", "/root"), ("XDG_DATA_HOME", "/elsewhere")]);
        assert_eq!(root.data_dir(), Path::new("/var/lib/soulbox"));
        assert_eq!(root.run_dir(), Path::new("/run/soulbox"));
    }

    #[test]
    fn others_use_the_xdg_directories() {
        let user = host(
            1000,
            &[("HOME", "/home/u"), ("XDG_RUNTIME_DIR", "/run/user/1000")],
        );
        assert_eq!(user.data_dir(), Path::new("/home/u/.local/share/soulbox"));
        assert_eq!(user.run_dir(), Path::new("/run/user/1000/soulbox"));
        let bare = host(1000, &[("XDG_DATA_HOME", "relative")]);
        assert_eq!(bare.data_dir(), Path::new("/var/tmp/soulbox-1000"));
    }

    #[test]
    fn the_working_directory_never_configures_anything() {
        for file in host(1000, &[("HOME", "/home/u")]).configuration_files() {
            assert!(file.is_absolute(), "{}", file.display());
        }
    }
}
