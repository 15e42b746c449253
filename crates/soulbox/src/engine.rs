//! Starting the engine, and what its errors mean for a person.

use crate::environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal;
use soulbox_model::SandboxSpec;
use soulbox_node::lease::LeaseError;
use soulbox_node::mount_source::MountSourceError;
use soulbox_node::tree_source::TreeError;
use soulbox_node::{CreateError, Node, NodeError, Sandbox};
use soulbox_runtime::native::driver::DriverError;
use soulbox_runtime::native::rights;
use soulbox_settings::{Backend, Flag, Settings};
use std::error::Error;
use std::io;
use std::sync::Arc;

/// The user inside when none is named.
const DEFAULT_USER: &str = "user";

const DOCTOR: &str = "`soulbox doctor` says what this machine lacks";

/// The settings of an engine that makes one sandbox: nothing is prepared ahead of time.
pub(crate) fn without_pools() -> Vec<Flag> {
    let none = |key| Flag {
        key,
        flag: "of one sandbox",
        value: "0".to_owned(),
    };
    ["pool.slots", "pool.prepared", "pool.parked"]
        .map(none)
        .into()
}

/// How many descriptors an engine needs before it makes anything: its runtime's, its directories',
/// its spawner's.
const DESCRIPTORS: usize = 24;

/// Makes sure that so many descriptors can be opened as are needed in any case: parts of the
/// runtime would panic for want of one.
fn check_descriptors() -> Result<(), Failure> {
    let open = || std::fs::File::open("/dev/null");
    let opened: io::Result<Vec<_>> = (0..DESCRIPTORS).map(|_| open()).collect();
    opened.map(drop).map_err(|error| {
        Failure::new(Exit::HOST, "cannot start")
            .because(&error)
            .help("allow this process more open files: ulimit -n 1024")
    })
}

/// Has sandboxes write to memory where the settings leave that open: nothing is quicker for one
/// short run, and nobody asked for more room than that.
pub(crate) fn keep_in_memory(settings: &mut Settings) {
    if settings.storage.backend == Backend::Auto {
        settings.storage.backend = Backend::Memory;
    }
}

/// Takes the rights that an ordinary user needs to make sandboxes and their templates. To be called
/// while the program has one thread.
pub(crate) fn take_rights() -> Result<(), Failure> {
    environment::user_id();
    match rights::enter() {
        Ok(None) => Ok(()),
        Ok(Some(note)) => {
            terminal::warn(&format!("note: {note}"));
            Ok(())
        }
        Err(error) => Err(Failure::of(Exit::HOST, &error).help(DOCTOR)),
    }
}

/// A runtime for the engine.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    check_descriptors()?;
    take_rights()?;
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    built.map_err(|error| Failure::new(Exit::INTERNAL, "cannot start").because(&error))
}

/// A runtime for a server, which has many things to do at once.
pub(crate) fn server_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    check_descriptors()?;
    take_rights()?;
    let built = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    built.map_err(|error| Failure::new(Exit::INTERNAL, "cannot start").because(&error))
}

/// Starts the engine.
pub(crate) async fn start(settings: Settings) -> Result<Arc<Node>, Failure> {
    terminal::log(&settings.log);
    let node = Node::start(Arc::new(settings)).await;
    let node = node.map_err(|error| not_started(&error))?;
    // Programs read it in the reply (`--json`) or refuse it (`--require-limits`).
    if terminal::stderr_is_terminal() {
        tell_lacking(&node);
    }
    Ok(node)
}

/// Starts an engine whose sandboxes outlive it.
pub(crate) async fn start_lasting(settings: Settings) -> Result<Arc<Node>, Failure> {
    let node = Node::start_lasting(Arc::new(settings)).await;
    let node = node.map_err(|error| not_started(&error))?;
    tell_lacking(&node);
    Ok(node)
}

fn tell_lacking(node: &Node) {
    let lacking = node.not_enforced();
    if !lacking.is_empty() {
        terminal::warn(&format!(
            "note: nothing limits {} here; {DOCTOR}",
            lacking.join(", ")
        ));
    }
}

/// Refuses a user whom sandboxes do not have.
pub(crate) fn check_user(node: &Node, user: Option<&str>) -> Result<(), Failure> {
    match user {
        Some(user) if user != DEFAULT_USER && !node.has_many_ids() => Err(Failure::new(
            Exit::HOST,
            format!("there is no user {user} inside: you have no subordinate ids, so that {DEFAULT_USER} is alone"),
        )
        .help(DOCTOR)),
        _ => Ok(()),
    }
}

