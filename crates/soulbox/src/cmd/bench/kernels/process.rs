//! From a context to what it is on the host: the agent's socket, the process, its memory.

use super::super::memory::field;
use super::super::talk::Talk;
use super::super::talk::Whom;
use super::cell::run;
use crate::exit::Exit;
use crate::failure::Failure;
use bytes::Bytes;
use http::{Method, StatusCode};
use std::fs;
use std::path::{Path, PathBuf};

/// What agents take requests for kernels by.
const HOST: (&str, &str) = ("host", "kernels");

/// A cell that tells in which pid namespace it is, and its number there.
const WHO: &str = "import os\nprint(os.readlink('/proc/self/ns/pid'), os.getpid())";

/// The agent that knows a context, among those of the server with this process.
pub(super) async fn agent_of(pid: u32, run_dir: &Path, context: &str) -> Result<Whom, Failure> {
    for socket in sockets(pid, run_dir) {
        let whom = Whom::socket(socket, &[HOST])?;
        let Ok(mut talk) = whom.open().await else {
            continue;
        };
        let listed = talk.expect(Method::GET, "/contexts", Bytes::new(), StatusCode::OK);
        if let Ok(listed) = listed.await
            && String::from_utf8_lossy(&listed).contains(context)
        {
            return Ok(whom);
        }
    }
    let what = format!("no agent's socket below {} has it", run_dir.display());
    Err(Failure::new(Exit::INTERNAL, what))
}

/// The sockets of a server's agents.
fn sockets(pid: u32, run_dir: &Path) -> Vec<PathBuf> {
    let entries = |directory: &Path| fs::read_dir(directory).into_iter().flatten().flatten();
    let begins = format!("{pid}-");
    let engines = entries(&run_dir.join("engines"));
    let ours = engines.filter(|entry| entry.file_name().to_string_lossy().starts_with(&begins));
    let files = ours.flat_map(|entry| entries(&entry.path()).collect::<Vec<_>>());
    let files = files.map(|entry| entry.path());
    files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "sock")
        })
        .collect()
}

/// KiB that the process of a Python context shares with nobody.
pub(super) async fn private_kib(talk: &mut Talk, context: &str) -> Result<u64, Failure> {
    let lost = || Failure::new(Exit::INTERNAL, "cannot find a context's process");
    let told = run(talk, context, WHO).await?;
    let (namespace, number) = told.trim().split_once(' ').ok_or_else(lost)?;
    let pid = on_the_host(namespace, number).ok_or_else(lost)?;
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
    private(&text.map_err(|error| lost().because(&error))?).ok_or_else(lost)
}

/// The process that has this number in this pid namespace.
fn on_the_host(namespace: &str, number: &str) -> Option<u32> {
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let names = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_it = |pid: &u32| {
        let link = fs::read_link(format!("/proc/{pid}/ns/pid"));
        let here = link.is_ok_and(|link| link.as_os_str() == namespace);
        here && fs::read_to_string(format!("/proc/{pid}/status"))
            .is_ok_and(|status| innermost(&status) == Some(number))
    };
    names.into_iter().find(is_it)
}

/// The number of a process in its innermost pid namespace.
fn innermost(status: &str) -> Option<&str> {
    let numbers = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    numbers.split_whitespace().last()
}

/// What is private of a process's memory, in KiB.
fn private(rollup: &str) -> Option<u64> {
    Some(field(rollup, "Private_Clean:")? + field(rollup, "Private_Dirty:")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_private_is_clean_or_dirty() {
        let rollup =
            "Rss: 900 kB\nShared_Dirty: 7 kB\nPrivate_Clean:  40 kB\nPrivate_Dirty: 200 kB\n";
        assert_eq!(private(rollup), Some(240));
        assert_eq!(private("Rss: 900 kB\n"), None);
    }

    #[test]
    fn this_process_is_found_by_its_namespace() {
        let link = fs::read_link("/proc/self/ns/pid").unwrap();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let number = innermost(&status).unwrap();
        let found = on_the_host(link.to_str().unwrap(), number);
        assert_eq!(found, Some(std::process::id()));
    }
}
