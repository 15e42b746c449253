//! The spawner's side of a create, and what it keeps of each sandbox.

mod zygote;

use super::cgroup::{Controller, Group, Layout, Parents, View};
use super::channel;
use super::guest::{self, Order};
use super::home;
use super::identity::{self, Identity};
use super::ids;
use super::journal::Journal;
use super::process_limit;
use super::sandbox::{Child, Sandbox, Stage, micros_since};
use super::slot_network::Plan;
use super::spawner::{Motion, create_deadline};
use super::step::{Step, StepError};
use super::tree::{self, Maker};
use super::undo::Undo;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use rustix::thread::CapabilitiesSecureBits;
use soulbox_syscall::clone::{Namespaces, Side, clone_process};
use soulbox_syscall::mount::{Attributes, set_attributes};
use soulbox_syscall::namespace::{enter_network_namespace, new_network_namespace};
use soulbox_wire::spawner::{CgroupLimits, Create, Ids, Init, Network, StopAt, Usage};
use std::rc::Rc;
use std::time::Instant;

/// What the spawner makes sandboxes from.
pub(super) struct Builder {
    agent: OwnedFd,
    home_network: OwnedFd,
    parents: Parents,
    views: Vec<View>,
    ids: Ids,
    not_enforced: Vec<String>,
    network: Plan,
    trees: Maker,
    /// Whether Linux spares this process when memory runs out, which sandboxes would inherit.
    spared: bool,
}