/// Makes a sandbox.
pub(crate) async fn create(node: &Node, spec: SandboxSpec) -> Result<Sandbox, Failure> {
    let limits = spec.limits;
    node.create(spec).await.map_err(|error| match &error {
        CreateError::Limit(error) => Failure::of(Exit::USAGE, error),
        CreateError::Template(error @ TreeError::Missing(_)) => no_template(node.settings(), error),
        CreateError::Mount(error) => bad_mount(error),
        CreateError::Driver(error) => driver(error),
        CreateError::NoInternet => Failure::of(Exit::HOST, &error)
            .help("leave out --network internet, or run it with sudo"),
        CreateError::Lease(LeaseError::Full | LeaseError::Most { .. })
        | CreateError::Admission(_)
        | CreateError::Storage(_) => Failure::of(Exit::CREATE, &error),
        _ if lacks_room(&error) => {
            Failure::of(Exit::CREATE, &error).help("free disk space on the host")
        }
        _ if lacks_memory(&error) => {
            let asked = format!("the sandbox asked for {} of memory", limits.memory);
            Failure::of(Exit::CREATE, &error).help(format!("free memory on the host; {asked}"))
        }
        _ => Failure::of(Exit::CREATE, &error).help(DOCTOR),
    })
}

fn not_started(error: &NodeError) -> Failure {
    match error {
        NodeError::NotEnforced(_) => Failure::of(Exit::HOST, error).help(DOCTOR),
        NodeError::Driver(error) => driver(error),
        NodeError::Storage(_) => Failure::of(Exit::HOST, error).help(DOCTOR),
        _ if lacks_room(error) => {
            Failure::of(Exit::CREATE, error).help("free disk space on the host")
        }
        _ => Failure::of(Exit::HOST, error).help(DOCTOR),
    }
}

fn driver(error: &DriverError) -> Failure {
    match error {
        DriverError::Unable(..) if lacks_room(error) => {
            Failure::of(Exit::CREATE, error).help("free disk space on the host")
        }
        DriverError::Unable(..) => Failure::of(Exit::HOST, error).help(DOCTOR),
        DriverError::Step(..) if lacks_rights(error) => Failure::of(Exit::HOST, error).help(DOCTOR),
        DriverError::Step(..) if lacks_room(error) => {
            Failure::of(Exit::CREATE, error).help("free disk space on the host")
        }
        _ => Failure::of(Exit::CREATE, error).help(DOCTOR),
    }
}

fn no_template(settings: &Settings, error: &TreeError) -> Failure {
    let failure = Failure::of(Exit::NOT_FOUND, error);
    let TreeError::Missing(name) = error else {
        return failure;
    };
    if name.as_str() == "base" {
        return failure.help("soulbox template build base");
    }
    let there = std::fs::read_dir(settings.paths.data_dir.join("templates"));
    let there = there.into_iter().flatten().flatten();
    let names: Vec<_> = there
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let known = names.iter().map(String::as_str).chain(["host", "base"]);
    let known = known.filter(|known| *known != name.as_str());
    match soulbox_model::nearest(name.as_str(), known) {
        Some(near) => failure.help(format!("did you mean {near:?}?")),
        None => failure,
    }
}

fn bad_mount(error: &MountSourceError) -> Failure {
    let absent = errno(error) == Some(rustix::io::Errno::NOENT);
    let exit = if absent { Exit::NOT_FOUND } else { Exit::USAGE };
    Failure::of(exit, error).help("--mount takes an existing directory or file: HOST:GUEST[:ro]")
}

fn lacks_rights(error: &DriverError) -> bool {
    use rustix::io::Errno;
    let rights = [
        Errno::PERM,
        Errno::ACCESS,
        Errno::NOSYS,
        Errno::NODEV,
        Errno::OPNOTSUPP,
    ];
    error.errno().is_some_and(|errno| rights.contains(&errno))
}

fn lacks_room(error: &(dyn Error + 'static)) -> bool {
    errno(error) == Some(rustix::io::Errno::NOSPC)
}

fn lacks_memory(error: &(dyn Error + 'static)) -> bool {
    errno(error) == Some(rustix::io::Errno::NOMEM)
}

/// Linux's error number somewhere behind an error.
fn errno(error: &(dyn Error + 'static)) -> Option<rustix::io::Errno> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(errno) = error.downcast_ref::<rustix::io::Errno>() {
            return Some(*errno);
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            // An error with words of its own has lost its number, but not its kind.
            match (error.raw_os_error(), error.kind()) {
                (Some(number), _) => return Some(rustix::io::Errno::from_raw_os_error(number)),
                (None, io::ErrorKind::StorageFull) => return Some(rustix::io::Errno::NOSPC),
                (None, io::ErrorKind::OutOfMemory) => return Some(rustix::io::Errno::NOMEM),
                (None, _) => {}
            }
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_seen_behind_other_words() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(lacks_room(&full));
        let with_words = io::Error::new(io::ErrorKind::StorageFull, "/etc/x: no space");
        assert!(lacks_room(&with_words));
        assert!(!lacks_room(&io::Error::other("something else")));
        assert!(lacks_room(&rustix::io::Errno::NOSPC));
    }
}
