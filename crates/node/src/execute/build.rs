//! What a compiler made, so that the same program need not be compiled again.
//!
//! A build is known by everything that it was made from: the team, the template's build, the compiler's command, its
//! environment, and every file that was there ([`Key`]). It is copied out of its sandbox after the compiler has
//! ended and before the program runs, so nothing but the compiler and its sources can have made it: sources that turn
//! the compiler against its user spoil the build of those very sources, and nobody else's.

use crate::builds::Builds;
use crate::execute::guest::{Carried, Guest, GuestError, Input};
use crate::execute::plan::{Plan, Product};
use crate::execute::program::Content;
use crate::execute::{ExecuteError, Execution, TransferError, transfer};
use crate::sandbox::Sandbox;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use soulbox_model::TeamId;
use std::sync::Arc;

/// By what a build is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub(crate) [u8; 32]);

/// A file that a compiler made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltFile {
    /// Its path in the sandbox.
    pub path: String,
    /// What it holds.
    pub content: Bytes,
}

/// Where builds are kept, and for whom.
#[derive(Debug, Clone)]
pub struct BuildPlace {
    /// All builds.
    pub builds: Arc<Builds>,
    /// Whose they are.
    pub team: String,
    /// The template as it was built: another build of it has another compiler.
    pub template: String,
}

impl BuildPlace {
    /// That of a sandbox; none where its template cannot be told from another build of it, or what the host
    /// shares with it may be a part of what is compiled.
    pub fn of(builds: &Arc<Builds>, team: &TeamId, sandbox: &Sandbox) -> Option<Self> {
        let template = sandbox.build();
        let known = !template.is_empty() && sandbox.spec().mounts.is_empty();
        known.then(|| Self {
            builds: Arc::clone(builds),
            team: team.as_str().to_owned(),
            template,
        })
    }
}

impl Key {
    /// The key of a program; none where a part of it is not known before it is copied.
    pub(super) fn of(place: &BuildPlace, execution: &Execution, plan: &Plan) -> Option<Self> {
        let compile = plan.compile.as_ref()?;
        if !execution.uploads.is_empty() {
            return None;
        }
        let mut hash = Sha256::new();
        // With its length before it, no part can be taken for another one.
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        add(b"soulbox build 1");
        add(place.team.as_bytes());
        add(place.template.as_bytes());
        add(execution.user.as_deref().unwrap_or_default().as_bytes());
        add(execution.program.language.name.as_bytes());
        add(&(compile.len() as u64).to_le_bytes());
        compile.iter().for_each(|word| add(word.as_bytes()));
        add(&(execution.variables.len() as u64).to_le_bytes());
        for (name, value) in &execution.variables {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        for file in &execution.program.files {
            let Content::Bytes(bytes) = &file.content else {
                return None;
            };
            add(file.remote.as_bytes());
            add(&[u8::from(file.executable)]);
            add(bytes);
        }
        Some(Self(hash.finalize().into()))
    }

    /// As the name of a file.
    pub(crate) fn name(&self) -> String {
        use std::fmt::Write as _;
        let mut name = String::with_capacity(64);
        for byte in self.0 {
            // Writing to a string does not fail.
            let _ = write!(name, "{byte:02x}");
        }
        name
    }
}

/// Has a build go with the command that runs it, beside what goes already; false if it cannot.
pub(super) fn carry(carried: &mut Option<Vec<Carried>>, build: &[BuiltFile]) -> bool {
    let Some(files) = carried else {
        return false;
    };
    let before = files.len();
    files.extend(build.iter().map(|file| Carried {
        path: file.path.clone(),
        content: file.content.clone(),
        executable: true,
    }));
    let fits = transfer::fit(files);
    if !fits {
        files.truncate(before);
    }
    fits
}

/// Puts a build where the compiler would have put it.
pub(super) async fn put_in(
    guest: &impl Guest,
    execution: &Execution,
    build: &[BuiltFile],
) -> Result<(), ExecuteError> {
    let user = execution.user.as_deref();
    for file in build {
        let content = Input::Bytes(file.content.clone());
        let written = guest.write_file(&file.path, user, content, true).await;
        written.map_err(|source| TransferError::Remote {
            remote: file.path.clone(),
            direction: "into",
            source,
        })?;
    }
    Ok(())
}

/// The most files of one build: a Java class is a file.
const MOST_FILES: usize = 1000;

/// Copies a build out; none where that cannot be: then it is not kept.
pub(super) async fn take_out(
    guest: &impl Guest,
    execution: &Execution,
    product: &Product,
    most: u64,
) -> Option<Vec<BuiltFile>> {
    let paths = match product {
        Product::File(path) => vec![path.clone()],
        Product::Directory(path) => {
            let names = guest.list_files(path, execution.user.as_deref()).await;
            names.ok().filter(|names| names.len() <= MOST_FILES)?
        }
    };
    let mut left = most;
    let mut build = Vec::with_capacity(paths.len());
    for path in paths {
        let content = read(guest, execution, &path, left).await.ok()?;
        left = left.checked_sub(content.len() as u64)?;
        build.push(BuiltFile { path, content });
    }
    (!build.is_empty()).then_some(build)
}

async fn read(
    guest: &impl Guest,
    execution: &Execution,
    path: &str,
    most: u64,
) -> Result<Bytes, GuestError> {
    let mut content = Vec::new();
    let user = execution.user.as_deref();
    guest.read_file(path, user, &mut content, most).await?;
    Ok(content.into())
}
