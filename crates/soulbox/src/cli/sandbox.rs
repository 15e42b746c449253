//! The flags that say what a fresh sandbox is.

use crate::cli::limit::LimitFlags;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal;
use clap::Args;
use soulbox_model::{Isolation, Mount, SandboxSpec, TemplateName};
use soulbox_settings::Settings;
use std::collections::BTreeMap;

/// The template that is taken when none is named and it was built.
const PREFERRED: &str = "base";

/// What the sandbox is.
#[derive(Debug, Args)]
pub(crate) struct SandboxFlags {
    /// The template [default: base when it was built, else host]
    #[arg(short, long, value_name = "NAME", help_heading = "Sandbox")]
    template: Option<String>,
    /// A variable inside; without a value, that of this shell
    #[arg(
        short = 'e',
        long = "env",
        value_name = "NAME[=VALUE]",
        help_heading = "Sandbox"
    )]
    variables: Vec<String>,
    /// A directory or file of the host inside; `ro` refuses writing
    #[arg(
        long = "mount",
        value_name = "HOST:GUEST[:ro]",
        help_heading = "Sandbox"
    )]
    mounts: Vec<String>,
    /// The user inside [default: user]
    #[arg(short, long, value_name = "NAME", help_heading = "Sandbox")]
    pub(crate) user: Option<String>,
    /// The working directory inside [default: /home/user]
    #[arg(short, long, value_name = "DIR", help_heading = "Sandbox")]
    pub(crate) workdir: Option<String>,
    /// What it may use.
    #[command(flatten)]
    pub(crate) limits: LimitFlags,
}

impl SandboxFlags {
    /// The first flag that says what a fresh sandbox is to be, if one was given.
    pub(crate) fn of_a_fresh_one(&self) -> Option<&'static str> {
        [
            ("--template", self.template.is_some()),
            ("--mount", !self.mounts.is_empty()),
            (
                self.limits.first().unwrap_or("--cpu"),
                self.limits.first().is_some(),
            ),
        ]
        .iter()
        .find_map(|(flag, given)| given.then_some(*flag))
    }

    /// The sandbox that the flags ask for.
    pub(crate) fn spec(&self, settings: &Settings) -> Result<SandboxSpec, Failure> {
        Ok(SandboxSpec {
            template: self.template(settings)?,
            isolation: Isolation::Namespace,
            limits: settings.sandbox.limits(),
            network: settings.sandbox.network,
            mounts: self
                .mounts
                .iter()
                .map(|text| mount(text))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The template that was named.
    pub(crate) fn template_name(&self) -> Option<&str> {
        self.template.as_deref()
    }

    /// Whether something of the host is to be inside.
    pub(crate) fn has_mounts(&self) -> bool {
        !self.mounts.is_empty()
    }

    fn template(&self, settings: &Settings) -> Result<TemplateName, Failure> {
        if let Some(name) = &self.template {
            return TemplateName::of_tagged(name).map_err(|error| Failure::of(Exit::USAGE, &error));
        }
        let tree = settings
            .paths
            .data_dir
            .join("templates")
            .join(PREFERRED)
            .join("rootfs");
        if tree.is_dir() {
            return PREFERRED
                .parse()
                .map_err(|error| Failure::of(Exit::INTERNAL, &error));
        }
        if terminal::stderr_is_terminal() {
            terminal::warn(
                "note: template host, which shows this machine's own programs; \
                 `soulbox template build base` makes one that does not change",
            );
        }
        Ok(TemplateName::host())
    }

    /// The variables that the flags ask for.
    pub(crate) fn variables(&self) -> Result<BTreeMap<String, String>, Failure> {
        self.variables.iter().map(|text| variable(text)).collect()
    }
}

fn mount(text: &str) -> Result<Mount, Failure> {
    let mut mount = Mount::parse(text).map_err(|error| Failure::of(Exit::USAGE, &error))?;
    mount.host = std::path::absolute(&mount.host).map_err(|error| {
        Failure::new(Exit::USAGE, format!("--mount {text}: no path of the host")).because(&error)
    })?;
    Ok(mount)
}

/// Reads `NAME=VALUE`, or `NAME` for a variable of this shell.
pub(crate) fn variable(text: &str) -> Result<(String, String), Failure> {
    let refuse = |why: &str| Failure::new(Exit::USAGE, format!("--env {text:?}: {why}"));
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, value.to_owned()),
        None => {
            let value = std::env::var_os(text).ok_or_else(|| {
                refuse("this shell has no such variable").help("write NAME=VALUE")
            })?;
            (
                text,
                value
                    .into_string()
                    .map_err(|_| refuse("its value is not valid UTF-8"))?,
            )
        }
    };
    if name.is_empty() || text.contains('\0') {
        return Err(refuse("a variable has a name").help("write NAME=VALUE"));
    }
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_pairs() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(variable("A=b=c").unwrap(), pair("A", "b=c"));
        assert_eq!(variable("A=").unwrap(), pair("A", ""));
        assert!(variable("=b").is_err());
        assert!(variable("SOULBOX_NO_SUCH_VARIABLE_ANYWHERE").is_err());
    }

    #[test]
    fn mounts_become_absolute() {
        assert!(mount("src:/src").unwrap().host.is_absolute());
        assert_eq!(mount("nothing").unwrap_err().exit, Exit::USAGE);
    }
}
