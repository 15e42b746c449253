//! The spawner's side of a zygote's start, and of a copy's way into a sandbox.

use super::super::capability::KEPT;
use super::super::channel;
use super::super::guest::UMASK;
use super::super::identity::{self, Identity};
use super::super::journal::Journal;
use super::super::process_limit;
use super::super::sandbox::{Child, Sandbox, Stage};
use super::super::spawner::{Broker, create_deadline};
use super::super::step::{Step, StepError};
use super::super::zygote::{self as guest, Order};
use super::{Builder, send, unreachable_child, write_proc};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, IoSlice};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::Resource;
use soulbox_syscall::clone::{Namespaces, Side, clone_process};
use soulbox_syscall::namespace::enter_network_namespace;
use soulbox_wire::spawner::{Join, MAX_DESCRIPTORS, Zygote};
use soulbox_wire::zygote::{Limit, MAX_REQUEST, NAMESPACES, Request};
use std::mem::MaybeUninit;
use std::time::Instant;

/// How willing Linux is to end a sandbox's commands when memory runs out: the agent's own number for
/// them (`agent`, `process/oom_score.rs`).
const COMMANDS_OOM_SCORE: &str = "500";

impl Builder {
    /// Starts a zygote in its slot, as far as it can go on by itself.
    pub(in super::super) fn start_zygote(
        &self,
        sandbox: &mut Sandbox,
        order: &Zygote,
        descriptors: Vec<OwnedFd>,
        journal: &mut Journal,
    ) -> Result<(), StepError> {
        if order.layers.is_empty() || descriptors.len() != 1 + usize::from(order.keeps) {
            return Err(Errno::INVAL).step(|| "read the order for a zygote".to_owned());
        }
        sandbox.clock = Instant::now();
        sandbox.deadline = Some(create_deadline());
        sandbox.owner = order.owner;
        sandbox.group.limit(&order.limits)?;
        sandbox.lap("limits");
        let mut descriptors = descriptors.into_iter();
        let files = descriptors.next();
        sandbox.kept = descriptors.next();
        let trees = order
            .layers
            .iter()
            .map(|layer| self.trees.for_zygote(layer));
        let trees = trees.collect::<Result<Vec<_>, _>>()?;
        let entrances = sandbox.group.entrances()?;
        let (mine, theirs) = channel::pair().step(|| "make a channel".to_owned())?;
        rustix::io::ioctl_fionbio(&mine, true).step(|| "make a channel".to_owned())?;
        self.clone_zygote(sandbox, order)?;
        sandbox.broker = Some(Broker::new(mine));
        sandbox.lap("clone");
        let child = sandbox
            .child
            .as_ref()
            .ok_or(Errno::CHILD)
            .step(|| "find the child".to_owned())?;
        // Copies inherit it: as an agent's commands, they end before the agent does.
        write_proc(child.pid, "oom_score_adj", COMMANDS_OOM_SCORE)?;
        journal.born(sandbox.slot, child.identity)?;
        let order = Order {
            entrances: entrances.len(),
        };
        let all = trees.iter().chain(&entrances).chain(&files);
        let all: Vec<BorrowedFd<'_>> = all.chain([&theirs]).map(AsFd::as_fd).collect();
        send(child.channel.as_ref(), &order, &all)
    }

    /// Clones the zygote's process: in its slot's network and, on v2, its cgroup.
    fn clone_zygote(&self, sandbox: &mut Sandbox, order: &Zygote) -> Result<(), StepError> {
        let (mine, childs) = channel::pair().step(|| "make a channel".to_owned())?;
        let namespaces = Namespaces::MOUNT | Namespaces::IPC | Namespaces::UTS;
        let birthplace = sandbox.group.birthplace()?;
        enter_network_namespace(sandbox.namespace.as_fd())
            .step(|| "enter the zygote's network".to_owned())?;
        let earliest = identity::now();
        let birthplace = birthplace.as_ref().map(AsFd::as_fd);
        let side = clone_process(namespaces, birthplace);
        if let Ok(Side::Child) = side {
            guest::run(order, childs);
        }
        if enter_network_namespace(self.home_network.as_fd()).is_err() {
            // As for a sandbox's clone: nothing from here on would be done where it is meant to be.
            std::process::abort();
        }
        match side.step(|| "clone a zygote's process".to_owned())? {
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

    /// Orders a zygote to have a copy of itself join `sandbox`.
    pub(in super::super) fn order_join(
        &self,
        join: &Join,
        id: u64,
        sandbox: &Sandbox,
        control: &OwnedFd,
        broker: &OwnedFd,
    ) -> Result<(), StepError> {
        let namespaces = namespaces_of(sandbox)?;
        let entrances = sandbox.group.entrances_from_elsewhere()?;
        let processes = process_limit::of_each_user(self.ids, sandbox.pids);
        let open_files = u64::from(sandbox.open_files);
        let limits = super::super::guest::resource_limits(open_files);
        let limits =
            limits
                .into_iter()
                .chain([(Resource::Nproc, processes.into(), processes.into())]);
        let limits: Vec<_> = limits.map(limit).collect();
        let root = join.uid == 0;
        let request = Request {
            id,
            uid: join.uid,
            gid: join.gid,
            groups: &join.groups,
            umask: UMASK,
            capabilities: if root { KEPT.bits() } else { 0 },
            bounding: KEPT.bits(),
            limits: &limits,
            entrances: entrances.len(),
            directory: join.directory.as_bytes(),
        };
        let mut space = [0; MAX_REQUEST];
        let length = request.encode(&mut space).map_err(|_| Errno::INVAL);
        let length = length.step(|| "put the order to join into words".to_owned())?;
        let packet = space.get(..length).unwrap_or_default();
        let first = sandbox.pidfd().ok_or(Errno::SRCH);
        let first = first.step(|| "find the sandbox's first process".to_owned())?;
        let all = std::iter::once(first).chain(&namespaces);
        let all = all.chain(&entrances).chain([control]);
        let all: Vec<BorrowedFd<'_>> = all.map(AsFd::as_fd).collect();
        send_packet(broker, packet, &all).step(|| "order the zygote".to_owned())
    }
}

/// A resource limit as it goes to a zygote.
fn limit((resource, soft, hard): (Resource, u64, u64)) -> Limit {
    Limit {
        // Linux's own numbers.
        resource: resource as u32,
        soft,
        hard,
    }
}

/// Opens the namespaces of a sandbox's first process.
fn namespaces_of(sandbox: &Sandbox) -> Result<Vec<OwnedFd>, StepError> {
    let pid = sandbox.pid();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let open = |name: &&str| {
        let path = format!("/proc/{pid}/ns/{name}");
        rustix::fs::open(&path, flags, Mode::empty()).step(|| format!("open {path}"))
    };
    NAMESPACES.iter().map(open).collect()
}

/// Sends one packet with its descriptors; the socket does not block.
fn send_packet(
    socket: &OwnedFd,
    packet: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::TOOBIG);
    }
    let flags = SendFlags::NOSIGNAL;
    sendmsg(socket, &[IoSlice::new(packet)], &mut control, flags).map(drop)
}
