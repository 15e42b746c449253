//! A command in a sandbox of its own; what it wrote becomes the step's layer.

use super::copy::Source;
use super::state::State;
use super::{At, Happened, StepBuilder, StepError, blocking};
use crate::core::Ground;
use crate::node::Birth;
use crate::sandbox::Sandbox;
use crate::template::Template;
use rustix::fs::statvfs;
use soulbox_image::layer_store::NewLayer;
use soulbox_image::measure::TreeSize;
use soulbox_image::progress::{BuildEvent, Lines};
use soulbox_image::record::TemplateRecord;
use soulbox_image::settle::settle;
use soulbox_image::steps::{Command, Run, RunMount};
use soulbox_model::{Isolation, Mount, NetworkMode, SandboxSpec, TemplateName};
use soulbox_runtime::agent_client::{AgentError, ProcessEnd, ProcessEvent, StartRequest};
use soulbox_runtime::native::ids;
use soulbox_wire::connect::Code;
use soulbox_wire::spawner::Ids;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The spawner's name of the first writable tree in a sandbox's storage.
const WRITTEN: &str = "upper0";
/// Less than this on the disk, and the step that writes to it is ended.
const FULL: u64 = 256 << 20;
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// A command of a step.
pub(super) struct Inside<'a> {
    pub(super) words: Vec<String>,
    /// As it is shown when it fails.
    pub(super) shown: &'a str,
    pub(super) user: &'a str,
    pub(super) workdir: Option<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) mounts: Vec<Mount>,
    pub(super) network: bool,
}

