//! The walls on the host's side: one nf_tables table of ours, shared by all engines of a machine.
//!
//! Rules go by the names of links (`sbx*`), so that making a sandbox touches no rule. The first
//! engine that makes a sandbox with internet puts the table up, the last one that ends takes it
//! down:
//!
//! ```text
//! take:      lock ── alone? ──yes─▶ write the record, rules up, forwarding on ─▶ unlock
//!                          └─no──▶ same rules? table there? (else as above, or refuse)
//! give back: lock ── alone, and no link left? ──yes─▶ forwarding off, rules down ─▶ unlock
//! ```
//!
//! Users hold a shared lock on a file, which Linux lets go when they die however they die. What
//! was found before the first change stands in a record beside it, so that the next engine
//! repairs or takes down what a killed one left.
//!
//! | Part | File |
//! |---|---|
//! | the rules | [`rules`] |
//! | `net.ipv4.ip_forward` | `forwarding` |
//! | rules of others that drop what ours let pass | [`foreign`] |
//! | what was found | `record` |
//! | running `nft` | [`program`] |
//! | news of others' changes | [`watch`] |

pub mod foreign;
mod forwarding;
pub mod program;
mod record;
pub mod rules;
pub mod watch;

use super::link;
use super::namespace::Host;
use crate::native::step::StepError;
use forwarding::Before;
use program::ProgramError;
use record::Record;
use rules::Rules;
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the links of sandboxes that have ended may still be there. Linux clears network
/// namespaces away in the background: 31 to 132 ms, measured with up to 300 at once.
pub const FADING: Duration = Duration::from_millis(500);
/// How often links are looked for meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Why the walls cannot be put up or taken down.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// A program could not be run, or refused.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Linux refused a step.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A file in the run directory.
    #[error("cannot {what} {path}")]
    File {
        /// What was being done with it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Another engine of this machine has other rules up.
    #[error(
        "another engine on this machine runs sandboxes with network.subnet {} and \
         network.allow [{}]: give both engines the same settings, or stop the other one",
        .0.subnet, .0.allow.join(", ")
    )]
    Differs(rules::Chosen),
}

/// A claim on the walls: they stay up at least as long as it lives. Dropping it gives it back.
#[derive(Debug)]
pub struct Lease {
    run_dir: PathBuf,
    users: Option<OwnedFd>,
    obstacles: Vec<foreign::Obstacle>,
}

/// What giving a lease back did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Everything is as it was found.
    Removed,
    /// Others use the walls.
    InUse,
    /// Links of sandboxes are still there, and the walls must be.
    LinksLeft,
}

impl Lease {
    /// Puts the walls up, or joins those who did. To be called before the first sandbox with
    /// internet is made; takes about 30 ms when it is alone, else less than one.
    ///
    /// `run_dir` is one for all engines of the machine.
    ///
    /// # Errors
    /// `nft` is missing or refuses, Linux refuses, or another engine has other rules up.
    pub fn take(run_dir: &Path, rules: &Rules) -> Result<Self, FirewallError> {
        let _locked = lock(run_dir)?;
        let users = open(&users_file(run_dir)?)?;
        let alone = try_exclusive(&users)?;
        let found = Record::read(run_dir)?;
        let chosen = rules.chosen();
        if let (Some(found), false) = (&found, alone)
            && found.chosen != chosen
        {
            return Err(FirewallError::Differs(found.chosen.clone()));
        }
        let mut lease = Self {
            run_dir: run_dir.to_owned(),
            users: None,
            obstacles: Vec::new(),
        };
        if alone || found.is_none() || !rules::are_up()? {
            lease.obstacles = put_up(run_dir, rules, found).inspect_err(|_| {
                if alone {
                    give_up(run_dir);
                }
            })?;
        }
        rustix::fs::flock(&users, FlockOperation::LockShared)
            .map_err(|errno| file("share", run_dir, errno))?;
        lease.users = Some(users);
        Ok(lease)
    }

    /// What others have that may drop what our rules let pass.
    pub fn obstacles(&self) -> &[foreign::Obstacle] {
        &self.obstacles
    }

    /// Puts the rules up again when somebody removed them (`nft flush ruleset`, a restarted
    /// firewall service); true when it did. Less than a millisecond when they are there.
    ///
    /// # Errors
    /// As for [`Lease::take`].
    pub fn repair(&mut self, rules: &Rules) -> Result<bool, FirewallError> {
        if rules::are_up()? {
            return Ok(false);
        }
        let _locked = lock(&self.run_dir)?;
        if rules::are_up()? {
            return Ok(false);
        }
        self.obstacles = put_up(&self.run_dir, rules, Record::read(&self.run_dir)?)?;
        Ok(true)
    }

    /// Looks anew at the rules of others, after [`watch::Watch`] told of a change: a container
    /// engine may have come, or have flushed what let our packets pass. Some 10 ms.
    ///
    /// # Errors
    /// As for [`Lease::take`].
    pub fn look_around(&mut self) -> Result<(), FirewallError> {
        let _locked = lock(&self.run_dir)?;
        self.obstacles = foreign::open()?;
        Ok(())
    }

