//! What a step begins with: the layers so far, and what commands get.

use super::{ImageGround, StepError};
use crate::template::TemplateStore;
use serde::Serialize as _;
use sha2::{Digest, Sha256};
use soulbox_image::clone::clone_tree;
use soulbox_image::layer_store::{HeldLayer, LayerId, LayerStore, MAX_LAYERS};
use soulbox_image::layers::Layers;
use soulbox_image::record::{Start, TemplateRecord, UsrFrom};
use soulbox_image::settle;
use soulbox_image::steps::{Command, StepKind};
use soulbox_image::zygote::Zygote;
use soulbox_model::TemplateName;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Raised when a step of the same inputs makes something else than before.
const GENERATION: u32 = 1;
/// More than any file of accounts has.
const ACCOUNTS: u64 = 1 << 20;
/// The shell of commands that name none.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Makes the user `$name` with the shell `$shell` and a home, with the tools of the distribution if
/// it has any.
const MAKE_USER: &str = r#"
if command -v useradd >/dev/null; then useradd -m -s "$shell" -- "$name"
elif command -v adduser >/dev/null; then adduser -D -s "$shell" -- "$name"
else
  id=1000
  while IFS=: read -r _ _ uid _; do
    if [ "$uid" -ge "$id" ] && [ "$uid" -lt 60000 ]; then id=$((uid + 1)); fi
  done < /etc/passwd
  echo "$name:x:$id:$id::/home/$name:$shell" >> /etc/passwd
  echo "$name:x:$id:" >> /etc/group
  mkdir -p "/home/$name"; chown "$id:$id" "/home/$name"
fi
"#;

/// What a step begins with.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// The layers that have anything in them, the lowest first.
    pub(crate) layers: Vec<Arc<HeldLayer>>,
    /// A hash of everything that led here.
    key: [u8; 32],
    /// As whom commands run.
    pub(crate) user: String,
    /// Where commands run; none: the user's home.
    pub(crate) workdir: Option<String>,
    /// The variables that commands have.
    pub(crate) env: BTreeMap<String, String>,
    /// What a command's text is given to.
    pub(crate) shell: Vec<String>,
    /// What runs at the start of sandboxes.
    pub(crate) start: Option<Vec<String>>,
    /// What goes behind it.
    pub(crate) arguments: Option<Vec<String>>,
    /// What tells that it is ready.
    pub(crate) ready: Option<String>,
    /// The interpreter that is copied into sandboxes.
    pub(crate) zygote: Option<Zygote>,
    /// The template at the bottom.
    pub(crate) parent: Option<TemplateName>,
    /// No step from here on takes what is there already.
    pub(crate) forced: bool,
}

impl State {
    /// Nothing at all.
    pub(crate) fn empty() -> Self {
        let mut state = Self {
            layers: Vec::new(),
            key: [0; 32],
            user: "root".to_owned(),
            workdir: Some("/".to_owned()),
            env: BTreeMap::new(),
            shell: SHELL.map(str::to_owned).to_vec(),
            start: None,
            arguments: None,
            ready: None,
            zygote: None,
            parent: None,
            forced: false,
        };
        state.mix(&[b"scratch"]);
        state
    }

    /// A template of this machine. One that is a whole tree is made a layer first, of links to its
    /// files, so that all templates over it share them on disk and in memory.
    pub(crate) fn of_template(
        store: &TemplateStore,
        name: &TemplateName,
    ) -> Result<Self, StepError> {
        let template = store.get(name)?;
        let record = &template.record;
        if record.usr != UsrFrom::Tree {
            return Err(StepError::Base {
                what: format!("template {name}"),
                why: "it is the host's own files, which change under it; base can be one".into(),
            });
        }
        let layers = store.layers();
        let mut held = Vec::new();
        for id in &record.layers {
            held.extend(layers.hold(id)?.map(Arc::new));
        }
        if !is_bare(&template.layers.rootfs)? {
            let top = layer_of(&layers, record, &template.layers.rootfs)?;
            held.push(Arc::new(top));
        }
        let mut state = Self::of_record(record, held);
        state.parent = Some(name.clone());
        Ok(state)
    }

    /// An image of a registry.
    pub(crate) fn of_image(ground: ImageGround) -> Self {
        Self::of_record(&ground.record, ground.layers)
    }