impl StepBuilder<'_> {
    /// Runs the command of a RUN.
    pub(super) async fn run(
        &self,
        at: At,
        (run, bound): (&Run, Vec<Arc<Source>>),
        state: &State,
        new: NewLayer,
    ) -> Result<NewLayer, StepError> {
        let (words, shown) = match &run.command {
            Command::Exec(words) => (words.clone(), words.join(" ")),
            Command::Shell(text) => {
                let words = state.shell.iter().cloned().chain([text.clone()]);
                (words.collect(), text.clone())
            }
        };
        let mut env = state.env.clone();
        env.extend(run.env.iter().cloned());
        let mut mounts = Vec::new();
        let mut bound = bound.into_iter();
        for (number, mount) in run.mounts.iter().enumerate() {
            let place = new.aside(&format!("mount-{number}"));
            if let RunMount::Bind { target, .. } = mount {
                let Some(source) = bound.next() else { continue };
                let host = blocking(move || source.lay(&place)).await?;
                mounts.push(Mount {
                    host,
                    guest: target.into(),
                    read_only: true,
                });
                continue;
            }
            self.mount(mount, place, &mut mounts, &mut env)?;
        }
        let inside = Inside {
            words,
            shown: &shown,
            user: run.user.as_deref().unwrap_or(&state.user),
            workdir: Some(state.directory()),
            env,
            mounts,
            network: run.network,
        };
        self.inside(at, state, inside, new).await
    }

    /// Runs a command of our own.
    pub(super) async fn do_as(
        &self,
        (at, state): (At, &State),
        (words, user): (Vec<String>, &str),
        new: NewLayer,
    ) -> Result<NewLayer, StepError> {
        let shown = words.join(" ");
        let inside = Inside {
            words,
            shown: &shown,
            user,
            workdir: Some("/".to_owned()),
            env: state.env.clone(),
            mounts: Vec::new(),
            network: false,
        };
        self.inside(at, state, inside, new).await
    }

    async fn inside(
        &self,
        at: At,
        state: &State,
        inside: Inside<'_>,
        new: NewLayer,
    ) -> Result<NewLayer, StepError> {
        let upper = new.aside("upper");
        make_directory(&upper, 0o700)?;
        let sandbox = self.sandbox(state, &inside, &new, &upper).await?;
        let ended = tokio::select! {
            ended = tokio::time::timeout(self.timeout, self.follow(at, &sandbox, &inside)) => ended,
            error = self.disk(&upper) => Ok(Err(error)),
        };
        let root = match self.node.ids() {
            found @ Ids::Machine { .. } => Some(ids::root(found, sandbox.slot())),
            Ids::Range | Ids::One => None,
        };
        let usage = sandbox.destroy().await;
        let failed = |how: String, code| StepError::Command {
            command: inside.shown.to_owned(),
            how,
            code,
        };
        let end = match ended {
            Ok(end) => end,
            Err(_) => {
                let limit = self.timeout.as_secs();
                return Err(failed(
                    format!("command failed: not done after {limit} s"),
                    None,
                ));
            }
        };
        if usage.oom_kills > 0 && !matches!(&end, Ok(end) if end.exit_code == 0) {
            let limit = self.limits.memory;
            return Err(failed(
                format!("command failed: out of memory at {limit}"),
                None,
            ));
        }
        let end = end?;
        match (end.exit_code, &end.signal) {
            (0, None) => {}
            (code, None) => {
                return Err(failed(
                    format!("command failed: exit status {code}"),
                    Some(code),
                ));
            }
            (code, Some(_)) => {
                return Err(failed(
                    format!("command failed: {}", end.status),
                    Some(code),
                ));
            }
        }
        let guests: Vec<_> = inside.mounts.into_iter().map(|mount| mount.guest).collect();
        let below = state.trees(Path::new("/nonexistent"));
        blocking(move || {
            let written = upper.join(WRITTEN);
            if written.is_dir() {
                for guest in guests.iter().filter(|guest| below.find(guest).is_none()) {
                    remove_place(&written, guest);
                }
                settle(&written, root)?;
                new.take(&written)?;
            }
            Ok(new)
        })
        .await
    }

    /// Makes the sandbox of a step, over the layers so far.
    pub(super) async fn sandbox(
        &self,
        state: &State,
        inside: &Inside<'_>,
        new: &NewLayer,
        upper: &Path,
    ) -> Result<Sandbox, StepError> {
        let bottom = new.aside("bottom");
        make_directory(&bottom, 0o755)?;
        let name = step_name()?;
        let layers = state.trees(&bottom);
        let mut record = TemplateRecord::new(name.clone(), &layers, TreeSize::default());
        record.env.clone_from(&state.env);
        record.user.clone_from(&state.user);
        record.workdir = Some(state.directory().into());
        let template = Template::unpublished(record, layers, new.lock()?);
        let internet = inside.network && self.node.may_connect();
        let spec = SandboxSpec {
            template: name,
            isolation: Isolation::Namespace,
            limits: self.limits,
            network: match internet {
                true => NetworkMode::Internet,
                false => NetworkMode::None,
            },
            mounts: inside.mounts.clone(),
        };
        let ground = Ground {
            template: Arc::new(template),
            upper: Some(upper.to_string_lossy().into_owned()),
        };
        let birth = Birth::default();
        Ok(self.node.create_of(spec, birth, Some(ground)).await?)
    }

    /// Follows a command to its end.
    async fn follow(
        &self,
        at: At,
        sandbox: &Sandbox,
        inside: &Inside<'_>,
    ) -> Result<ProcessEnd, StepError> {
        let mut words = inside.words.iter().cloned();
        let request = StartRequest {
            cmd: words.next().unwrap_or_default(),
            args: words.collect(),
            envs: inside.env.clone(),
            cwd: inside.workdir.clone(),
            user: Some(inside.user.to_owned()),
            ..StartRequest::default()
        };
        let refused = |error| match error {
            AgentError::Rpc(error) => StepError::Command {
                command: inside.shown.to_owned(),
                how: format!("command failed: {}: {}", name_of(error.code), error.message),
                code: None,
            },
            error => StepError::Agent(error),
        };
        let mut process = sandbox.agent().start(&request).await.map_err(refused)?;
        let (mut stdout, mut stderr) = (Lines::default(), Lines::default());
        loop {
            let event = process.next().await?;
            let happened = match event {
                Some(ProcessEvent::Stdout(bytes)) => stdout.feed(&bytes),
                Some(ProcessEvent::Stderr(bytes)) => stderr.feed(&bytes),
                Some(ProcessEvent::Terminal(_)) => Vec::new(),
                Some(ProcessEvent::End(end)) => {
                    for line in [stdout.end(), stderr.end()].into_iter().flatten() {
                        self.line(at, line);
                    }
                    return Ok(end);
                }
                None => return Err(AgentError::Broken("its stream ended".into()).into()),
            };
            for line in happened {
                self.line(at, line);
            }
        }
    }

    fn line(&self, at: At, event: BuildEvent) {
        let text = match event {
            BuildEvent::Line(text) => text,
            BuildEvent::Phase { percent, text } => format!("{percent} % {text}"),
            BuildEvent::Waiting => return,
        };
        self.tell(at, Happened::Line(text));
    }

    /// Ends with an error when the disk is nearly full: nothing else bounds what a step writes.
    async fn disk(&self, upper: &Path) -> StepError {
        loop {
            tokio::time::sleep(LOOK).await;
            let full = statvfs(upper).is_ok_and(|stat| {
                stat.f_bavail.saturating_mul(stat.f_frsize) < FULL
                    || (stat.f_files > 0 && stat.f_favail < 1000)
            });
            if full {
                return StepError::DiskFull;
            }
        }
    }

    /// What a mount of a RUN is.
    fn mount(
        &self,
        mount: &RunMount,
        place: PathBuf,
        mounts: &mut Vec<Mount>,
        env: &mut BTreeMap<String, String>,
    ) -> Result<(), StepError> {
        let mut add = |host: PathBuf, guest: &str, read_only| {
            mounts.push(Mount {
                host,
                guest: guest.into(),
                read_only,
            });
        };
        match mount {
            RunMount::Secret {
                id,
                target,
                env: variable,
                required,
                mode,
                uid,
                gid,
            } => {
                let Some(secret) = self.sources.secret(id) else {
                    return match required {
                        true => Err(StepError::NotGiven(format!("secret {id}"))),
                        false => Ok(()),
                    };
                };
                if let Some(variable) = variable {
                    let text = String::from_utf8_lossy(&secret).into_owned();
                    env.insert(variable.clone(), text);
                }
                if let Some(target) = target {
                    write_secret(&place, &secret, (*mode, *uid, *gid))
                        .map_err(|source| files("write a secret for the step", source))?;
                    add(place, target, true);
                }
            }
            RunMount::Cache {
                id,
                target,
                read_only,
            } => match self.sources.cache(id) {
                Some(cache) => add(cache, target, *read_only),
                None => {
                    make_directory(&place, 0o755)?;
                    add(place, target, *read_only);
                }
            },
            RunMount::Tmpfs { target } => {
                make_directory(&place, 0o1777)?;
                add(place, target, false);
            }
            // What they show was laid out before.
            RunMount::Bind { .. } => {}
            RunMount::Ssh { id, required, .. } => {
                if *required {
                    return Err(StepError::NotGiven(format!("ssh agent {id}")));
                }
            }
        }
        Ok(())
    }
}

