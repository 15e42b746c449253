//! Files of a run that are answered: bounded in number and size, for the sandbox says how many and how long they are.

use crate::execute::program::HOME;
use crate::execute::{GuestError, Returned, TransferError};
use bytes::Bytes;
use soulbox_runtime::agent_client::{AgentClient, AgentError};
use soulbox_settings::Execute;
use std::collections::BTreeSet;

/// Fetches the files that were asked for, each a path or a pattern, and tells what could not be.
pub async fn collect(
    agent: &AgentClient,
    returns: &[String],
    user: Option<&str>,
    most: &Execute,
) -> (Vec<Returned>, Vec<TransferError>) {
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    let mut room = most.returns.bytes();
    let mut names = BTreeSet::new();
    for wanted in returns {
        let wanted = absolute(wanted);
        match named(agent, &wanted, user).await {
            Ok(some) => names.extend(some),
            Err(error) => failed.push(told(wanted, error, most)),
        }
    }
    for path in names {
        if found.len() == most.return_files as usize {
            let what = format!(
                "more than {} files match (setting execute.return_files)",
                most.return_files
            );
            failed.push(refusal(path, GuestError::Refused(what)));
            break;
        }
        match fetch(agent, &path, user, room).await {
            Ok(content) => {
                room = room.saturating_sub(content.len() as u64);
                found.push(Returned { path, content });
            }
            Err(error) => failed.push(told(path, error, most)),
        }
    }
    (found, failed)
}

async fn fetch(
    agent: &AgentClient,
    path: &str,
    user: Option<&str>,
    room: u64,
) -> Result<Bytes, AgentError> {
    let stream = agent.read_file(path, user, room).await?;
    stream.read_to_end().await.map(Bytes::from)
}

/// The files that a path means: itself, or those of its directory whose names fit.
async fn named(
    agent: &AgentClient,
    wanted: &str,
    user: Option<&str>,
) -> Result<Vec<String>, AgentError> {
    let (directory, pattern) = wanted.rsplit_once('/').unwrap_or(("", wanted));
    if !pattern.contains(['*', '?']) {
        return Ok(vec![wanted.to_owned()]);
    }
    let entries = agent.list_dir(directory, 1, user).await?;
    let fits = entries.into_iter().filter(|entry| {
        // What the sandbox says of itself is not believed: a name is a name and no path.
        fits(pattern, &entry.name) && !entry.name.contains(['/', '\0'])
    });
    Ok(fits
        .map(|entry| format!("{directory}/{}", entry.name))
        .collect())
}

fn absolute(path: &str) -> String {
    match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("{HOME}/{path}"),
    }
}

fn told(path: String, error: AgentError, most: &Execute) -> TransferError {
    let refused = match error {
        AgentError::TooLarge { .. } => GuestError::Refused(format!(
            "the files are larger than {} together (setting execute.returns)",
            most.returns
        )),
        error => crate::execute::agent::told(error),
    };
    refusal(path, refused)
}

fn refusal(remote: String, source: GuestError) -> TransferError {
    TransferError::Remote {
        remote,
        direction: "out of",
        source,
    }
}

/// Whether a name is as a pattern says: `*` is any letters, `?` is any letter, and a name that begins with a dot
/// is meant by a pattern that does. Takes time in proportion to both lengths.
fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut star: Option<(usize, usize)> = None;
    while at < name.len() {
        match pattern.get(of) {
            Some('*') => {
                star = Some((of, at));
                of += 1;
            }
            Some(letter) if *letter == '?' || name.get(at) == Some(letter) => {
                at += 1;
                of += 1;
            }
            _ => match star {
                Some((after, begun)) => {
                    star = Some((after, begun + 1));
                    (of, at) = (after + 1, begun + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(of).all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_names_as_a_shell_reads_them() {
        for (pattern, name, expected) in [
            ("*.png", "a.png", true),
            ("*.png", "a.png.txt", false),
            ("*", "anything", true),
            ("*", ".hidden", false),
            (".*", ".hidden", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "ab ba", false),
            ("?", "ä", true),
            ("", "", true),
            ("***", "", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
        // No pattern takes long.
        assert!(!fits(&"*a".repeat(200), &"a".repeat(199)));
    }
}
