//! Where the host keeps its controllers.

use super::Controller;
use std::path::{Path, PathBuf};

/// One hierarchy of the host and which controllers are taken from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// True for the v2 hierarchy.
    pub v2: bool,
    /// What is limited through it.
    pub controllers: Vec<Controller>,
    /// Whether groups are frozen through it.
    pub freezes: bool,
    /// Whether processors are assigned to groups through it.
    pub assigns: bool,
    /// Whether it is used for the processor time that groups have used: on v2 every group counts it.
    pub counts: bool,
}

impl Hierarchy {
    /// Whether it is used for nothing but processors, without which sandboxes can be.
    pub fn only_assigns(&self) -> bool {
        self.assigns && !self.v2 && self.controllers.is_empty() && !self.freezes && !self.counts
    }
}

/// The v1 controller that freezes groups.
pub(super) const FREEZER: &str = "freezer";
/// The controller that assigns processors, of either version.
pub(super) const CPUSET: &str = "cpuset";
/// The v1 controller that counts processor time.
pub(super) const CPUACCT: &str = "cpuacct";

/// Where the host keeps its controllers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// The hierarchies in use, v1 first.
    pub hierarchies: Vec<Hierarchy>,
    /// Controllers that the host lacks.
    pub missing: Vec<Controller>,
}

impl Layout {
    /// Finds the controllers from a mount table (`/proc/self/mountinfo`, proc(5)); `v2_offers`
    /// tells what the v2 hierarchy at a path offers (its `cgroup.controllers`).
    pub fn find(mountinfo: &str, v2_offers: impl Fn(&Path) -> String) -> Self {
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        let mut v2 = None;
        let mut freezer = None;
        let mut cpuset = None;
        let mut cpuacct = None;
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else {
                continue;
            };
            let Some(mount) = left.split(' ').nth(4).map(PathBuf::from) else {
                continue;
            };
            let mut right = right.split(' ');
            match (right.next(), right.nth(1)) {
                (Some("cgroup2"), _) if v2.is_none() => v2 = Some(mount),
                (Some("cgroup"), Some(options)) => {
                    if options.split(',').any(|option| option == FREEZER) {
                        freezer.get_or_insert(mount.clone());
                    }
                    if options.split(',').any(|option| option == CPUSET) {
                        cpuset.get_or_insert(mount.clone());
                    }
                    if options.split(',').any(|option| option == CPUACCT) {
                        cpuacct.get_or_insert(mount.clone());
                    }
                    let mut controllers: Vec<_> = Controller::ALL
                        .into_iter()
                        .filter(|c| options.split(',').any(|option| option == c.name_v1()))
                        .collect();
                    controllers.retain(|c| !hierarchies.iter().any(|h| h.controllers.contains(c)));
                    if !controllers.is_empty() {
                        hierarchies.push(Hierarchy {
                            mount,
                            v2: false,
                            controllers,
                            freezes: false,
                            assigns: false,
                            counts: false,
                        });
                    }
                }
                _ => {}
            }
        }
        if let Some(mount) = &cpuset {
            of_v1(&mut hierarchies, mount).assigns = true;
        }
        let held = |c: &Controller| hierarchies.iter().any(|h| h.controllers.contains(c));
        let mut missing: Vec<_> = Controller::ALL.into_iter().filter(|c| !held(c)).collect();
        if let Some(mount) = v2 {
            let offers = v2_offers(&mount);
            let offers = |name: &str| offers.split_whitespace().any(|offer| offer == name);
            let (controllers, rest): (Vec<_>, Vec<_>) =
                missing.into_iter().partition(|c| offers(c.name()));
            missing = rest;
            let assigns = cpuset.is_none() && offers(CPUSET);
            // One hierarchy less to enter, and the one that costs most: a process that enters a v2 group
            // after it was made waits for a grace period of RCU, 10 ms and more on an idle machine.
            let useful = assigns || !controllers.is_empty();
            let freezes = useful || freezer.is_none() || cpuacct.is_none();
            if freezes {
                (freezer, cpuacct) = (None, None);
                hierarchies.push(Hierarchy {
                    mount,
                    v2: true,
                    controllers,
                    freezes,
                    assigns,
                    counts: true,
                });
            }
        }
        if let Some(mount) = freezer {
            of_v1(&mut hierarchies, &mount).freezes = true;
        }
        if let Some(mount) = cpuacct {
            of_v1(&mut hierarchies, &mount).counts = true;
        }
        Self {
            hierarchies,
            missing,
        }
    }

    /// The same without `controller`, and without the hierarchies that nothing is taken from then.
    pub fn without(mut self, controller: Controller) -> Self {
        for hierarchy in &mut self.hierarchies {
            hierarchy.controllers.retain(|held| *held != controller);
        }
        self.missing.retain(|missing| *missing != controller);
        self.without_unused()
    }

    /// The same without assigning processors.
    pub fn without_assigning(mut self) -> Self {
        for hierarchy in &mut self.hierarchies {
            hierarchy.assigns = false;
        }
        self.without_unused()
    }

    fn without_unused(mut self) -> Self {
        self.hierarchies
            .retain(|h| !h.controllers.is_empty() || h.freezes || h.assigns || h.counts);
        self
    }

    /// Finds the controllers of this host.
    ///
    /// # Errors
    /// When the mount table cannot be read.
    pub fn of_host() -> std::io::Result<Self> {
        // Names of directories need not be text.
        let mountinfo = std::fs::read("/proc/self/mountinfo")?;
        Ok(Self::find(&String::from_utf8_lossy(&mountinfo), |mount| {
            std::fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default()
        }))
    }

    /// Whether sandboxes can be frozen.
    pub fn freezes(&self) -> bool {
        self.hierarchies.iter().any(|h| h.freezes)
    }

    /// `v1`, `v2` or `hybrid`, as people call it: by where limits are.
    pub fn kind(&self) -> &'static str {
        let limits = |v2| {
            let mut limiting = self
                .hierarchies
                .iter()
                .filter(|h| !h.controllers.is_empty());
            limiting.any(|h| h.v2 == v2)
        };
        match (limits(false), limits(true)) {
            (true, true) => "hybrid",
            (true, false) => "v1",
            (false, true) => "v2",
            (false, false) => "none",
        }
    }
}

