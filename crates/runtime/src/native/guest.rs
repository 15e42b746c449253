//! The child's side of a create: from the first instruction in new namespaces to the agent.
//!
//! It runs in a copy of the spawner and ends in `exec`; it never returns into the spawner's code,
//! whose values (and their undos) are not its own.

use super::cgroup::{View, name_of};
use super::channel;
use super::home::{self, KIT_DEV, KIT_EMPTY, KIT_SYS, PARTS, ROOT};
use super::ids;
use super::process_limit;
use super::step::{Step, StepError};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, UnmountFlags, unmount};
use rustix::process::{Resource, Rlimit, Signal};
use serde::{Deserialize, Serialize};
use soulbox_syscall::mount::{Attributes, set_attributes};
use soulbox_syscall::{descriptor, execute, namespace};
use soulbox_wire::spawner::{Create, Failure, Ids, StopAt};
use std::time::Instant;

/// What the spawner tells its child.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// The id maps are written: make what does not need the trees, which are being made meanwhile.
    Begin,
    /// The trees are there. Descriptors, in this order: the overlays, the mounts, the v1
    /// cgroups' entrances, `/dev/shm`, the agent's listener, its ready pipe, its program.
    Build {
        /// How many v1 entrances come.
        entrances: usize,
        /// Whether a directory for `/dev/shm` comes.
        shm: bool,
    },
    /// Run the agent.
    Run,
}

/// What the child tells the spawner.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// All is ready but for the agent; sent before it waits or goes on.
    Built {
        /// Steps and their lengths in microseconds.
        phases: Vec<(String, u64)>,
    },
    /// A step failed; the child ends after this.
    Failed(Failure),
}

/// The name that a sandbox gives itself.
const HOST_NAME: &[u8] = b"sandbox";

/// Open files that a process has without asking: programs that use `select` need the low limit
/// (FD_SETSIZE is 1024), servers raise theirs up to the hard one.
const OPEN_FILES: u64 = 1024;

/// Signals and timers that wait, of each user inside. Linux counts those of all users inside for the
/// owner of the user namespace too, with the spawner's limit as their bound (the machine's own
/// default is some ten thousand).
const PENDING_SIGNALS: u64 = 4096;

/// Bytes in POSIX message queues of each user inside, a quarter of Linux's default of 819,200,
/// which is the bound for all of them: one user inside leaves some to the others.
const MESSAGE_QUEUES: u64 = 204_800;

/// For mounts that are only read.
const READ_ONLY_DATA: Attributes = Attributes::READ_ONLY
    .union(Attributes::NO_SUID)
    .union(Attributes::NO_DEVICES)
    .union(Attributes::NO_EXEC);

/// Runs the child's side. Does not return.
pub(super) fn run(create: &Create, views: &[View], ids: Ids, channel: OwnedFd) -> ! {
    // The spawner's other descriptors belong to other sandboxes.
    let Ok(channel) = descriptor::keep(channel) else {
        std::process::exit(1)
    };
    let Err(error) = build_and_execute(create, views, ids, &channel);
    // The spawner learns of the child's death in any case; the reason is what may be lost.
    let _ = channel::send(&channel, &Report::Failed(error.failure()), &[]);
    std::process::exit(1)
}

/// What never is: the agent runs instead.
pub(super) enum Never {}

fn build_and_execute(
    create: &Create,
    views: &[View],
    ids: Ids,
    channel: &OwnedFd,
) -> Result<Never, StepError> {
    let (Order::Begin, _) = receive(channel)? else {
        return Err(Errno::PROTO).step(|| "wait for the id maps".to_owned());
    };
    let mut clock = Clock::start();
    become_first(ids)?;
    make_parts(create, views, ids)?;
    clock.lap("parts");
    let (Order::Build { entrances, shm }, descriptors) = receive(channel)? else {
        return Err(Errno::PROTO).step(|| "wait for the trees".to_owned());
    };
    clock.lap("wait");
    let mut descriptors = descriptors.into_iter();
    let mut take = |count: usize| descriptors.by_ref().take(count).collect::<Vec<_>>();
    let overlays = take(create.layers.len());
    let mounts = take(create.mounts.len());
    let entrances = take(entrances);
    let shm = take(usize::from(shm)).pop();
    let Ok([listener, ready, program]) = <[OwnedFd; 3]>::try_from(take(3)) else {
        return Err(Errno::PROTO).step(|| "find the descriptors in the order".to_owned());
    };
    assemble(create, &overlays, shm.as_ref())?;
    super::guest_mount::attach_all(ROOT, &create.mounts, &mounts)?;
    drop((overlays, mounts, shm));
    clock.lap("mounts");
    change_root()?;
    rustix::system::sethostname(HOST_NAME).step(|| "set the host name".to_owned())?;
    reset_limits(create.open_files)?;
    process_limit::lower(process_limit::of_each_user(ids, create.limits.pids), true);
    clock.lap("root");
    // Not before the mounts: Linux keeps lists for each pair of a memory cgroup and a file system
    // that a process of it has made files in, and what the agent does not touch needs none.
    enter_cgroups(&entrances)?;
    drop(entrances);
    clock.lap("join");
    restrict()?;
    clock.lap("restrict");
    report(channel, &Report::Built { phases: clock.laps })?;
    if create.stop_at == StopAt::Prepared {
        let (Order::Run, _) = receive(channel)? else {
            return Err(Errno::PROTO).step(|| "wait for the order to run".to_owned());
        };
    }
    hand_over(channel, listener, ready, program)
}