    fn of_record(record: &TemplateRecord, layers: Vec<Arc<HeldLayer>>) -> Self {
        let mut state = Self {
            layers,
            user: record.user.clone(),
            workdir: record
                .workdir
                .as_ref()
                .map(|path| path.to_string_lossy().into_owned()),
            env: record.env.clone(),
            start: record.start.as_ref().map(|start| start.command.clone()),
            ready: record.start.as_ref().and_then(|start| start.ready.clone()),
            zygote: record.zygote.clone(),
            ..Self::empty()
        };
        let ids: Vec<_> = state.layers.iter().map(|layer| layer.id.clone()).collect();
        for id in ids {
            state.mix(&[b"layer", id.as_str().as_bytes()]);
        }
        state
    }

    /// The read-only trees of a sandbox over these layers. `bottom`: an empty directory, for when
    /// there are none.
    pub(crate) fn trees(&self, bottom: &Path) -> Layers {
        let mut trees = self.layers.iter().rev().map(|layer| layer.tree.clone());
        Layers {
            rootfs: trees.next().unwrap_or_else(|| bottom.to_owned()),
            below: trees.collect(),
            usr: None,
        }
    }

    /// Puts a layer on top.
    pub(crate) fn put(&mut self, layer: Arc<HeldLayer>) -> Result<(), StepError> {
        self.mix(&[b"layer", layer.id.as_str().as_bytes()]);
        let empty = settle::is_empty(&layer.tree).map_err(|source| StepError::Files {
            what: format!("read {}", layer.tree.display()),
            source,
        })?;
        if !empty {
            if self.layers.len() + 1 >= MAX_LAYERS {
                return Err(StepError::Layers);
            }
            self.layers.push(layer);
        }
        Ok(())
    }

    /// What a step of this kind is known by, over these layers; `inputs`: what is not in the step
    /// itself. A step's text is not in it, nor where it stands.
    pub(crate) fn key_of(&self, kind: &StepKind, inputs: &[u8]) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        add(&GENERATION.to_le_bytes());
        add(&self.key);
        add(self.user.as_bytes());
        add(self.workdir.as_deref().unwrap_or_default().as_bytes());
        for (name, value) in &self.env {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        add(b"shell");
        for word in &self.shell {
            add(word.as_bytes());
        }
        add(format!("{kind:?}").as_bytes());
        add(inputs);
        hash.finalize().into()
    }

    fn mix(&mut self, parts: &[&[u8]]) {
        let mut hash = Sha256::new();
        hash.update(self.key);
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        self.key = hash.finalize().into();
    }

    /// Applies a step that changes no file.
    pub(crate) fn set(&mut self, kind: &StepKind) {
        let words = |command: &Command, shell: &[String]| match command {
            Command::Exec(words) => words.clone(),
            Command::Shell(text) => shell.iter().cloned().chain([text.clone()]).collect(),
        };
        match kind {
            StepKind::Env(pairs) => self.env.extend(pairs.iter().cloned()),
            StepKind::Workdir(path) => self.workdir = Some(self.absolute(path)),
            StepKind::User { name, .. } => self.user.clone_from(name),
            StepKind::Shell(shell) => self.shell.clone_from(shell),
            StepKind::Start(command) => {
                self.start = command.as_ref().map(|command| words(command, &self.shell));
                self.arguments = None;
            }
            StepKind::StartArguments(command) => {
                self.arguments = command.as_ref().map(|command| words(command, &self.shell));
            }
            StepKind::Ready(ready) => self.ready.clone_from(ready),
            StepKind::Run(_) | StepKind::Copy(_) | StepKind::AddUrl { .. } | StepKind::Nothing => {}
        }
    }

    /// What runs at the start of the template's sandboxes.
    pub(crate) fn start(&self) -> Option<Start> {
        let words = self.start.iter().chain(&self.arguments).flatten();
        let command: Vec<_> = words.cloned().collect();
        (!command.is_empty()).then(|| Start {
            command,
            ready: self.ready.clone(),
        })
    }

    /// A path of the build, from the directory of the step on.
    pub(crate) fn absolute(&self, path: &str) -> String {
        let from = self.directory();
        let mut absolute = PathBuf::from("/");
        for part in Path::new(&from).join(path).components() {
            match part {
                std::path::Component::ParentDir => {
                    absolute.pop();
                }
                std::path::Component::Normal(part) => absolute.push(part),
                _ => {}
            }
        }
        absolute.to_string_lossy().into_owned()
    }