/// The v1 hierarchy at `mount`, which is added if nothing was taken from it so far.
fn of_v1<'a>(hierarchies: &'a mut Vec<Hierarchy>, mount: &Path) -> &'a mut Hierarchy {
    let known = hierarchies.iter().position(|h| h.mount == mount);
    let at = known.unwrap_or_else(|| {
        hierarchies.push(Hierarchy {
            mount: mount.to_owned(),
            v2: false,
            controllers: Vec::new(),
            freezes: false,
            assigns: false,
            counts: false,
        });
        hierarchies.len() - 1
    });
    &mut hierarchies[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
36 25 0:31 / /sys/fs/cgroup/cpu,cpuacct rw shared:14 - cgroup cgroup rw,cpu,cpuacct
37 25 0:32 / /sys/fs/cgroup/memory rw shared:15 - cgroup cgroup rw,memory
38 25 0:33 / /sys/fs/cgroup/pids rw shared:16 - cgroup cgroup rw,pids
";
    const UNIFIED: &str = "39 25 0:34 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn v1_controllers_are_found_where_they_are_mounted() {
        let layout = Layout::find(V1, |_| String::new());
        assert_eq!(layout.kind(), "v1");
        assert_eq!(layout.hierarchies.len(), 3);
        assert_eq!(layout.hierarchies[0].controllers, [Controller::Cpu]);
        assert_eq!(layout.missing, [Controller::Io]);
        assert!(layout.without(Controller::Io).missing.is_empty());
    }

    #[test]
    fn a_v2_hierarchy_without_controllers_limits_nothing_and_freezes() {
        let layout = Layout::find(&format!("{V1}{UNIFIED}"), |_| "hugetlb".to_owned());
        assert_eq!(layout.kind(), "v1");
        let freezing: Vec<_> = layout.hierarchies.iter().filter(|h| h.freezes).collect();
        assert!(freezing.len() == 1 && freezing[0].v2 && freezing[0].controllers.is_empty());
    }

    #[test]
    fn v1_alone_freezes_by_its_controller() {
        assert!(!Layout::find(V1, |_| String::new()).freezes());
        let line = "42 25 0:37 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n";
        let layout = Layout::find(&format!("{V1}{line}"), |_| String::new());
        let last = layout.hierarchies.last().unwrap();
        assert!(last.freezes && !last.v2 && last.mount.ends_with("freezer"));
        assert!(layout.clone().without(Controller::Cpu).freezes());
        // So it does beside a v2 hierarchy that is of no other use.
        let hybrid = format!("{V1}{line}{UNIFIED}");
        assert_eq!(Layout::find(&hybrid, |_| String::new()), layout);
        let useful = Layout::find(&hybrid, |_| "io".to_owned());
        let last = useful.hierarchies.last().unwrap();
        assert!(last.freezes && last.v2 && useful.hierarchies.len() == 4);
        let shared = V1.replace("rw,pids", "rw,pids,freezer");
        let layout = Layout::find(&shared, |_| String::new());
        assert_eq!(layout.hierarchies.len(), 3);
        assert!(layout.freezes());
    }

    #[test]
    fn processors_are_assigned_by_v1_or_else_by_v2() {
        let line = "43 25 0:38 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n";
        let layout = Layout::find(&format!("{V1}{line}{UNIFIED}"), |_| "cpuset".to_owned());
        let assigning: Vec<_> = layout.hierarchies.iter().filter(|h| h.assigns).collect();
        assert!(assigning.len() == 1 && assigning[0].mount.ends_with("cpuset"));
        assert!(
            layout
                .without(Controller::Cpu)
                .hierarchies
                .iter()
                .any(|h| h.assigns)
        );
        let shared = V1.replace("rw,pids", "rw,pids,cpuset");
        let layout = Layout::find(&shared, |_| String::new());
        assert!(layout.hierarchies[2].assigns && layout.hierarchies.len() == 3);
        let v2 = Layout::find(UNIFIED, |_| "cpuset cpu".to_owned());
        assert!(v2.hierarchies[0].assigns);
        let without = Layout::find(&format!("{V1}{line}"), |_| String::new());
        assert_eq!(without.hierarchies.len(), 4);
        assert_eq!(without.without_assigning().hierarchies.len(), 3);
    }

    #[test]
    fn v2_alone_serves_all_controllers() {
        let layout = Layout::find(UNIFIED, |_| "cpuset cpu io memory pids".to_owned());
        assert_eq!(layout.kind(), "v2");
        assert_eq!(layout.hierarchies[0].controllers, Controller::ALL);
    }

    #[test]
    fn a_hybrid_host_serves_each_controller_from_where_it_is() {
        let memory = V1.lines().nth(1).unwrap();
        let layout = Layout::find(&format!("{memory}\n{UNIFIED}"), |_| "cpu pids".to_owned());
        assert_eq!(layout.kind(), "hybrid");
        assert_eq!(
            layout.hierarchies[1].controllers,
            [Controller::Cpu, Controller::Pids]
        );
    }

    #[test]
    fn disks_are_limited_under_either_name_or_not_at_all() {
        let v1 = format!("{V1}40 25 0:35 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n");
        let layout = Layout::find(&v1, |_| String::new());
        assert_eq!(layout.hierarchies[3].controllers, [Controller::Io]);
        assert_eq!(layout.without(Controller::Io).hierarchies.len(), 3);
        let v2 = Layout::find(UNIFIED, |_| "cpu io memory pids".to_owned());
        let left = v2.without(Controller::Io);
        assert_eq!(left.hierarchies[0].controllers, Controller::NEEDED);
    }

    #[test]
    fn what_the_host_lacks_is_told() {
        let layout = Layout::find(UNIFIED, |_| "cpu".to_owned());
        let missing = layout.without(Controller::Io).missing;
        assert_eq!(missing, [Controller::Memory, Controller::Pids]);
    }
}
