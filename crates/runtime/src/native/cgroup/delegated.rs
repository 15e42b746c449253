//! What of the host's cgroups an ordinary user may divide: the groups that the process is in, as
//! far as they were given to that user.

use super::layout::{CPUACCT, FREEZER};
use super::{Controller, Hierarchy, Layout, Parents};
use rustix::fs::Access;
use soulbox_wire::spawner::Ceiling;
use std::path::{Path, PathBuf};

/// The group of the engine itself, in a v2 group that is divided.
const ENGINE: &str = "soulbox-engine";

impl Parents {
    /// As [`Parents::open`] in the groups of a user. What cannot be divided after all counts as
    /// missing in `layout` from then on.
    pub fn open_delegated(layout: &mut Layout, name: &str, ceiling: &Ceiling) -> Self {
        let mut parents = Vec::new();
        let mut missing = Vec::new();
        layout.hierarchies.retain(|hierarchy| {
            if hierarchy.v2 && !hierarchy.controllers.is_empty() {
                make_way(&hierarchy.mount);
            }
            let alone = Layout {
                hierarchies: vec![hierarchy.clone()],
                missing: Vec::new(),
            };
            match Self::open(&alone, name, ceiling) {
                Ok(opened) => {
                    parents.extend(opened.parents);
                    true
                }
                Err(_) => {
                    missing.extend(hierarchy.controllers.iter().copied());
                    false
                }
            }
        });
        layout.missing.extend(missing);
        Self { parents }
    }
}

/// Moves this process and its parent, the engine, out of a v2 group that is to be divided: one
/// with processes cannot be. Others in it stay, and then it is not.
fn make_way(group: &Path) {
    let place = group.join(ENGINE);
    let made = rustix::fs::mkdir(&place, rustix::fs::Mode::from(0o755));
    if !matches!(made, Ok(()) | Err(rustix::io::Errno::EXIST)) {
        return;
    }
    let me = Some(rustix::process::getpid());
    for process in [rustix::process::getppid(), me].into_iter().flatten() {
        let pid = process.as_raw_nonzero().to_string();
        // A failure shows where the controllers are enabled.
        let _ = std::fs::write(place.join("cgroup.procs"), pid);
    }
}

impl Layout {
    /// The groups that this process may divide among sandboxes; what it may not is missing.
    ///
    /// # Errors
    /// When the mount table or the process's own groups cannot be read.
    pub fn of_user() -> std::io::Result<Self> {
        // Names of directories need not be text.
        let mountinfo = std::fs::read("/proc/self/mountinfo")?;
        let own = std::fs::read("/proc/self/cgroup")?;
        let (mountinfo, own) = (
            String::from_utf8_lossy(&mountinfo),
            String::from_utf8_lossy(&own),
        );
        Ok(Self::delegated(&mountinfo, &own, |group, v2| {
            // Who was given a group owns what moves processes into it, too.
            let files: &[&str] = match v2 {
                true => &["", "cgroup.procs", "cgroup.subtree_control"],
                false => &["", "tasks"],
            };
            files
                .iter()
                .all(|file| rustix::fs::access(group.join(file), Access::WRITE_OK).is_ok())
                .then(|| {
                    std::fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default()
                })
        }))
    }

    /// The same from a mount table, the process's own groups (`/proc/self/cgroup`, cgroups(7)), and
    /// what tells for a group that may be divided the controllers that it offers on v2.
    pub fn delegated(
        mountinfo: &str,
        own: &str,
        divide: impl Fn(&Path, bool) -> Option<String>,
    ) -> Self {
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        for line in mountinfo.lines() {
            let Some((place, kind, options)) = mount_of(line) else {
                continue;
            };
            let v2 = kind == "cgroup2";
            let mut controllers = Controller::ALL.to_vec();
            if !v2 {
                controllers.retain(|c| options.split(',').any(|option| option == c.name_v1()));
            }
            controllers.retain(|c| !hierarchies.iter().any(|h| h.controllers.contains(c)));
            let Some(group) = own_group(own, place, v2.then_some("").or(Some(options))) else {
                continue;
            };
            if v2 && hierarchies.iter().any(|h| h.v2) {
                continue;
            }
            let counts = v2 || options.split(',').any(|option| option == CPUACCT);
            // Of two that can freeze, it is the v2 one: below, once all are known.
            let freezes = v2 || options.split(',').any(|option| option == FREEZER);
            let Some(offers) = (!controllers.is_empty() || freezes)
                .then(|| divide(&group, v2))
                .flatten()
            else {
                continue;
            };
            if v2 {
                controllers.retain(|c| offers.split_whitespace().any(|offer| offer == c.name()));
            }
            if !controllers.is_empty() || freezes {
                hierarchies.push(Hierarchy {
                    mount: group,
                    v2,
                    controllers,
                    freezes,
                    assigns: false,
                    counts,
                });
            }
        }
        hierarchies.sort_by_key(|hierarchy| hierarchy.v2);
        if hierarchies.last().is_some_and(|last| last.v2) {
            for hierarchy in hierarchies.iter_mut().filter(|h| !h.v2) {
                hierarchy.freezes = false;
                hierarchy.counts = false;
            }
            hierarchies.retain(|h| h.freezes || !h.controllers.is_empty());
        }
        let held = |c: &Controller| hierarchies.iter().any(|h| h.controllers.contains(c));
        let missing = Controller::ALL.into_iter().filter(|c| !held(c)).collect();
        Self {
            hierarchies,
            missing,
        }
    }
}