    /// Where commands run: `/` where the user's home would be and is not there.
    pub(crate) fn directory(&self) -> String {
        match &self.workdir {
            Some(path) => path.clone(),
            None => Some(self.home())
                .filter(|home| self.is_directory(home))
                .unwrap_or_else(|| "/".to_owned()),
        }
    }

    /// The home of the user of the step.
    fn home(&self) -> String {
        let of_file = self
            .account(&self.user)
            .and_then(|line| line.split(':').nth(5).map(str::to_owned));
        of_file.unwrap_or_else(|| "/".to_owned())
    }

    /// The line of a user in `/etc/passwd`.
    fn account(&self, name: &str) -> Option<String> {
        let name = name.split(':').next().unwrap_or_default();
        let text = self
            .trees(Path::new("/nonexistent"))
            .read(Path::new("/etc/passwd"), ACCOUNTS);
        let text = text.ok()?;
        let mut lines = text.lines();
        lines
            .find(|line| line.split(':').next() == Some(name))
            .map(str::to_owned)
    }

    /// Whether there is such a directory.
    pub(crate) fn is_directory(&self, path: &str) -> bool {
        let found = self.trees(Path::new("/nonexistent")).find(Path::new(path));
        found.is_some_and(|found| found.metadata.is_dir())
    }

    /// A script that makes a user as clients ask for it; none: there is such a user already.
    pub(crate) fn making_of_user(&self, name: &str, sudo: bool) -> Option<String> {
        let there = name == "root" || self.account(name).is_some();
        let quoted = format!("'{}'", name.replace('\'', r"'\''"));
        let make = format!("name={quoted}; {MAKE_USER}");
        let rights = format!(
            "mkdir -p /etc/sudoers.d; printf '%s ALL=(ALL:ALL) NOPASSWD: ALL\\n' {quoted} \
             > /etc/sudoers.d/{quoted}; chmod 0440 /etc/sudoers.d/{quoted}; "
        );
        if there && !(sudo && name != "root") {
            return None;
        }
        let mut script =
            "set -e; shell=/bin/sh; [ ! -x /bin/bash ] || shell=/bin/bash; ".to_owned();
        if !there {
            script.push_str(&make);
        }
        if sudo {
            script.push_str(&rights);
        }
        Some(script)
    }
}

/// A key for something that is made anew.
pub(crate) fn fresh(key: &[u8; 32]) -> [u8; 32] {
    use std::hash::{BuildHasher as _, Hasher as _};
    let mut hash = Sha256::new();
    hash.update(key);
    // The seed of each new state is random.
    for _ in 0..4 {
        let random = std::hash::RandomState::new().build_hasher().finish();
        hash.update(random.to_le_bytes());
    }
    hash.finalize().into()
}

/// Whether a template's own tree has nothing but empty directories, so that it need not be a layer.
fn is_bare(rootfs: &Path) -> Result<bool, StepError> {
    settle::is_empty(rootfs).map_err(|source| StepError::Files {
        what: format!("read {}", rootfs.display()),
        source,
    })
}

/// The layer of links to a template's own tree.
fn layer_of(
    store: &LayerStore,
    record: &TemplateRecord,
    rootfs: &Path,
) -> Result<HeldLayer, StepError> {
    let files = |what: &str, source| StepError::Files {
        what: format!("{what} {}", rootfs.display()),
        source,
    };
    let about = std::fs::metadata(rootfs).map_err(|source| files("look at", source))?;
    let mut hash = Sha256::new();
    let mut text = Vec::new();
    record
        .serialize(&mut serde_json::Serializer::new(&mut text))
        .map_err(|error| files("describe", std::io::Error::other(error)))?;
    hash.update(&text);
    use std::os::unix::fs::MetadataExt as _;
    for number in [about.dev(), about.ino()] {
        hash.update(number.to_le_bytes());
    }
    let id = LayerId::of_step(&hash.finalize().into());
    if let Some(held) = store.hold(&id)? {
        return Ok(held);
    }
    let new = store.begin()?;
    clone_tree(rootfs, new.tree()).map_err(|error| StepError::Base {
        what: format!("template {}", record.name),
        why: error.to_string(),
    })?;
    Ok(new.publish(&id, &format!("template {}", record.name))?)
}
