//! Users and groups, from the sandbox's own `/etc/passwd` and `/etc/group`.
//!
//! Commands may write these files, so they are read within bounds and whatever they say can only
//! name ids of the sandbox's own user namespace.

use crate::limits;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Gid, Uid};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::rc::Rc;
use std::sync::Arc;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    pub(crate) home: String,
    /// Supplementary groups; the user's own group is one of them.
    pub(crate) groups: Vec<Gid>,
}

/// What tells one version of a file from the next.
type Version = (u64, u64, i64, i64, u64);

/// The versions of both files, who was asked for, and who that is.
type Asked = (Version, Version, String, Rc<Account>);

/// The users of the sandbox. Remembers the two files while they do not change.
#[derive(Default)]
pub(crate) struct Accounts {
    passwd: RefCell<Remembered>,
    group: RefCell<Remembered>,
    /// What was asked for last, and what it was.
    last: RefCell<Option<Asked>>,
}

#[derive(Default)]
struct Remembered {
    version: Option<Version>,
    text: Arc<str>,
}

impl Remembered {
    /// The file's text, read again only when the file has changed; empty when it cannot be read.
    fn current(&mut self, path: &str) -> (Version, Arc<str>) {
        let version = std::fs::metadata(path)
            .ok()
            .and_then(|known| version_of(&known));
        if version.is_none() || version != self.version {
            let (version, text) = read(path).unwrap_or_default();
            self.version = Some(version);
            self.text = text;
        }
        (self.version.unwrap_or_default(), Arc::clone(&self.text))
    }
}

/// The version of a regular file.
fn version_of(known: &Metadata) -> Option<Version> {
    let version = (
        known.dev(),
        known.ino(),
        known.mtime(),
        known.mtime_nsec(),
        known.size(),
    );
    known.is_file().then_some(version)
}

fn read(path: &str) -> Option<(Version, Arc<str>)> {
    // Non-blocking: a command may have put a named pipe there.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    let version = version_of(&file.metadata().ok()?)?;
    let mut bytes = Vec::new();
    file.take(limits::ACCOUNT_FILE)
        .read_to_end(&mut bytes)
        .ok()?;
    Some((version, String::from_utf8_lossy(&bytes).into()))
}

impl Accounts {
    /// The user called `name`, or, as images have it, a number, with or without `:group`.
    pub(crate) fn find(&self, name: &str) -> Option<Rc<Account>> {
        let (passwd_version, passwd) = self.passwd.borrow_mut().current("/etc/passwd");
        let (group_version, group) = self.group.borrow_mut().current("/etc/group");
        if let Some((passwd_then, group_then, asked, account)) = &*self.last.borrow()
            && asked == name
            && (*passwd_then, *group_then) == (passwd_version, group_version)
        {
            return Some(Rc::clone(account));
        }
        let account = match parse_account(&passwd, name) {
            Some(mut account) => {
                account.groups = parse_groups(&group, name, account.gid);
                account
            }
            None => parse_numbers(&passwd, &group, name)?,
        };
        let account = Rc::new(account);
        let known = (
            passwd_version,
            group_version,
            name.to_owned(),
            Rc::clone(&account),
        );
        *self.last.borrow_mut() = Some(known);
        Some(account)
    }

    /// For telling the names of ids, as they are now.
    pub(crate) fn names(&self) -> Names {
        let (_, passwd) = self.passwd.borrow_mut().current("/etc/passwd");
        let (_, group) = self.group.borrow_mut().current("/etc/group");
        Names {
            passwd,
            group,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
        }
    }
}

/// The names of ids at one moment.
pub(crate) struct Names {
    passwd: Arc<str>,
    group: Arc<str>,
    /// Those that were asked for already.
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Names {
    /// The name of a user id, or its number when it has none.
    pub(crate) fn user(&mut self, uid: u32) -> String {
        let name = self
            .users
            .entry(uid)
            .or_insert_with(|| name_of(&self.passwd, uid));
        name.clone()
    }

    /// The name of a group id, or its number when it has none.
    pub(crate) fn group(&mut self, gid: u32) -> String {
        let name = self
            .groups
            .entry(gid)
            .or_insert_with(|| name_of(&self.group, gid));
        name.clone()
    }
}

/// In both files the first field is a name and the third its number.
fn name_of(text: &str, number: u32) -> String {
    let wanted = number.to_string();
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)? == wanted).then(|| name.to_owned())
    });
    found.unwrap_or(wanted)
}

