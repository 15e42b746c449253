//! The zygote's side of its start: from the spawner's copy to the interpreter.
//!
//! It runs in the host's process namespace, because those whose copies join a sandbox must see it,
//! and in no user namespace, because it owns those of its sandboxes. So what fences it are a uid of
//! its own, no capabilities, the system-call filter, a mount namespace with nothing but a read-only
//! template, no network, and cgroups.

use super::channel;
use super::guest;
use super::home::{self, KIT_DEV, ROOT};
use super::seccomp;
use super::step::{Step, StepError};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::process::Signal;
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};
use serde::{Deserialize, Serialize};
use soulbox_syscall::{descriptor, execute};
use soulbox_wire::spawner::{MAX_FILES, ZYGOTE_CACHES, ZYGOTE_HOME, Zygote, unpack};
use std::ffi::CString;

/// What the spawner tells a zygote's process. Descriptors, in this order: the trees, the v1 cgroups'
/// entrances, its files, its end of its channel.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// How many v1 entrances come.
    pub(super) entrances: usize,
}

/// Runs the zygote's side. Does not return.
pub(super) fn run(zygote: &Zygote, channel: OwnedFd) -> ! {
    // The spawner's other descriptors belong to sandboxes.
    let Ok(channel) = descriptor::keep(channel) else {
        std::process::exit(1)
    };
    let Err(error) = build_and_execute(zygote, &channel);
    let _ = channel::send(&channel, &guest::Report::Failed(error.failure()), &[]);
    std::process::exit(1)
}

fn build_and_execute(zygote: &Zygote, channel: &OwnedFd) -> Result<guest::Never, StepError> {
    let (Order { entrances }, descriptors) = channel::receive(channel)
        .map_err(|_| Errno::PIPE)
        .step(|| "hear from the spawner".to_owned())?;
    let mut descriptors = descriptors.into_iter();
    let mut take = |count: usize| descriptors.by_ref().take(count).collect::<Vec<_>>();
    let trees = take(zygote.layers.len());
    let entrances = take(entrances);
    let Ok([files, broker]) = <[OwnedFd; 2]>::try_from(take(2)) else {
        return Err(Errno::PROTO).step(|| "find the descriptors in the order".to_owned());
    };
    rustix::process::setsid().step(|| "begin a session".to_owned())?;
    guest::enter_groups(&entrances)?;
    drop(entrances);
    assemble(zygote, &trees)?;
    drop(trees);
    let packed = read(&files)?;
    drop(files);
    let files = unpack(&packed).ok_or(Errno::PROTO);
    for (path, content) in files.step(|| "read the zygote's files".to_owned())? {
        write(path, content)?;
    }
    make_caches(zygote.owner)?;
    guest::change_root()?;
    guest::reset_limits(zygote.open_files)?;
    restrict(zygote.owner)?;
    hand_over(zygote, channel, broker)
}

/// Puts the root together at [`ROOT`].
fn assemble(zygote: &Zygote, trees: &[OwnedFd]) -> Result<(), StepError> {
    for (layer, tree) in zygote.layers.iter().zip(trees) {
        let place = format!("{ROOT}{}", layer.at.trim_end_matches('/'));
        home::attach(tree, &place)?;
    }
    home::attach(home::open_whole_tree_copy(KIT_DEV)?, &format!("{ROOT}/dev"))?;
    let plain = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let scratch = format!("mode=1777,size={},nr_inodes=1024", zygote.scratch);
    home::attach(home::tmpfs(&scratch, plain)?, &format!("{ROOT}/tmp"))?;
    // The library in it is mapped as a program is.
    let run = home::tmpfs("mode=0755,size=4m,nr_inodes=64", plain)?;
    home::attach(run, &format!("{ROOT}/run"))?;
    let directory = format!("{ROOT}{ZYGOTE_HOME}");
    make_directory(&directory)
}

