//! What the engine's user may do on this host, found at the start.
//!
//! ```text
//! root of the host                      ─▶ Ids::Machine   nothing to enter
//! user ─▶ user namespace ─┬─ newuidmap  ─▶ Ids::Range     caller = 0, subordinate ids = 1 to 65535
//!                         └─ otherwise  ─▶ Ids::One       caller = 0
//! ```
//!
//! In that namespace the process has all capabilities over what it makes itself: mounts, network
//! namespaces, the user namespaces of sandboxes. It has none over what is the host's.

use super::ids::IDS;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use soulbox_syscall::namespace;
use soulbox_wire::spawner::Ids;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where the programs that map subordinate ids are looked for; never in `PATH`, for they are
/// started with the user's name on them.
pub const PROGRAM_DIRECTORIES: [&str; 4] = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin"];

/// Where users' subordinate ids are listed, users' and groups' (subuid(5)).
const LISTS: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

/// The longest list that is read.
const MAX_LIST: u64 = 1 << 20;

/// Waits for a line, then maps: it must live outside of the namespace that it maps ids for, so it
/// is started before that is made.
const MAP: &str = "read -r go || exit 1\n\
    \"$1\" \"$3\" 0 \"$4\" 1 1 \"$5\" \"$8\" && exec \"$2\" \"$3\" 0 \"$6\" 1 1 \"$7\" \"$8\"";

/// A user who cannot make sandboxes.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    /// No user namespace can be made.
    #[error("cannot make a user namespace, which sandboxes of a user other than root need")]
    Namespace(#[source] Errno),
    /// The ids in it cannot be set.
    #[error("cannot map this user's ids into a user namespace")]
    Map(#[source] io::Error),
    /// What the process may do cannot be read.
    #[error("cannot read which ids this process has from /proc/self/uid_map")]
    Read(#[source] io::Error),
    /// The process has not entered a user namespace.
    #[error("this process is neither root nor in a user namespace of its own")]
    Outside,
}

/// A user's subordinate ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first user id.
    pub user: u32,
    /// The first group id.
    pub group: u32,
}

/// Enters a user and a mount namespace of the caller's own unless the caller is root. To be called
/// while the process has one thread. Tells why there is one id only although the host lists more.
///
/// # Errors
/// [`RightsError`].
pub fn enter() -> Result<Option<String>, RightsError> {
    let uid = rustix::process::geteuid();
    if uid.is_root() {
        return Ok(None);
    }
    let gid = rustix::process::getegid();
    let mapper = range_of(uid.as_raw())
        .zip(programs())
        .map(|(range, programs)| Mapper::start(uid.as_raw(), gid.as_raw(), range, &programs));
    namespace::new_user_and_mount_namespaces().map_err(RightsError::Namespace)?;
    let failed = match mapper.map(|mapper| mapper.and_then(Mapper::finish)) {
        Some(Ok(())) => return Ok(None),
        Some(Err(error)) => Some(format!("there is one id only: newuidmap failed: {error}")),
        None => None,
    };
    map_one(uid.as_raw(), gid.as_raw()).map_err(RightsError::Map)?;
    Ok(failed)
}

/// Which ids this process can give to sandboxes whose slots begin at `base` when it is root.
///
/// # Errors
/// [`RightsError::Outside`] for a user who has not called [`enter`].
pub fn of_process(base: u32) -> Result<Ids, RightsError> {
    if !rustix::process::geteuid().is_root() {
        return Err(RightsError::Outside);
    }
    let map = std::fs::read_to_string("/proc/self/uid_map").map_err(RightsError::Read)?;
    Ok(of_map(&map, base))
}

/// What a process that is root in the namespace with this map can give.
fn of_map(map: &str, base: u32) -> Ids {
    let mut free = 0;
    for line in map.lines() {
        let mut numbers = line.split_whitespace().map_while(|word| word.parse().ok());
        let (Some(inside), Some(outside), Some(count)) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            continue;
        };
        // The host's own namespace is mapped whole, to itself.
        if (inside, outside, count) == (0_u32, 0_u32, u32::MAX) {
            return Ids::Machine { base };
        }
        if inside == free {
            free = free.saturating_add(count);
        }
    }
    if free >= IDS { Ids::Range } else { Ids::One }
}