impl Builder {
    /// Settles the process: rights, mount namespace, cgroups.
    pub(super) fn new(init: &Init, descriptors: Vec<OwnedFd>) -> Result<Self, StepError> {
        let mut descriptors = descriptors.into_iter();
        let agent = descriptors.next();
        let agent = agent
            .ok_or(Errno::BADF)
            .step(|| "find the agent's program".to_owned())?;
        // Without this, taking an owner's uid for a moment would drop all capabilities.
        rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP)
            .step(|| "keep capabilities over a change of user".to_owned())?;
        let is_root = ids::is_root(init.ids);
        if !is_root {
            // A user's spawner may not come back to the host's network, so it has one of its own.
            new_network_namespace().step(|| "make the spawner's network namespace".to_owned())?;
        }
        let layout = match is_root {
            true => Layout::of_host(),
            false => Layout::of_user(),
        };
        let mut layout = layout
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
            .step(|| "read the mount table".to_owned())?;
        // A group for a limit that few have costs every create its microseconds.
        if !init.limit_io {
            layout = layout.without(Controller::Io);
        }
        if !init.assign_processors {
            layout = layout.without_assigning();
        }
        let parents = match is_root {
            true => Parents::open(&layout, &init.cgroup, &init.ceiling)?,
            false => Parents::open_delegated(&mut layout, &init.cgroup, &init.ceiling),
        };
        // A user's are counted by resource limits, all of a sandbox together; root's only each user's.
        let missing = Controller::ALL
            .iter()
            .filter(|c| layout.missing.contains(c) && (is_root || **c != Controller::Pids));
        let not_enforced = missing.map(|c| c.name().to_owned()).collect();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let home_network = rustix::fs::open("/proc/self/ns/net", flags, Mode::empty())
            .step(|| "open the host's network namespace".to_owned())?;
        let network = Plan::new(&init.subnet)?;
        let spared =
            std::fs::read("/proc/self/oom_score_adj").is_ok_and(|score| score.starts_with(b"-"));
        let views = parents.views();
        let storage = descriptors.next().filter(|_| init.storage);
        home::settle(&init.roots, &views, &init.scratch, (storage, is_root))?;
        let tree = init
            .roots
            .first()
            .ok_or(Errno::INVAL)
            .step(|| "find a directory to build sandboxes from".to_owned())?;
        let trees = Maker::new(tree)?;
        Ok(Self {
            agent,
            trees,
            home_network,
            parents,
            views,
            ids: init.ids,
            not_enforced,
            network,
            spared,
        })
    }

    /// The limits that nothing holds sandboxes to here, by their names.
    pub(super) fn not_enforced(&self) -> &[String] {
        &self.not_enforced
    }

    /// Makes a slot's network namespace and cgroups. `joined_by`: the host uid whose zygote's copies are
    /// to join the sandbox in it.
    pub(super) fn make_slot(
        &self,
        slot: u32,
        network: Network,
        joined_by: Option<u32>,
    ) -> Result<Sandbox, StepError> {
        let clock = Instant::now();
        let mut undo = Undo::default();
        let made = self.network.create(slot, network, joined_by)?;
        let mut phases = vec![("network".to_owned(), micros_since(clock))];
        let lap = Instant::now();
        let group = Rc::new(self.parents.make(slot)?);
        let removed = Rc::clone(&group);
        undo.push(format!("remove the cgroups of slot {slot}"), move || {
            removed.remove()
        });
        phases.push(("cgroup".to_owned(), micros_since(lap)));
        Ok(Sandbox {
            slot,
            stage: Stage::Slot,
            stop_at: StopAt::Running,
            group,
            namespace: Rc::new(made.namespace),
            resolver: made.resolver,
            child: None,
            phases,
            clock: Instant::now(),
            deadline: None,
            failure_told: false,
            ended: None,
            usage: Usage::default(),
            motion: Motion::Going,
            expiry: None,
            expired: false,
            resolver_told: false,
            kept: None,
            owner: 0,
            pids: 0,
            open_files: 0,
            broker: None,
            undo,
        })
    }

    /// Makes a sandbox in its slot, as far as the child can go on by itself.
    pub(super) fn create(
        &self,
        sandbox: &mut Sandbox,
        create: &Create,
        descriptors: Vec<OwnedFd>,
        journal: &mut Journal,
    ) -> Result<(), StepError> {
        if create.layers.is_empty()
            || descriptors.len() != create.mounts.len() + 1 + usize::from(create.keeps)
        {
            return Err(Errno::INVAL).step(|| "read the order for a sandbox".to_owned());
        }
        sandbox.clock = Instant::now();
        sandbox.deadline = Some(create_deadline());
        sandbox.stop_at = create.stop_at;
        sandbox.owner = create.owner;
        sandbox.pids = create.limits.pids;
        sandbox.open_files = create.open_files;
        sandbox.group.limit(&create.limits)?;
        sandbox.lap("limits");
        let mut descriptors = descriptors.into_iter();
        let listener = descriptors.next();
        let mounts: Vec<_> = descriptors.by_ref().take(create.mounts.len()).collect();
        sandbox.kept = descriptors.next();
        let listener = listener
            .ok_or(Errno::BADF)
            .step(|| "find the listener".to_owned())?;
        self.clone_child(sandbox, create)?;
        sandbox.lap("clone");
        let root_id = ids::root(self.ids, sandbox.slot);
        let child = sandbox
            .child
            .as_mut()
            .ok_or(Errno::CHILD)
            .step(|| "find the child".to_owned())?;
        if self.spared {
            // Nobody inside can get below it: it was set by who has CAP_SYS_RESOURCE.
            write_proc(child.pid, "oom_score_adj", "0")?;
        }
        write_id_maps(child.pid, &ids::map(self.ids, sandbox.slot))?;
        send(child.channel.as_ref(), &Order::Begin, &[])?;
        // While the child works.
        journal.born(sandbox.slot, child.identity)?;
        let user_namespace = tree::user_namespace(child.pid)?;
        let shift = ids::is_root(self.ids).then(|| user_namespace.as_fd());
        let trees = self
            .trees
            .make(&create.layers, &create.storage, root_id, shift)?;
        for (mount, tree) in create.mounts.iter().zip(&mounts) {
            let shift = shift.filter(|_| mount.shift_ids);
            let mut attributes = Attributes::NO_SUID | Attributes::NO_DEVICES;
            attributes.set(Attributes::READ_ONLY, mount.read_only);
            set_attributes(tree.as_fd(), attributes, shift, true)
                .step(|| format!("shift the owners of the mount on {}", mount.at))?;
        }
        let entrances = self.entrances(sandbox.group.as_ref(), root_id)?;
        let (ready, ready_child) =
            pipe_with(PipeFlags::CLOEXEC).step(|| "make the ready pipe".to_owned())?;
        child.ready = Some(ready);
        let order = Order::Build {
            entrances: entrances.len(),
            shm: trees.shm.is_some(),
        };
        let all: Vec<BorrowedFd<'_>> = trees
            .overlays
            .iter()
            .chain(&mounts)
            .chain(&entrances)
            .chain(&trees.shm)
            .chain([&listener, &ready_child, &self.agent])
            .map(AsFd::as_fd)
            .collect();
        send(child.channel.as_ref(), &order, &all)?;
        sandbox.lap("tree");
        Ok(())
    }

    /// The v1 files by which the sandbox's root enters its cgroups. Linux asks there whether who
    /// opened the file may move the process: root may, others their own processes.
    fn entrances(&self, group: &Group, root_id: u32) -> Result<Vec<OwnedFd>, StepError> {
        if ids::is_root(self.ids) {
            return group.entrances();
        }
        set_effective_user(root_id).step(|| "become the sandbox's root".to_owned())?;
        let entrances = group.entrances();
        if set_effective_user(0).is_err() {
            std::process::abort();
        }
        entrances
    }

    /// Clones the child: owned by the sandbox's owner, in its network and, on v2, its cgroup.
    fn clone_child(&self, sandbox: &mut Sandbox, create: &Create) -> Result<(), StepError> {
        let (mine, childs) = channel::pair().step(|| "make a channel".to_owned())?;
        let namespaces = Namespaces::USER
            | Namespaces::MOUNT
            | Namespaces::PID
            | Namespaces::IPC
            | Namespaces::UTS;
        let birthplace = sandbox.group.birthplace()?;
        enter_network_namespace(sandbox.namespace.as_fd())
            .step(|| "enter the sandbox's network".to_owned())?;
        let earliest = identity::now();
        let owner = ids::owner(self.ids, sandbox.slot, create.owner);
        // What holds for all users of the sandbox together, counted by their namespace's owner.
        let together = self.ids == Ids::Range;
        let before = together.then(|| process_limit::lower(create.limits.pids, false));
        let birthplace = birthplace.as_ref().map(AsFd::as_fd);
        let side = set_effective_user(owner).and_then(|()| clone_process(namespaces, birthplace));
        if let Ok(Side::Child) = side {
            guest::run(create, &self.views, self.ids, childs);
        }
        if let Some(before) = before {
            process_limit::restore(before);
        }
        let back =
            set_effective_user(0).and_then(|()| enter_network_namespace(self.home_network.as_fd()));
        if back.is_err() {
            // Nothing that this process did from here on would be done as who and where it is
            // meant to be. The engine starts another one.
            std::process::abort();
        }
        match side.step(|| "clone a process in new namespaces".to_owned())? {
            Side::Child => unreachable_child(),
            Side::Parent { pid, pidfd } => {
                let raw = u32::try_from(pid.as_raw_nonzero().get()).unwrap_or(0);
                sandbox.child = Some(Child {
                    pid,
                    identity: Identity::made_since(raw, earliest),
                    pidfd,
                    channel: Some(mine),
                    ready: None,
                });
                sandbox.stage = Stage::Building;
                Ok(())
            }
        }
    }

    /// Lets a prepared sandbox run.
    pub(super) fn start(
        &self,
        sandbox: &mut Sandbox,
        limits: &CgroupLimits,
    ) -> Result<(), StepError> {
        if sandbox.stage != Stage::Prepared {
            return Err(Errno::INVAL).step(|| "start a sandbox that is not prepared".to_owned());
        }
        sandbox.clock = Instant::now();
        sandbox.group.limit(limits)?;
        sandbox.lap("limits");
        let channel = sandbox
            .child
            .as_ref()
            .and_then(|child| child.channel.as_ref());
        send(channel, &Order::Run, &[])?;
        sandbox.stage = Stage::Starting;
        sandbox.deadline = Some(create_deadline());
        Ok(())
    }
}

