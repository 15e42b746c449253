//! Cgroups that root gave to a user: directories of the user's own on v1, a subtree on v2.

use super::person::Person;
use soulbox_tests::{Ended, end};
use std::path::{Path, PathBuf};

/// Groups that belong to a user, in the hierarchies that have the controllers.
struct Given {
    groups: Vec<PathBuf>,
}

impl Given {
    fn to(person: &Person) -> Self {
        let name = format!("soulbox-test-{}", person.uid);
        let root = Path::new("/sys/fs/cgroup");
        let offers = std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let v2 = offers.split_whitespace().any(|name| name == "memory");
        let given = Self {
            groups: match v2 {
                true => vec![root.join(&name)],
                false => ["cpu", "memory", "pids"]
                    .map(|controller| root.join(controller).join(&name))
                    .into(),
            },
        };
        if v2 {
            std::fs::write(root.join("cgroup.subtree_control"), "+cpu +memory +pids")
                .expect("enable controllers");
        }
        for group in &given.groups {
            std::fs::create_dir(group).expect("a cgroup");
            let files = match v2 {
                true => [
                    "",
                    "cgroup.procs",
                    "cgroup.subtree_control",
                    "cgroup.threads",
                ]
                .as_slice(),
                false => ["", "cgroup.procs", "tasks"].as_slice(),
            };
            for file in files {
                let path = group.join(file);
                std::os::unix::fs::chown(path, Some(person.uid), Some(person.uid)).expect("chown");
            }
        }
        given
    }

    /// The shell command that enters them.
    fn enter(&self) -> String {
        let enter = |group: &PathBuf| format!("echo $$ > {}/cgroup.procs", group.display());
        self.groups.iter().map(enter).collect::<Vec<_>>().join("; ")
    }

    fn run(&self, person: &Person, arguments: &[&str]) -> Ended {
        let mut command = person.command_after(&self.enter(), arguments);
        end(command.spawn().expect("starts"))
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        for group in &self.groups {
            remove(group);
        }
    }
}

/// Removes a group and those in it.
fn remove(group: &Path) {
    let entries = std::fs::read_dir(group).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.path().is_dir()) {
        remove(&entry.path());
    }
    std::fs::remove_dir(group).ok();
}

#[test]
fn delegated_cgroups_limit_a_users_sandboxes() {
    for person in [Person::with_one_id(), Person::with_a_range()] {
        let given = Given::to(&person);
        let report = given.run(&person, &["run", "--require-limits", "--json", "-c", ""]);
        let report = report.expect_code(0).json();
        assert_eq!(report["not_enforced"], serde_json::json!([]));
        assert!(report["peak_memory"].as_u64() > Some(0), "{report}");
        let code = "b = bytearray(300 << 20)";
        given
            .run(&person, &["run", "--memory", "100M", "-c", code])
            .expect_code(245)
            .expect_stderr(&["memory limit of 100 MiB"]);
        let groups = given.groups.iter().map(|group| group.join("soulbox"));
        for group in groups.filter(|group| group.exists()) {
            let left = std::fs::read_dir(&group).expect("there").flatten();
            let left: Vec<_> = left.filter(|entry| entry.path().is_dir()).collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}