/// The subordinate ids that the host lists for a user: enough for the ids of a sandbox, of which
/// one is the user's own.
pub fn range_of(uid: u32) -> Option<Range> {
    let name = name_of(uid);
    let [user, group] = LISTS.map(|path| {
        let text = read(Path::new(path))?;
        listed(&text, uid, name.as_deref())
    });
    Some(Range {
        user: user?,
        group: group?,
    })
}

/// The first id of the first range that is large enough.
fn listed(text: &str, uid: u32, name: Option<&str>) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().splitn(3, ':');
        let (who, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        let mine = Some(who) == name || who.parse() == Ok(uid);
        let count: u32 = count.parse().ok()?;
        (mine && count >= IDS - 1).then(|| first.parse().ok())?
    })
}

fn name_of(uid: u32) -> Option<String> {
    let text = read(Path::new("/etc/passwd"))?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

fn read(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(MAX_LIST).read_to_string(&mut text).ok()?;
    Some(text)
}

/// `newuidmap` and `newgidmap`, where the host has both.
pub fn programs() -> Option<[PathBuf; 2]> {
    let find = |name: &str| {
        let places = PROGRAM_DIRECTORIES.iter();
        places
            .map(|directory| Path::new(directory).join(name))
            .find(|path| path.is_file())
    };
    Some([find("newuidmap")?, find("newgidmap")?])
}

/// The process that maps subordinate ids.
struct Mapper(Child);

impl Mapper {
    fn start(uid: u32, gid: u32, range: Range, programs: &[PathBuf; 2]) -> io::Result<Self> {
        #[allow(
            clippy::disallowed_methods,
            reason = "only a program with rights of root's may map subordinate ids"
        )]
        let mut command = Command::new("/bin/sh");
        command.env_clear().args(["-c", MAP, "sh"]).args(programs);
        let numbers = [
            std::process::id(),
            uid,
            range.user,
            gid,
            range.group,
            IDS - 1,
        ];
        command.args(numbers.map(|number| number.to_string()));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command.spawn().map(Self)
    }

    /// Lets it go on, now that the namespace is there, and waits for its end.
    fn finish(mut self) -> io::Result<()> {
        if let Some(mut stdin) = self.0.stdin.take() {
            io::Write::write_all(&mut stdin, b"go\n")?;
        }
        let output = self.0.wait_with_output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(said.trim().to_owned()))
    }
}

/// Maps the caller alone, as root, for which no right is needed.
fn map_one(uid: u32, gid: u32) -> io::Result<()> {
    let write = |path: &str, text: &str| -> io::Result<()> {
        let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(&file, text.as_bytes())?;
        Ok(())
    };
    // Without this, dropping a group could open what is shut to that group.
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/gid_map", &format!("0 {gid} 1"))?;
    write("/proc/self/uid_map", &format!("0 {uid} 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_can_give_is_read_from_its_map() {
        let machine = Ids::Machine { base: 5 };
        assert_eq!(of_map("         0          0 4294967295\n", 5), machine);
        assert_eq!(of_map("0 1000 1\n1 100000 65535\n", 5), Ids::Range);
        // A container that has ids of its own.
        assert_eq!(of_map("0 100000 65536\n", 5), Ids::Range);
        assert_eq!(of_map("0 1000 1\n1 100000 1000\n", 5), Ids::One);
        assert_eq!(of_map("0 1000 1\n", 5), Ids::One);
        assert_eq!(of_map("", 5), Ids::One);
    }

    #[test]
    fn subordinate_ids_are_found_by_name_and_by_number() {
        let text = "ann:100000:65536\nbob:1:10\nbob:165536:65536\n1003:300000:65535\nx\n:::\n";
        assert_eq!(listed(text, 1001, Some("ann")), Some(100_000));
        assert_eq!(listed(text, 1002, Some("bob")), Some(165_536));
        assert_eq!(listed(text, 1003, None), Some(300_000));
        assert_eq!(listed(text, 1004, Some("eve")), None);
        assert_eq!(listed("eve:1:65534\n", 1004, Some("eve")), None);
    }
}