    /// Gives the lease back; the last one takes the walls down. Waits up to [`FADING`] for the
    /// links of sandboxes that have just ended.
    ///
    /// # Errors
    /// The step that failed. The record stays then, and the next engine goes on from it.
    pub fn give_back(mut self) -> Result<Removal, FirewallError> {
        self.end()
    }

    /// Gives the lease back at once and leaves the walls to [`sweep`].
    pub fn leave(mut self) {
        self.users = None;
    }

    fn end(&mut self) -> Result<Removal, FirewallError> {
        match self.users.take() {
            Some(users) => take_down_when_faded(&self.run_dir, &users),
            None => Ok(Removal::InUse),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the walls stay up"
            );
        }
    }
}

/// Takes down walls that nobody uses any more: what a killed engine left. For the start of an
/// engine, and for a spawner that outlives its engine. Waits as [`Lease::give_back`] does.
///
/// # Errors
/// As for [`Lease::give_back`].
pub fn sweep(run_dir: &Path) -> Result<Removal, FirewallError> {
    let users = open(&users_file(run_dir)?)?;
    take_down_when_faded(run_dir, &users)
}

/// Whether rules are up that nobody uses: a killed engine left them, and no other has started.
///
/// # Errors
/// As for [`Lease::give_back`].
pub fn is_forsaken(run_dir: &Path) -> Result<bool, FirewallError> {
    let users = open(&users_file(run_dir)?)?;
    let _locked = lock(run_dir)?;
    Ok(try_exclusive(&users)? && rules::are_up()?)
}

/// The lock is let go between the tries, so that nobody waits for links of others.
fn take_down_when_faded(run_dir: &Path, users: &OwnedFd) -> Result<Removal, FirewallError> {
    let start = Instant::now();
    loop {
        let removal = {
            let _locked = lock(run_dir)?;
            let removal = take_down(run_dir, users)?;
            rustix::fs::flock(users, FlockOperation::Unlock)
                .map_err(|errno| file("unlock", run_dir, errno))?;
            removal
        };
        if removal != Removal::LinksLeft || start.elapsed() > FADING {
            return Ok(removal);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn put_up(
    run_dir: &Path,
    rules: &Rules,
    found: Option<Record>,
) -> Result<Vec<foreign::Obstacle>, FirewallError> {
    let before = match found.map(|record| record.before) {
        Some(before) => before,
        None => Before::read()?,
    };
    // The record first: whatever is changed after it can be taken back by whoever reads it.
    let record = Record {
        chosen: rules.chosen(),
        before,
    };
    record.write(run_dir)?;
    rules::put_up(rules, &record.before)?;
    forwarding::switch_on()?;
    Ok(foreign::open()?)
}

/// After a failure: nothing of ours stays, as far as that can be had. What fails here is what
/// has failed already, and the record is kept for the next engine when it matters.
fn give_up(run_dir: &Path) {
    let undone = || -> Result<(), FirewallError> {
        let Some(record) = Record::read(run_dir)? else {
            return Ok(());
        };
        record.before.restore()?;
        if rules::are_up()? {
            foreign::close()?;
            rules::take_down()?;
        }
        Record::remove(run_dir)
    };
    if let Err(error) = undone() {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "part of the walls stays up"
        );
    }
}

fn take_down(run_dir: &Path, users: &OwnedFd) -> Result<Removal, FirewallError> {
    if !try_exclusive(users)? {
        return Ok(Removal::InUse);
    }
    let Some(record) = Record::read(run_dir)? else {
        return Ok(Removal::Removed);
    };
    if !link::slots(&Host::open()?)?.is_empty() {
        return Ok(Removal::LinksLeft);
    }
    record.before.restore()?;
    foreign::close()?;
    rules::take_down()?;
    Record::remove(run_dir)?;
    Ok(Removal::Removed)
}

/// Waits for the lock that guards taking and giving back.
fn lock(run_dir: &Path) -> Result<OwnedFd, FirewallError> {
    let path = place(run_dir, "lock")?;
    let fd = open(&path)?;
    rustix::fs::flock(&fd, FlockOperation::LockExclusive)
        .map_err(|errno| file("lock", &path, errno))?;
    Ok(fd)
}

fn users_file(run_dir: &Path) -> Result<PathBuf, FirewallError> {
    place(run_dir, "users")
}

/// The file of this kind. Rules belong to a network namespace: engines in containers that share
/// the run directory have their own.
fn place(run_dir: &Path, kind: &str) -> Result<PathBuf, FirewallError> {
    let own = Path::new("/proc/thread-self/ns/net");
    let found = rustix::fs::stat(own).map_err(|errno| file("look at", own, errno))?;
    Ok(run_dir.join(format!("network-{}.{kind}", found.st_ino)))
}

fn open(path: &Path) -> Result<OwnedFd, FirewallError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| file("open", path, errno))
}

/// Whether nobody else holds the file's lock, not even a shared one; if so, it is ours alone.
fn try_exclusive(users: &OwnedFd) -> Result<bool, FirewallError> {
    match rustix::fs::flock(users, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(file("lock", Path::new("network.users"), errno)),
    }
}

fn file(what: &'static str, path: &Path, errno: Errno) -> FirewallError {
    FirewallError::File {
        what,
        path: path.to_owned(),
        source: errno.into(),
    }
}