/// Steps and their lengths.
struct Clock {
    last: Instant,
    laps: Vec<(String, u64)>,
}

impl Clock {
    fn start() -> Self {
        Self {
            last: Instant::now(),
            laps: Vec::new(),
        }
    }

    fn lap(&mut self, name: &str) {
        let now = Instant::now();
        let micros = u64::try_from((now - self.last).as_micros()).unwrap_or(u64::MAX);
        self.laps.push((name.to_owned(), micros));
        self.last = now;
    }
}

fn receive(channel: &OwnedFd) -> Result<(Order, Vec<OwnedFd>), StepError> {
    channel::receive(channel)
        .map_err(|error| match error {
            channel::ChannelError::Linux(errno) => errno,
            _ => Errno::PIPE,
        })
        .step(|| "hear from the spawner".to_owned())
}

fn report(channel: &OwnedFd, report: &Report) -> Result<(), StepError> {
    channel::send(channel, report, &[])
        .map_err(|_| Errno::PIPE)
        .step(|| "report to the spawner".to_owned())
}

/// Takes the identity of the sandbox's first process, in a session of its own, tied to the
/// spawner's life.
fn become_first(ids: Ids) -> Result<(), StepError> {
    let first = ids::first(ids);
    let (uid, gid) = (Uid::from_raw(first), Gid::from_raw(first));
    let become_first = || -> Result<(), Errno> {
        rustix::process::setsid()?;
        match rustix::thread::set_thread_groups(&[]) {
            // A user with one id keeps the groups: giving one up could open what is shut to it.
            Err(Errno::PERM) if ids == Ids::One => {}
            done => done?,
        }
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        // After the change of identity, which clears it. A spawner that died before this line is
        // noticed at the next order, whose channel is closed then.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
    };
    become_first().step(|| "become the sandbox's first user".to_owned())
}

/// Moves the calling thread into the groups.
pub(super) fn enter_groups(entrances: &[OwnedFd]) -> Result<(), StepError> {
    for entrance in entrances {
        rustix::io::write(entrance, b"0").step(|| "enter the cgroup".to_owned())?;
    }
    Ok(())
}

fn enter_cgroups(entrances: &[OwnedFd]) -> Result<(), StepError> {
    enter_groups(entrances)?;
    namespace::new_cgroup_namespace().step(|| "make a cgroup namespace".to_owned())
}

/// Makes `/proc`, `/dev` and `/sys` at [`PARTS`].
fn make_parts(create: &Create, views: &[View], ids: Ids) -> Result<(), StepError> {
    let no_programs = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let proc = home::filesystem("proc", "", no_programs | MountAttrFlags::MOUNT_ATTR_NODEV)?;
    home::attach(proc, &format!("{PARTS}/proc"))?;
    super::mask::apply(PARTS, KIT_DEV, KIT_EMPTY)?;
    for (part, place) in [(KIT_DEV, "/dev"), (KIT_SYS, "/sys")] {
        home::attach(
            home::open_whole_tree_copy(part)?,
            &format!("{PARTS}{place}"),
        )?;
    }
    for view in views {
        let group = home::open_tree_copy(&format!("{}/{}", view.home, name_of(create.slot)))?;
        set_attributes(group.as_fd(), READ_ONLY_DATA, None, false)
            .step(|| format!("protect {}", view.guest))?;
        home::attach(group, &format!("{PARTS}{}", view.guest))?;
    }
    // Group 5 is `tty` in every Linux distribution, where there is more than one group. All
    // sandboxes of the machine share 4096 terminals (kernel.pty.max), so each has a part of them
    // only.
    let options = match ids {
        Ids::Machine { .. } | Ids::Range => "newinstance,ptmxmode=0666,mode=0620,gid=5,max=256",
        Ids::One => "newinstance,ptmxmode=0666,mode=0600,max=256",
    };
    let terminals = home::filesystem("devpts", options, no_programs)?;
    home::attach(terminals, &format!("{PARTS}/dev/pts"))
}

