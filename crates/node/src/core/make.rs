//! Making sandboxes, and giving them to those who ask.

use super::keep::{Keep, Layer};
use super::waiting::Waiting;
use super::{Core, defaults};
use crate::ceiling::Promise;
use crate::keeper::Spawner;
use crate::limits::cgroup_limits;
use crate::mount_source;
use crate::node::{Birth, CreateError};
use crate::note::Note;
use crate::owner;
use crate::pool::Pool;
use crate::pools::{Asked, Pools};
use crate::sandbox::{Kept, Sandbox};
use crate::storage::{Gauge, LayerMark};
use crate::template::Template;
use crate::tree_source::{self, TreeError};
use crate::zygotes::{Copies, Loaded, Script, Supplier, Zygote};
use soulbox_model::{Limits, NetworkMode, Phases, SandboxSpec, TemplateName};
use soulbox_runtime::agent_client::AgentClient;
use soulbox_runtime::native::driver::{Made, Slot};
use soulbox_wire::envd::http::InitRequest;
use soulbox_wire::spawner::{self, Create, GuestMount, Network, StopAt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

/// What the root of a sandbox is.
pub(crate) struct Ground {
    /// The read-only trees.
    pub(crate) template: Arc<Template>,
    /// An empty directory of the host for what is written, which the caller keeps; none: one that
    /// goes with the sandbox.
    pub(crate) upper: Option<String>,
}

impl Core {
    /// Takes the readiest thing that fits from the pools and makes the rest.
    pub(crate) async fn take_or_make(
        &self,
        (core, pools): (&Arc<Self>, &Pools),
        spec: &SandboxSpec,
        birth: &Birth,
    ) -> Result<Waiting, CreateError> {
        let template = self.template(&spec.template).await?;
        let team = birth.team.as_ref();
        let joined = team.and_then(|_| self.joins(&template, birth.script));
        let asked = Asked {
            template: &template,
            spec,
            team,
            joined,
        };
        for kind in pools.asked(core, &asked).into_iter().flatten() {
            if let Some(mut parked) = take_current(&kind.parked) {
                if spec.limits != kind.spec.limits {
                    parked.slot.limit(cgroup_limits(&spec.limits)).await?;
                }
                parked.made.phases.clear();
                return Ok(parked);
            }
            if let Some(mut prepared) = take_current(&kind.prepared) {
                let resolver = std::mem::take(&mut prepared.made.resolver);
                prepared.made = prepared.slot.start(cgroup_limits(&spec.limits)).await?;
                prepared.made.resolver.extend(resolver);
                return Ok(prepared);
            }
        }
        let zygote = self.zygote(spec, Copies::of(team, joined).as_ref()).await?;
        // Networks of those are nobody's: a zygote's copies cannot enter them.
        let slot = match (spec.network, &zygote) {
            (NetworkMode::None, None) => take_current(&pools.slots),
            _ => None,
        };
        let slot = match slot {
            Some(slot) => slot,
            None => pools.place(self).await?,
        };
        self.make(Some(slot), spec, zygote, StopAt::Running).await
    }

    /// The build of a template that new sandboxes are made of.
    pub(crate) async fn template(&self, name: &TemplateName) -> Result<Arc<Template>, TreeError> {
        self.trees.get(name).await
    }

    /// As [`Core::template`]; reads the disk meanwhile.
    pub(crate) fn template_now(&self, name: &TemplateName) -> Result<Arc<Template>, TreeError> {
        self.trees.get_now(name)
    }

    /// Keeps a template no longer for sandboxes that may come.
    pub(crate) fn let_go_of(&self, name: &TemplateName) {
        self.trees.let_go_of(name);
    }

    /// What a zygote has loaded whose copies are to join sandboxes of a template: it has one, and kernels, or
    /// a script is run in them. What Linux counts for the owner of a user namespace, those of one zygote
    /// share: for a sandbox that gets no copy that would be a price for nothing.
    pub(crate) fn joins(&self, template: &Template, script: Option<Script>) -> Option<Loaded> {
        if !self.settings.zygote.enabled {
            return None;
        }
        let recipe = template.record.zygote.as_ref();
        Loaded::wanted(recipe.filter(|_| self.may_connect()), script)
    }

    /// The zygote that such copies are of, if there is one.
    pub(crate) async fn zygote(
        &self,
        spec: &SandboxSpec,
        copies: Option<&Copies>,
    ) -> Result<Option<Arc<Zygote>>, CreateError> {
        let Some(copies) = copies else {
            return Ok(None);
        };
        let template = self.trees.get(&spec.template).await?;
        match template.record.zygote.as_ref() {
            Some(recipe) => Ok(self.zygotes.of(self, copies, &template, recipe).await),
            None => Ok(None),
        }
    }

    /// Makes the network namespace and cgroups of a slot that waits, once nobody else waits for anything.
    pub(crate) async fn make_slot_ready(&self) -> Result<Waiting, CreateError> {
        loop {
            let _making = self.rest().await;
            let mut waiting = self.open_slot().await?;
            waiting.made = waiting.slot.prepare(Network::None).await?;
            if !self.places.are_lacking() {
                return Ok(waiting);
            }
            waiting.end().await;
        }
    }

    /// Takes a slot that has nothing yet.
    pub(crate) async fn open_slot(&self) -> Result<Waiting, CreateError> {
        let spawner = self.keeper.get().await.map_err(Box::new)?;
        self.open_slot_of(&spawner)
    }

    /// Takes a slot for something that is no sandbox.
    pub(crate) async fn take_slot(&self) -> Result<Slot, CreateError> {
        Ok(self.open_slot().await?.slot)
    }

    fn open_slot_of(&self, spawner: &Spawner) -> Result<Waiting, CreateError> {
        let (holder, mark) = (spawner.holder, self.workplace.mark());
        let lease = self.table.take_of(holder, mark, self.most_sandboxes)?;
        self.memory_kills.forget(lease.slot());
        let socket = self.workplace.socket(lease.slot());
        let number = lease.slot();
        let held = Layer::default();
        let keep = Keep {
            socket: socket.clone(),
            layer: Arc::clone(&held),
            remover: self.storage.remover(),
            lease: Some(lease),
        };
        let slot = spawner.driver.open(number, Box::new(keep))?;
        Ok(Waiting {
            slot,
            owner: owner::of_slot(number),
            made: Made::default(),
            socket,
            init: InitRequest::default(),
            told: false,
            template: None,
            layer: held,
            gauge: Gauge::FileSystem,
            zygote: None,
            ahead: false,
        })
    }

    /// Makes a sandbox, in `slot` when one was ready. `zygote`: whose copies may join it; it has no slot
    /// that was ready then.
    pub(crate) async fn make(
        &self,
        slot: Option<Waiting>,
        spec: &SandboxSpec,
        zygote: Option<Arc<Zygote>>,
        stop_at: StopAt,
    ) -> Result<Waiting, CreateError> {
        let template = self.trees.get(&spec.template).await?;
        self.make_of(
            slot,
            spec,
            Ground {
                template,
                upper: None,
            },
            zygote,
            stop_at,
        )
        .await
    }

    /// Makes a sandbox whose root is what `ground` says, whatever the name of its template is.
    pub(crate) async fn make_of(
        &self,
        slot: Option<Waiting>,
        spec: &SandboxSpec,
        ground: Ground,
        zygote: Option<Arc<Zygote>>,
        stop_at: StopAt,
    ) -> Result<Waiting, CreateError> {
        let Ground { template, upper } = ground;
        let layers = tree_source::layers(&template, self.ids)?;
        let opened = spec
            .mounts
            .iter()
            .map(mount_source::open)
            .collect::<Result<Vec<_>, _>>()?;
        let (mut mounts, mut trees): (Vec<GuestMount>, Vec<_>) = opened.into_iter().unzip();
        let mut waiting = match slot {
            Some(slot) => slot,
            None => self.open_slot().await?,
        };
        waiting.init = defaults::of(&template.record);
        if let Some(zygote) = zygote {
            waiting.owner = zygote.owner();
            waiting.zygote = Some(zygote);
        }
        if spec.network == NetworkMode::Internet
            && let Some(trusted) = self.internet().await?.trusted(&template.layers)?
        {
            mounts.push(trusted.mount);
            trees.push(trusted.tree);
            defaults::add(&mut waiting.init, trusted.environment);
        }
        let kept = self.lasting.then(|| template.copy_lock()).transpose();
        let kept = kept.map_err(|source| TreeError::Hold {
            name: spec.template.clone(),
            source,
        })?;
        waiting.template = Some(template);
        let storage = match upper {
            Some(path) => spawner::Storage::Directory { path },
            None => self.allot(&mut waiting, spec.limits).await?,
        };
        let listener = listen(&waiting.socket)?;
        let create = Create {
            slot: waiting.slot.number(),
            network: wire_network(spec.network),
            owner: waiting.owner,
            joinable: waiting.zygote.is_some(),
            layers,
            storage,
            shm: spec.limits.memory.bytes() / 2,
            mounts,
            limits: cgroup_limits(&spec.limits),
            open_files: spec.limits.open_files,
            stop_at,
            keeps: kept.is_some(),
        };
        let descriptors = std::iter::once(listener.into()).chain(trees);
        let descriptors = descriptors.chain(kept).collect();
        let resolver = std::mem::take(&mut waiting.made.resolver);
        waiting.made = waiting.slot.create(create, descriptors).await?;
        waiting.made.resolver.extend(resolver);
        Ok(waiting)
    }

    /// Makes the writable layer of a slot.
    async fn allot(
        &self,
        waiting: &mut Waiting,
        limits: Limits,
    ) -> Result<spawner::Storage, CreateError> {
        let (storage, slot) = (Arc::clone(&self.storage), waiting.slot.number());
        let layer = match storage.is_instant(&limits) {
            true => storage.allot(slot, &limits)?,
            false => tokio::task::spawn_blocking(move || storage.allot(slot, &limits))
                .await
                .map_err(|_| CreateError::Stopping)??,
        };
        waiting.gauge = layer.gauge.clone();
        let wire = layer.wire.clone();
        *waiting.layer.lock().unwrap_or_else(PoisonError::into_inner) = Some(layer);
        Ok(wire)
    }

    /// Gives a waiting sandbox to the one who asked.
    pub(crate) async fn hand_out(
        &self,
        waiting: Waiting,
        spec: SandboxSpec,
        birth: Birth,
        promise: Promise,
        begin: Instant,
    ) -> Result<Sandbox, CreateError> {
        let Waiting {
            mut slot,
            made,
            socket,
            mut init,
            told,
            template,
            gauge,
            layer,
            zygote,
            ahead,
            owner: _,
        } = waiting;
        let resolver = match self.internet.get() {
            Some(internet) => internet.serve(made.resolver)?,
            None => None,
        };
        let agent = AgentClient::with_limits(socket, (&self.settings.agent).into());
        let Birth {
            id,
            variables,
            deadline,
            team: _,
            script: _,
        } = birth;
        let told = told && variables.is_empty();
        defaults::add(&mut init, variables);
        let variables = async {
            if told || init == InitRequest::default() {
                return Ok(());
            }
            agent.init(&init).await
        };
        let mut note = Note::new(id.clone(), spec.template.clone());
        if self.lasting
            && template
                .as_ref()
                .is_some_and(|template| template.is_published())
        {
            note.take_over(&spec, mark_of(&layer));
        }
        let text = note.text();
        let noted = async {
            // Whoever is told of it may count on it.
            if self.lasting || deadline.is_some() {
                return slot.write_note(text, deadline.map(Into::into)).await;
            }
            slot.note(text);
            Ok(())
        };
        let (variables, noted) = tokio::join!(variables, noted);
        variables?;
        noted?;
        let mut phases = Phases::default();
        for (step, micros) in &made.phases {
            phases.push(step, *micros);
        }
        let total = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        phases.push("engine", total.saturating_sub(phases.total()));
        let supplier = zygote.map(|zygote| {
            let joiner = slot.joiner();
            Arc::new(Supplier::new(agent.clone(), joiner, zygote, ahead))
        });
        Ok(Sandbox::new(
            id,
            spec,
            made.pid,
            phases,
            agent,
            (slot, gauge, note),
            Kept {
                _resolver: resolver,
                template,
                supplier,
                _promise: promise,
                memory_kills: Arc::clone(&self.memory_kills),
                pause_timeout: self.settings.spawner.pause_timeout,
            },
        ))
    }
}

/// Takes one that is made of its template as that is now; those that are not are ended.
fn take_current(pool: &Pool<Waiting>) -> Option<Waiting> {
    std::iter::from_fn(|| pool.take()).find(Waiting::is_current)
}

/// By what a writable layer is found again.
fn mark_of(layer: &Layer) -> Option<LayerMark> {
    let layer = layer.lock().unwrap_or_else(PoisonError::into_inner);
    layer.as_ref()?.mark.clone()
}

fn wire_network(network: NetworkMode) -> Network {
    match network {
        NetworkMode::None => Network::None,
        NetworkMode::Internet => Network::Internet,
    }
}

/// Makes the socket on which an agent will listen.
fn listen(path: &Path) -> Result<UnixListener, CreateError> {
    let listen = || -> std::io::Result<UnixListener> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|source| CreateError::Socket {
        path: path.to_owned(),
        source,
    })
}