/// Makes the directory that packages may write to.
fn make_caches(owner: u32) -> Result<(), StepError> {
    let path = format!("{ROOT}{ZYGOTE_HOME}/{ZYGOTE_CACHES}");
    make_directory(&path)?;
    let (uid, gid) = (Uid::from_raw(owner), Gid::from_raw(owner));
    rustix::fs::chown(&path, Some(uid), Some(gid)).step(|| format!("give {path} away"))
}

fn make_directory(path: &str) -> Result<(), StepError> {
    match rustix::fs::mkdir(path, Mode::from(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno).step(|| format!("make {path}")),
    }
}

fn read(file: &OwnedFd) -> Result<Vec<u8>, StepError> {
    let mut content = vec![0; MAX_FILES];
    let mut length = 0;
    while let Some(room) = content.get_mut(length..).filter(|room| !room.is_empty()) {
        let offset = u64::try_from(length).unwrap_or(u64::MAX);
        match rustix::io::pread(file, room, offset) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).step(|| "read the zygote's files".to_owned()),
        }
    }
    content.truncate(length);
    Ok(content)
}

fn write(name: &str, content: &[u8]) -> Result<(), StepError> {
    let path = format!("{ROOT}{ZYGOTE_HOME}/{name}");
    for (at, _) in name.match_indices('/') {
        let (directory, _) = name.split_at(at);
        make_directory(&format!("{ROOT}{ZYGOTE_HOME}/{directory}"))?;
    }
    let write = || -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(CWD, &path, flags, Mode::from(0o444))?;
        let mut left = content;
        while !left.is_empty() {
            let written = rustix::io::write(&file, left)?;
            left = left.get(written..).unwrap_or_default();
        }
        Ok(())
    };
    write().step(|| format!("write {path}"))
}

/// Becomes `owner` and gives up every right, those that a change of user leaves too.
fn restrict(owner: u32) -> Result<(), StepError> {
    // Loading takes CAP_SYS_ADMIN, as no_new_privs stays off: copies inherit it, and inside of a
    // sandbox sudo works. Set-user-id programs are none here: no mount of it lets them be.
    seccomp::load_for_zygote()?;
    let (uid, gid) = (Uid::from_raw(owner), Gid::from_raw(owner));
    let become_owner = || -> Result<(), Errno> {
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        super::capability::narrow_bounding_set(CapabilitySet::empty())?;
        rustix::thread::clear_ambient_capability_set()?;
        rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::empty())?;
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        rustix::thread::set_capabilities(None, none)?;
        // After the change of identity, which clears it.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
    };
    become_owner().step(|| "give up all rights".to_owned())
}

/// Leaves only the zygote's descriptors open and becomes the interpreter.
fn hand_over(
    zygote: &Zygote,
    channel: &OwnedFd,
    broker: OwnedFd,
) -> Result<guest::Never, StepError> {
    let words = zygote
        .command
        .iter()
        .map(|word| CString::new(word.as_str()));
    let words = words
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Errno::INVAL);
    let words = words.step(|| "read the zygote's command".to_owned())?;
    let open_null = || rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty());
    let null = [open_null(), open_null(), open_null()]
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .step(|| "open /dev/null".to_owned())?;
    let channel = rustix::io::fcntl_dupfd_cloexec(channel, 0)
        .step(|| "keep the channel to the spawner".to_owned())?;
    let mut wanted: Vec<_> = null.into_iter().map(|fd| (fd, false)).collect();
    wanted.extend([(broker, false), (channel, true)]);
    let placed = descriptor::place(wanted).step(|| "place the zygote's descriptors".to_owned())?;
    let errno = execute::execute_path(&words);
    let error = StepError {
        step: format!("execute {:?}", zygote.command.first()),
        errno,
    };
    // The channel that the caller knows is closed by now.
    if let Some(channel) = placed.last() {
        let _ = channel::send(
            channel.as_fd(),
            &guest::Report::Failed(error.failure()),
            &[],
        );
    }
    std::process::exit(1)
}