pub(super) fn files(what: &str, source: std::io::Error) -> StepError {
    StepError::Files {
        what: what.to_owned(),
        source,
    }
}

/// A code as it is on the wire.
fn name_of(code: Code) -> String {
    let name = serde_json::to_value(code).ok();
    let name = name.as_ref().and_then(serde_json::Value::as_str);
    name.unwrap_or("unknown").to_owned()
}

pub(super) fn make_directory(path: &Path, mode: u32) -> Result<(), StepError> {
    fs::DirBuilder::new()
        .mode(mode)
        .create(path)
        // Whatever the umask is.
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(|source| files(&format!("make {}", path.display()), source))
}

fn write_secret(
    path: &Path,
    secret: &[u8],
    (mode, uid, gid): (u32, u32, u32),
) -> std::io::Result<()> {
    let mut file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    std::io::Write::write_all(&mut file, secret)?;
    std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
    file.set_permissions(fs::Permissions::from_mode(mode & 0o777))
}

/// Removes the empty file or directory that a mount was put on, with the empty ones above it.
fn remove_place(written: &Path, guest: &Path) {
    let Ok(relative) = guest.strip_prefix("/") else {
        return;
    };
    let mut path = written.join(relative);
    if fs::remove_file(&path).is_err() && fs::remove_dir(&path).is_err() {
        return;
    }
    while path.pop() && path != written && fs::remove_dir(&path).is_ok() {}
}

fn step_name() -> Result<TemplateName, StepError> {
    "build-step".parse().map_err(|error| {
        let error = std::io::Error::other(error);
        files("name the step's template", error)
    })
}
