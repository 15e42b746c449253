//! What a build is made of: stages, each a base and steps over it. Whoever reads a Dockerfile or a
//! client's request makes a [`Plan`]; whoever has sandboxes carries it out. Nothing here does
//! either.

use soulbox_model::TemplateName;
use std::fmt;

/// The most stages that a plan may have.
pub const MAX_STAGES: usize = 100;
/// The most steps of one stage.
pub const MAX_STEPS: usize = 1000;

/// A whole build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they may need each other: one uses only those before it.
    pub stages: Vec<Stage>,
    /// The one that becomes the template.
    pub target: usize,
}

/// A base and what is done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its name, for people.
    pub name: Option<String>,
    /// What it begins with.
    pub base: Base,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// What a stage begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// An image of a registry.
    Image {
        /// Its name as it was written, such as `debian:12`.
        reference: String,
        /// With what it is asked for.
        auth: Option<RegistryAuth>,
    },
    /// A template of this machine.
    Template(TemplateName),
    /// A stage before this one.
    Stage(usize),
}

/// A user and a password for a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryAuth {
    /// The user.
    pub username: String,
    /// The password, or a token in its place.
    pub password: String,
}

impl fmt::Debug for RegistryAuth {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("RegistryAuth")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// As it was written, for logs.
    pub text: String,
    /// The line of the file that it begins at, from 1.
    pub line: Option<u32>,
    /// What is done.
    pub kind: StepKind,
    /// It and all after it are done anew, whatever the cache has.
    pub force: bool,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepKind {
    /// Runs a command.
    Run(Run),
    /// Copies files in.
    Copy(Copy),
    /// Fetches a file.
    AddUrl {
        /// From where: http or https.
        url: String,
        /// Where it goes.
        place: Place,
        /// `sha256:<hex>` of what must come.
        checksum: Option<String>,
    },
    /// Sets variables for all later steps and the template's sandboxes.
    Env(Vec<(String, String)>),
    /// Sets the directory of all later steps, and makes it.
    Workdir(String),
    /// Sets the user of all later steps.
    User {
        /// A name or number, with `:group` if one is given.
        name: String,
        /// Makes it, with a home, if it is not there.
        create: bool,
        /// Lets it become root without a password.
        sudo: bool,
    },
    /// Sets the shell of later [`Command::Shell`]s.
    Shell(Vec<String>),
    /// What runs in the template's sandboxes from the start; none: nothing.
    Start(Option<Command>),
    /// The arguments that go after [`StepKind::Start`]'s command, or are one alone.
    StartArguments(Option<Command>),
    /// A command line for a shell that tells by its exit code whether the start command is ready.
    Ready(Option<String>),
    /// Changes nothing that a sandbox has; kept so that steps count as they were written.
    Nothing,
}

/// A command in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A text for the shell.
    Shell(String),
    /// A program and its arguments.
    Exec(Vec<String>),
}

/// A command that is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What.
    pub command: Command,
    /// As whom; none: as the user of the step before.
    pub user: Option<String>,
    /// Variables that only this command has.
    pub env: Vec<(String, String)>,
    /// What it sees besides.
    pub mounts: Vec<RunMount>,
    /// Whether it reaches the network.
    pub network: bool,
}

/// Files that are copied in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// From where.
    pub from: CopyFrom,
    /// Which, with wildcards. Empty for [`CopyFrom::Upload`]: all that was uploaded.
    pub sources: Vec<String>,
    /// Left out of what the sources name.
    pub excludes: Vec<String>,
    /// Where they go.
    pub place: Place,
    /// A source that is a tar file is unpacked.
    pub unpack: bool,
}

/// Where copied files go, and whose they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path; with `/` at its end a directory. Relative to the directory of the step.
    pub to: String,
    /// `user[:group]`, names or numbers; none: root, and for uploads the user of the step.
    pub owner: Option<String>,
    /// The mode of all files; none: as it is.
    pub mode: Option<u32>,
}

/// Where files are copied from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyFrom {
    /// The directory that the build was given.
    Context,
    /// A tar file that the client uploaded, by the hash that it gave.
    Upload {
        /// The client's hash.
        hash: String,
    },
    /// An earlier stage.
    Stage(usize),
    /// An image of a registry.
    Image(String),
    /// A text in the Dockerfile itself.
    Inline {
        /// The name of the file.
        name: String,
        /// What is in it.
        content: String,
    },
}

/// What a command sees besides its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunMount {
    /// A secret, in a file or a variable, that the layer never has.
    Secret {
        /// The name under which it was given.
        id: String,
        /// The file, absolute; none: only a variable.
        target: Option<String>,
        /// The variable; none: only a file.
        env: Option<String>,
        /// Without it the build fails.
        required: bool,
        /// The file's mode.
        mode: u32,
        /// The file's user.
        uid: u32,
        /// The file's group.
        gid: u32,
    },
    /// The socket of an ssh agent.
    Ssh {
        /// The name under which it was given.
        id: String,
        /// Where it shows, absolute.
        target: String,
        /// Without it the build fails.
        required: bool,
    },
    /// A directory that is kept from build to build and is not in the layer.
    Cache {
        /// Its name.
        id: String,
        /// Where it shows, absolute.
        target: String,
        /// Whether writing is refused.
        read_only: bool,
    },
    /// Files from elsewhere, read-only.
    Bind {
        /// From where.
        from: CopyFrom,
        /// Which path of it.
        source: String,
        /// Where it shows, absolute.
        target: String,
    },
    /// An empty directory in memory.
    Tmpfs {
        /// Where it shows, absolute.
        target: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let auth = RegistryAuth {
            username: "me".into(),
            password: "hunter2".into(),
        };
        assert!(!format!("{auth:?}").contains("hunter2"));
    }
}
