//! Whether template `host` is still true: the state of everything that it was made from.
//!
//! Recorded are the identity, the time of change and the size of each directory and regular file
//! that is carried over. Links are not: they cannot be changed in place, and making them anew
//! changes their directory. A check costs one `stat` for each line, about 300 of them.

use super::root::HostRoot;
use super::{accounts, carried, skeleton};
use rustix::fs::FileType;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

/// The state of the host's part, as text of one line for each input.
///
/// # Errors
/// When a directory of the host cannot be read.
pub(super) fn take(host: &HostRoot) -> io::Result<String> {
    let mut inputs = Vec::new();
    for path in carried::found(host)? {
        collect(host, path, &mut inputs)?;
    }
    let mut text = head(host)?;
    for input in inputs {
        line(host, &input, &mut text)?;
    }
    Ok(text)
}

/// True when `stamp`, taken earlier, still holds.
///
/// # Errors
/// When the host cannot be read.
pub(super) fn holds(host: &HostRoot, stamp: &str) -> io::Result<bool> {
    let head = head(host)?;
    let Some(rest) = stamp.strip_prefix(&head) else {
        return Ok(false);
    };
    let mut now = String::with_capacity(rest.len());
    for recorded in rest.lines() {
        let Some((path, _)) = recorded.split_once('\t') else {
            return Ok(false);
        };
        line(host, Path::new(path), &mut now)?;
        if !now.ends_with(&format!("{recorded}\n")) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What is compared first: this program's own part, the machine's start, which entries there are,
/// and the files that are read and not carried over.
fn head(host: &HostRoot) -> io::Result<String> {
    let mut hasher = DefaultHasher::new();
    skeleton::hash_edition(&mut hasher);
    // After a power cut the tree may be half written: it is not forced to disk.
    std::fs::read("/proc/sys/kernel/random/boot_id")?.hash(&mut hasher);
    carried::found(host)?.hash(&mut hasher);
    skeleton::merged_links(host)?.hash(&mut hasher);
    let mut text = format!(
        "soulbox {} {:016x}\n",
        env!("CARGO_PKG_VERSION"),
        hasher.finish()
    );
    for path in accounts::SOURCES.iter().chain([&skeleton::SUDO_PROGRAM]) {
        line(host, Path::new(path), &mut text)?;
    }
    Ok(text)
}

/// Adds `path`, and everything below it that has a state of its own.
fn collect(host: &HostRoot, path: PathBuf, inputs: &mut Vec<PathBuf>) -> io::Result<()> {
    let kind = host
        .stat(&path)?
        .map(|stat| FileType::from_raw_mode(stat.st_mode));
    // A name that does not fit in a line is not watched.
    if path.to_str().is_none_or(|path| path.contains(['\n', '\t'])) {
        return Ok(());
    }
    if kind == Some(FileType::Directory) {
        for name in host.list(&path)? {
            let below = path.join(name);
            let kind = host
                .stat(&below)?
                .map(|stat| FileType::from_raw_mode(stat.st_mode));
            if kind != Some(FileType::Symlink) {
                collect(host, below, inputs)?;
            }
        }
    }
    inputs.push(path);
    Ok(())
}

/// Writes the state of `path`: its name, then what changes when it does.
fn line(host: &HostRoot, path: &Path, text: &mut String) -> io::Result<()> {
    text.push_str(&path.to_string_lossy());
    // Writing to a String does not fail.
    let _ = match host.state(path)? {
        Some(stat) => writeln!(
            text,
            "\t{}\t{}.{}\t{}",
            stat.st_ino, stat.st_ctime, stat.st_ctime_nsec, stat.st_size
        ),
        None => writeln!(text, "\t-"),
    };
    Ok(())
}