/// Puts the root together at [`ROOT`]: the trees, and the parts moved into them.
fn assemble(create: &Create, overlays: &[OwnedFd], shm: Option<&OwnedFd>) -> Result<(), StepError> {
    for (layer, overlay) in create.layers.iter().zip(overlays) {
        home::attach(
            overlay,
            &format!("{ROOT}{}", layer.at.trim_end_matches('/')),
        )?;
    }
    for part in ["/proc", "/dev", "/sys"] {
        home::move_to(&format!("{PARTS}{part}"), &format!("{ROOT}{part}"))?;
    }
    let place = format!("{ROOT}/dev/shm");
    match shm {
        Some(shm) => home::attach(shm, &place),
        None => {
            let options = format!("mode=1777,size={}", create.shm);
            let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
            home::attach(home::tmpfs(&options, attributes)?, &place)
        }
    }
}

/// Makes [`ROOT`] the root and lets go of everything else.
pub(super) fn change_root() -> Result<(), StepError> {
    rustix::process::chdir(ROOT).step(|| "enter the sandbox's root".to_owned())?;
    rustix::process::pivot_root(".", ".").step(|| "change the root".to_owned())?;
    unmount(".", UnmountFlags::DETACH).step(|| "let go of the spawner's mounts".to_owned())?;
    rustix::process::chdir("/").step(|| "enter the new root".to_owned())
}

/// The file mode mask of every process.
pub(super) const UMASK: u32 = 0o022;

/// The resource limits that every process begins with: soft and hard ones.
pub(super) fn resource_limits(open_files: u64) -> [(Resource, u64, u64); 4] {
    [
        (Resource::Nofile, OPEN_FILES.min(open_files), open_files),
        (Resource::Core, 0, 0),
        (Resource::Sigpending, PENDING_SIGNALS, PENDING_SIGNALS),
        (Resource::Msgqueue, MESSAGE_QUEUES, MESSAGE_QUEUES),
    ]
}

pub(super) fn reset_limits(open_files: u32) -> Result<(), StepError> {
    let set = |resource, soft, hard| {
        let limit = Rlimit {
            current: Some(soft),
            maximum: Some(hard),
        };
        match rustix::process::setrlimit(resource, limit) {
            // The host gives this spawner less; what it has is what there is.
            Err(Errno::PERM) => Ok(()),
            other => other,
        }
    };
    resource_limits(open_files.into())
        .into_iter()
        .try_for_each(|(resource, soft, hard)| set(resource, soft, hard))
        .step(|| "set the resource limits".to_owned())?;
    rustix::process::umask(Mode::from(UMASK));
    Ok(())
}

/// Gives up every right that the sandbox is not to have.
fn restrict() -> Result<(), StepError> {
    // The filter first: without no_new_privs, loading it takes CAP_SYS_ADMIN.
    super::seccomp::load()?;
    super::capability::apply()
}

/// Leaves only the agent's descriptors open and becomes the agent.
fn hand_over(
    channel: &OwnedFd,
    listener: OwnedFd,
    ready: OwnedFd,
    program: OwnedFd,
) -> Result<Never, StepError> {
    let open_null = || rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty());
    let null = [open_null(), open_null(), open_null()]
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .step(|| "open /dev/null".to_owned())?;
    let channel = rustix::io::fcntl_dupfd_cloexec(channel, 0)
        .step(|| "keep the channel to the spawner".to_owned())?;
    let mut wanted: Vec<_> = null.into_iter().map(|fd| (fd, false)).collect();
    wanted.extend([
        (listener, false),
        (ready, false),
        (program, true),
        (channel, true),
    ]);
    let placed = descriptor::place(wanted).step(|| "place the agent's descriptors".to_owned())?;
    let [.., program, channel] = placed.as_slice() else {
        std::process::exit(1)
    };
    let errno = execute::execute(program.as_fd(), c"soulbox-agent");
    let error = StepError {
        step: "execute the agent".to_owned(),
        errno,
    };
    // The channel that the caller knows is closed by now.
    let _ = report(channel, &Report::Failed(error.failure()));
    std::process::exit(1)
}