/// Root and place of a hierarchy that is mounted, its kind and options.
fn mount_of(line: &str) -> Option<((&str, &str), &str, &str)> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let place = (left.next()?, left.next()?);
    let mut right = right.split(' ');
    let kind = right
        .next()
        .filter(|kind| matches!(*kind, "cgroup" | "cgroup2"))?;
    Some((place, kind, right.nth(1)?))
}

/// The directory of the group of a hierarchy that the process is in. `options` are those of a v1
/// hierarchy, empty for v2.
fn own_group(own: &str, (root, at): (&str, &str), options: Option<&str>) -> Option<PathBuf> {
    let options: Vec<_> = options?.split(',').collect();
    let path = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        controllers
            .split(',')
            .all(|name| options.contains(&name))
            .then_some(path)
    })?;
    let below = match root {
        "/" => path,
        root => path.strip_prefix(root)?,
    };
    Some(Path::new(at).join(below.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
36 25 0:31 / /sys/fs/cgroup/cpu,cpuacct rw shared:14 - cgroup cgroup rw,cpu,cpuacct
37 25 0:32 / /sys/fs/cgroup/memory rw shared:15 - cgroup cgroup rw,memory
38 25 0:33 /jail /sys/fs/cgroup/pids rw shared:16 - cgroup cgroup rw,pids
39 25 0:34 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
";
    const OWN_V1: &str =
        "9:name=systemd:/\n8:pids:/jail/user\n4:memory:/a/b\n1:cpu,cpuacct:/\n0::/x\n";

    #[test]
    fn a_group_of_the_users_own_is_divided() {
        let layout = Layout::delegated(V1, OWN_V1, |group, v2| {
            assert!(!v2);
            (!group.ends_with("cpu,cpuacct")).then(String::new)
        });
        let mounts: Vec<_> = layout
            .hierarchies
            .iter()
            .map(|h| h.mount.as_path())
            .collect();
        assert_eq!(
            mounts,
            [
                Path::new("/sys/fs/cgroup/memory/a/b"),
                Path::new("/sys/fs/cgroup/pids/user")
            ]
        );
        assert_eq!(layout.missing, [Controller::Cpu, Controller::Io]);
    }

    #[test]
    fn a_delegated_scope_of_v2_gives_what_it_offers() {
        let mounts = "30 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let own = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope\n";
        let layout = Layout::delegated(mounts, own, |group, v2| {
            assert!(v2 && group.ends_with("app.slice/run-1.scope"), "{group:?}");
            Some("memory pids".to_owned())
        });
        assert_eq!(layout.missing, [Controller::Cpu, Controller::Io]);
        assert_eq!(
            layout.hierarchies[0].controllers,
            [Controller::Memory, Controller::Pids]
        );
    }

    #[test]
    fn nothing_given_is_nothing_limited() {
        let layout = Layout::delegated(V1, OWN_V1, |_, _| None);
        assert!(layout.hierarchies.is_empty());
        assert_eq!(layout.missing, Controller::ALL);
        // Outside of what is mounted here.
        let elsewhere = "8:pids:/other\n";
        let layout = Layout::delegated(V1, elsewhere, |_, _| Some(String::new()));
        assert!(layout.hierarchies.is_empty());
    }
}