pub(crate) fn parse_account(passwd: &str, name: &str) -> Option<Account> {
    if name.is_empty() {
        return None;
    }
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = parse_id(fields.nth(1)?)?;
        let gid = parse_id(fields.next()?)?;
        let home = fields.nth(1)?;
        Some(Account {
            name: name.to_owned(),
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(gid),
            home: if home.starts_with('/') {
                home.to_owned()
            } else {
                "/".to_owned()
            },
            groups: Vec::new(),
        })
    })
}

/// The user of `user:group`, `number` or `number:group`. A number that is nobody's belongs to
/// root's group, without a home, as container engines have it.
fn parse_numbers(passwd: &str, group: &str, text: &str) -> Option<Account> {
    let (user, wanted) = match text.split_once(':') {
        Some((user, wanted)) => (user, Some(wanted)),
        None => (text, None),
    };
    let found = parse_account(passwd, user).or_else(|| {
        let uid = parse_id(user)?;
        let name = name_of(passwd, uid);
        parse_account(passwd, &name).or(Some(Account {
            name,
            uid: Uid::from_raw(uid),
            gid: Gid::ROOT,
            home: "/".to_owned(),
            groups: Vec::new(),
        }))
    });
    let mut account = found?;
    if let Some(wanted) = wanted {
        let of_file = group.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == wanted).then_some(())?;
            parse_id(fields.nth(1)?)
        });
        account.gid = Gid::from_raw(of_file.or_else(|| parse_id(wanted))?);
    }
    account.groups = match wanted {
        Some(_) => vec![account.gid],
        None => parse_groups(group, &account.name, account.gid),
    };
    Some(account)
}

/// An id; the highest number means "none" to Linux and is no id.
fn parse_id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}

pub(crate) fn parse_groups(group: &str, name: &str, own: Gid) -> Vec<Gid> {
    let named = group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let gid = parse_id(fields.nth(2)?)?;
        let member = fields.next()?.split(',').any(|member| member == name);
        (member && gid != own.as_raw()).then(|| Gid::from_raw(gid))
    });
    std::iter::once(own)
        .chain(named)
        .take(limits::GROUPS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbroken\nuser:x:1000:1000::/home/user:\n\
        nohome:x:7:7::::\n:x:8:8::/:\nminus:x:-1:5::/:\nmax:x:4294967295:5::/:\n";
    const GROUP: &str = "root:x:0:\nuser:x:1000:\nsudo:x:27:other,user\nbad:x:y:user\n\
        docker:x:99:user";

    #[test]
    fn users_and_their_groups_are_found() {
        let user = parse_account(PASSWD, "user").unwrap();
        assert_eq!((user.uid.as_raw(), user.gid.as_raw()), (1000, 1000));
        assert_eq!(user.home, "/home/user");
        let groups: Vec<u32> = parse_groups(GROUP, "user", user.gid)
            .iter()
            .map(|gid| gid.as_raw())
            .collect();
        assert_eq!(groups, [1000, 27, 99]);
        assert_eq!(parse_account(PASSWD, "nohome").unwrap().home, "/");
        for missing in ["nobody", "", "broken", "minus", "max", "user:x"] {
            assert_eq!(parse_account(PASSWD, missing), None, "{missing}");
        }
        assert_eq!(name_of(PASSWD, 1000), "user");
        assert_eq!(name_of(PASSWD, 8), "8");
        assert_eq!(name_of(GROUP, 27), "sudo");
    }

    #[test]
    fn users_may_be_numbers_and_have_a_group() {
        let of = |text: &str| {
            let account = parse_numbers(PASSWD, GROUP, text)?;
            let groups: Vec<u32> = account.groups.iter().map(|gid| gid.as_raw()).collect();
            Some((
                account.uid.as_raw(),
                account.gid.as_raw(),
                account.home,
                groups,
            ))
        };
        let home = || "/home/user".to_owned();
        assert_eq!(of("1000"), Some((1000, 1000, home(), vec![1000, 27, 99])));
        assert_eq!(of("user:sudo"), Some((1000, 27, home(), vec![27])));
        assert_eq!(of("1000:5"), Some((1000, 5, home(), vec![5])));
        assert_eq!(of("1234"), Some((1234, 0, "/".to_owned(), vec![0])));
        for unknown in ["you", "user:you", "-1", "", ":", "4294967295", "12x"] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn groups_are_bounded() {
        let many: String = (2000..3000)
            .map(|gid| format!("g{gid}:x:{gid}:user\n"))
            .collect();
        assert_eq!(
            parse_groups(&many, "user", Gid::from_raw(1)).len(),
            limits::GROUPS
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "[a-z:,0-9\n]{0,200}", name in "[a-z:]{0,5}") {
            let _ = parse_account(&text, &name);
            let _ = parse_groups(&text, &name, Gid::from_raw(0));
            let _ = name_of(&text, 7);
        }
    }
}
