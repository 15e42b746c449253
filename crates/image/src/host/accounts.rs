//! Users and groups of template `host`.
//!
//! Files under the host's `/usr` belong to users and groups of the host: those that Debian gives
//! fixed numbers (`/usr/share/base-passwd`) and those that packages add with numbers below 1000.
//! They exist in the sandbox by name and number only: no password, no shell, no members.

use super::root::HostRoot;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Where Debian keeps the accounts with fixed numbers.
pub(super) const SOURCES: [&str; 4] = [
    "usr/share/base-passwd/passwd.master",
    "etc/passwd",
    "usr/share/base-passwd/group.master",
    "etc/group",
];

/// The number of the default user and its group.
const USER: u32 = 1000;
/// The numbers of `nobody` and `nogroup`.
const NOBODY: u32 = 65_534;
/// The longest file that is read.
const MAX_BYTES: u64 = 1 << 20;
/// The most accounts of one kind.
const MAX_ACCOUNTS: usize = 1000;

/// The files with users and groups.
#[derive(Debug, PartialEq, Eq)]
pub struct Accounts {
    /// `/etc/passwd`.
    pub passwd: String,
    /// `/etc/group`.
    pub group: String,
    /// `/etc/shadow`: nobody has a password.
    pub shadow: String,
    /// `/etc/gshadow`.
    pub gshadow: String,
    /// Number of the group `shadow`, to which both shadow files belong; root's if there is none.
    pub shadow_group: u32,
}

impl Accounts {
    /// Makes the accounts from what the host has.
    pub fn of(host: &HostRoot) -> Self {
        let [users_master, users, groups_master, groups] = SOURCES.map(|path| {
            let content = host.read(Path::new(path), MAX_BYTES).ok().flatten();
            String::from_utf8(content.unwrap_or_default()).unwrap_or_default()
        });
        Self::from_texts(&[&users_master, &users], &[&groups_master, &groups])
    }

    fn from_texts(users: &[&str], groups: &[&str]) -> Self {
        let mut group_names = BTreeMap::from([(0, "root".to_owned()), (NOBODY, "nogroup".into())]);
        read_groups(groups, &mut group_names);
        group_names.insert(USER, "user".into());
        let mut accounts = Self {
            passwd: String::new(),
            group: String::new(),
            shadow: String::new(),
            gshadow: String::new(),
            shadow_group: 0,
        };
        for (number, name) in &group_names {
            let member = if name == "sudo" { "user" } else { "" };
            // Writing to a String does not fail.
            let _ = writeln!(accounts.group, "{name}:x:{number}:{member}");
            let _ = writeln!(accounts.gshadow, "{name}:*::{member}");
            if name == "shadow" {
                accounts.shadow_group = *number;
            }
        }
        for (number, user) in read_users(users) {
            let User {
                name,
                group,
                home,
                shell,
            } = user;
            let _ = writeln!(accounts.passwd, "{name}:x:{number}:{group}::{home}:{shell}");
            let _ = writeln!(accounts.shadow, "{name}:*:19700:0:99999:7:::");
        }
        accounts
    }
}

struct User {
    name: String,
    group: u32,
    home: String,
    shell: &'static str,
}

fn read_users(texts: &[&str]) -> BTreeMap<u32, User> {
    let account = |name: &str, group, home: &str, shell| User {
        name: name.to_owned(),
        group,
        home: home.to_owned(),
        shell,
    };
    let mut users = BTreeMap::from([
        (0, account("root", 0, "/root", "/bin/bash")),
        (USER, account("user", USER, "/home/user", "/bin/bash")),
        (
            NOBODY,
            account("nobody", NOBODY, "/nonexistent", "/usr/sbin/nologin"),
        ),
    ]);
    for line in texts.iter().flat_map(|text| text.lines()) {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, number, group, _, home, _] = fields[..] else {
            continue;
        };
        let (Some(number), Some(group)) = (system_number(number), group.parse().ok()) else {
            continue;
        };
        let taken = users.values().any(|user| user.name == name);
        if is_name(name) && is_home(home) && !taken && users.len() < MAX_ACCOUNTS {
            users
                .entry(number)
                .or_insert_with(|| account(name, group, home, "/usr/sbin/nologin"));
        }
    }
    users
}

fn read_groups(texts: &[&str], groups: &mut BTreeMap<u32, String>) {
    for line in texts.iter().flat_map(|text| text.lines()) {
        let mut fields = line.split(':');
        let (Some(name), Some(number)) = (fields.next(), fields.nth(1).and_then(system_number))
        else {
            continue;
        };
        let taken = name == "user" || groups.values().any(|group| group == name);
        if is_name(name) && !taken && groups.len() < MAX_ACCOUNTS {
            groups.entry(number).or_insert_with(|| name.to_owned());
        }
    }
}

/// The number of an account that packages of the distribution make.
fn system_number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number < USER)
}

fn is_name(name: &str) -> bool {
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn is_home(home: &str) -> bool {
    home.starts_with('/') && home.len() <= 255 && !home.contains(|c: char| c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:secret:0:0:Ann:/root:/bin/zsh\n\
        daemon:*:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
        messagebus:x:100:102::/nonexistent:/usr/sbin/nologin\n\
        messagebus:x:101:102::/nonexistent:/usr/sbin/nologin\n\
        ann:x:1000:1000:Ann,,,:/home/ann:/bin/bash\n\
        user:x:998:998::/home/x:/bin/bash\n\
        bad name:x:5:5::/:/bin/sh\n\
        short:x:6\n";
    const GROUPS: &str = "root:x:0:ann\nsudo:x:27:ann\nshadow:x:42:\nann:x:1000:\nuser:x:998:\n";

    #[test]
    fn packages_users_come_along_by_name_and_number_only() {
        let accounts = Accounts::from_texts(&[USERS], &[GROUPS]);
        assert_eq!(
            accounts.passwd,
            "root:x:0:0::/root:/bin/bash\n\
             daemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n\
             messagebus:x:100:102::/nonexistent:/usr/sbin/nologin\n\
             user:x:1000:1000::/home/user:/bin/bash\n\
             nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"
        );
        assert_eq!(
            accounts.group,
            "root:x:0:\nsudo:x:27:user\nshadow:x:42:\nuser:x:1000:\nnogroup:x:65534:\n"
        );
        assert_eq!(accounts.shadow_group, 42);
    }

    #[test]
    fn nobody_of_the_host_and_no_password_comes_along() {
        let accounts = Accounts::from_texts(&[USERS], &[GROUPS]);
        let all = [
            accounts.passwd,
            accounts.group,
            accounts.shadow,
            accounts.gshadow,
        ]
        .concat();
        assert!(
            !all.contains("ann") && !all.contains("Ann") && !all.contains("secret"),
            "{all}"
        );
        assert!(all.lines().any(|line| line.starts_with("user:*:")));
    }

    #[test]
    fn without_anything_there_are_still_root_user_and_nobody() {
        let accounts = Accounts::from_texts(&[], &[]);
        assert_eq!(
            (accounts.passwd.lines().count(), accounts.shadow_group),
            (3, 0)
        );
    }
}