/// The child never comes back from [`guest::run`].
fn unreachable_child() -> ! {
    std::process::abort()
}

fn send(
    channel: Option<&OwnedFd>,
    order: &impl serde::Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), StepError> {
    let send = || match channel {
        Some(channel) => channel::send(channel, order, descriptors).map_err(|_| Errno::PIPE),
        None => Err(Errno::NOTCONN),
    };
    send().step(|| "order the sandbox's first process".to_owned())
}

/// Takes an effective user id; the real and saved ones stay root's.
fn set_effective_user(uid: u32) -> Result<(), Errno> {
    rustix::thread::set_thread_res_uid(None, Some(Uid::from_raw(uid)), None)
}

fn write_id_maps(pid: Pid, map: &str) -> Result<(), StepError> {
    ["uid_map", "gid_map"]
        .into_iter()
        .try_for_each(|file| write_proc(pid, file, map))
}

/// Writes a file of a process.
fn write_proc(pid: Pid, file: &str, text: &str) -> Result<(), StepError> {
    let path = format!("/proc/{}/{file}", pid.as_raw_nonzero());
    let write = || -> Result<(), Errno> {
        let fd = rustix::fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(&fd, text.as_bytes()).map(|_| ())
    };
    write().step(|| format!("write {text:?} to {path}"))
}
